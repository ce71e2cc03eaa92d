"""Memory is asked for before it is taken, where much of it is wanted: a Linux machine promises what it does not have, and ends
whoever makes use of the promise.

What is small (below LARGE numbers) is not asked about, so nothing is lost where there is enough.

Large results with long rows, which come and go, are put where NumPy takes memory (`taken`).  torch asks the C library for memory
that begins at a multiple of 64 bytes; glibc before 2.38 cuts a few bytes off either end of a freed piece for that, so that the next
of the same size does not fit there: a loop over large arrays touches fresh memory in every round, gigabytes of it, which takes far
longer than to compute with it (measured: nine times as long for a hundred rounds of arrays of 6 MB).  NumPy asks for any place, and
gets the one that was freed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from .private import observed

LARGE = 2**24  # numbers
TAKEN = 2**16  # numbers, at least, of a result that is put where NumPy takes memory,
LONG = 2**14  # and of each of its rows
BYTES = 4  # of a number, at least
ALWAYS = 2**46  # bytes that no machine has
_NUMPY: dict[torch.dtype, Any] = {torch.float32: numpy.float32, torch.float64: numpy.float64}
_SIZES = {"bytes": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_WANTED = re.compile(r"tried to allocate ([\d.]+) (\w+)", re.IGNORECASE)
_FAILED = (
    "allocate memory", "not enough memory", "out of memory", "bad_alloc", "size calculation overflowed",
    "multiplication overflow", "Overflow when unpacking long",
)


class NoRoom(MemoryError):
    """So many bytes are not there (0: nobody knows how many)."""

    def __init__(self, wanted: int):
        self.wanted = wanted
        super().__init__(f"{wanted} bytes")


def ask(numbers: int, device: torch.device | None = None, times: int = 2) -> None:
    """Raises NoRoom where there is no memory for so many numbers more, `times` over: nothing is computed without a copy."""
    if numbers >= LARGE and times * numbers * BYTES > available(device):
        raise NoRoom(numbers * BYTES)


def taken(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor | None:
    """Where to put a large result with long rows `[lanes, *event]` that is not differentiated; None: it is none, or torch has to
    make it."""
    if math.prod(shape) < TAKEN or math.prod(shape[1:]) < LONG or device.type != "cpu" or dtype not in _NUMPY or observed():
        return None
    return torch.from_numpy(numpy.empty(tuple(shape), dtype=_NUMPY[dtype]))


def available(device: torch.device | None = None) -> int:
    """Bytes that can still be had."""
    if device is not None and device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0]) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return min(_machine(), _group())


def _machine() -> int:
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return int(found[1]) * 1024 if found else ALWAYS


def _group() -> int:
    """What the container leaves of it (kernel.org, admin-guide/cgroup-v2.html, and version 1), files that are only cached aside."""
    for folder, most, used, kept in (
        (Path("/sys/fs/cgroup"), "memory.max", "memory.current", r"^(?:in)?active_file (\d+)$"),
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", r"^total_(?:in)?active_file (\d+)$"),
    ):
        try:
            limit, taken = int((folder / most).read_text()), int((folder / used).read_text())
            cached = sum(int(size) for size in re.findall(kept, (folder / "memory.stat").read_text(), re.MULTILINE))
        except (OSError, ValueError):  # not there, or `max`
            continue
        return max(limit - max(taken - cached, 0), 0)
    return ALWAYS


def wanted(problem: BaseException) -> int | None:
    """How many bytes an allocation that failed was for (0: it does not say); None where it is another problem."""
    if isinstance(problem, NoRoom):
        return problem.wanted
    text = str(problem)
    if not isinstance(problem, MemoryError | torch.OutOfMemoryError) and not any(words in text for words in _FAILED):
        return None
    found = _WANTED.search(text)
    return int(float(found[1]) * _SIZES.get(found[2], 1)) if found else 0


def words(amount: int) -> str:
    """`3.7 GB`: bytes as a person writes them."""
    size = float(amount)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:.3g} {unit}"
