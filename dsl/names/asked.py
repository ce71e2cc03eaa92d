"""What is asked of a program: its results, variables, or what the weights of its runs say."""

from __future__ import annotations

from dataclasses import dataclass

from ..levels import LEVEL
from ..tables.constants import BOUND, ELBO, EVIDENCE
from .resolved import Resolved


@dataclass(frozen=True)
class Asked:
    """The `names` of what is reported, whether the program's `results` are among it, and the variables that a run must give besides
    them.  `weighed`: runs have weights, whose mean everything is divided by; the level of a run is then the last of `variables`.
    `summed`: outcomes are summed out inside the logarithm of a run's weight."""

    names: tuple[str, ...]
    results: bool
    variables: tuple[str, ...]
    weighed: bool = False
    summed: bool = False


def asked(resolved: Resolved, of: tuple[str, ...], results: bool) -> Asked:
    """By the names after `--of`, and whether the results are wanted beside them."""
    names = (*(resolved.results if results else ()), *of)
    if not resolved.weighted:
        return Asked(names, results, of)
    if of in ((ELBO,), (BOUND,)):
        return Asked((ELBO,), False, (LEVEL,), summed=of == (BOUND,))
    own = tuple(name for name in of if name != EVIDENCE)
    results = results and bool(resolved.results)
    return Asked(names or (EVIDENCE,), results, (*own, LEVEL), True)


__all__ = ["Asked", "asked"]
