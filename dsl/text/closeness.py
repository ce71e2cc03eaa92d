"""How close two names are: the number of slips of the hand between them."""

from __future__ import annotations

from collections.abc import Iterable

MOST_SLIPS = 2
LETTERS_FOR_A_SECOND_SLIP = 7


def nearest(name: str, candidates: Iterable[str], least: int = 1) -> str | None:
    """The candidate that `name` most likely misspells, or None where none is close.

    One slip (a letter too many, missing, wrong, or two exchanged) is forgiven, in a long name two; capitals do not count.  In
    names of one or two letters every letter is the name.  Candidates of fewer than `least` letters are left out.
    """
    folded = name.casefold()
    allowed = 0 if len(name) < 3 else MOST_SLIPS if len(name) >= LETTERS_FOR_A_SECOND_SLIP else 1
    best: tuple[int, bool] | None = None
    found = None
    for candidate in candidates:
        other = candidate.casefold()
        if candidate == name or len(other) < least or abs(len(other) - len(folded)) > allowed:
            continue
        count = slips(folded, other)
        rank = (count, folded[:1] != other[:1])
        if count <= allowed and (len(other) > 1 or not count) and (best is None or rank < best):
            best, found = rank, candidate
    return found


def slips(one: str, other: str) -> int:
    """Insertions, deletions, replacements and exchanges of neighbours that make one word the other (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        above, before = before, row
        row = [i]
        for j, target in enumerate(other, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != target))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == target:
                cost = min(cost, above[j - 2] + 1)
            row.append(cost)
    return row[-1]
