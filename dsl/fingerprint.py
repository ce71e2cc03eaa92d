"""What tells programs apart: a hash of the tree, which layout, comments and brackets do not change."""

from __future__ import annotations

import hashlib
from dataclasses import fields

from .syntax import Node, Program, children


def fingerprint(program: Program) -> str:
    """The same for programs whose trees are equal; 64 hexadecimal digits (SHA-256)."""
    found = hashlib.sha256()
    pending: list[Node] = [program.body]
    while pending:
        node = pending.pop()
        below = children(node)
        facts = [_plain(getattr(node, item.name)) for item in fields(node) if item.compare]
        found.update(repr((type(node).__name__, len(below), facts)).encode())
        pending.extend(below)
    return found.hexdigest()


def _plain(value: object) -> object:
    """A field without the nodes in it, which are told apart for themselves."""
    if isinstance(value, tuple):
        return tuple(_plain(entry) for entry in value)
    return type(value).__name__ if isinstance(value, Node) else value
