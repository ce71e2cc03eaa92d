"""What the documents show is run: `prob` blocks are planned, `console` blocks compared, `python` blocks executed.

In a console block numbers are compared within their standard errors (`screens.py`), a line `...` stands for any lines.
`python -m tests.test_docs` writes the console blocks anew (those without a line `...`).  A `prob` block with a code in its
fence (```prob P0403) must be refused with it.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import probrun
from probrun import cli
from probrun import help as pages
from probrun.dsl.tables.distributions import DISTRIBUTIONS, signature
from probrun.dsl.tables.functions import FUNCTIONS
from tests.screens import disagreements

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FOR_USERS = [document for document in DOCUMENTS if document.stem != "architecture"]  # whose programs are run
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(kind: str) -> list[object]:
    found = []
    for document in FOR_USERS:
        for number, match in enumerate(FENCE.finditer(document.read_text()), start=1):
            if match[1] == kind:
                found.append(pytest.param(match[3], match[2].strip(), id=f"{document.stem}-{number}"))
    return found


@pytest.mark.parametrize(("text", "code"), blocks("prob"))
def test_programs(text: str, code: str) -> None:
    if code:
        with pytest.raises(probrun.ProbError) as caught:
            probrun.parse(text).explain()
        assert caught.value.code == code
    else:
        probrun.parse(text).explain()


@pytest.mark.parametrize(("text", "words"), blocks("console"))
def test_screens(text: str, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for command, expected in _commands(text):
        arguments = shlex.split(command)
        if arguments[0] != "probrun":
            continue
        status = cli.execute(arguments[1:])
        captured = capsys.readouterr()
        doubted = "not to be trusted" in expected or "DISAGREES" in expected
        assert status == (3 if doubted else "error[P" in expected), captured.err
        shown = captured.out + captured.err
        assert re.fullmatch(_pattern(expected), _normal(shown)), shown
        if not _is_open(expected):
            assert not (wrong := disagreements(expected, shown)), "\n".join(wrong)


def _commands(text: str) -> Iterator[tuple[str, str]]:
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        yield command, expected


def _is_open(expected: str) -> bool:
    """Whether a line `...` stands for any lines."""
    return any(line.strip() == "..." for line in expected.splitlines())


def _normal(text: str) -> str:
    text = re.sub(r"(?<!\w)-?\d+(\.\d+)?(e[-+]?\d+)?", "#", text)
    return "\n".join(" ".join(line.split()) for line in text.strip().splitlines())


def _pattern(expected: str) -> str:
    lines = [".*" if line.strip() == "..." else re.escape(_normal(line)) for line in expected.strip().splitlines()]
    return "(?s:" + "\n".join(lines) + ")"


@pytest.mark.parametrize("document", FOR_USERS, ids=lambda document: document.stem)
def test_python(document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    namespace: dict[str, object] = {}
    for match in FENCE.finditer(document.read_text()):
        if match[1] == "python":
            exec(compile(match[3], str(document), "exec"), namespace)


def test_links_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), (document, target)


def test_the_reference_is_complete() -> None:
    text = (ROOT / "docs" / "language.md").read_text()
    for row in FUNCTIONS.values():
        assert f"`{row.signature}`" in text
    for distribution in DISTRIBUTIONS.values():
        assert f"`{signature(distribution)}`" in text
    options = (ROOT / "docs" / "command-line.md").read_text()
    for command in (cli.grad, cli.run):
        for parameter in command.params:
            for name in parameter.opts:
                assert not name.startswith("-") or name in options, name


def test_every_topic_has_a_page_and_a_line() -> None:
    for group, members in pages.topics().items():
        assert pages.page(group)
        for member in members:
            page = pages.page(member)
            assert page and page.strip(), member
            assert pages.SUMMARIES[group](member).strip(), member


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_help_lists_the_estimators_of_a_distribution(name: str) -> None:
    """What can never be taken is not listed, what can be is."""
    row = DISTRIBUTIONS[name]
    listed = {line.split()[0] for line in (pages.page(name) or "").split("estimators\n")[1].splitlines()}
    assert ("enumerate" in listed) == (row.finite or row.endless)
    assert ("jump" in listed) == (not row.discrete and not row.event and any(part.reparameterised for part in row.parameters))
    assert ("fork" in listed) == (row.discrete and "score" in listed)


def test_help_knows_the_estimators_that_there_are() -> None:
    from probrun.dsl.tables.estimators import ESTIMATORS as ROWS
    from probrun.runtime.estimators import ESTIMATORS

    assert list(pages.topics()["estimators"]) == list(ROWS)
    assert list(ROWS) == list(ESTIMATORS)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("  E[y]   23.91   0.08   [23.76, 24.07]", "  E[y]   24.01   0.08   [23.86, 24.17]", ""),
        ("  E[y]   23.91   0.08   [23.76, 24.07]", "  E[y]   25.01   0.08   [24.86, 25.17]", "apart"),
        ("  E[y]   23.91   0.08   [23.76, 24.07]", "  E[y]   23.91   0.18   [23.5, 24.3]", "ratio"),
        ("  E[y]   23.91   0.08   [23.76, 24.07]", "  E[y]   23.91   exact   -", "exact"),
        ("  E[y]   7   exact   -", "  E[y]   8   exact   -", "another"),
        ("  x   3   Normal(0, 1)", "  x   4   Normal(0, 1)", "draw"),
    ],
)
def test_numbers_are_compared(before: str, after: str, reason: str) -> None:
    head = "   estimate   std. error   95 % interval\n"
    found = disagreements(head + before, head + after) if "Normal" not in before else disagreements(before, after)
    assert len(found) == bool(reason) and all(reason in words for words in found)


def _again(match: re.Match[str]) -> str:
    """A console block with what is shown now."""
    if match[1] != "console":
        return match[0]
    parts = []
    for command, expected in _commands(match[3]):
        arguments = shlex.split(command)
        shown = io.StringIO()
        if arguments[0] == "probrun" and not _is_open(expected):
            with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
                cli.execute(arguments[1:])
        parts.append(f"$ {command}\n{shown.getvalue() or expected}")
    return f"```console{match[2]}\n{''.join(parts)}```"


if __name__ == "__main__":
    os.environ["NO_COLOR"] = "1"
    os.chdir(ROOT)
    for page in FOR_USERS:
        page.write_text(FENCE.sub(_again, page.read_text()))
