"""Which of several processes this one is, as torchrun says it (no torch needed)."""

from __future__ import annotations

import os


def rank() -> int:
    """The number of this process among those of torchrun; 0 without it."""
    return _number("RANK", 0) if world_size() > 1 else 0


def world_size() -> int:
    """How many processes there are."""
    return _number("WORLD_SIZE", 1)


def local_rank() -> int:
    """The number of this process on its machine: that of its GPU."""
    return _number("LOCAL_RANK", 0)


def local_world_size() -> int:
    """How many processes there are on this machine."""
    return _number("LOCAL_WORLD_SIZE", 1)


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() else default
