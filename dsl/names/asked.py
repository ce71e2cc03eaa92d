"""What is asked of a program: its results, variables, or what the weights of its runs say."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..levels import LEVEL
from ..tables.constants import BOUND, ELBO, EVIDENCE, IWAE
from .resolved import Resolved


@dataclass(frozen=True)
class Asked:
    """The `names` of what is reported, whether the program's `results` are among it, and the variables that a run must give besides
    them.  `weighed`: runs have weights, whose mean everything is divided by; the level of a run is then the last of `variables`.
    `summed`: lanes are summed out inside the logarithm of a run's weight; each run is drawn `copies` times for that."""

    names: tuple[str, ...]
    results: bool
    variables: tuple[str, ...]
    weighed: bool = False
    summed: bool = False
    copies: int = 1


def asked(resolved: Resolved, of: tuple[str, ...], results: bool) -> Asked:
    """By the names after `--of`, and whether the results are wanted beside them."""
    names = (*(resolved.results if results else ()), *of)
    if not resolved.weighted:
        return Asked(names, results, of)
    if of in ((ELBO,), (BOUND,)):
        return Asked((ELBO,), False, (LEVEL,), summed=of == (BOUND,))
    if copies := copies_in(of):
        return Asked(of, False, (LEVEL,), summed=True, copies=copies)
    own = tuple(name for name in of if name != EVIDENCE)
    results = results and bool(resolved.results)
    return Asked(names or (EVIDENCE,), results, (*own, LEVEL), True)


def copies_of(name: str) -> int:
    """The k of `iwae(k)`; 0 of another name."""
    found = re.fullmatch(rf"{IWAE}\((\d+)\)", name)
    return int(found[1]) if found else 0


def copies_in(of: tuple[str, ...]) -> int:
    """The k, where `iwae(k)` is asked for, which is asked for alone; else 0."""
    return copies_of(of[0]) if len(of) == 1 else 0


__all__ = ["Asked", "asked", "copies_in", "copies_of"]
