"""Moments of runs as text, and joined again: what a part file holds (`probrun grad --save`), and what `probrun merge` makes of it.

Numbers are kept with all their bits, so that parts give what one call had given, up to the rounding of sums.  Blocks of runs have
seeds that step through 32 bits from a place that the seed says (`block_seed`); two parts are independent if their blocks are
others, and whether they are is worked out, also for different seeds that happen to lie near each other.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from ...dsl.text.source import Span
from ..blocks.collect import Collected
from ..blocks.moments import Accumulator
from ..blocks.posterior import Conditioned, Joint
from ..blocks.session import Session
from ..blocks.settings import WATCHED_RUNS, Settings, block_seed
from ..estimates.rivals import Contradiction
from ..lanes.endings import Cut

T = TypeVar("T")
KINDS: Mapping[str, type] = {kind.__name__: kind for kind in (Span, Accumulator, Joint, Collected, Conditioned, Contradiction, Cut)}
LEFT_OUT = ("settings", "other", "kept", "pending")  # of what was collected
STEP = 0x9E3779B9  # of `block_seed`
Part = tuple[int, int, int, int, int]  # seed, runs in all, share from 0 on, of how many, blocks at most in all


def packed(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, Tensor):
        held = value.detach().cpu().contiguous()
        content = base64.b64encode(zlib.compress(held.numpy().tobytes())).decode()
        return {"tensor": str(held.dtype).removeprefix("torch."), "shape": list(held.shape), "data": content}
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, list):
        return [packed(entry) for entry in value]
    if isinstance(value, tuple | set | frozenset):
        kind = "tuple" if isinstance(value, tuple) else "set"
        entries = value if isinstance(value, tuple) else sorted(value, key=repr)
        return {kind: [packed(entry) for entry in entries]}
    if isinstance(value, dict):
        return {"dict": [[packed(key), packed(entry)] for key, entry in value.items()]}
    name = type(value).__name__
    assert name in KINDS, name
    names = value.__slots__ if isinstance(value, Span) else value.__dict__
    return {"kind": name, "fields": {key: packed(getattr(value, key)) for key in names if key not in LEFT_OUT}}


def unpacked(text: Any, settings: Settings) -> Any:
    """What `packed` has made; KeyError, TypeError or ValueError where it has not."""
    if isinstance(text, list):
        return [unpacked(entry, settings) for entry in text]
    if not isinstance(text, dict):
        return text
    if "tensor" in text:
        content = bytearray(zlib.decompress(base64.b64decode(text["data"])))
        dtype = getattr(torch, text["tensor"])
        found = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
        return found.reshape(text["shape"]).clone()
    if "float" in text:
        return float(text["float"])
    if "tuple" in text or "set" in text:
        entries = [unpacked(entry, settings) for entry in text["tuple" if "tuple" in text else "set"]]
        return tuple(entries) if "tuple" in text else set(entries)
    if "dict" in text:
        return {unpacked(key, settings): unpacked(entry, settings) for key, entry in text["dict"]}
    kind, fields = KINDS[text["kind"]], {key: unpacked(entry, settings) for key, entry in text["fields"].items()}
    if issubclass(kind, Collected):
        whole = kind(fields["names"], settings)
        whole.__dict__.update(fields)
        return whole
    if kind is Accumulator:
        accumulator = Accumulator(fields["shape"])
        accumulator.__dict__.update(fields)
        return accumulator
    return kind(**fields)


def kept_of(collected: Collected) -> Any:
    """What is saved of moments: single results only as far as the tails are looked at, and none of weighed runs."""
    part = collected.sent()
    weighed = isinstance(part, Conditioned)
    part.draws = {} if weighed else {name: _first(rows) for name, rows in part.draws.items()}
    return packed(part)


def _first(rows: list[Tensor]) -> list[Tensor]:
    return [torch.cat(rows)[:WATCHED_RUNS].clone()] if rows else []


def joined(parts: Sequence[Any], settings: Settings, session: Session) -> Collected:
    """The moments of all parts, in their order; P0303 where they differ in shape."""
    whole: Collected | None = None
    for text in parts:
        part = unpacked(text, settings)
        if whole is None:
            whole = type(part)(part.names, settings)
            whole.shapes = part.shapes
        exact = part.exact and (not whole.done or whole.exact)
        whole.merge(part, session)
        whole.exact = exact
        whole.interrupted |= part.interrupted
        whole.out_of_time |= part.out_of_time
    assert whole is not None
    return whole


def same_numbers(one: Part, other: Part) -> bool:
    """Whether two parts may have blocks that draw the same random numbers."""
    seed, runs, share, whole, blocks = one
    if (seed, runs, whole) == (other[0], other[1], other[3]):
        return share == other[2]
    apart = (block_seed(other[0], 0) - block_seed(seed, 0)) * pow(STEP, -1, 2**32) % 2**32  # in blocks
    return apart < blocks or 2**32 - apart < other[4]
