"""One way to draw per file, named as the user names it, with the facts of its row in the table.

May import: `arrays`, `laws`, `lanes`, and `dsl`.
"""

from __future__ import annotations

from .enumerate import Enumerate
from .fork import Fork
from .gumbel import Gumbel
from .jump import Jump
from .request import Drawn, Estimator, Request
from .rsample import Rsample
from .sample import Sample
from .score import Score

ESTIMATORS: dict[str, Estimator] = {
    estimator.facts.name: estimator for estimator in (Sample(), Rsample(), Enumerate(), Gumbel(), Score(), Fork(), Jump())
}

__all__ = ["ESTIMATORS", "Drawn", "Estimator", "Request"]
