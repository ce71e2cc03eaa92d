"""One program at many points: estimators are chosen once, by measuring at a few points; every point is planned for itself.

What is measured only says what is preferred.  A plan is made from the preference at every point, watched by its guards, and made
again where a lesson says so, as for a single gradient; so it is right at each, whatever was right where it was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ...dsl.planning.chooser import Planner
from ...dsl.planning.crowding import Crowding
from ...dsl.planning.plan import PlanOptions
from ...dsl.text.diagnostics import ProbError
from ..blocks.collect import Estimate
from ..blocks.settings import Settings
from ..estimates.estimate import gradient, moments_of_run
from ..estimates.pilot import choose
from ..estimates.verdict import Verdict

Given = tuple[Mapping[str, object], Mapping[str, object]]  # parameters and data


@dataclass
class Sweeping:
    """What holds at all points: the plans of the program, what is asked for, and what is preferred at each site."""

    planner: Planner
    options: PlanOptions

    def measure(self, places: Sequence[Given], settings: Settings, phase: Callable[[str], None]) -> Verdict:
        """Choose estimators at the first of these places at which that can be done."""
        for parameters, data in places:
            try:
                verdict = choose(self.planner, self.options, parameters, data, settings, phase)
            except ProbError:
                continue
            self.options = replace(self.options, prefer=verdict.prefer) if verdict.prefer else self.options
            return replace(verdict, exact=None, made=None)
        return Verdict()

    def gradient(self, given: Given, settings: Settings) -> Estimate:
        """The gradient at one point."""
        plans = Crowding(self.planner, *given, settings.samples, settings.max_lanes, settings.of).planner(self.options)
        return gradient(self.planner.resolved, plans, *given, settings)

    def values(self, given: Given, settings: Settings) -> Estimate:
        """The results at one point, without derivatives."""
        return moments_of_run(self.planner.resolved, *given, settings)
