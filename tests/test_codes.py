"""Every diagnostic code: a program that raises it, the screen it gives, and its page.

A program of `tests/programs/` says in its first line how it is run (`#$ grad -p p=1.5`; `grad` where nothing is said,
`second` takes a second derivative through `expectation`) and on the line of a problem what is expected there
(`#! P0201 words of the message`; `#?` where the problem has no place).  The screen is compared with the `.txt` beside
it; `python -m tests.test_codes [CODE...]` writes the screens anew: read the difference.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from probrun.cli import main
from probrun.dsl.text.codes import CODES

PROGRAMS = Path(__file__).parent / "programs"
FILES = sorted(PROGRAMS.glob("*.prob"))
OPTIONS = ("-n", "100", "--seed", "0")
HEAD = re.compile(r"^error\[(P\d{4})\]: ", re.MULTILINE)
PLACE = re.compile(r"^ *--> [^\n]*?:(\d+):\d+$", re.MULTILINE)
LEFT = re.compile(r"\S+ \S+ of memory")  # differs from machine to machine


@dataclass(frozen=True)
class Expected:
    """A problem that a line of a program announces; `line` is None where it has no place."""

    line: int | None
    code: str
    words: str


def announced(text: str) -> list[Expected]:
    """All `#! CODE words` and `#? CODE words` of a program, in the order of the text."""
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        for kind, code, words in re.findall(r"#([!?]) (P\d{4})([^#]*)", line):
            found.append(Expected(number if kind == "!" else None, code, words.strip(" \0")))
    return found


def command_of(text: str) -> list[str]:
    """The words of the `#$` line, `grad` without one."""
    first = text.split("\n", 1)[0]
    return shlex.split(first[2:]) if first.startswith("#$") else ["grad"]


def screen(path: Path) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a program, run in its folder."""
    command = command_of(path.read_bytes().decode("latin1"))
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(path.parent), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        if command == ["second"]:
            status = second_derivative(path.name)
        else:
            status = main([command[0], path.name, *OPTIONS, *command[1:]])
    return status, out.getvalue(), LEFT.sub("1 GB of memory", err.getvalue())


def second_derivative(name: str) -> int:
    """Differentiate `expectation` twice in its first parameter; the exit status that the command line would give."""
    import torch

    import probrun

    program = probrun.load(name)
    theta = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    try:
        value = program.expectation({next(iter(program.parameters)): theta}, samples=100, seed=0, dtype="float64")
        (slope,) = torch.autograd.grad(value, theta, create_graph=True)
        torch.autograd.grad(slope, theta)
    except probrun.ProbError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_program_raises_what_it_announces(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    expected = announced(path.read_bytes().decode("utf-8", errors="replace"))
    status, out, err = screen(path)
    assert (status, out) == (1, ""), err
    parts = [part for part in re.split(r"^(?=error\[)", err, flags=re.MULTILINE) if part]
    codes = [match[1] for part in parts if (match := HEAD.match(part))]
    assert codes == [problem.code for problem in expected], err
    for part, problem in zip(parts, expected, strict=True):
        place = PLACE.search(part)
        if problem.line is not None:
            assert place is not None and int(place[1]) == problem.line, part
        assert problem.words in part
    assert err == path.with_suffix(".txt").read_text(encoding="utf-8")
    assert path.stem.startswith(expected[0].code)


def test_every_code_has_a_program() -> None:
    covered = {path.stem[:5] for path in FILES}
    warnings = {code for code in CODES if code.startswith("P07")}
    elsewhere = {"P0614", "P0901"}  # of parts that do not fit (test_many.py); raised below
    assert covered == set(CODES) - elsewhere - warnings, "warnings are no errors (test_doubts.py)"


def test_our_own_fault_is_not_blamed_on_the_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the bug of this test")

    monkeypatch.setattr("probrun.cli_options.read_program", broken, raising=False)
    monkeypatch.setattr("probrun.api.read_program", broken, raising=False)
    assert main(["grad", str(FILES[0])]) == 70
    shown = capsys.readouterr().err
    assert shown.startswith("error[P0901]") and "the bug of this test" in shown and "Traceback" in shown


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_page(code: str) -> None:
    entry = CODES[code]
    assert entry.code == code
    assert entry.title and entry.title == entry.title.strip(". ")
    assert len(entry.explanation) > 100
    assert all(len(line) <= 78 for line in entry.explanation.split("\n"))
    assert entry.explanation.rstrip() == entry.explanation and "\n\n\n" not in entry.explanation


@pytest.mark.parametrize("code", [code for code, entry in CODES.items() if entry.example is not None])
def test_the_example_of_a_page_raises_its_code(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    entry = CODES[code]
    path = tmp_path / "example.prob"
    path.write_text(entry.example or "", encoding="utf-8")
    assert main(["grad", str(path), *OPTIONS, *entry.arguments]) == 1
    shown = capsys.readouterr().err
    assert HEAD.findall(shown) == [code], shown


def test_codes_in_the_code_have_pages() -> None:
    root = Path(__file__).parent.parent
    used: set[str] = set()
    for folder in ("dsl", "runtime", "probrun"):
        for path in (root / folder).glob("**/*.py"):
            used.update(re.findall(r'"(P0\d{3})"', path.read_text(encoding="utf-8")))
    assert used <= set(CODES)


if __name__ == "__main__":
    os.environ["NO_COLOR"] = "1"
    for file in FILES:
        if not sys.argv[1:] or file.stem.startswith(tuple(sys.argv[1:])):
            file.with_suffix(".txt").write_text(screen(file)[2], encoding="utf-8")
