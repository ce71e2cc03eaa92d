"""The house as it stands: arrows between rooms, circles, sizes, names, and whether what is said of it is true."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

from probrun.dsl import levels, syntax
from probrun.runtime.machine.interpreter import EVALUATORS, EXECUTORS

ROOT = Path(__file__).parent.parent
LONGEST_FILE, LONGEST_FUNCTION, MOST_FILES = 400, 50, 20
TABLES = ("dsl/tables/", "grammar/tables.py")


def _rooms() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rooms", ROOT / "docs" / "rooms.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ROOMS = _rooms()
MODULES: dict[tuple[str, ...], Path] = ROOMS.modules()
ARROWS: dict[tuple[str, ...], set[tuple[str, ...]]] = ROOMS.arrows()


def test_every_folder_is_a_room_that_says_what_it_is() -> None:
    assert {ROOMS.room(path) for path in MODULES.values()} == set(ROOMS.ORDER)
    for place in ROOMS.ORDER:
        assert ROOMS.sentence(place), place
        if "/" in place:
            assert "May import" in (ast.get_docstring(ast.parse((ROOT / place / "__init__.py").read_text())) or ""), place


def test_no_arrow_runs_back_up() -> None:
    wrong = [
        (".".join(name), ".".join(target))
        for name, targets in ARROWS.items() for target in targets
        if ROOMS.ORDER.index(ROOMS.room(MODULES[target])) > ROOMS.ORDER.index(ROOMS.room(MODULES[name]))
    ]
    assert wrong == []


def test_no_circle() -> None:
    """Modules are taken away as long as there is one that imports none of the others; what is left goes in circles."""
    left = {name: set(targets) for name, targets in ARROWS.items()}
    while free := [name for name, targets in left.items() if not targets & left.keys()]:
        for name in free:
            del left[name]
    assert sorted(".".join(name) for name in left) == []


def test_a_circle_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, state = ("probrun", "dsl", "planning", "plan"), ("probrun", "dsl", "planning", "state")
    assert plan in ARROWS[state]
    monkeypatch.setitem(ARROWS, plan, ARROWS[plan] | {state})
    with pytest.raises(AssertionError):
        test_no_circle()


@pytest.mark.parametrize("path", sorted(set(MODULES.values())), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    if not path.relative_to(ROOT).as_posix().startswith(TABLES):
        assert text.count("\n") <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None and node.end_lineno - node.lineno <= LONGEST_FUNCTION, node.name


def test_rooms_are_not_crowded() -> None:
    for place in ROOMS.ORDER:
        assert len([path for path in MODULES.values() if ROOMS.room(path) == place and path.name != "__init__.py"]) <= MOST_FILES, place


PUBLIC = {"Program", "Comparison", "Function"}  # the names that users import are those of the things themselves
SAME_IN_TORCH = {"Gumbel", "Sample"}  # a law and the estimator, a statement and the estimator: each named as the user names it


def test_no_two_classes_of_one_name() -> None:
    found: dict[str, list[str]] = {}
    for path in MODULES.values():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(path.relative_to(ROOT).as_posix())
    assert {name: places for name, places in found.items() if len(places) > 1 and name not in PUBLIC | SAME_IN_TORCH} == {}


def test_no_two_files_of_one_name() -> None:
    found: dict[str, list[str]] = {}
    for path in MODULES.values():
        if path.name != "__init__.py":
            found.setdefault(path.name, []).append(path.relative_to(ROOT).as_posix())
    assert {name: places for name, places in found.items() if len(places) > 1} == {}


def test_the_picture_is_that_of_today() -> None:
    assert ROOMS.PAGE.read_text() == ROOMS.page()


def test_every_form_is_evaluated_or_executed() -> None:
    assert set(EVALUATORS) == set(get_args(syntax.Expression))
    weighed = {levels.Observe, levels.Factor, levels.Proposal, levels.Guided, levels.Implied, levels.Correction}  # assignments and draws
    assert set(EXECUTORS) == set(get_args(syntax.Statement)) | weighed


def test_files_that_are_named_exist() -> None:
    """In comments, docstrings and pages."""
    names = {path.name for path in ROOT.rglob("*.py") if ".venv" not in path.parts}
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", *set(MODULES.values())]
    missing = [
        (page.relative_to(ROOT).as_posix(), named)
        for page in pages for named in re.findall(r"`([a-z_/]+\.py)`", page.read_text())
        if (named not in names if "/" not in named else not (ROOT / named).exists())
    ]
    assert missing == []
