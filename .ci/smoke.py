"""Tries an installed probrun from the outside: every command on some examples, the Python package, a notebook's cell.

Usage: PYTHON smoke.py SOURCE       PYTHON is the one that probrun is installed for; run it in an empty folder
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

PROBRUN = str(Path(sys.executable).with_name("probrun"))
ROOMS = ("grammar", "dsl", "runtime", "display")
EXAMPLES = ("bernoulli", "reparam", "step")
COMMANDS = ("grad", "run", "explain", "check", "compare", "fmt", "help")
IN_PYTHON = """
import pathlib, sys, probrun
assert pathlib.Path(probrun.__file__).is_relative_to(sys.prefix), probrun.__file__
result = probrun.load("reparam.prob").grad(samples=2000, seed=0)
assert result.gradient["theta"].mean.shape == () and "torch" in sys.modules
import numpy
assert result.gradient["theta"].mean.numpy() == numpy.float64(result.gradient["theta"].mean)
from importlib.metadata import files
names = {file.as_posix() for file in files("probrun")}
assert set(sys.argv[1:]) <= names, set(sys.argv[1:]) - names
assert any(name.endswith("licenses/LICENSE") for name in names)
"""
FOR_EDITORS = """
import json, subprocess, sys
from pygments.lexers import get_lexer_by_name
from pygments.token import Error
text = open("reparam.prob").read()
assert all(kind not in Error for kind, _ in get_lexer_by_name("prob").get_tokens(text))
def said(number, method, **params):
    body = json.dumps({"jsonrpc": "2.0", **({"id": number} if number else {}), "method": method, "params": params}).encode()
    return b"Content-Length: %d\\r\\n\\r\\n%s" % (len(body), body)
place, at = {"uri": "file:///a.prob"}, {"line": text[:text.index("Normal")].count("\\n"), "character": 5}
asked = [
    said(1, "initialize", processId=None, rootUri=None, capabilities={}), said(0, "initialized"),
    said(0, "textDocument/didOpen", textDocument={**place, "languageId": "prob", "version": 1, "text": text}),
    said(2, "textDocument/hover", textDocument=place, position=at), said(3, "shutdown"), said(0, "exit"),
]
done = subprocess.run([sys.argv[1], "lsp"], input=b"".join(asked), capture_output=True, timeout=120, check=True)
assert b"Normal(loc, scale)" in done.stdout, done
"""
IN_A_NOTEBOOK = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "probrun")
shell.run_cell_magic("prob", "grad -n 1000 --seed 1 -p theta=2", "param theta\\nz ~ Normal(theta, 1)\\nreturn z")
"""

passed = failed = 0


def expect(arguments: list[str], status: int = 0, output: Callable[[str], bool] = bool, errors: str | None = "") -> None:
    """Run a command; complain unless its status, its output and what it says on standard error (None: anything) are right."""
    global passed, failed
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)
    right = done.returncode == status and output(done.stdout)
    right = right and (done.stderr == "" if errors == "" else errors is None or errors in done.stderr)
    passed, failed = passed + right, failed + (not right)
    if not right:
        print(f"FAILED: {' '.join(arguments)}\nstatus {done.returncode}, {status} expected\n{done.stdout}\n{done.stderr}")


def holds(key: str, picture: str | None = None) -> Callable[[str], bool]:
    """One JSON object with this key; and a picture was drawn."""
    return lambda text: key in json.loads(text) and (picture is None or Path(picture).read_bytes()[:4] == b"\x89PNG")


def packaged(source: Path) -> list[str]:
    """Every file that an installed probrun has."""
    modules = [path.relative_to(source) for room in ROOMS for path in (source / room).rglob("*.py")]
    own = source / "probrun"
    modules += [path.relative_to(own) for folder in (own, own / "editor") for path in folder.glob("*.py")]
    return [f"probrun/{path.as_posix()}" for path in modules] + ["probrun/py.typed", "probrun/grammar/prob.lark"]


def main(source: Path) -> int:
    """Everything, in the current folder."""
    for name in EXAMPLES:
        Path(f"{name}.prob").write_bytes((source / "examples" / f"{name}.prob").read_bytes())
    files = [f"{name}.prob" for name in EXAMPLES]
    expect([PROBRUN, "--version"])
    expect([PROBRUN, "help"])
    for command in COMMANDS:
        expect([PROBRUN, "help", command], output=lambda text: "Usage: probrun" in text)
    for name in ("P0402", "Normal", "exp", "score"):
        expect([PROBRUN, "help", name])
    expect([PROBRUN, "check", *files], output=lambda text: text.count("no problem found") == len(files))
    for file in files:
        expect([PROBRUN, "explain", file])
        expect([PROBRUN, "explain", file, "--json"], output=holds("sites"))
        for command, key in (("grad", "gradient"), ("run", "value"), ("compare", "program")):
            picture = f"{file}-{command}.png"
            options = ["--seed", "1", "-n", "2000", "--json", "--plot", picture]
            expect([PROBRUN, command, file, *options], output=holds(key, picture), errors=f"wrote {picture}")
    for command in ("grad", "run", "compare"):
        expect([PROBRUN, command, "reparam.prob", "--seed", "1"], output=lambda text: "reparam.prob" in text)
    expect([PROBRUN, "fmt", *files], output=lambda text: text == "", errors=None)
    expect([PROBRUN, "fmt", "--check", *files], output=lambda text: text == "")
    expect([PROBRUN, "check", "-e", "y = (1"], 1, lambda text: text == "", "error[P0102]")
    expect([PROBRUN, "grad", "nowhere.prob"], 2, lambda text: text == "", "no such file")
    expect([sys.executable, "-m", "probrun", "check", "reparam.prob"])
    expect([sys.executable, "-W", "error::UserWarning", "-c", IN_PYTHON, *packaged(source)], output=lambda text: True)
    expect([sys.executable, "-c", FOR_EDITORS, PROBRUN], output=lambda text: True)
    for shell in ("bash", "zsh", "fish"):
        expect([PROBRUN, "completion", shell], output=lambda text: "_PROBRUN_COMPLETE" in text)
    expect([sys.executable, "-c", IN_A_NOTEBOOK], output=lambda text: "d/dtheta" in text, errors=None)
    print(f"smoke: {passed} passed, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
