"""`probrun FILE`, `probrun --seed 0 grad FILE`, `probrun sample FILE`: what to type instead."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

OTHER_NAMES = {
    "gradient": "grad", "diff": "grad", "differentiate": "grad", "sample": "run", "simulate": "run", "exec": "run",
    "plan": "explain", "lint": "check", "validate": "check", "format": "fmt", "benchmark": "compare",
}  # fmt: skip
OF_THE_GROUP = ("-h", "--help", "--version")


def advice(arguments: Sequence[str], commands: Collection[str]) -> str | None:
    """What is wrong with a command line that does not begin with a command, or None where nothing more is known."""
    first = arguments[0] if arguments else ""
    if not first or first in commands or first in OF_THE_GROUP:
        return None
    if first in OTHER_NAMES:
        command = OTHER_NAMES[first]
        return f"no such command: {first}; type: {shlex.join(['probrun', command, *arguments[1:]])}"
    if first.startswith("-") and first != "-":
        named = next((word for word in arguments if word in commands), None)
        if named is not None:
            rest = list(arguments)
            rest.remove(named)
            return f"options come after the command; type: {shlex.join(['probrun', named, *rest])}"
    if _is_program(first) or first == "-e" or (first.startswith("-") and any(map(_is_program, arguments))):
        return f"there is no command; for the gradient type: {shlex.join(['probrun', 'grad', *arguments])}"
    return None


def _is_program(word: str) -> bool:
    return word == "-" or word.endswith(".prob") or (not word.startswith("-") and Path(word).is_file())
