"""Parameters and data: from numbers, lists, NumPy arrays and tensors to what a run reads.

Data becomes Python numbers and tensors `[1, *shape]` (the same in every lane); a bare name in the shape of `data x[n]` is
bound to the size.  Parameters become tensors `[*shape]` of the run's dtype and keep the graph they come with.
Defaults and sizes are constant expressions and are worked out by the interpreter, in float64, on a single lane.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...dsl.names.resolve import Resolved
from ...dsl.names.strangers import refuse_unknown
from ...dsl.syntax import Data, Expression, Interval, Name, Number, Parameter, Simplex, deep_recursion
from ...dsl.tables.constants import CONSTANTS
from ...dsl.text.given import origin_notes
from ...dsl.text.source import Span
from ..arrays.broadcast import shape_words
from ..arrays.function_code import Context
from ..arrays.operations import Operand
from ..arrays.scalars import ends, finite
from ..lanes.circumstances import show
from ..lanes.frames import Activation, Frame
from ..lanes.lanes import Lanes
from ..lanes.lessons import TooCoarse
from ..lanes.values import Uniform
from ..lanes.where import Where
from ..laws.noise import Fresh
from ..machine.indexing import size
from ..machine.interpreter import Interpreter

SIMPLEX_TOLERANCE = 1e-5


Values = tuple[dict[str, Tensor], dict[str, Operand]]


def bind_values(
    resolved: Resolved, parameters: Mapping[str, object], data: Mapping[str, object], dtype: torch.dtype, device: torch.device
) -> Values:
    """Parameters `[*shape]` and data for a run; the defaults of a program are found once.

    Raises ProbError: P0601 (a parameter without a value), P0602 (data without one), P0603 (no such name), P0604 (cannot be
    read, or wrong shape), P0605 (outside the declared domain).
    """
    if parameters or data:
        return _bound(resolved, parameters, data, dtype, device)
    return resolved.prepared.once("defaults", (dtype, device), lambda: _bound(resolved, parameters, data, dtype, device))


def _bound(
    resolved: Resolved, parameters: Mapping[str, object], data: Mapping[str, object], dtype: torch.dtype, device: torch.device
) -> Values:
    origins = {name: origin_notes(values, name) for values in (parameters, data) for name in values}
    refuse_unknown(resolved, parameters, data)
    binder = _Binder(resolved, origins)
    with torch.enable_grad(), deep_recursion():
        for name, node in resolved.data.items():
            binder.bind_data(name, node, data)
        bound = {name: binder.bind_parameter(name, parameters) for name in resolved.parameters}
    if dtype != torch.float64:
        for value in (*bound.values(), *binder.known.values()):
            if isinstance(value, Tensor) and not representable(value.detach(), dtype):
                raise TooCoarse
    bound = {name: value.to(device, dtype) for name, value in bound.items()}
    return bound, {name: _for_run(value, dtype, device) for name, value in binder.known.items()}


def representable(value: Tensor, dtype: torch.dtype) -> bool:
    """Whether what is neither 0 nor infinite is neither in a dtype."""
    if value.dtype == dtype or not value.numel():
        return True
    if value.numel() == 1:
        one, other = float(value), float(value.to(dtype))
        return (other == 0) == (one == 0) and math.isinf(other) == math.isinf(one)
    facts = torch.finfo(dtype)
    least, most = ends(value.abs())
    if facts.tiny < least and most < facts.max:
        return True
    held = value.to(dtype)
    if bool(torch.count_nonzero(held) != torch.count_nonzero(value)):
        return False
    return math.isfinite(float(held.abs().amax())) or torch.equal(held.isinf(), value.isinf())


def _for_run(value: float | Tensor, dtype: torch.dtype, device: torch.device) -> Operand:
    """Scalars as Python numbers, arrays with a lane axis."""
    if isinstance(value, Tensor):
        return value.to(device, dtype).unsqueeze(0)
    return value


class _Binder:
    """The values known so far, in float64."""

    def __init__(self, resolved: Resolved, origins: Mapping[str, tuple[str, ...]]):
        self.resolved = resolved
        self.origins = origins
        self.where = Where(resolved.program.source)
        self.known: dict[str, float | Tensor] = {}

    # ------------------------------------------------------------------------------------------- constants
    def constant(self, node: Expression) -> float | Tensor:
        """A constant expression: a Python number, or a float64 tensor `[*shape]`."""
        if isinstance(node, Number):
            return float(node.value)
        context = Context(torch.float64, torch.device("cpu"))
        machine = Interpreter(self.resolved, {}, context, Fresh(torch.Generator()))
        lanes = Lanes(1)
        frame = Frame(lanes, None, Activation(lanes), True, None)
        for name, number in CONSTANTS.items():
            frame.write(name, Uniform(number))
        for name, value in self.known.items():
            frame.write(name, Uniform(value.to("cpu").unsqueeze(0) if isinstance(value, Tensor) else value))
        found = machine.evaluate(node, frame).wide
        if not isinstance(found, Tensor):
            return float(found)
        return float(found) if found.dim() == 1 else found[0].double()

    def sizes(self, name: str, nodes: tuple[Expression, ...], shape: tuple[int, ...] | None, span: Span) -> tuple[int, ...]:
        """The declared shape; bare names that are not known yet are bound to the sizes of the value."""
        if shape is not None and len(shape) != len(nodes):
            raise self.misshapen(name, shape, self.declared(nodes), span)
        wanted = []
        for axis, node in enumerate(nodes):
            if isinstance(node, Name) and node.id not in self.known and node.id not in CONSTANTS:
                if shape is None:
                    raise self.where.error(
                        "P0602", f"the size `{node.id}` of `{name}` is not known", node.span, "nothing has bound it",
                        help=f"give `{name}` a value",
                    )
                self.known[node.id] = float(shape[axis])
            value = self.constant(node)
            found = Uniform(value.unsqueeze(0) if isinstance(value, Tensor) else value)
            wanted.append(size(found, "a size", node.span, self.where))
        if any(entry < 0 for entry in wanted):
            raise self.where.error("P0305", f"a size of `{name}` must be at least 0, but is {min(wanted)}", span)
        return tuple(wanted)

    def declared(self, nodes: tuple[Expression, ...]) -> str:
        """The declared shape as it is written."""
        if not nodes:
            return "a scalar"
        return "[" + ", ".join(self.where.source.slice(node.span) for node in nodes) + "]"

    def misshapen(self, name: str, given: tuple[int, ...], wanted: str, span: Span) -> Exception:
        """P0604 for a wrong shape."""
        words = "a scalar" if not given else f"of shape {shape_words(given)}"
        word = "param" if name in self.resolved.parameters else "data"
        axes = 0 if wanted in ("a scalar", "scalar") else wanted.count(",") + 1
        help = f"declare its size: {word} {name}{shape_words(given)}" if len(given) != axes and given else None
        title = f"the value of `{name}` is {words}, but {wanted} is declared"
        return self.where.error("P0604", title, span, wanted, self.origins.get(name, ()), help)

    # ------------------------------------------------------------------------------------- parameters, data
    def read(self, name: str, value: object, span: Span) -> Tensor:
        """Any number-like value as a tensor `[*shape]`; P0604."""
        try:
            if isinstance(value, Tensor):
                tensor = value
            else:
                plain: Any = value
                tensor = torch.as_tensor(plain, dtype=torch.float64)
            if tensor.is_complex():
                raise TypeError("complex numbers")
        except (TypeError, ValueError, RuntimeError, OverflowError) as problem:
            shown = repr(value)
            shown = shown if len(shown) <= 40 else shown[:37] + "..."
            raise self.where.error(
                "P0604", f"the value of `{name}` is no number or array of numbers: {shown}", span,
                notes=(str(problem).splitlines()[0],) if str(problem) and "too many dimensions 'str'" not in str(problem) else (),
            ) from None
        tensor = tensor if tensor.is_floating_point() else tensor.to(torch.float64)
        if not finite(tensor) and bool(tensor.detach().isnan().any()):
            notes = self.origins.get(name, ())
            raise self.where.error("P0604", f"the value of `{name}` is not a number (nan)", span, notes=notes)
        return tensor

    def bind_data(self, name: str, node: Data, given: Mapping[str, object]) -> None:
        """Take the value of one `data` line, or its default."""
        span = node.name_span
        if name in given:
            tensor = self.read(name, given[name], span).detach()
            shape = self.sizes(name, node.shape, tuple(tensor.shape), span)
            if shape != tuple(tensor.shape):
                raise self.misshapen(name, tuple(tensor.shape), shape_words(shape), span)
        elif node.default is not None:
            tensor = self.default(name, node, span)
        else:
            flag = f"{name}=" + ("[...]" if node.shape else "...")
            raise self.where.error(
                "P0602", f"data `{name}` has no value", span, "it has no default", help=f"give it one: -d {flag}"
            )
        self.known[name] = float(tensor) if tensor.dim() == 0 else tensor

    def bind_parameter(self, name: str, given: Mapping[str, object]) -> Tensor:
        """The value of one parameter `[*shape]`, with the graph it comes with."""
        fact = self.resolved.parameters[name]
        span = fact.span
        if name in given:
            tensor = self.read(name, given[name], span)
            shape = self.sizes(name, fact.shape, None, span)
            if shape != tuple(tensor.shape):
                if tensor.dim():
                    raise self.misshapen(name, tuple(tensor.shape), "a scalar" if not shape else shape_words(shape), span)
                tensor = tensor.expand(shape)
        elif fact.node is not None and fact.node.default is not None:
            tensor = self.default(name, fact.node, span)
        else:
            shape = self.sizes(name, fact.shape, None, span)
            flag = f"{name}=" + ("[...]" if shape else "...")
            declared = "it is a free name of a program without `param` lines" if fact.node is None else "it has no default"
            raise self.where.error(
                "P0601", f"parameter `{name}` has no value", span, declared, help=f"give it one: -p {flag}"
            )
        if not finite(tensor):
            notes = self.origins.get(name, ())
            raise self.where.error("P0604", f"the value of parameter `{name}` is not finite", span, notes=notes)
        if fact.node is not None:
            self.check_domain(name, fact.node, tensor.detach())
        return tensor

    def default(self, name: str, node: Parameter | Data, span: Span) -> Tensor:
        """The default, broadcast to the declared shape where it is a scalar."""
        assert node.default is not None
        value = self.constant(node.default)
        tensor = value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
        scalar = tensor.dim() == 0
        shape = self.sizes(name, node.shape, None if scalar else tuple(tensor.shape), span)
        if scalar:
            return tensor.expand(shape)
        if shape != tuple(tensor.shape):
            raise self.misshapen(name, tuple(tensor.shape), shape_words(shape), node.default.span)
        return tensor

    def check_domain(self, name: str, node: Parameter, value: Tensor) -> None:
        """P0605."""
        domain = node.domain
        if lies_in(domain, value):
            return
        if isinstance(domain, Interval):
            bad = ~((value > domain.low) & (value < domain.high))
            low, high = (show(float(end)) for end in (domain.low, domain.high))
            raise self.where.error(
                "P0605", f"parameter `{name}` must lie in ({low}, {high}), but is {show(float(value[bad][0]))}",
                node.name_span, f"declared to lie in ({low}, {high})", self.origins.get(name, ()),
                "give a value inside it, or declare another domain",
            )
        raise self.where.error(
            "P0605", f"parameter `{name}` must have entries that are at least 0 and sum to 1, but is {show(value)}",
            node.name_span, "declared to lie in the simplex", self.origins.get(name, ()),
        )


def lies_in(domain: Interval | Simplex | None, value: Tensor) -> bool:
    """Whether a value lies in the declared domain."""
    if isinstance(domain, Interval):
        if value.numel() == 1:
            low, high = (float(np.float32(end)) if value.dtype == torch.float32 else end for end in (domain.low, domain.high))
            return low < float(value) < high
        return bool(((value > domain.low) & (value < domain.high)).all())
    return domain is None or _in_simplex(value)


def _in_simplex(value: Tensor) -> bool:
    if not value.dim() or bool((value < 0).any()):
        return False
    return bool(((value.sum(-1) - 1).abs() <= SIMPLEX_TOLERANCE).all())
