"""Parser tables for a lark other than the one they were made for: built once, kept in the user's cache, never slow in silence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = "param theta = 1; x ~ Normal(theta, 1); return x"
OTHER_LARK = """
import sys
import lark

lark.__version__ = "1.3.999"
build = lark.Lark.__init__

def told(self, *arguments, **options):
    sys.stderr.write("built\\n")
    build(self, *arguments, **options)

lark.Lark.__init__ = told
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "sitecustomize.py").write_text(OTHER_LARK, encoding="utf-8")
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    return {**os.environ, "PYTHONPATH": paths, "XDG_CACHE_HOME": str(tmp_path / "cache"), "NO_COLOR": "1"}


def check(environment: dict[str, str], program: str = PROGRAM) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "probrun", "check", "-e", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)


def kept(environment: dict[str, str]) -> list[Path]:
    return list(Path(environment["XDG_CACHE_HOME"], "probrun").iterdir())


def test_tables_are_built_once(environment: dict[str, str]) -> None:
    first = check(environment)
    assert first.returncode == 0 and first.stderr == "built\n"
    assert [path.name.startswith("parser-1-lark-1.3.999-") for path in kept(environment)] == [True]
    again = check(environment)
    assert again.returncode == 0 and again.stderr == "" and again.stdout == first.stdout
    wrong = check(environment, "y = (1 + ")
    assert wrong.returncode == 1 and wrong.stderr.startswith("error[P0102]")


@pytest.mark.parametrize("harm", ["cut", "bit", "empty", "bytes", "other", "json", "checked"])
def test_a_file_that_is_damaged_is_made_again(environment: dict[str, str], harm: str) -> None:
    """The last one has a right checksum, but is not what this lark wrote."""
    check(environment)
    (path,) = kept(environment)
    content = path.read_bytes()
    if harm == "checked":
        from hashlib import sha256

        words = content.split(b"\n", 1)[0].split()
        body = b'{"data":{},"memo":{}}'
        harmed = b" ".join([*words[:-1], sha256(body).hexdigest().encode()]) + b"\n" + body
    else:
        harmed = {
            "cut": content[:50_000], "bit": content[:60_000] + bytes([content[60_000] ^ 1]) + content[60_001:], "empty": b"",
            "bytes": b"\xff\x00" * 100, "other": content.replace(b"1.3.999", b"1.3.998", 1), "json": content.split(b"\n", 1)[1],
        }[harm]
    assert harmed != content
    path.write_bytes(harmed)
    done = check(environment)
    assert done.returncode == 0 and done.stderr == "built\n"
    assert len(path.read_bytes()) > 100_000
    assert check(environment).stderr == ""


@pytest.mark.parametrize("blocked", ["file", "folder"])
def test_a_cache_that_cannot_be_written_is_told(environment: dict[str, str], tmp_path: Path, blocked: str) -> None:
    """A file where the folder should be; and a folder where the file should be."""
    if blocked == "file":
        (tmp_path / "cache").write_text("", encoding="utf-8")
    else:
        check(environment)
        (path,) = kept(environment)
        path.unlink()
        (path / "inside").mkdir(parents=True)
    done = check(environment)
    assert done.returncode == 0 and done.stdout == "<command line>: no problem found (1 site, 1 parameter)\n"
    lines = done.stderr.splitlines()
    assert len(lines) == 2 and lines[0] == "built"
    assert lines[1].startswith("probrun: slow start: ") and "lark 1.3.999" in lines[1] and str(tmp_path / "cache") in lines[1]
    text = f"import probrun; probrun.parse({PROGRAM!r}); probrun.parse({PROGRAM!r})"
    python = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=60, env=environment, check=True
    )
    assert python.stderr.count("UserWarning: slow start: ") == 1 and "<string>:1" in python.stderr


def test_several_processes_at_once(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "probrun", "check", "-e", PROGRAM]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) for _ in range(4)]
    for process in started:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0 and errors in (b"built\n", b"")
    assert len(kept(environment)) == 1
    assert check(environment).stderr == ""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_not_read(environment: dict[str, str]) -> None:
    check(environment)
    (path,) = kept(environment)
    os.chown(path, 12345, 12345)
    assert check(environment).stderr == "built\n"
    assert path.stat().st_uid == 0
    assert check(environment).stderr == ""


def test_the_lark_that_the_tables_were_made_with_needs_no_cache(environment: dict[str, str], tmp_path: Path) -> None:
    from probrun.grammar import tables

    text = OTHER_LARK.replace("1.3.999", tables.FINGERPRINT.split()[1])
    (tmp_path / "sitecustomize.py").write_text(text, encoding="utf-8")
    assert check(environment).stderr == ""
    assert not (tmp_path / "cache").exists()
