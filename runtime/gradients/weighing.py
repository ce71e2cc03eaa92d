"""From the outcome of a block to the gradient of every run.

For run i, with lanes l of weight w_l (1 unless outcomes were enumerated) and result y_l,
    Y_i = sum_l w_l y_l,      dY_i = autograd's derivative of that + sum_l w_l sum_s (Q_sl - b_si) d log p_sl,
where Q_s is the sum of the terms that depend on execution s (`ledger.py`) and b_si a baseline made of other runs only:

`mean`         b_si = mean over the other runs of sum_l w_l Q_sl (leave-one-out, Kool et al. 2019)
`regression`   b = the coefficient of the gradient on the score, E[G S] / E[S^2], per parameter and leave-one-out: the
               best constant (`regression.py`), where the mean can be worse than none
`none`         0
`both`         (of a pilot) the mean, and beside it what the regression would have given

Any b that does not involve run i leaves the mean right, as the scores have mean zero.  Executions with the same terms and
baseline form a `Group`; for groups in a chain (a random walk) one group's Q is the next one's plus its own terms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..arrays.private import single_runs
from ..lanes.lanes import Lanes
from ..lanes.ledger import EVERYTHING, Execution, Summand, Taint, returned
from ..lanes.lifting import Leaves
from ..machine.machine import Outcome
from .degenerate import MOST_GROUPS, second_order, suspected
from .groups import Group, SubsetSums, at, column, gathered, grouped, members
from .regression import pseudo_values, taken_off, trusted

LEAST_FOR_JACKKNIFE = 3
MOST_GROUPS_FOR_JACKKNIFE = 16
MEANS, REGRESSIONS = ("mean", "both"), ("regression", "both")
Parts = tuple[list[Tensor | None], list[Tensor | None], list[Tensor | None]]  # per leaf: of every run, pseudo-values, costs


@dataclass(frozen=True)
class Gradients:
    """Of one result entry, per leaf: of every run `[runs, *parameter]` (None: zero); `pseudo` the jackknife's pseudo-values,
    `costs` what estimating baselines adds to the variance of the sum; `other`, `other_pseudo`, `other_costs` the same with the
    other baseline; `tied`: they are those of one group of scores and their common mean alone."""

    entry: int
    per_run: list[Tensor | None]
    pseudo: list[Tensor | None] = field(default_factory=list)
    costs: list[Tensor | None] = field(default_factory=list)
    other: list[Tensor | None] = field(default_factory=list)
    other_pseudo: list[Tensor | None] = field(default_factory=list)
    other_costs: list[Tensor | None] = field(default_factory=list)
    tied: bool = False


class Weighing:
    """One result of a block, `value` `[lanes or 1, *shape]`, and the terms that it is the sum of: its value in every run and,
    entry by entry, the gradients."""

    def __init__(self, outcome: Outcome, value: Tensor, terms: Sequence[Summand], runs: int):
        self.outcome = outcome
        self.idle = False
        self.runs = runs
        self.lanes = outcome.lanes
        self.root = outcome.lanes.root
        self.split = outcome.weight is not None
        self.shape = tuple(value.shape[1:])
        self.on_lanes = value
        self.value = per_run(value, outcome, runs)
        self.terms = gathered(terms, self.lanes)
        self.uneven = any(term.taint.among for term in self.terms)  # the entries depend on different executions
        self.groups = [] if self.uneven else grouped(self.terms, outcome.ledger.executions)

    @classmethod
    def of_result(cls, outcome: Outcome, number: int, value: Tensor, runs: int) -> Weighing:
        """Of result `number`; without credit it is one term that depends on everything."""
        terms = outcome.terms[number]
        if terms is None:
            terms = [Summand(value, outcome.lanes, Taint(EVERYTHING))] if outcome.ledger.executions else []
        found = cls(outcome, value, terms, runs)
        found.idle = outcome.forks is not None and number in outcome.forks.idle
        return found

    def apart(self) -> Iterator[Weighing]:
        """Each entry of an uneven result by itself."""
        flat = self.on_lanes.reshape(self.on_lanes.shape[0], -1)
        for entry in range(flat.shape[1]):
            terms = [self._alone(term, entry) for term in self.terms]
            yield Weighing(self.outcome, flat[:, entry], terms, self.runs)

    def _alone(self, term: Summand, entry: int) -> Summand:
        """A term's part in one entry."""
        taint = term.taint
        if taint.among:
            taint = Taint(taint.whole | taint.slots[entry], taint.aligned, taint.shape)
        if taint.aligned:
            return Summand(at(term, entry), term.lanes, taint, True)
        return Summand(column(term, entry), term.lanes, taint)

    # ------------------------------------------------------------------------------------------------- entries
    @property
    def scored(self) -> bool:
        """Whether the gradients rest on scores, or on runs that fork and have not shown anything."""
        return self.uneven or bool(self.groups) or self.idle

    @property
    def _tied(self) -> bool:
        return len(self.groups) == 1 and self.groups[0].baseline in MEANS and not self.value.requires_grad

    @property
    def _mixed(self) -> bool:
        """Whether means tie the runs together, and not by one group of scores alone."""
        means = any(group.baseline in MEANS for group in self.groups)
        return means and not self._tied and single_runs()

    def gradients(self, leaves: Leaves, last: bool, few: bool = False) -> Iterator[Gradients]:
        """The gradients of each entry of the result in every leaf.  `last`: the graph is not needed afterwards."""
        if self.uneven:
            whole = list(self.apart())
            for entry, alone in enumerate(whole):
                for found in alone.gradients(leaves, last and entry == len(whole) - 1, few):
                    yield replace(found, entry=entry)
            return
        column_of = self.value.reshape(self.value.shape[0], -1)
        entries = column_of.shape[1]
        weighed = self._scores(leaves, entries, few)
        both = [group for group in self.groups if group.baseline == "both"]
        regressed = [group for group in self.groups if group.baseline == "regression"]
        others = [group for group in self.groups if group.baseline != "regression"]
        for entry in range(entries):
            keep = few or bool(both) or bool(regressed) or self._mixed or not (last and entry == entries - 1)
            column = self.value if self.value.dim() == 1 else column_of[:, entry]
            gradient = self._part(entry, column, others if weighed is None else [], leaves, keep)
            if weighed is not None:
                yield self._from_scores(entry, gradient, weighed, few)
            elif regressed:
                yield Gradients(entry, *self._regressed(entry, gradient, regressed, leaves, keep, few))
            else:
                pseudo, costs = self._means(entry, gradient, leaves, few)
                other: Parts = ([], [], [])
                if both:
                    unlike = [group for group in self.groups if group.baseline != "both"]
                    rest = self._part(entry, column, unlike, leaves, True)
                    other = self._regressed(entry, rest, both, leaves, True, few, gradient)
                yield Gradients(entry, gradient, pseudo, costs, *other, self._tied)

    def _part(
        self, entry: int, column: Tensor | None, groups: Sequence[Group], leaves: Leaves, keep: bool, baseline: str | None = None,
    ) -> list[Tensor | None]:
        """The part of the gradient through the values of a column, and by the scores of some groups."""
        outputs: list[Tensor] = []
        incoming: list[Tensor] = []
        if column is not None and column.requires_grad:
            outputs.append(leaves.rows(column, self.root))
            incoming.append(torch.ones_like(outputs[0]))
        if groups:
            wanted = set(map(id, groups))
            for group, due in self.dues(entry, baseline):
                if id(group) in wanted:
                    for execution in group.members:
                        self._add(outputs, incoming, execution, due, leaves)
        return leaves.derive(outputs, incoming, keep) if outputs else [None] * len(leaves.points)

    def _add(
        self, outputs: list[Tensor], incoming: list[Tensor], execution: Execution, due: Tensor, leaves: Leaves
    ) -> None:
        """Let `due` `[lanes, *batch or nothing]` be what the log density of an execution is multiplied by."""
        density = execution.log_density
        if not density.requires_grad:
            return
        back = returned(due, self.lanes, execution.lanes)
        full = leaves.rows(density, execution.lanes)
        outputs.append(full)
        incoming.append(execution.due(back, full.shape))

    # ------------------------------------------------------------------------------------------- what is due to whom
    def dues(self, entry: int, baseline: str | None = None) -> Iterator[tuple[Group, Tensor]]:
        """For each group the weighed sum of its terms less the baseline `[lanes]`, or `[lanes, *batch]` where it is aligned.

        `baseline`: this one for all of them.
        """
        sums = self._columns(entry)
        for group in reversed(self.groups):
            total = sums.of(group.whole)
            for number in members(group.aligned):
                own = at(self.terms[number], entry).detach()
                rest = own.dim() - (total.dim() if total is not None else 0)
                total = own if total is None else own + total.reshape(*total.shape, *(1,) * rest)
            if total is None:
                continue
            yield group, self.centred(total.expand(self.lanes.count, *total.shape[1:]), baseline or group.baseline)

    def _columns(self, entry: int) -> SubsetSums:
        return SubsetSums(lambda number: column(self.terms[number], entry).detach())

    def centred(self, total: Tensor, baseline: str) -> Tensor:
        """`w (Q - b)` on the lanes."""
        with torch.no_grad():
            weight = self.outcome.weight
            if weight is None:
                return without_self(total) if baseline in MEANS else total
            weight = weight.detach().expand(self.lanes.count).reshape(-1, *(1,) * (total.dim() - 1))
            if baseline in MEANS and self.runs > 1:
                of_run = per_run(total, self.outcome, self.runs).detach()
                others = (of_run.sum(0) - of_run) / (self.runs - 1)
                total = total - others.index_select(0, _origin(self.lanes, self.runs, total.device))
            return total * weight

    # -------------------------------------------------------------------------------- one group: the scores by themselves
    def _scores(self, leaves: Leaves, entries: int, few: bool) -> list[Tensor | None] | None:
        """Where there is but one group, and more than one use of it: the score of every run in every leaf."""
        if len(self.groups) != 1 or self.groups[0].aligned or self.split:
            return None
        return self._score_of(self.groups, leaves) if entries > 1 or few or self.groups[0].baseline in REGRESSIONS else None

    def _score_of(self, groups: Sequence[Group], leaves: Leaves, keep: bool = True) -> list[Tensor | None]:
        """The score of every run: the derivative of the (weighed) sum of its log densities."""
        outputs: list[Tensor] = []
        incoming: list[Tensor] = []
        one = self.outcome.lanes.count
        due = self.centred(torch.ones(one, dtype=self.value.dtype, device=self.value.device), "none")
        for group in groups:
            for execution in group.members:
                self._add(outputs, incoming, execution, due, leaves)
        if not outputs:
            return [None] * len(leaves.points)
        return leaves.derive(outputs, incoming, keep)

    def _from_scores(
        self, entry: int, path: Sequence[Tensor | None], weighed: list[Tensor | None], few: bool
    ) -> Gradients:
        total = self._columns(entry).of(self.groups[0].whole)
        assert total is not None
        total, baseline = total.expand(self.runs), self.groups[0].baseline
        weight = self.centred(total, "mean" if baseline in REGRESSIONS else baseline)
        found = [_plus(part, density, weight) for part, density in zip(path, weighed, strict=True)]
        pseudo: list[Tensor | None] = []
        if few and self.runs > LEAST_FOR_JACKKNIFE and baseline in MEANS:
            weight = weight * ((self.runs - 1) / (self.runs - 2))
            pseudo = [
                _plus(part, None if density is None else density - density.mean(0), weight)
                for part, density in zip(path, weighed, strict=True)
            ]
        ties: list[Tensor | None] = []
        if self._mixed and self.runs > LEAST_FOR_JACKKNIFE and suspected(found, self.runs, 1):
            ties = [None if density is None else second_order([total], [density]) for density in weighed]
        if baseline not in REGRESSIONS:
            return Gradients(entry, found, pseudo, costs=ties, tied=self._tied)
        scored = [_plus(None, density, total) for density in weighed]
        other = self._taken_off(scored, weighed, path, True, few, lambda: found)
        if baseline == "regression":
            return Gradients(entry, *other)
        return Gradients(entry, found, pseudo, ties, *other, self._tied)

    def _means(
        self, entry: int, gradient: Sequence[Tensor | None], leaves: Leaves, few: bool
    ) -> tuple[list[Tensor | None], list[Tensor | None]]:
        """What mean baselines do to the standard error: with `few` runs the jackknife's pseudo-values, and what means of several
        groups, or beside other derivatives, add to the variance of the sum (`degenerate.py`); not of what stands on other lanes
        than the runs, of which only the gradient is asked for (`culprits.py`)."""
        means = sum(group.baseline in MEANS for group in self.groups)
        if self.runs <= LEAST_FOR_JACKKNIFE or not means:
            return [], []
        jackknifed = few and means <= MOST_GROUPS_FOR_JACKKNIFE and not self.split
        costly = self._mixed and suspected(gradient, self.runs, len(self.groups))
        if costly and means > MOST_GROUPS:
            return [], [None if own is None else own.mean(0) ** 2 for own in gradient]
        if not (jackknifed or costly):
            return [], []
        tied = [
            (summed_up(due, self.lanes, self.runs), self._score_of([group], leaves))
            for group, due in self.dues(entry) if group.baseline in MEANS and due.dim() == 1
        ]
        pseudo = list(gradient)
        costs: list[Tensor | None] = []
        for place in range(len(gradient)):
            felt = [(due, own) for due, score in tied if (own := score[place]) is not None and own.shape[0] == self.runs]
            for due, score in felt if jackknifed else ():
                pseudo[place] = _sum(pseudo[place], self._off_mean(due, score))
            costs.append(second_order(*zip(*felt, strict=True)) if felt and costly else None)
        return pseudo if jackknifed else [], costs if costly else []

    def _off_mean(self, due: Tensor, score: Tensor) -> Tensor:
        """What the mean score of a group takes off the gradients of single runs, up to a constant."""
        wider = (self.runs - 1) / (self.runs - 2)
        return (wider * (score - score.mean(0)) - score) * due.reshape(-1, *(1,) * (score.dim() - 1))

    # --------------------------------------------------------------------------------------------------- regression
    def _regressed(
        self, entry: int, rest: Sequence[Tensor | None], groups: list[Group], leaves: Leaves, keep: bool, few: bool,
        plain: list[Tensor | None] | None = None,
    ) -> Parts:
        """The gradient, with the regression on the score taken off what these groups add to the rest of it, with `few` runs the
        pseudo-values, and what it costs; `plain`: the same with their means."""
        scored = self._part(entry, None, groups, leaves, True, "none")
        alone = len(groups) == len(self.groups)  # others tie the runs together, and the coefficient must not see them

        def usual() -> list[Tensor | None]:
            if plain is not None:
                return plain
            means = self._part(entry, None, groups, leaves, keep, "mean")
            return [_sum(*parts) for parts in zip(rest, means, strict=True)]

        return self._taken_off(scored, self._score_of(groups, leaves, True), rest, alone, few, usual)

    def _taken_off(
        self, scored: Sequence[Tensor | None], scores: Sequence[Tensor | None], rest: Sequence[Tensor | None], alone: bool,
        few: bool, plain: Callable[[], list[Tensor | None]],
    ) -> Parts:
        """The gradient with the regression on the scores taken off its `scored` part, pseudo-values, and its cost; as with the
        means (`plain`) where it cannot be trusted.  `alone`: there is nothing random beside these and the `rest`."""
        found: list[Tensor | None] = []
        pseudo: list[Tensor | None] = []
        costs: list[Tensor | None] = []
        means: list[Tensor | None] | None = None
        for place, score in enumerate(scores):
            own, cost, enough, spread = scored[place], None, None, None
            if own is not None and score is not None and self.runs > 1:
                enough = trusted(score)
                if few and alone and enough is None and self.runs > LEAST_FOR_JACKKNIFE:
                    spread = pseudo_values(own, score, rest[place])
                own, cost = taken_off(own, score, rest[place] if alone else None)
            own = _sum(rest[place], own)
            if enough is not None:
                means = plain() if means is None else means
                usual = means[place]
                assert own is not None and usual is not None and cost is not None
                own, cost = torch.where(enough, own, usual), torch.where(enough.all(0), cost, 0.0)
            found.append(own)
            pseudo.append(spread)
            costs.append(cost)
        return found, pseudo, costs


# ------------------------------------------------------------------------------------------------------- helpers
def without_self(value: Tensor) -> Tensor:
    """`y_i - b_i` with b_i the mean of the others `[runs, ...]` (0 where there are none)."""
    value = value.detach()
    runs = value.shape[0]
    return (value - value.mean(0)) * (runs / (runs - 1)) if runs > 1 else value


def per_run(value: Tensor, outcome: Outcome, runs: int) -> Tensor:
    """`sum_l w_l v_l` over the lanes of each run `[runs or 1, *shape]`, from `[lanes or 1, *shape]`."""
    weight = outcome.weight
    if weight is None:
        return value
    lanes = outcome.lanes.count
    rows = value.expand(lanes, *value.shape[1:])
    weights = weight.expand(lanes).reshape(-1, *(1,) * (rows.dim() - 1))
    empty = torch.zeros(runs, *value.shape[1:], dtype=value.dtype, device=value.device)
    return empty.index_add(0, _origin(outcome.lanes, runs, value.device), rows * weights)


def summed_up(due: Tensor, lanes: Lanes, runs: int) -> Tensor:
    """The sum over the lanes of each run `[runs]`, from `[lanes]`."""
    return due if lanes.origin is None else due.new_zeros(runs).index_add(0, lanes.origin, due)


def _origin(lanes: Lanes, runs: int, device: torch.device) -> Tensor:
    origin = lanes.origin
    return torch.arange(runs, device=device) if origin is None else origin


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    return other if one is None else one if other is None else one + other


def _plus(path: Tensor | None, density: Tensor | None, weight: Tensor) -> Tensor | None:
    """The pathwise part plus the weighted score of one entry."""
    if density is None:
        return path
    scored = density * weight.reshape(-1, *(1,) * (density.dim() - 1))
    return scored if path is None else path + scored
