"""Kinks have one derivative: `relu(x)` of a random x is continuous, but its derivative jumps at 0, and backpropagating twice
would not see that jump (0 in place of the density at 0).

An expectation that may be differentiated again therefore marks the values that kinks give where continuous randomness carries
a derivative over them (`Flow.kinks`): the first derivative passes, the second is refused (P0406), unless a closer look at what is
known by then tells that there is no kink after all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from torch import Tensor
from torch.autograd import Function

from ...dsl.text.diagnostics import ProbError

Refusal = Callable[[], ProbError | None]


class _DerivedOnce(Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, refusal: Refusal) -> Tensor:
        ctx.save_for_backward(value)
        ctx.refusal = refusal
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (value,) = ctx.saved_tensors
        return cast(Tensor, _Wall.apply(gradients[0], value, ctx.refusal)), None  # type: ignore[no-untyped-call]


class _Wall(Function):
    """The incoming gradient; whoever differentiates it, or what the kink was made of, is refused, if there is a reason."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, value: Tensor, refusal: Refusal) -> Tensor:
        ctx.refusal = refusal
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        problem = ctx.refusal()
        if problem is not None:
            raise problem
        return gradients[0], None, None


def once_differentiable(value: Tensor, refusal: Refusal) -> Tensor:
    """The value, whose second derivative raises."""
    return cast(Tensor, _DerivedOnce.apply(value, refusal)) if value.requires_grad else value  # type: ignore[no-untyped-call]
