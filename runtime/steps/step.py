"""A block of runs that is made again and again: written down once, and replayed from then on with other parameters and other noise.

The graph (`recorder.py`) goes from parameters, data and noise to the estimates and their plain derivatives.  It holds while every
truth value that the interpreter asked for comes out as it did; where one does not, the interpreter makes the block, from the same
seed.  So a step gives the numbers that the interpreter would have given, to rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...dsl.text.diagnostics import ProbError
from ..arrays.private import pull
from ..arrays.scalars import finite
from ..blocks.settings import DTYPES, block_seed, room
from ..estimates.attempts import Attempt
from ..estimates.binding import lies_in, representable
from ..graphs.recorder import Recorded, Recorder
from ..graphs.replay import Kept, Replay
from ..lanes.lessons import Lesson, NotCompiled
from ..machine.interpreter import Interpreter
from .expectation import Again, Named, Wish, attached, estimates, expectation, named

SEEN = 4  # calls of one kind before the block is written down
MOST_RUNS = 50_000  # of a block that is; of more the walk over the program is a small part
MOST_NODES = 5_000
MOST_KINDS = 16  # of calls that are remembered
TRIED = 8  # replays after which half must have held


@dataclass(frozen=True)
class Values:
    """The values of a call: parameters as the caller gave them, and arrays of data; `kind` is what must be alike for a step to fit,
    numbers among the data included."""

    parameters: Mapping[str, Tensor]
    arrays: Mapping[str, Tensor]
    kind: Hashable

    @classmethod
    def of(cls, parameters: Mapping[str, object], data: Mapping[str, object]) -> Values | None:
        """None where a parameter is no tensor, or data is neither number nor array."""
        kind: list[Hashable] = [torch.is_grad_enabled()]
        tensors: dict[str, Tensor] = {}
        for name, value in parameters.items():
            if not isinstance(value, Tensor) or not value.is_floating_point():
                return None
            tensors[name] = value
            kind.append((name, value.shape, value.requires_grad))
        arrays: dict[str, Tensor] = {}
        for name, given in data.items():
            try:
                array = torch.as_tensor(given)
            except (TypeError, ValueError, RuntimeError, OverflowError):
                return None
            if array.is_complex():
                return None
            if array.dim():
                arrays[name] = array.detach()
            kind.append((name, array.shape, None if array.dim() else float(array)))
        return cls(tensors, arrays, tuple(kind))


@dataclass(frozen=True)
class Replayed:
    """A block that was replayed: its estimates, and their derivatives or what the second stage makes them of."""

    step: Step
    values: Sequence[Tensor]
    derivatives: Sequence[Tensor]
    kept: Kept

    def pulled(self, incoming: Sequence[Tensor]) -> list[Tensor | None]:
        """The derivatives."""
        step, found = self.step, self.derivatives
        with torch.no_grad():
            if step.replay.second is not None:
                (found,) = step.replay.second(self.kept, [part.to(own) for part, own in zip(incoming, step.dtypes, strict=True)])
            else:
                found = [part * incoming[0] for part in found]
        rest = iter(found)
        return [next(rest) if reached else None for reached in step.reached]


class Step:
    """A block that was written down, of an attempt that has come to its end.  Raises NotCompiled."""

    def __init__(self, wish: Wish, attempt: Attempt, values: Values):
        self.session = attempt.session()
        self.wish, self.way, self.result = wish, attempt.way, DTYPES[wish.settings.dtype]
        self.names, self.runs = attempt.names, 1 if self.session.exact else wish.settings.samples
        self.dtype, self.device = next(iter(attempt.values[0].values())).dtype, self.session.context.device
        self.fixed = {name: value for name, value in attempt.values[0].items() if name not in values.parameters}
        facts = wish.resolved.parameters
        self.domains = {name: fact.node.domain for name, fact in facts.items() if fact.node is not None}
        self.order = list(facts)
        self.arrays = [name for name, value in self.session.data.items() if isinstance(value, Tensor)]
        self.defaults = {name: attempt.values[1][name] for name in self.arrays if name not in values.arrays}
        self.replays = self.held = 0
        self.replay = self._written()

    def _written(self) -> Replay:
        """Run once more, and write down what is computed."""
        session = self.session
        session.parameters = {name: value.detach().clone().requires_grad_() for name, value in session.parameters.items()}
        points = list(session.parameters.values())
        recorder = Recorder([*points, *(value for value in session.data.values() if isinstance(value, Tensor))])
        noise, session.noise = session.noise, Recorded(session.noise, recorder)
        try:
            with room(grad=True), recorder.active():
                leaves = {name: value.unsqueeze(0) for name, value in session.parameters.items()}
                outcome = session.interpreter(Interpreter).run(leaves, session.data, self.runs)
                if outcome.cuts:
                    raise NotCompiled("a loop without end is cut")
                _, found = estimates(session, outcome, self.runs, leaves, self.names)
                single = len(found) == 1 and found[0].numel() == 1
                incoming = [torch.ones_like(value) if single else recorder.enter(torch.ones_like(value)) for value in found]
                live = [place for place, value in enumerate(found) if value.requires_grad]
                made = pull([found[place] for place in live], points, [incoming[place] for place in live]) if live else ()
        except (ProbError, Lesson, RuntimeError) as problem:
            raise NotCompiled("it does not run alike") from problem
        finally:
            session.noise = noise
        self.dtypes = [value.dtype for value in found]
        self.reached = [part is not None for part in made] or [False] * len(points)
        if len(recorder.graph.nodes) > MOST_NODES:
            raise NotCompiled(f"it takes {len(recorder.graph.nodes)} operations, more than are worth writing down")
        ends = [end for *_, parts in session.guards.pending for end in parts]
        outputs = [*found, *ends, *(part for part in made if part is not None)]
        self.early = len(found), len(found) + len(ends)
        later = [] if single else [recorder.node(part) for part in incoming]
        return Replay(recorder, [recorder.node(tensor) for tensor in outputs], later)

    def inputs(self, values: Values) -> tuple[list[Tensor], list[Tensor]] | None:
        """What the graph starts from, and the parameters in the caller's graph; None where something is not as it must be."""
        parameters = []
        for name in self.order:
            value = values.parameters.get(name)
            if value is None:
                parameters.append(self.fixed[name])
                continue
            bare = value.detach()
            if not finite(bare) or not lies_in(self.domains.get(name), bare) or not representable(bare, self.dtype):
                return None
            parameters.append(value.to(self.device, self.dtype))
        own = self.session.context.dtype
        points = [value.detach().to(own) for value in parameters]
        for name in self.arrays:
            array = values.arrays.get(name)
            if array is None:
                points.append(self.defaults[name].to(own) if self.defaults[name].is_floating_point() else self.defaults[name])
                continue
            array = array if array.is_floating_point() else array.to(torch.float64)
            if not finite(array) or not representable(array, self.dtype):
                return None
            points.append(array.to(self.device, self.dtype).unsqueeze(0).to(own))
        return points, parameters

    def taken(self, values: Values, seed: int) -> Named | None:
        """The block of a seed; None where it must be made by the interpreter."""
        found = self.inputs(values)
        if found is None:
            return None
        points, parameters = found
        block = copy.copy(self.session)
        block.begin(block_seed(seed, 0))
        self.replays += 1
        with torch.no_grad():
            replayed = self.replay.first(block.noise, points)
        if replayed is None:
            return None
        outputs, kept = replayed
        means, ends = self.early
        if not all(map(finite, outputs[:means])):
            return None
        if ends > means:
            try:
                block.guards.fork().refill(block.guards, iter(outputs[means:ends]))
            except Lesson:
                return None
        self.held += 1
        made = Replayed(self, [value.to(self.result) for value in outputs[:means]], outputs[ends:], kept)
        return named(self.names, attached(made, Again(self.wish, self.way, seed), parameters))

    @property
    def useless(self) -> bool:
        """Whether its checks fail more often than not."""
        return self.replays >= TRIED and 2 * self.held < self.replays


@dataclass
class Steps:
    """The steps of calls with the same options, by their kinds: how often it was seen, the step, or None where there is none."""

    seen: dict[Hashable, int] = field(default_factory=dict)
    made: dict[Hashable, Step | None] = field(default_factory=dict)

    def taken(self, values: Values, seed: int) -> Named | None:
        """What the step of such calls gives; None where there is none, or it does not hold."""
        step = self.made.get(values.kind)
        if step is None:
            return None
        found = step.taken(values, seed)
        if step.useless:
            self.made[values.kind] = None
        return found

    def asked(self, wish: Wish, values: Values | None) -> Named:
        """What the interpreter gives; the block is written down when such calls have been seen often enough."""
        found, attempt = expectation(wish)
        if values is None or values.kind in self.made or wish.settings.samples > MOST_RUNS or attempt.way.safe:
            return found
        if len(self.seen) >= MOST_KINDS:
            self.seen.clear()
        self.seen[values.kind] = self.seen.get(values.kind, 0) + 1
        if self.seen[values.kind] >= SEEN:
            if len(self.made) >= MOST_KINDS:
                self.made.clear()
            self.made[values.kind] = _step(wish, attempt, values)
        return found


def _step(wish: Wish, attempt: Attempt, values: Values) -> Step | None:
    try:
        return Step(wish, attempt, values)
    except NotCompiled:
        return None
