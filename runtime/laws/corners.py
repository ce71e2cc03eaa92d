"""Where the derivative of an expectation stops to be a matter of jumps that draws meet: jumps at the very end of what can be drawn,
and draws so narrow that they never meet what passes over them from run to run.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..arrays.kernels import all_finite
from .crossing import moved, spread
from .law import Law

STEP = 1e-8  # from a root to its sides: of the width of the distribution, and ULPS of the last digits of the root
NEXT = 1e-8  # to an end, where the width is 1
FLAT = 1e-2  # of the density at an end, where the width is 1: as good as 0
ULPS, COARSE = 64.0, 1e-3  # last digits that a root is from its sides; part of the width that these may be
OFTEN = 1e-3  # part of the lanes at which roots do not meet by chance
REACH, SOME, MANY = 10.0, 4e-3, 2000  # widths in which draws lie; part of the lanes that is no chance, of so many


def _of_own(values: Tensor, own: Tensor | None) -> Tensor:
    return values if own is None else values[own]


def to_sides(law: Law, root: Tensor) -> Tensor:
    """From a root to its sides."""
    if not all_finite(root):
        root = torch.where(torch.isfinite(root), root, 0.0)
    return STEP * spread(law, root).abs() + ULPS * torch.finfo(root.dtype).eps * root.abs()


def often(where: Tensor, own: Tensor | None) -> bool:
    """Whether something is so, of one element `[lanes, *batch]`, on many of the lanes that count."""
    if not bool(where.any()):
        return False
    counted = _of_own(where, own).double()
    return counted.shape[0] > 0 and float(counted.mean(0).max()) > OFTEN


def narrow(off: Tensor, scale: Tensor, own: Tensor | None) -> bool:
    """Whether a root, so far off draws `[lanes, *batch]`, passes over them from run to run and meets hardly any, so that nothing
    would be seen of it; `scale`: the widths of the draws."""
    off, scale = _of_own(off, own), _of_own(scale, own)
    if off.shape[0] < MANY:
        return False
    off, scale = off.reshape(off.shape[0], -1), scale.reshape(off.shape[0], -1)
    size = off.abs()
    if not bool((lone := (size < REACH * scale).double().mean(0) < OFTEN).any()):
        return False
    near = size < 0.1 * size.nanmedian(0).values
    passing = [(near & (off * side > 0)).double().mean(0) > SOME for side in (-1.0, 1.0)]
    return bool((lone & passing[0] & passing[1]).any())


@torch.no_grad()
def coarse(law: Law, draw: Tensor, root: Tensor, scale: Tensor) -> bool:
    """Whether numbers at a root that draws `[lanes, *batch]` may come to are too far apart for the width of the distribution."""
    wide = ULPS * torch.finfo(root.dtype).eps * root.abs() > COARSE * scale
    return bool(wide.any()) and bool((wide & (law.log_prob(torch.where(wide, root, draw)) > -torch.inf)).any())


def at_an_end(law: Law, draw: Tensor, root: Tensor, width: Tensor) -> tuple[Tensor, Tensor] | None:
    """Where a root beside a draw `[lanes, *batch]` is next to an end of the support at which the density is not 0, and a draw that
    stands there and moves with that end."""
    with torch.no_grad():
        scale = spread(law, draw).abs()
        width = width + NEXT * scale
        before, after = (law.support(root.detach() + side * width) for side in (-2.0, 2.0))
        if before is None or after is None or not bool((here := (before != after) & torch.isfinite(root)).any()):
            return None
        inside = torch.where(before, root - 2 * width, root + 2 * width)
        inside = torch.where(here, inside, law.stand_in(inside)).detach()
        here = here & (law.log_prob(inside).exp() * scale > FLAT)
        at_root = torch.where(here, root, inside).detach()
        held = law.support(at_root)
    return here, moved(law, at_root if held is None else torch.where(held, at_root, inside))
