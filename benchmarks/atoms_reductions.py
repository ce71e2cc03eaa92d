"""What is made of several numbers, of all of them or of all but one, in plain Python: for `atoms_runs.py`."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import variance


def logsumexp(x: list[float]) -> float:
    most = max(x, default=-math.inf)
    return most + math.log(sum(math.exp(one - most) for one in x)) if math.isfinite(most) else most


def quantile(ordered: list[float], place: float) -> float:
    """The number at a place in their order."""
    low = math.floor(place)
    if low < 0 or math.ceil(place) >= len(ordered):
        return math.nan
    return ordered[low] + (place - low) * (ordered[math.ceil(place)] - ordered[low])


def squares(x: list[float]) -> float:
    return sum((one - sum(x) / len(x))**2 for one in x)


ENTRIES: dict[str, Callable[[list[float]], float]] = {
    "sum": sum, "mean": lambda x: sum(x) / len(x) if x else math.nan, "prod": math.prod, "logsumexp": logsumexp,
    "var": lambda x: variance(x) if len(x) > 1 else math.nan, "std": lambda x: variance(x)**0.5 if len(x) > 1 else math.nan,
    "argmin": lambda x: float(min(range(len(x)), key=lambda i: x[i])),
}
OTHERS = {
    "others' sum": sum, "others' product": math.prod, "others' mean": ENTRIES["mean"], "others' squares": squares,
    "others' logsumexp": logsumexp,
}


EMPTY = ("others' sum", "others' product")  # of no others: 0 and 1


def beside(kind: str, values: list[float], part: list[int], count: int, place: float | None) -> list[float]:
    """For each of so many numbers what the others in its part come to (nan: it is in none), or what all come to."""
    if kind not in OTHERS and kind != "order":
        whole = quantile(sorted(values), place) if place is not None else ENTRIES[kind](values)
        return [whole] * count
    found = [math.nan] * count
    for own, at in enumerate(part):
        others = values[:own] + values[own + 1:]
        found[at] = quantile(sorted(others), place) if place is not None else OTHERS[kind](others) if others or kind in EMPTY else math.nan
    return found
