"""What a search among right plans has come to: what to prefer at each site, and what was seen there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...dsl.planning.trials import Prefer
from ..blocks.collect import Estimate
from .figures import Measured
from .rivals import Contradiction, Rival


@dataclass(frozen=True)
class Verdict:
    """The outcome of a search: what to prefer at each site, what was measured there, the answer if it came out exact, or was `made`
    while its plan was tried, other right plans to hold it against, which of them was set aside and why, and what they say against
    the gradient in the end."""

    prefer: Prefer = ()
    measured: Mapping[int, Mapping[str, Measured]] = field(default_factory=dict)
    runs: int = 0
    exact: Estimate | None = None
    made: Estimate | None = None
    rivals: tuple[Rival, ...] = ()
    overruled: str = ""
    contradictions: tuple[Contradiction, ...] = ()
