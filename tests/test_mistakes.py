"""Typical mistakes, by the habits of other languages, and the screen that each gives.

A case of `tests/mistakes/*.txt` is `## title`, `$ command line`, a `--- name` with the text of each file, and `=== status`
with the screen.  `python -m tests.test_mistakes [FILE...]` writes the screens anew: read the difference as the person who
typed it.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from probrun import cli

FOLDER = Path(__file__).parent / "mistakes"
TABLES = sorted(FOLDER.glob("*.txt"))
LEAST = 66


@dataclass(frozen=True)
class Case:
    """One mistake: what is typed, in which files, and what is seen."""

    title: str
    command: str
    files: dict[str, str]
    status: int
    screen: str

    def text(self) -> str:
        """The case as it stands in its table."""
        files = "".join(f"--- {name}\n{text}" for name, text in self.files.items())
        return f"## {self.title}\n$ {self.command}\n{files}=== {self.status}\n{self.screen}"


def cases(table: Path) -> list[Case]:
    """The cases of a table."""
    found = []
    for part in ("\n" + table.read_text(encoding="utf-8")).split("\n## ")[1:]:
        typed, _, seen = part.partition("\n=== ")
        head, *files = typed.split("\n--- ")
        title, command = head.split("\n$ ")
        status, _, screen = seen.partition("\n")
        texts = dict(f"{text}\n".split("\n", 1) for text in files)
        found.append(Case(title, command, texts, int(status or "-1"), screen))
    return found


def write(case: Case, folder: Path) -> None:
    for name, text in case.files.items():
        (folder / name).write_text(text, encoding="utf-8")


def seen(case: Case, folder: Path) -> Case:
    """The case with what this process shows."""
    write(case, folder)
    shown = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        status = cli.main(shlex.split(case.command))
    return replace(case, status=status, screen=shown.getvalue())


ALL = [pytest.param(case, id=f"{table.stem}-{case.title}") for table in TABLES for case in cases(table)]


@pytest.mark.parametrize("case", ALL)
def test_screen(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert seen(case, tmp_path).text() == case.text()


@pytest.mark.parametrize("case", ALL)
def test_every_screen_says_what_to_do(case: Case) -> None:
    """A mistake is a mistake, and every problem that is shown comes with something to type."""
    assert case.status in (1, 2)
    if case.status == 1 and not case.screen.startswith("{"):
        problems = case.screen.split("error[")[1:]
        assert problems and all("= help: " in problem or "= note: it is called as " in problem for problem in problems), case.screen
    assert "P0901" not in case.screen and "Traceback" not in case.screen


def test_there_are_enough() -> None:
    assert len(ALL) >= LEAST
    assert len({parameter.id for parameter in ALL}) == len(ALL)


PROCESSES = [parameter.values[0] for parameter in ALL[:: len(ALL) // 5]]


@pytest.mark.parametrize("case", PROCESSES, ids=lambda case: case.title)
def test_a_process_shows_the_same(case: Case, tmp_path: Path) -> None:
    write(case, tmp_path)
    command = [sys.executable, "-m", "probrun", *shlex.split(case.command)]
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, timeout=120, check=False, text=True, encoding="utf-8")
    assert done.returncode == case.status
    assert done.stdout + done.stderr == case.screen
    if not case.screen.startswith("{"):
        assert done.stdout == ""


if __name__ == "__main__":
    os.environ["NO_COLOR"] = "1"
    for table in TABLES:
        if not sys.argv[1:] or table.stem in sys.argv[1:]:
            with tempfile.TemporaryDirectory() as folder:
                made = []
                for number, case in enumerate(cases(table)):
                    place = Path(folder) / str(number)
                    place.mkdir()
                    made.append(seen(case, place).text())
            table.write_text("\n".join(made), encoding="utf-8")
