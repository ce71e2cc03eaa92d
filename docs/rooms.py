"""The rooms of the house and the arrows between them, read from the imports: `python docs/rooms.py` writes the picture into
`docs/architecture.md`, so that it cannot lie; `tests/test_house.py` holds the code to the order below.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- rooms: written by docs/rooms.py -->", "<!-- end of rooms -->"
ORDER = (  # each may import those before it
    "grammar",
    "dsl/text", "dsl", "dsl/tables", "dsl/reading", "dsl/names", "dsl/analysis", "dsl/jumps", "dsl/planning",
    "runtime", "runtime/arrays", "runtime/laws", "runtime/lanes", "runtime/estimators", "runtime/machine", "runtime/gradients",
    "runtime/graphs", "runtime/blocks", "runtime/estimates", "runtime/steps", "runtime/fitting", "runtime/many",
    "display",
    "probrun/editor", "probrun", "probrun/many",
)


def modules() -> dict[tuple[str, ...], Path]:
    """Every module of the package by its dotted name, without `__init__`."""
    found = {}
    for top in ("grammar", "dsl", "runtime", "display", "probrun"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if top == "probrun" and len(parts) > 2 and (ROOT / top / parts[1]).is_symlink():
                continue  # the links to the other rooms
            name = parts if top == "probrun" else ("probrun", *parts)
            found[name[:-1] if name[-1] == "__init__" else name] = path
    return found


def room(path: Path) -> str:
    """The room of a file."""
    return path.relative_to(ROOT).parent.as_posix()


def imports(name: tuple[str, ...], path: Path, known: dict[tuple[str, ...], Path]) -> Iterator[tuple[str, ...]]:
    """The modules that a file imports anywhere, for types too."""
    package = name if path.name == "__init__.py" else name[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base = (*base, *(node.module.split(".") if node.module else ()))
            inside = [(*base, alias.name) for alias in node.names]
            yield from (target for target in {base, *inside} if target in known and target != name)
        elif isinstance(node, ast.Import):
            yield from (target for alias in node.names if (target := tuple(alias.name.split("."))) in known)


def arrows() -> dict[tuple[str, ...], set[tuple[str, ...]]]:
    """From each module to those that it imports; packages themselves hold nothing but a sentence, unless they name their parts."""
    known = modules()
    return {
        name: {target for target in imports(name, path, known) if not _is_own_package(name, target, known)}
        for name, path in known.items()
    }


def _is_own_package(name: tuple[str, ...], target: tuple[str, ...], known: dict[tuple[str, ...], Path]) -> bool:
    return known[target].name == "__init__.py" and name[: len(target)] == target


def sentence(place: str) -> str:
    """What a room says of itself: the first paragraph of its `__init__.py`."""
    text = ast.get_docstring(ast.parse((ROOT / place / "__init__.py").read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


def picture() -> str:
    """The rooms with their sentences as a table, and the arrows as a Mermaid graph, less those that follow from others."""
    known = modules()
    between: dict[str, set[str]] = {place: set() for place in ORDER}
    for name, targets in arrows().items():
        between[room(known[name])] |= {room(known[target]) for target in targets} - {room(known[name])}
    lines = ["| room | sentence |", "|---|---|"]
    lines += [f"| `{place}/` | {sentence(place)} |" for place in ORDER if place not in ("dsl", "runtime")]
    lines += ["", "```mermaid", "graph TD"]
    reach: dict[str, set[str]] = {}
    for place in ORDER:
        direct = between[place]
        reach[place] = direct.union(*(reach[other] for other in direct)) if direct else set()
        needed = {other for other in direct if not any(other in reach[third] for third in direct)}
        if direct or place == "grammar":
            lines.append(f'    {_key(place)}["{place if place != "dsl" else "dsl/syntax.py"}"]')
        lines += [f"    {_key(place)} --> {_key(other)}" for other in sorted(needed, key=ORDER.index)]
    return "\n".join([*lines, "```"])


def _key(place: str) -> str:
    return place.replace("/", "_")


def page() -> str:
    """`docs/architecture.md` with the picture of today."""
    text = PAGE.read_text(encoding="utf-8")
    start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    return f"{text[:start]}\n{picture()}\n{text[end:]}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
