"""A differentiable estimate of E[y]: its value is the mean of the runs, its derivatives of every order are estimates too.

With W_k = exp(E_k - stop(E_k)), E_k the log densities of the score sites that term k depends on, and W_g, b_g of a group g of
executions with the same terms (`weighing.py`),
    Y = sum_l w_l ( sum_k W_k v_k + sum_g (1 - W_g) b_g )
is DiCE (Foerster et al. 2018) with credit and a leave-one-out baseline: W_k is 1, its derivatives are the scores of the terms'
own past; E[1 - W_g] is 0 with all its derivatives, and b_g does not involve the run.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..lanes.ledger import Summand, columns, view
from ..machine.machine import Outcome
from .groups import Group, SubsetSums, members
from .weighing import Weighing, per_run


def expected(outcome: Outcome, number: int, value: Tensor, runs: int) -> Tensor:
    """The mean over the runs of result `number` `[lanes or 1, *shape]`, to be differentiated; `[*shape]`."""
    return expected_of(Weighing.of_result(outcome, number, value, runs))


def expected_of(weighing: Weighing) -> Tensor:
    """The same of a weighing."""
    if weighing.uneven:
        return torch.stack([expected_of(entry) for entry in weighing.apart()]).reshape(weighing.shape)
    if not weighing.groups:
        return weighing.value.mean(0)
    surrogate = _Surrogate(weighing)
    value = weighing.on_lanes
    total = value.expand(weighing.lanes.count, *value.shape[1:]) + surrogate.weighed() + surrogate.baselines()
    return per_run(total, weighing.outcome, weighing.runs).mean(0)


class _Surrogate:
    def __init__(self, weighing: Weighing):
        self.weighing = weighing
        self.lanes = weighing.lanes
        self.event = weighing.shape
        self.apart: dict[int, Tensor] = {}

    def density(self, group: Group, aligned: bool) -> Tensor:
        """The log density of a group on the lanes at the end: `[lanes or 1]`, or element by element."""
        total: Tensor | None = None
        for execution in group.members:
            own = execution.counted
            if not aligned and own.dim() > 1:
                own = own.reshape(own.shape[0], -1).sum(1)
            own = view(own, execution.lanes, self.lanes)
            total = own if total is None else total + own
        assert total is not None
        return total

    def weighed(self) -> Tensor | float:
        """`sum_k (W_k - 1) v_k`, on the lanes."""
        total: Tensor | float = 0.0
        groups, terms = self.weighing.groups, self.weighing.terms
        sums = SubsetSums(lambda number: self.density(groups[number], False))
        before, beside = (columns(masks, len(terms)) for masks in ([g.whole for g in groups], [g.aligned for g in groups]))
        for number, term in enumerate(terms):
            exponent = sums.of(before[number])
            if exponent is not None:
                exponent = exponent.reshape(-1, *(1,) * (term.value.dim() - 1))
            for place in members(beside[number]):
                own = self.density(groups[place], True)
                exponent = own if exponent is None else exponent + own
            if exponent is not None:
                total = total + self.reduced(term, term.value * torch.expm1(exponent - exponent.detach()))
        return total

    def reduced(self, term: Summand, product: Tensor) -> Tensor:
        """A term's part in the result `[lanes or 1, *shape of the result]`."""
        if term.reduced:
            return product.reshape(product.shape[0], -1).sum(1)
        return product

    def baselines(self) -> Tensor | float:
        """`sum_g (1 - W_g) b_g`, on the lanes; the regression baseline counts as the mean here."""
        total: Tensor | float = 0.0
        if self.weighing.runs < 2:
            return total
        terms = self.weighing.terms
        sums = SubsetSums(lambda number: self.reduced(terms[number], terms[number].value).detach())
        for group in reversed(self.weighing.groups):
            if group.baseline == "none":
                continue
            if group.whole:
                value = sums.of(group.whole)
                assert value is not None
                factor, level = -torch.expm1(self.centred(self.density(group, False))), self.level(value)
                total = total + factor.reshape(-1, *(1,) * (level.dim() - 1)) * level
            for k in members(group.aligned):
                term = terms[k]
                factor = -torch.expm1(self.centred(self.density(group, True)))
                total = total + self.reduced(term, factor * self.level(term.value))
        return total

    def centred(self, density: Tensor) -> Tensor:
        return density - density.detach()

    def level(self, value: Tensor) -> Tensor:
        """The mean of the other runs `[lanes, ...]`."""
        runs, outcome = self.weighing.runs, self.weighing.outcome
        full = value.detach().expand(self.lanes.count, *value.shape[1:])
        with torch.no_grad():
            of_run = per_run(full, outcome, runs)
            others = (of_run.sum(0) - of_run) / (runs - 1)
            origin = self.lanes.origin
            return others if origin is None else others.index_select(0, origin)
