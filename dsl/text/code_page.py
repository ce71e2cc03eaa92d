"""The form of one page of `codes.py`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """What one diagnostic code means.

    `explanation` is plain text in lines of at most 78 characters, its paragraphs parted by an empty line.  `example` is
    a whole program that raises the code (None where the text of a program cannot), `arguments` are the further
    options of `probrun grad` that it needs.
    """

    code: str
    title: str
    explanation: str
    example: str | None = None
    arguments: tuple[str, ...] = ()


def page(code: str, title: str, explanation: str, example: str | None = None, arguments: str = "") -> Code:
    """A page, with the margins of its texts taken off."""
    return Code(code, title, explanation.strip("\n"), example, tuple(arguments.split()))
