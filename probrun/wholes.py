"""Numbers as people give them: `1e6`, a NumPy integer and a tensor without axes are whole numbers, `2.5` is not."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any


def plain(value: Any) -> Any:
    """What a NumPy scalar, or an array or tensor without axes, holds; everything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def as_whole(value: Any) -> int | None:
    """The whole number that a value is, or None where it is none (`True` and text are none)."""
    if type(value) is int:
        return value
    value = plain(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, Integral):
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else None


def as_number(value: Any) -> float | None:
    """The number that a value is, or None where it is none."""
    value = plain(value)
    return float(value) if isinstance(value, Real) and not isinstance(value, bool) else None
