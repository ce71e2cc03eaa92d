"""Two screens of the same command, on different machines: their numbers must agree within their standard errors.

Everything else must agree to the letter, but for what depends on the machine or on the pilot's draws: times, and how many
runs a pilot made.
"""

from __future__ import annotations

import re
from itertools import zip_longest

NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
MOST_ERRORS = 6  # standard errors between two estimates: a false alarm in 10^9 numbers
QUANTILE_ERRORS = 15  # of a mean, between two quantiles
ALIKE = 1.6  # ratio of two standard errors, or of two measured errors


def disagreements(expected: str, shown: str) -> list[str]:
    """The lines whose numbers do not agree, with the reason; the texts have the same lines in other respects."""
    found = []
    kind, head = "", ""
    for before, now in zip_longest(expected.strip().splitlines(), shown.strip().splitlines(), fillvalue=""):
        kind = _kind(now) or (kind if now.strip() else "")
        head = now if _kind(now) else head
        reason = _reason(kind, before, now, re.split(r" {2,}", head.strip()))
        if reason:
            found.append(f"{reason}\n  expected {before}\n  shown    {now}")
    return found


def _kind(line: str) -> str:
    """The table that a line heads."""
    words = line.split()
    if words[:3] == ["estimate", "std.", "error"]:
        return "estimates"
    if words[:3] == ["mean", "std.", "error"]:
        return "quantiles"
    return "comparison" if words[:1] == ["estimator"] and "bias" in words else ""


def _reason(kind: str, before: str, now: str, heads: list[str]) -> str:
    if _kind(now):
        return ""
    cells = [re.split(r" {2,}", line.strip()) for line in (before, now)]
    columns = [[_number(cell) for cell in row] for row in cells]
    if kind == "estimates" and len(columns[0]) >= 3:
        return _estimate(columns[0][1:3], columns[1][1:3])
    if kind == "quantiles" and len(columns[0]) >= 8:
        reason = _estimate(columns[0][1:3], columns[1][1:3])
        error = (columns[0][2] or 0.0) * QUANTILE_ERRORS
        far = any(abs((a or 0) - (b or 0)) > error for a, b in zip(columns[0][3:], columns[1][3:], strict=True))
        return reason or ("a quantile is too far away" if far else "")
    if kind == "comparison" and len(columns[0]) == len(heads) >= 4:  # times, and what follows from them, are the machine's
        spread = [heads.index(name) for name in ("sd of a run", "error") if name in heads]
        ratios = (_ratio(columns[0][place], columns[1][place]) for place in spread)
        return _estimate(columns[0][1:3], columns[1][1:3]) or next(filter(None, ratios), "")
    measured = re.search(r"error of the gradient|^\s+[\d.e-]+$", now)
    lines = [re.sub(r"\(\d+ runs each\)|[\d.]+ m?s\b", "", line) for line in (before, now)]
    first, second = ([float(number) for number in NUMBER.findall(line)] for line in lines)
    if measured:
        return next((reason for a, b in zip(first, second, strict=False) if (reason := _ratio(a, b))), "")
    return "" if first == second else "these numbers do not come from a draw"


def _number(cell: str) -> float | None:
    """The number that a cell begins with."""
    match = NUMBER.match(cell.strip())
    return None if match is None else float(match[0])


def _estimate(before: list[float | None], now: list[float | None]) -> str:
    (one, error), (other, other_error) = before, now
    if (error is None) != (other_error is None):
        return "one of them is exact"
    if one is None or other is None:
        return ""
    if error is None or other_error is None:
        return "" if one == other else "an exact number is another one"
    if abs(one - other) > MOST_ERRORS * (error**2 + other_error**2) ** 0.5:
        return f"more than {MOST_ERRORS} standard errors apart"
    return _ratio(error, other_error)


def _ratio(one: float | None, other: float | None) -> str:
    """Numbers that are shown with one digit may differ by half of it."""
    if not one or not other:
        return "" if (one or 0) == (other or 0) else "one of them is 0"
    return "" if max(one, other) / min(one, other) <= ALIKE else f"their ratio is above {ALIKE}"
