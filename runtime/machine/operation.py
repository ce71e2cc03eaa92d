"""What can be done to values, as data: its code, and the few facts that layers go by (`layers.py`).

`code(setting, *raws)` gets what the operands hold (Python numbers, or tensors `[lanes or 1, *event]`) and gives the same; it knows
nothing of lanes, lifting or errors.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ...dsl.tables.functions import elementwise
from ..arrays.broadcast import ShapeMismatch, align, event_shape, shape_words
from ..arrays.function_code import FUNCTION_CODE
from ..arrays.memory import ask
from ..arrays.operations import as_tensor, calculate, compare, negative, numeric, opposite, truth
from ..arrays.singular import SAFE
from ..arrays.ties import STEPS, TIED
from .setting import Setting


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """
    name      what tells it from all others (None: each use is another, and is done each time)
    by_entry  an entry of the result is made of the operands' entries in its place
    still     the result carries no derivative whatever the operands do
    meets     how operands meet at a kink (a row of `ties.py`; "turn" of a comparison, and of what steps), and which of them
              (`among`; none: all)
    """

    name: Hashable
    code: Callable[..., Any]
    by_entry: bool = False
    still: bool = False
    meets: str = ""
    among: tuple[int, ...] = ()


def _arithmetic(symbol: str) -> Operation:
    return Operation(symbol, lambda setting, a, b: calculate(symbol, a, b, setting.dtype, setting.safe), by_entry=True)


def _comparison(symbol: str) -> Operation:
    return Operation(symbol, lambda setting, a, b: compare(symbol, a, b), by_entry=True, still=True, meets="turn")


ARITHMETIC = {symbol: _arithmetic(symbol) for symbol in ("+", "-", "*", "/", "%", "^")}
ARITHMETIC["%"] = replace(ARITHMETIC["%"], meets="turn")
COMPARISON = {symbol: _comparison(symbol) for symbol in ("<", "<=", ">", ">=", "==", "!=")}
NEGATIVE = Operation("negative", lambda setting, a: negative(a, setting.dtype), by_entry=True)
OPPOSITE = Operation("not", lambda setting, a: opposite(a), by_entry=True, still=True)


def _both(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    def code(setting: Setting, a: Any, b: Any) -> Tensor:
        return function(*align(*(as_tensor(truth(side), setting.dtype, setting.device) for side in (a, b))))

    return code


LOGICAL = {
    "and": Operation("and", _both(torch.logical_and), by_entry=True, still=True),
    "or": Operation("or", _both(torch.logical_or), by_entry=True, still=True),
}


def _stacked(setting: Setting, *values: Any) -> Tensor:
    tensors = [numeric(value, setting.dtype, setting.device) for value in values]
    shapes = {event_shape(tensor) for tensor in tensors}
    if len(shapes) > 1:
        listed = sorted(shapes)
        words = " and ".join(shape_words(shape) for shape in listed)
        raise ShapeMismatch(listed, f"the entries of an array must have one shape, not {words}")
    lanes = max(tensor.shape[0] for tensor in tensors)
    ask(lanes * len(tensors) * tensors[0][0].numel(), setting.device)
    return torch.stack([tensor.expand(lanes, *tensor.shape[1:]) for tensor in tensors], dim=1)


STACK = Operation("stack", _stacked)


@cache
def function_of(name: str, arguments: int) -> Operation:
    """A built-in function of so many tensors."""
    body = FUNCTION_CODE[name]

    def code(setting: Setting, *raws: Any) -> Tensor:
        if setting.safe and name in SAFE:
            return SAFE[name](numeric(raws[0], setting.dtype, setting.device))
        return body(*(as_tensor(raw, setting.dtype, setting.device) for raw in raws), context=setting.context)

    meets = "turn" if name in STEPS and arguments == 1 else name if name in TIED else ""
    return Operation(name, code, by_entry=elementwise(name, arguments), meets=meets)
