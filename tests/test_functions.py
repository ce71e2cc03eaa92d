"""Every claim of the function table, checked numerically over the whole table, and the code against NumPy."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.special
import torch
from torch import Tensor

import probrun
from probrun.dsl.syntax import Argument, Call, Number
from probrun.dsl.tables.functions import FUNCTIONS, FunctionRow, Smoothness, check_arity
from probrun.dsl.tables.ranges import Bounds
from probrun.dsl.text.source import Span
from probrun.runtime.arrays.broadcast import ShapeMismatch, align
from probrun.runtime.arrays.function_code import FUNCTION_CODE, FunctionProblem

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Place:
    dtype: torch.dtype = torch.float64
    device: torch.device = CPU


PLACE = Place()
DOMAINS: dict[str, tuple[float, float]] = {
    "log": (0.05, 4.0), "log1p": (-0.95, 4.0), "sqrt": (0.05, 4.0), "logit": (0.02, 0.98), "lgamma": (0.05, 4.0),
    "digamma": (0.05, 4.0), "tan": (-1.5, 1.5), "inverse": (0.5, 3.0), "solve": (0.5, 3.0), "cholesky": (0.5, 3.0),
    "logdet": (0.5, 3.0),
}
VECTORS = {"cumsum", "softmax", "logsumexp", "argmax", "sort", "min", "max", "sum", "mean", "prod", "any", "all", "length"} | {
    "argmin", "argsort", "cumprod", "var", "std",
}
SQUARE = {"matmul", "transpose", "diag", "inverse", "solve", "cholesky", "logdet"}
REFERENCE: dict[str, Callable[..., Any]] = {
    "abs": np.abs, "sign": np.sign, "floor": np.floor, "ceil": np.ceil, "round": np.round, "exp": np.exp, "log": np.log,
    "log1p": np.log1p, "expm1": np.expm1, "sqrt": np.sqrt, "sin": np.sin, "cos": np.cos, "tan": np.tan, "atan": np.arctan,
    "tanh": np.tanh, "sinh": np.sinh, "cosh": np.cosh, "sigmoid": scipy.special.expit, "logit": scipy.special.logit,
    "softplus": lambda x: np.logaddexp(x, 0), "relu": lambda x: np.maximum(x, 0), "erf": scipy.special.erf,
    "lgamma": scipy.special.gammaln, "digamma": scipy.special.digamma, "clamp": np.clip, "where": np.where,
    "normcdf": scipy.special.ndtr,
}


def _call(name: str, *values: Tensor | int) -> Tensor:
    return FUNCTION_CODE[name](*values, context=PLACE)


def _structured(name: str) -> bool:
    return bool(FUNCTIONS[name].structural)


def _arguments(row: FunctionRow, count: int) -> list[Tensor]:
    """Arguments at which the row can be probed, `[1, *event]`."""
    shape = (1, 2, 2) if row.name in SQUARE else (1, 4) if row.name in VECTORS | {"dot", "outer"} else (1,)
    if row.name == "quantile":
        return [torch.tensor([[0.3, -0.4, 1.1, 0.8]], dtype=torch.float64), torch.tensor([0.45], dtype=torch.float64)]
    if row.regular or row.name == "cholesky":  # whose first entry may move over its line
        return [torch.tensor([[[1.5, 0.4], [0.4, 1.0]]], dtype=torch.float64), *(torch.ones(1, 2) for _ in range(count - 1))]
    if row.name == "clamp":
        return [torch.tensor([value], dtype=torch.float64) for value in (0.2, -0.5, 0.7)]
    generator = torch.Generator().manual_seed(8)
    return [torch.rand(shape, dtype=torch.float64, generator=generator) for _ in range(count)]


def test_table_and_code_have_the_same_names() -> None:
    assert set(FUNCTIONS) == set(FUNCTION_CODE)
    for row in FUNCTIONS.values():
        assert row.smoothness and row.summary and row.signature.startswith(f"{row.name}(")
        assert row.most is None or row.least <= row.most


@pytest.mark.parametrize("name", REFERENCE)
def test_elementwise_functions_agree_with_numpy(name: str) -> None:
    low, high = DOMAINS.get(name, (-3.0, 3.0))
    x = torch.linspace(low, high, 41, dtype=torch.float64).unsqueeze(1)
    others = {"clamp": (torch.full((1,), -0.5), torch.full((1,), 0.75)), "where": (x.flip(0), -x)}.get(name, ())
    first = x > 0.3 if name == "where" else x
    ours = _call(name, first, *others)
    assert ours.shape == x.shape and ours.dtype == torch.float64
    assert np.allclose(ours.numpy(), REFERENCE[name](first.numpy(), *(other.numpy() for other in others)), rtol=1e-12)


@pytest.mark.parametrize("name", ["min", "max", "sum", "mean", "prod", "any", "all"])
def test_reductions_agree_with_numpy(name: str) -> None:
    x = torch.randint(0, 3, (5, 2, 3), generator=torch.Generator().manual_seed(0)).double()
    numpy = getattr(np, name)
    assert np.allclose(_call(name, x).numpy(), numpy(x.numpy(), axis=(1, 2)))
    assert torch.equal(_call(name, x[:, 0, 0]).double(), (x[:, 0, 0] != 0).double() if name in ("any", "all") else x[:, 0, 0])
    scalar, vector = x[:, 0, 0], x[:, 1]
    several = _call(name, scalar, vector, vector * 2)
    stacked = np.stack(np.broadcast_arrays(scalar.numpy()[:, None], vector.numpy(), 2 * vector.numpy()))
    assert np.allclose(several.numpy(), numpy(stacked, axis=0)) and several.shape == (5, 3)


def test_functions_along_the_last_axis() -> None:
    x = torch.randn(4, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    array = x.numpy()
    assert np.allclose(_call("cumsum", x), np.cumsum(array, -1))
    assert np.allclose(_call("sort", x), np.sort(array, -1))
    assert np.allclose(_call("argmax", x), np.argmax(array, -1))
    assert np.allclose(_call("argmin", x), np.argmin(array, -1))
    assert np.allclose(_call("argsort", x), np.argsort(array, -1))
    assert np.allclose(_call("cumprod", x), np.cumprod(array, -1))
    assert np.allclose(_call("var", x), np.var(array, (1, 2), ddof=1)) and np.allclose(_call("std", x), np.std(array, (1, 2), ddof=1))
    for share in (0.0, 0.2, 0.37, 0.4, 1.0):
        ours = _call("quantile", x, torch.full((1,), share, dtype=torch.float64))
        assert np.allclose(ours, np.quantile(array.reshape(4, 6), share, axis=-1))
    assert np.allclose(_call("softmax", x), scipy.special.softmax(array, -1))
    assert np.allclose(_call("logsumexp", x), scipy.special.logsumexp(array, -1))
    assert _call("length", x).tolist() == [2.0]


@pytest.mark.parametrize(("left", "right"), [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4))])
@pytest.mark.parametrize(("lanes_left", "lanes_right"), list(itertools.product((1, 5), repeat=2)))
def test_products(left: tuple[int, ...], right: tuple[int, ...], lanes_left: int, lanes_right: int) -> None:
    generator = torch.Generator().manual_seed(2)
    a = torch.randn(lanes_left, *left, dtype=torch.float64, generator=generator)
    b = torch.randn(lanes_right, *right, dtype=torch.float64, generator=generator)
    lanes = max(lanes_left, lanes_right)
    exact = np.stack([a.numpy()[i % lanes_left] @ b.numpy()[i % lanes_right] for i in range(lanes)])
    ours = _call("matmul", a, b)
    assert ours.shape == exact.shape and np.allclose(ours, exact)
    if len(left) == len(right) == 1:
        assert np.allclose(_call("dot", a, b), exact)


def test_making_and_joining_arrays() -> None:
    assert _call("zeros", 2, 3).shape == (1, 1, 1) and _call("ones", 2).tolist() == [[1.0]]  # all the same: the value knows its shape
    found = probrun.parse("return zeros(2, 3), ones(2), sum(ones(0)), length(zeros(0)), concat(zeros(0), ones(1)) + ones(2, 1)").run(samples=3)
    shapes = [tuple(torch.as_tensor(one.mean).shape) for one in found.value.values()]
    assert shapes == [(2, 3), (2,), (), (), (2, 1)] and float(list(found.value.values())[2].mean) == 0
    assert _call("arange", 3).tolist() == [[0.0, 1.0, 2.0]] and _call("arange", 2, 4).tolist() == [[2.0, 3.0]]
    assert _call("arange", 3, 1).shape == (1, 0)
    lanes, one = torch.tensor([1.0, 2.0]), torch.tensor([7.0])
    assert _call("stack", lanes, one).tolist() == [[1.0, 7.0], [2.0, 7.0]]
    assert _call("stack", torch.ones(1, 3), lanes).shape == (2, 2, 3)
    assert _call("concat", lanes, torch.ones(1, 2)).tolist() == [[1.0, 1.0, 1.0], [2.0, 1.0, 1.0]]
    assert _call("concat", torch.ones(1, 2, 3), torch.ones(4, 5, 3)).shape == (4, 7, 3)


def test_booleans_count_as_numbers() -> None:
    truth = torch.tensor([[True, False, True]])
    assert _call("sum", truth).tolist() == [2.0] and _call("exp", truth).dtype == torch.float64
    assert _call("any", truth).dtype == torch.bool
    assert _call("where", torch.tensor([2.0, 0.0]), torch.tensor([1.0]), torch.tensor([5.0])).tolist() == [1.0, 5.0]


@pytest.mark.parametrize(("name", "shapes"), [
    ("dot", [(1, 2), (1, 3)]), ("matmul", [(1, 2), (1, 3)]), ("max", [(1, 2), (1, 3)]), ("stack", [(1, 2), (1, 3)]),
    ("concat", [(1, 2, 2), (1, 2, 3)]), ("softmax", [(4,)]), ("length", [(4,)]), ("matmul", [(4,), (4, 2)]),
])
def test_shapes_that_do_not_fit(name: str, shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(ShapeMismatch):
        _call(name, *(torch.ones(shape) for shape in shapes))


def test_empty_arrays() -> None:
    empty = torch.ones(3, 0)
    assert _call("sum", empty).tolist() == [0.0] * 3 and _call("prod", empty).tolist() == [1.0] * 3
    assert _call("any", empty).tolist() == [False] * 3 and _call("all", empty).tolist() == [True] * 3
    for name in ("min", "max", "mean", "argmax", "argmin", "var", "std"):
        with pytest.raises(FunctionProblem):
            _call(name, empty)
    with pytest.raises(FunctionProblem):
        _call("zeros", -1)


def test_align() -> None:
    a, b = align(torch.ones(5), torch.ones(1, 3))
    assert a.shape == (5, 1) and b.shape == (1, 3)
    a, b = align(torch.ones(5, 2, 3), torch.ones(5, 3))
    assert b.shape == (5, 1, 3)
    with pytest.raises(ShapeMismatch) as caught:
        align(torch.ones(5, 2), torch.ones(5, 3))
    assert caught.value.shapes == ((2,), (3,)) and "[2] and [3]" in str(caught.value)


PROBES = [
    pytest.param(row, position, count, id=f"{row.name}-{position}of{count}")
    for row in FUNCTIONS.values() if not row.structural
    for count in {row.least, row.most or 3}
    for position in range(count)
]


@pytest.mark.parametrize(("row", "position", "count"), PROBES)
def test_claimed_smoothness_holds(row: FunctionRow, position: int, count: int) -> None:
    """Along a line, SMOOTH has no jump in value or slope, KINK none in value; JUMP is flat between its jumps."""
    arguments = _arguments(row, count)
    low, high = (0.0, 1.0) if (row.name, position) == ("quantile", 1) else DOMAINS.get(row.name, (-2.3, 2.2))
    line = torch.linspace(low, high, 4001, dtype=torch.float64)
    moving = arguments[position].expand(4001, *arguments[position].shape[1:]).clone()
    moving.view(4001, -1)[:, 0] = line
    moving.requires_grad_()
    given = [moving if i == position else argument for i, argument in enumerate(arguments)]
    values = _call(row.name, *given)
    claimed = row.smoothness_of(position)
    if row.valueless:
        assert not values.requires_grad
        return
    flat = values.double().reshape(4001, -1)
    mixed = flat @ torch.linspace(0.4, 1.0, flat.shape[1], dtype=torch.float64)
    steps = mixed.detach().diff().abs()
    if claimed is Smoothness.JUMP:
        assert not values.requires_grad or float(torch.autograd.grad(mixed.sum(), moving)[0].abs().max()) == 0
        assert row.name == "where" or row.discrete
        return
    slope = torch.autograd.grad(mixed.sum(), moving)[0].reshape(4001, -1)[:, 0]
    steepest = float(slope.abs().max()) * (high - low) / 4000
    assert float(steps.max()) <= 2 * steepest + 1e-12
    turn = float(slope.diff().abs().max())
    if claimed is Smoothness.SMOOTH:
        assert turn <= 0.08 * max(1.0, float(slope.abs().max()))
    else:
        assert turn > 0.15, "no kink seen: is the claim too careful?"


@pytest.mark.parametrize("row", [row for row in FUNCTIONS.values() if row.most == 1 and row.name not in VECTORS | SQUARE and not row.structural])
def test_claimed_range_holds(row: FunctionRow) -> None:
    low, high = DOMAINS.get(row.name, (-2.0, 2.0))
    for a, b in itertools.combinations(np.linspace(low, high, 7), 2):
        x = torch.linspace(a, b, 101, dtype=torch.float64)
        image, claimed = _call(row.name, x), row.range(Bounds(float(a), float(b), True, True))
        slack = 1e-12
        assert float(image.min()) >= claimed.low - slack and float(image.max()) <= claimed.high + slack, (a, b)
        assert claimed.low_attained or float(image.min()) > claimed.low - slack
    assert row.range(Bounds()).low == -math.inf or row.range(Bounds()).low <= float(_call(row.name, torch.tensor([low])))


@pytest.mark.parametrize("name", ["min", "max", "sum", "mean", "prod", "where", "clamp", "cumsum", "sort", "softmax", "dot", "cumprod"])
def test_ranges_of_combinations_hold(name: str) -> None:
    generator = torch.Generator().manual_seed(5)
    row = FUNCTIONS[name]
    ends = [(-1.5, 0.5), (0.0, 2.0), (-2.0, -0.5), (0.25, 0.5)]
    for chosen in itertools.product(ends, repeat=row.most or 2):
        values = [low + (high - low) * torch.rand(200, 3, dtype=torch.float64, generator=generator) for low, high in chosen]
        claimed = row.range(*(Bounds(low, high, True, True) for low, high in chosen))
        image = _call(name, *values)
        assert float(image.min()) >= claimed.low and float(image.max()) <= claimed.high, (chosen, claimed)
        if row.most is None:
            single = row.range(Bounds(*chosen[0], True, True))
            image = _call(name, values[0])
            assert float(image.min()) >= single.low and float(image.max()) <= single.high


@pytest.mark.parametrize(("name", "count", "code"), [("exp", 2, "P0203"), ("clamp", 2, "P0203"), ("max", 0, "P0203"), ("max", 5, None)])
def test_arity(name: str, count: int, code: str | None) -> None:
    call = Call(name, tuple(Argument(None, Number(1.0)) for _ in range(count)), Span(0, 3))
    assert [problem.code for problem in check_arity(FUNCTIONS[name], call)] == ([code] if code else [])


def test_keywords_are_refused() -> None:
    call = Call("exp", (Argument("x", Number(1.0)),), Span(0, 3))
    assert [problem.code for problem in check_arity(FUNCTIONS["exp"], call)] == ["P0204"]
