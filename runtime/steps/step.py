"""A block of runs that is made again and again: written down once, and replayed from then on with other parameters and other noise.

The graph (`recorder.py`) goes from parameters, data and noise to the estimates and their plain derivatives.  It holds while every
truth value that the interpreter asked for comes out as it did; where one does not, the interpreter makes the block, from the same
seed.  So a step gives the numbers that the interpreter would have given, to rounding.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ...dsl.names.resolve import Resolved
from ...dsl.text.diagnostics import ProbError
from ..arrays.private import pull
from ..arrays.scalars import finite
from ..blocks.settings import DTYPES, room
from ..estimates.attempts import Attempt
from ..graphs.recorder import Recorded, Recorder
from ..graphs.replay import MOST_RUNS, Kept, Replay
from ..lanes.lessons import Lesson, NotCompiled
from ..machine.interpreter import Interpreter
from .expectation import Again, Named, Wish, attached, estimates, expectation, named
from .inputs import MOST_PLACES, CallValues, Inputs, forget, seed_of

SEEN = 4  # calls of one kind before the block is written down
MOST_KINDS = 16  # that are remembered


@dataclass(frozen=True)
class ReplayedStep:
    """A block that was replayed: its estimates, and their derivatives or what the second stage makes them of."""

    step: BlockStep
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


class BlockStep:
    """A block that was written down, of an attempt that has come to its end.  Raises NotCompiled."""

    def __init__(self, wish: Wish, attempt: Attempt, values: CallValues, fuse: bool):
        self.session, self.fuse = attempt.session(), fuse
        self.wish, self.way, self.result = replace(wish, parameters={}), attempt.way, DTYPES[wish.settings.dtype]
        self.names, self.runs = attempt.names, 1 if self.session.exact else wish.settings.samples
        self.inputs = Inputs(self.session, values)
        self.replay = self._written()

    def _written(self) -> Replay:
        """Run once more, and write down what is computed."""
        session = self.session
        session.parameters = {name: value.detach().clone().requires_grad_() for name, value in session.parameters.items()}
        points = list(session.parameters.values())
        recorder = Recorder([*points, *(value for value in session.data.values() if isinstance(value, Tensor))], watching=True)
        noise, session.noise = session.noise, Recorded(session.noise, recorder)
        try:
            with room(grad=True), recorder.active():
                leaves = {name: value.unsqueeze(0) for name, value in session.parameters.items()}
                outcome = session.interpreter(Interpreter).run(leaves, session.data, self.runs)
                if outcome.cuts or outcome.met:
                    raise NotCompiled("a loop without end is cut, or a kink is met exactly")
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
        ends = [end for *_, parts in session.guards.pending for end in parts]
        self.early = len(found), len(found) + len(ends)
        derivatives = [part for part in made if part is not None]
        outputs, afterwards = ([*found, *ends, *derivatives], []) if single else ([*found, *ends], derivatives)
        first, second, later = (list(map(recorder.node, tensors)) for tensors in (outputs, afterwards, [] if single else incoming))
        return Replay(recorder, first, second, later, self.fuse)

    def taken(self, values: CallValues, seed: int) -> Named | None:
        """The block of a seed; None where it must be made by the interpreter."""
        found = self.inputs.of(values)
        if found is None:
            return None
        points, parameters = found
        block = self.session.reseeded(seed)
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
                block.guards.refill(self.session.guards, iter(outputs[means:ends]))
            except Lesson:
                return None
        self.replay.held += 1
        made = ReplayedStep(self, [value.to(self.result, copy=True) for value in outputs[:means]], outputs[ends:], kept)
        return named(self.names, attached(made, Again(self.wish, self.way, seed), parameters))


@dataclass
class Steps:
    """The steps of calls with the same options.

    Those of a kind that come about alike (the same plan, in the same arithmetic) share a step; which one that is at numbers of some
    size the interpreter finds out.  `compile`: each is made at once, by torch's compiler; else when it has been due a few times."""

    compile: bool = False
    known: dict[Hashable, Hashable] = field(default_factory=dict)  # the kinds of attempts that places lead to
    due: dict[Hashable, int] = field(default_factory=dict)  # how often attempts of a kind were made
    made: dict[Hashable, BlockStep | None] = field(default_factory=dict)  # their steps (None: there is none)

    def taken(self, values: CallValues, seed: int) -> Named | None:
        """What the step of such calls gives; None where there is none, or it does not hold."""
        alike = self.known.get(values.place)
        step = self.made.get(alike)
        if step is None:
            return None
        found = step.taken(values, seed)
        if step.replay.useless:
            self.made[alike] = None
        return found

    def asked(self, wish: Wish, values: CallValues | None) -> Named:
        """What the interpreter gives; then the block may be written down."""
        wish = replace(wish, masked=self.compile)
        found, attempt = expectation(wish)
        if values is not None:
            alike = values.kind, attempt.token, attempt.way, attempt.settings.dtype
            forget(self.known, MOST_PLACES)
            self.known[values.place] = alike
            if alike not in self.made and self._due(wish, attempt, alike):
                forget(self.made, MOST_KINDS)
                self.made[alike] = self._step(wish, attempt, values)
        elif self.compile:
            _say(wish, "its parameters are not given as tensors")
        return found

    def _due(self, wish: Wish, attempt: Attempt, alike: Hashable) -> bool:
        if self.compile:
            return True
        if wish.settings.samples > MOST_RUNS or attempt.way.safe:
            return False
        forget(self.due, MOST_KINDS)
        self.due[alike] = self.due.get(alike, 0) + 1
        return self.due[alike] >= SEEN

    def _step(self, wish: Wish, attempt: Attempt, values: CallValues) -> BlockStep | None:
        try:
            if attempt.way.uncompiled or attempt.way.safe:
                raise NotCompiled(attempt.way.uncompiled or "its derivatives are not finite where they are plain")
            return BlockStep(wish, attempt, values, self.compile)
        except NotCompiled as problem:
            if self.compile:
                _say(wish, str(problem))
            return None


def stepped(
    resolved: Resolved, wishes: str | None, compile: bool, parameters: Mapping[str, object], data: Mapping[str, object],
    seed: float | None, wish: Callable[[float | None], Wish],
) -> Named:
    """The expected results, in the graph of the parameters.  `wishes` are all options but the seed (None: none are like them); what
    is wished for in full is asked only where no step fits."""
    steps = Steps(compile)
    if wishes is not None:
        steps = resolved.prepared.once("steps", (wishes, compile), lambda: Steps(compile))
    values = CallValues.of(parameters, data)
    if steps.made and values is not None and (own := seed_of(seed)) is not None:
        found = steps.taken(values, own)
        if found is not None:
            return found
    return steps.asked(wish(seed), values)


def _say(wish: Wish, reason: str) -> None:
    """There is no report to say it in."""
    warnings.warn(f"{wish.resolved.program.source.name}: the step is not compiled: {reason}", stacklevel=5)
