"""Functions with singular derivatives, made harmless where nobody asks for the derivative.

`where(x > 0, sqrt(x), 0)` has the derivative 0 at x = 0, but backpropagation computes 0 * inf there, a nan.  The safe
variants here give exactly 0 where the incoming gradient is 0 and the local derivative is not finite, and are plain
calculus everywhere else: an infinite derivative that *is* asked for stays infinite.  Each local derivative is itself
written in safe functions, so the rule holds for derivatives of every order.  Rejected: adding an epsilon (biased), and
replacing the argument before the call (needs to know the guard).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from .broadcast import together
from .kernels import combined

TensorOrFloat = Tensor | float


def multiply(a: TensorOrFloat, b: TensorOrFloat, safe: bool = False) -> Tensor:
    """`a * b`, shapes that broadcast in torch; safe: a factor that is not finite does no harm where nobody asks."""
    if not safe or not _differentiated(a, b):
        return combined(torch.mul, a, b) if isinstance(a, Tensor) else combined(torch.mul, cast(Tensor, b), a)
    return _product(*_together(a, b))


def divide(a: TensorOrFloat, b: TensorOrFloat, safe: bool = False) -> Tensor:
    """`a / b`, shapes that broadcast in torch."""
    if not safe or not _differentiated(a, b):
        return torch.true_divide(a, b)
    return _divide(*_together(a, b))


def power(a: TensorOrFloat, b: TensorOrFloat, safe: bool = False) -> Tensor:
    """`a ^ b`, shapes that broadcast in torch; nan for a negative base with a broken exponent."""
    if (safe and _differentiated(a, b)) or (isinstance(b, Tensor) and b.requires_grad):
        return _power(*_together(a, b))
    return torch.pow(a, b)  # type: ignore[arg-type]


def _differentiated(a: TensorOrFloat, b: TensorOrFloat) -> bool:
    return (isinstance(a, Tensor) and a.requires_grad) or (isinstance(b, Tensor) and b.requires_grad)


def _together(a: TensorOrFloat, b: TensorOrFloat) -> tuple[Tensor, ...]:
    """Both as tensors of one shape (autograd sums over what was broadcast)."""
    if not isinstance(a, Tensor):
        a = torch.as_tensor(a, dtype=cast(Tensor, b).dtype, device=cast(Tensor, b).device)
    if not isinstance(b, Tensor):
        b = torch.as_tensor(b, dtype=a.dtype, device=a.device)
    return together(a, b)


def _times(gradient: Tensor, derivative: Tensor) -> Tensor:
    """The chain rule with 0 * inf = 0 * nan = 0."""
    unused = (gradient == 0) & ~torch.isfinite(derivative)
    return gradient * torch.where(unused, 0.0, derivative)


def _asked(gradient: Tensor, factor: Tensor) -> Tensor:
    """The incoming gradient of a product with a factor that is no variable: 0 where the factor is, as the product is 0
    whatever the other one does (`sqrt(b*theta)` with b = 0)."""
    return torch.where((factor == 0) & ~torch.isfinite(gradient), 0.0, gradient)


class _Product(torch.autograd.Function):
    """`a * b` of one shape, for local derivatives that may be infinite."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return a * b

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (gradient,), (a, b) = gradients, ctx.saved_tensors
        live_a, live_b = ctx.needs_input_grad
        by_a = _times(gradient if live_b else _asked(gradient, b), b) if live_a else None
        by_b = _times(gradient if live_a else _asked(gradient, a), a) if live_b else None
        return by_a, by_b


_product: Callable[..., Tensor] = _Product.apply


class _Divide(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return a / b

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (gradient,), (a, b) = gradients, ctx.saved_tensors
        by_a = _times(gradient, divide(1.0, b, safe=True)) if ctx.needs_input_grad[0] else None
        by_b = _times(gradient, -divide(divide(a, b, safe=True), b, safe=True)) if ctx.needs_input_grad[1] else None
        return by_a, by_b


_divide: Callable[..., Tensor] = _Divide.apply


class _Power(torch.autograd.Function):
    """d(a^b)/da = b a^(b-1), 0 for b = 0; d(a^b)/db = a^b log a, 0 for a = 0 and b > 0.

    torch says 0 for a = b = 0 too, where 0^b jumps: here it is infinite.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return torch.pow(a, b)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (gradient,), (a, b) = gradients, ctx.saved_tensors
        by_a = by_b = None
        if ctx.needs_input_grad[0]:
            constant = b == 0
            lower = power(a, torch.where(constant, 1.0, b) - 1, safe=True)
            by_a = _times(gradient, torch.where(constant, 0.0, _product(b, lower)))
        if ctx.needs_input_grad[1]:
            vanishing = (a == 0) & (b > 0)
            growth = _product(power(a, b, safe=True), SAFE["log"](torch.where(vanishing, 1.0, a)))
            by_b = _times(gradient, torch.where(vanishing, 0.0, growth))
        return by_a, by_b


_power: Callable[..., Tensor] = _Power.apply


class _Unary(torch.autograd.Function):
    """`code(x)` whose local derivative is `slope(x)`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, code: Callable[[Tensor], Tensor], slope: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(x)
        ctx.slope = slope
        return code(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,), (x,) = gradients, ctx.saved_tensors
        return _times(gradient, ctx.slope(x)), None, None


_unary: Callable[..., Tensor] = _Unary.apply


def _safe(code: Callable[[Tensor], Tensor], slope: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def call(x: Tensor) -> Tensor:
        return _unary(x, code, slope) if x.requires_grad else code(x)

    return call


def _reciprocal(x: Tensor) -> Tensor:
    return divide(1.0, x, safe=True)


def _polygamma(order: int) -> Callable[[Tensor], Tensor]:
    return _safe(lambda x: torch.polygamma(order, x), lambda x: _polygamma(order + 1)(x))


SAFE: dict[str, Callable[[Tensor], Tensor]] = {
    "sqrt": _safe(torch.sqrt, lambda x: divide(0.5, SAFE["sqrt"](x), safe=True)),
    "log": _safe(torch.log, _reciprocal),
    "log1p": _safe(torch.log1p, lambda x: _reciprocal(1 + x)),
    "logit": _safe(torch.logit, lambda x: _reciprocal(x * (1 - x))),
    "lgamma": _safe(torch.lgamma, lambda x: SAFE["digamma"](x)),
    "digamma": _safe(torch.digamma, _polygamma(1)),
    "tan": _safe(torch.tan, lambda x: 1 + power(SAFE["tan"](x), 2.0, safe=True)),
    "exp": _safe(torch.exp, lambda x: SAFE["exp"](x)),
    "expm1": _safe(torch.expm1, lambda x: SAFE["exp"](x)),
    "sinh": _safe(torch.sinh, lambda x: SAFE["cosh"](x)),
    "cosh": _safe(torch.cosh, lambda x: SAFE["sinh"](x)),
    "sin": _safe(torch.sin, lambda x: SAFE["cos"](x)),
    "cos": _safe(torch.cos, lambda x: -SAFE["sin"](x)),
    "tanh": _safe(torch.tanh, lambda x: 1 - power(SAFE["tanh"](x), 2.0, safe=True)),
    "atan": _safe(torch.atan, lambda x: _reciprocal(1 + power(x, 2.0, safe=True))),
}
