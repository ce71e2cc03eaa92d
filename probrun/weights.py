"""What a result says of the weights of its runs: the evidence, how many runs they are worth, and whether that can be trusted."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .dsl.names.asked import copies_of
from .dsl.tables.constants import ELBO, EVIDENCE
from .layout import WIDTH, Entry, capped, entries

if TYPE_CHECKING:
    import torch

    from .runtime.blocks.moments import Moments
    from .runtime.blocks.worth import Weights
    from .runtime.estimates.doubts import Doubt

SPOKEN = {EVIDENCE: "log evidence", ELBO: "ELBO"}


@dataclass(frozen=True, kw_only=True)
class Weighable:
    """What may have weights: `weights` is None where the program gives its runs none."""

    weights: Weights | None = field(default=None, repr=False)

    @property
    def evidence(self) -> Moments | None:
        """The logarithm of the mean weight (a scalar)."""
        return None if self.weights is None else self.weights.evidence

    @property
    def evidence_gradient(self) -> dict[str, Moments]:
        """Its derivatives, each of the parameter's shape, by name."""
        return {} if self.weights is None else self.weights.gradient

    @property
    def effective(self) -> float:
        """The effective sample size (sum w)^2 / sum w^2 (Kong 1992); infinite where nothing is left to chance."""
        return math.inf if self.weights is None else self.weights.effective

    @property
    def pareto_k(self) -> float:
        """The shape of the tail of the weights (Vehtari et al. 2024); nan where it is not known."""
        return math.nan if self.weights is None else self.weights.shape


def weights_dict(weights: Weights | None) -> dict[str, Any]:
    """The entries `evidence`, `ess` and `pareto_k` of the JSON."""
    if weights is None:
        return {}
    evidence = moments_dict(weights.evidence, ("mean", "se"))
    if weights.gradient:
        evidence["gradient"] = {name: moments_dict(moments, ("mean", "se")) for name, moments in weights.gradient.items()}
    return {"evidence": evidence, "ess": _finite(weights.effective), "pareto_k": _finite(weights.shape)}


def weight_doubts(weights: Weights | None, runs: int, guided: bool = False) -> tuple[Doubt, ...]:
    """Why what weighed runs say is not to be trusted; `guided`: they come from a guide that was fitted."""
    if weights is None:
        return ()
    from .runtime.estimates.doubts import MOST_OF_A_GUIDE, MOST_SHAPE, bending, light

    found = tuple(light(weights.effective, weights.worst, runs, MOST_OF_A_GUIDE if guided else MOST_SHAPE, weights.shape))
    labels = [f"d {spoken(name) or f'E[{name}]'}/d{parameter}" for name, parameter in weights.bent]
    return found or tuple(bending(labels, runs))


def evidence_rows(result: Any, cells: Callable[[Entry], tuple[str, ...]]) -> Iterator[Sequence[str]]:
    """The log evidence and its derivatives, for the table of a result; nothing where it is the result."""
    if result.weights is None or EVIDENCE in result.results:
        return
    yield ("log evidence", *cells(next(iter(entries(result.weights.evidence)))))
    for name, moments in result.weights.gradient.items():
        rows: list[Sequence[str]] = [(f"d log evidence/d{name}{entry.index}", *cells(entry)) for entry in entries(moments)]
        yield from capped(rows, 4)


def value_label(name: str, index: str = "") -> str:
    """What stands before the value of a result."""
    return spoken(name) or f"E[{name}{index}]"


def spoken(name: str) -> str:
    """What is said of something that is not the mean of anything in the program; an empty string for what is."""
    return name.upper() if copies_of(name) else SPOKEN.get(name, "")


def weight_lines(result: Any) -> list[str]:
    """How many runs the weighed ones are worth."""
    if result.weights is None or not math.isfinite(result.weights.effective):
        return []
    shape = result.weights.shape
    tail = "" if not math.isfinite(shape) else f"; Pareto k of the weights {shape:.2f}"
    text = f"effective sample size {result.weights.effective:.0f} of {result.samples} runs{tail}"
    return ["", *textwrap.wrap(text, WIDTH - 2, initial_indent="  ", subsequent_indent="  ")]


def moments_dict(moments: Moments, names: tuple[str, ...]) -> dict[str, Any]:
    """Some of the moments as numbers; what one run cannot tell (a standard error) is None."""
    return {name: _plain(getattr(moments, name)) for name in names}


def unkeyed(entries: dict[str, Any]) -> Any:
    """The only entry, or all by name where there are several."""
    return next(iter(entries.values())) if len(entries) == 1 else entries


def _plain(tensor: torch.Tensor) -> Any:
    return _finite(tensor.detach().cpu().double().tolist())


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    return value if value - value == 0 else None
