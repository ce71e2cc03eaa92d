"""The code of the built-in functions of matrices, and of orders of entries: rows of `FUNCTION_CODE` like others.

Values are `[L, *event]` with the event axes last, as everywhere.  A matrix that a function cannot take is a FunctionProblem
(P0506), a shape a ShapeMismatch (P0301).  Backward passes are torch's, which have derivatives of every order.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .broadcast import ShapeMismatch, event_shape, shape_words
from .memory import ask
from .refused import FunctionProblem

SYMMETRIC = 1e-5  # of the largest entry, by which a symmetric matrix may be off


def _matrix(x: Tensor, name: str, square: bool = True) -> Tensor:
    """The same, if it is a matrix `[L, n, m]`."""
    if x.dim() != 3 or (square and x.shape[1] != x.shape[2]):
        kind = "a square matrix" if square else "a matrix"
        raise ShapeMismatch([event_shape(x)], f"`{name}` needs {kind}, but is given {shape_words(event_shape(x))}")
    return x


def transpose(x: Tensor) -> Tensor:
    """`[L, n, m]` to `[L, m, n]`."""
    return _matrix(x, "transpose", square=False).mT


def outer(a: Tensor, b: Tensor) -> Tensor:
    """`[L, n]` and `[L, m]` to `[L, n, m]`."""
    if a.dim() != 2 or b.dim() != 2:
        words = f"`outer` needs two vectors, but is given {shape_words(event_shape(a))} and {shape_words(event_shape(b))}"
        raise ShapeMismatch([event_shape(a), event_shape(b)], words)
    ask(max(a.shape[0], b.shape[0]) * a.shape[1] * b.shape[1], a.device)
    return a.unsqueeze(-1) * b.unsqueeze(-2)


def diag(x: Tensor) -> Tensor:
    """`[L, n]` to the matrix with that diagonal, `[L, n, n]` to its diagonal."""
    if x.dim() == 2:
        ask(x.shape[0] * x.shape[1] ** 2, x.device)
        return torch.diag_embed(x)
    if x.dim() != 3:
        raise ShapeMismatch([event_shape(x)], f"`diag` needs a vector or a matrix, but is given {shape_words(event_shape(x))}")
    return x.diagonal(dim1=-2, dim2=-1)


def inverse(x: Tensor) -> Tensor:
    """The inverse of a square matrix."""
    found: Tensor
    found, info = torch.linalg.inv_ex(_matrix(x, "inverse"))
    _regular(info, "inverse")
    return found


def solve(a: Tensor, b: Tensor) -> Tensor:
    """x with a x = b, for a square matrix and a vector or a matrix."""
    _matrix(a, "solve")
    if b.dim() not in (2, 3) or b.shape[1] != a.shape[1]:
        words = f"`solve` needs a right side with as many rows as the matrix, but is given {shape_words(event_shape(a))}" \
                f" and {shape_words(event_shape(b))}"
        raise ShapeMismatch([event_shape(a), event_shape(b)], words)
    right = b.unsqueeze(-1) if b.dim() == 2 else b
    found: Tensor
    found, info = torch.linalg.solve_ex(a, right)
    _regular(info, "solve")
    return found.squeeze(-1) if b.dim() == 2 else found


def _regular(info: Tensor, name: str) -> None:
    if bool((info != 0).any()):
        raise FunctionProblem("P0506", f"`{name}` of a singular matrix")


def cholesky(x: Tensor) -> Tensor:
    """The lower triangular matrix l with l l^T = x."""
    value = _matrix(x, "cholesky").detach()
    if value.numel():
        size = value.abs().flatten(1).amax(-1)[:, None, None]
        if bool(((value - value.mT).abs() > SYMMETRIC * size).any()):
            raise FunctionProblem("P0506", "`cholesky` of a matrix that is not symmetric")
    found: Tensor
    found, info = torch.linalg.cholesky_ex(x)
    if bool((info != 0).any()):
        raise FunctionProblem("P0506", "`cholesky` of a matrix that is not positive definite")
    return found


def logdet(x: Tensor) -> Tensor:
    """The logarithm of the determinant."""
    found: Tensor
    sign, found = torch.linalg.slogdet(_matrix(x, "logdet"))
    if bool((sign <= 0).any()):
        raise FunctionProblem("P0506", "`logdet` of a matrix whose determinant is not positive")
    return found


# ---------------------------------------------------------------------------------------------------------- entries
def variance(x: Tensor, name: str) -> Tensor:
    """`[L, n]` to `[L]`: the sum of squared differences from the mean, over n - 1."""
    if x.shape[1] < 2:
        raise FunctionProblem("P0506", f"`{name}` needs at least two entries")
    apart = x - x.mean(1, keepdim=True)
    return (apart * apart).sum(1) / (x.shape[1] - 1)


def place_of(x: Tensor, q: Tensor) -> Tensor:
    """Where in order the share q of the entries `[L, n]` lies, `[L]`, from 0."""
    share = q.detach()
    if q.dim() != 1:
        raise ShapeMismatch([event_shape(q)], f"the share of `quantile` is a scalar, but is given as {shape_words(event_shape(q))}")
    if bool((~((share >= 0) & (share <= 1))).any()):
        raise FunctionProblem("P0506", "the share of `quantile` must lie in [0, 1]")
    return q * (x.shape[1] - 1)


def between(ordered: Tensor, place: Tensor) -> Tensor:
    """What lies at a place `[L]` between entries in order `[L, n]`, on a straight line from one to the next."""
    lanes = max(ordered.shape[0], place.shape[0])
    below = place.detach().floor().clamp_max(max(ordered.shape[1] - 2, 0)).expand(lanes)
    ordered = ordered.expand(lanes, -1)
    index = below.long().unsqueeze(-1)
    one = ordered.gather(-1, index).squeeze(-1)
    other = ordered.gather(-1, (index + 1).clamp_max(ordered.shape[1] - 1)).squeeze(-1)
    part = place - below
    return torch.where(part == 1, other, one + part * (other - one)) if not part.requires_grad else one + part * (other - one)


ONE: dict[str, Callable[[Tensor], Tensor]] = {
    "transpose": transpose, "diag": diag, "inverse": inverse, "cholesky": cholesky, "logdet": logdet,
}
TWO: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"outer": outer, "solve": solve}
