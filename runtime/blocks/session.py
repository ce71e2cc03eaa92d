"""One attempt at an estimate: the plan, the values, and of each block its noise, its parameters and its machine."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from ...dsl.analysis.calls import weighing
from ...dsl.analysis.gates import Gates, find_gates
from ...dsl.analysis.liveness import liveness_of
from ...dsl.analysis.sums import Sums, find_sums
from ...dsl.names.asked import asked
from ...dsl.names.resolve import Resolved
from ...dsl.planning.order import ordered
from ...dsl.planning.plan import Choice, Plan
from ...dsl.tables.estimators import ESTIMATORS, Carrier
from ...dsl.tables.limits import PRUNED
from ..arrays.function_code import Context
from ..arrays.operations import Operand
from ..gradients.credit import Crediting
from ..gradients.tracing import Tracing, traced
from ..lanes.counter import Counter
from ..lanes.guards import Guards
from ..lanes.lessons import TooBig
from ..lanes.lifting import Leaves, Lifter, Slope
from ..lanes.meetings import Meetings
from ..lanes.merging import Merger
from ..lanes.meter import Meter, Stop
from ..lanes.values import Held, Value
from ..lanes.variety import Variety
from ..laws.noise import Fresh, Noise, Single
from ..laws.sobol import Sobol
from ..machine.interpreter import Interpreter
from ..machine.machine import Outcome
from ..machine.setting import Limits
from ..machine.ways import APART, Branching
from .settings import DTYPES, Settings, block_seed
from .sizes import apart, sizes_for

T = TypeVar("T")


class Session:
    """One attempt at an estimate: a plan, the values, and the blocks made so far.  `at` gives the session of one block."""

    def __init__(
        self, resolved: Resolved, plan: Plan | None, parameters: dict[str, Tensor], data: dict[str, Operand],
        settings: Settings, safe: bool, results: bool, lifted: bool = True,
    ):
        self.resolved = resolved
        self.plan = plan
        self.exact = plan is not None and plan.exact
        self.choices: Mapping[int, Choice] = {} if plan is None else plan.choices
        self.asked = asked(resolved, settings.of, results)
        scored = [choice for choice in self.choices.values() if ESTIMATORS[choice.estimator].carrier is Carrier.DENSITY]
        credit = scored and all(choice.options.get("credit", True) for choice in scored)
        whole = self.asked.weighed or self.asked.summed or bool(weighing(resolved))
        self.account = _account(resolved) if credit and not whole else None
        self.guards = Guards(() if plan is None else plan.guards)
        self.settings = settings
        self.safe = safe
        self.context = Context(torch.float64 if self.exact else DTYPES[settings.dtype], torch.device(settings.device))
        self.parameters = {name: value.to(self.context.dtype) for name, value in parameters.items()}
        self.data = {
            name: value.to(self.context.dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
            for name, value in data.items()
        }
        self.sizes = sizes_for(self.context.device, plan is not None and bool(plan.atoms))
        if plan is not None and plan.relaxes and not scored:
            self.sizes = apart(self.sizes)
        self.start = 0  # runs before this block
        self.lifting = (
            lifted and "lift" not in settings.without and self.parameters != {} and plan is not None and settings.samples > 1
            and not safe and not self.exact
        )
        self.lifter: Lifter | None = None
        self.points = Leaves([])
        self.slopes: list[list[Slope | None]] = []
        self.branching: Branching = APART
        self.stop = Stop()
        self.spending = Meter()  # of the last block
        self.variety = Variety()  # of all blocks
        self.compile_seconds: float | None = None
        self.uncompiled = ""  # why this is not done
        self.begin(self.seed_of(0))

    def __copy__(self) -> Session:
        block = object.__new__(Session)
        block.__dict__.update(self.__dict__)
        return block

    def seed_of(self, number: int) -> int:
        """The seed of a block; those of all processes differ."""
        return block_seed(self.settings.seed, number * self.settings.world_size + self.settings.rank)

    def begin(self, seed: int) -> None:
        """Noise for what comes next."""
        self.seed = seed
        kind = Single if self.settings.sampler == "single" else Fresh
        self.noise: Noise = kind(torch.Generator(device=self.context.device).manual_seed(seed))

    def place(self, dimensions: int, runs: int) -> None:
        """Draw from the points of one scrambling from now on."""
        self.noise = Sobol(dimensions, runs, self.seed)

    def again(self) -> None:
        """Back to the beginning of the block."""
        self.noise.rewind()

    def at(self, number: int, start: int) -> Session:
        """The session of one block, with guards and a generator of its own."""
        block = copy.copy(self)
        block.start = start
        block.guards = self.guards.fork()
        if self.plan is None or not ordered(self.resolved, self.plan):
            block.slopes = []
        elif number:
            block.slopes = list(self.slopes)
        block.begin(self.seed_of(number))
        return block

    def reseeded(self, seed: int) -> Session:
        """The session of the only block of a run with another seed, which has seen nothing."""
        block = copy.copy(self)
        block.guards, block.variety = self.guards.fork(), Variety()
        block.begin(block_seed(seed, 0))
        return block

    def tracer(self) -> Tracing:
        """An interpreter for one block that does the same, and writes everything down."""
        found = self.interpreter(Interpreter, tracing=True)
        assert isinstance(found, Tracing)
        return found

    def interpreter(
        self, kind: type[Interpreter], counter: Counter | None = None, tracing: bool = False, **more: Any
    ) -> Interpreter:
        """An interpreter for one block."""
        settings = self.settings
        if kind is Interpreter and self.account is not None:
            sums, gates = self.account
            kind, more = Crediting, {"sums": sums, "gates": gates, **more}
            if counter is not None:
                counter.taken_apart = True
        machine = (traced(kind) if tracing else kind)(
            self.resolved, self.choices, self.context, self.noise,
            limits=self.limits(), guards=self.guards, safe=self.safe, lifter=self.lifter,
            results=self.asked.results, wanted=self.asked.variables, counter=counter, meter=self.meter(), without=settings.without,
            copies=self.asked.copies, branching=self.branching, merger=self.merger(kind is Interpreter and not tracing),
            meetings=Meetings(self.plan.ties) if self.plan is not None and self.plan.ties else None, **more,
        )
        machine.recall.looking = self.branching is APART
        machine.variety = self.variety
        machine.atoms = {} if self.plan is None else self.plan.atoms
        machine.logarithms, machine.before = settings.logarithms, self.start
        machine.stands_for = settings.samples if self.exact else 1
        return machine

    def merger(self, returns: bool) -> Merger | None:
        """What merges lanes in the same state, where outcomes are enumerated (None: nothing does)."""
        if self.plan is None or not self.plan.merges or "merge" in self.settings.without or self.branching is not APART:
            return None
        live, fixed = liveness_of(self.resolved, self.settings.of), frozenset(self.resolved.parameters)
        additive = not (self.asked.weighed or self.asked.summed)
        again = returns and self.exact and "again" not in self.settings.without
        return Merger(live, self.exact, fixed, self.safe, again, additive)

    def limits(self) -> Limits:
        """What a machine may do."""
        settings, plan = self.settings, self.plan
        lanes = settings.lanes(False) if plan is None else plan.lanes(settings.samples, settings.max_lanes)
        unasked = settings.most_work is not None or settings.width is not None or (plan is not None and plan.unasked)
        table = PRUNED * lanes if unasked else None
        return Limits(settings.max_steps, settings.max_depth, lanes, settings.max_rounds, table)

    def meter(self) -> Meter:
        """What a block may spend."""
        settings = self.settings
        until = settings.deadline if settings.until is None else settings.until
        ahead = None if settings.ahead is None else settings.ahead / settings.samples
        most = 0.0 if settings.width is not None else math.inf if settings.most_work is None else settings.most_work
        room = self.limits().lanes if settings.patience else math.inf
        self.spending = Meter(most, until, self.stop, settings.width or 0.0, ahead, settings.patience, room)
        return self.spending

    def leaves(self, runs: int) -> dict[str, Tensor]:
        """Parameters, each the start of a derivative: with a row per run, or lifted where they meet the runs."""
        if not self.lifting or runs == 1:
            return self.expanded(runs)
        leaves = {name: value.detach().unsqueeze(0).requires_grad_() for name, value in self.parameters.items()}
        self.points = self.lifter = Lifter(list(leaves.values()), runs, self.slopes)
        return leaves

    def expanded(self, runs: int) -> dict[str, Tensor]:
        """Parameters with a row per run, each the start of a derivative."""
        self.lifter = None
        leaves = {name: value.detach().expand(runs, *value.shape).requires_grad_() for name, value in self.parameters.items()}
        self.points = Leaves(list(leaves.values()))
        return leaves

    def uniform(self, runs: int = 1) -> dict[str, Tensor]:
        """Parameters that are the same in every lane and are not differentiated."""
        return {name: value.detach().unsqueeze(0) for name, value in self.parameters.items()}

    def result(self, value: Value) -> Tensor:
        """A result as `[runs or 1, *event]`."""
        assert isinstance(value, Held)
        return value.number(self.context.dtype, self.context.device)

    def attempt(self, runs: int, values: dict[str, Tensor], counter: Counter) -> Outcome | None:
        """Run this block, counting; None where it is too large, and it is as if it had not been."""
        try:
            return self.interpreter(Interpreter, None if self.exact else counter).run(values, self.data, runs)
        except TooBig:
            self.again()
            self.points.release()
            self.guards = self.guards.fork()
            return None

    def made(
        self, leaves: Callable[[Session, int], dict[str, Tensor]], take: Callable[[Session, int, dict[str, Tensor], Outcome], T],
        runs: int,
    ) -> T:
        """Run this block."""
        values = leaves(self, runs)
        return take(self, runs, values, self.interpreter(Interpreter).run(values, self.data, runs))


def _account(resolved: Resolved) -> tuple[Sums, Gates]:
    """What the assignment of credit needs to know of the text."""
    return resolved.prepared.once("account", None, lambda: (find_sums(resolved), find_gates(resolved)))
