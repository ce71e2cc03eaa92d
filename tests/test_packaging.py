"""The package list against the tree (a forgotten sub-package is silent otherwise), and the direction of imports."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import probrun

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOMS = ("grammar", "dsl", "runtime", "display")


def test_the_package_list_is_the_tree() -> None:
    expected = {"probrun", "probrun.editor", "probrun.many"}
    for room in ROOMS:
        for found in (ROOT / room).rglob("*.py"):
            expected.add(".".join(["probrun", *found.parent.relative_to(ROOT).parts]))
    tool = SETTINGS["tool"]["setuptools"]
    assert set(tool["packages"]) == set(tool["package-dir"]) == expected
    for package, folder in tool["package-dir"].items():
        assert (ROOT / folder / "__init__.py").is_file(), package


def test_the_rooms_are_linked() -> None:
    for room in ROOMS:
        link = ROOT / "probrun" / room
        assert link.is_symlink() and link.resolve() == ROOT / room
        assert not link.readlink().is_absolute()


def test_one_version() -> None:
    assert SETTINGS["project"]["version"] == probrun.__version__
    assert probrun.__version__ in (ROOT / "CHANGELOG.md").read_text()


ALLOWED = {"grammar": set(), "dsl": {"grammar"}, "runtime": {"grammar", "dsl"}, "display": set()}
FORBIDDEN = {"grammar": {"torch", "numpy"}, "dsl": {"torch", "numpy", "matplotlib", "click", "rich"}, "runtime": {"click", "rich"}, "display": {"torch", "click", "rich"}}


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_one_way(room: str) -> None:
    for path in (ROOT / room).rglob("*.py"):
        depth = len(path.relative_to(ROOT).parts) - 1  # dots that lead to the room's parent: depth + 1
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == depth + 1 and node.module:
                assert node.module.split(".")[0] in ALLOWED[room] | {room}, (path, node.module)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                assert node.module.split(".")[0] not in FORBIDDEN[room] | {"probrun"}, (path, node.module)
            elif isinstance(node, ast.Import):
                for name in node.names:
                    assert name.name.split(".")[0] not in FORBIDDEN[room] | {"probrun"}, (path, name.name)


def test_the_face_imports_the_workshop_only_where_it_runs_something() -> None:
    for path in (ROOT / "probrun").glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom) and node.module:
                assert not node.module.startswith("runtime") or node.module == "runtime.blocks.ranks", path  # which loads no torch
                assert node.module.split(".")[0] not in {"torch", "numpy", "matplotlib", "rich"}, path


def _requirements(entries: list[str]) -> dict[str, tuple[int, ...]]:
    """Lower bounds by name; every entry has one."""
    found = {}
    for entry in entries:
        name, bound = entry.split(",")[0].split(">=")
        found[name] = tuple(map(int, bound.split(".")))
    return found


def _tried() -> dict[str, tuple[int, ...]]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    return {name: tuple(map(int, version.split("."))) for name, version in (line.split("==") for line in lines)}


def test_bounds_are_those_that_are_tried() -> None:
    """The lowest versions of what runs are tried by .ci/run; tools are wanted no older than the ones that are tried."""
    project, tried = SETTINGS["project"], _tried()
    extras = {name: _requirements(entries) for name, entries in project["optional-dependencies"].items()}
    wanted = _requirements(project["dependencies"])
    assert set(wanted) | set(extras["dev"]) <= set(tried)
    for bounds in (wanted, *extras.values()):
        for name, bound in bounds.items():
            assert bound <= tried[name], name
    assert all(bound == tried[name][: len(bound)] for name, bound in extras["dev"].items())


def test_the_lowest_versions_follow_from_the_project() -> None:
    done = subprocess.run([sys.executable, ROOT / ".ci" / "lowest.py", "notebook", "lsp"], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    project = SETTINGS["project"]
    extras = project["optional-dependencies"]
    expected = _requirements([*project["dependencies"], *extras["notebook"], *extras["lsp"]])
    del expected["torch"]
    assert {line.split("==")[0]: tuple(map(int, line.split("==")[1].split("."))) for line in lines} == expected


def test_the_citation_is_of_this_version_and_licence() -> None:
    text = (ROOT / "CITATION.cff").read_text()
    project = SETTINGS["project"]
    assert f"\nversion: {project['version']}\n" in text and f"\nlicense: {project['license']}\n" in text
    assert "MIT License" in (ROOT / "LICENSE").read_text() and project["authors"][0]["name"] in (ROOT / "LICENSE").read_text()
