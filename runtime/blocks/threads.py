"""Threads in which torch uses one core each, and work that is done in them in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

from ..lanes.meter import Stop

AHEAD = 2  # blocks per thread that may wait to be taken in
STACK = 2**28  # bytes of address space for the stack of a thread

KEPT_MEMORY = 31 * 2**20  # bytes; the C library looks at no more than 32 MB

T = TypeVar("T")
_pools: dict[int, ThreadPoolExecutor] = {}
_pools_lock = threading.Lock()


def pool(threads: int) -> ThreadPoolExecutor:
    """Threads in each of which torch uses one core.  They are kept: the setting is made once, when a thread begins."""
    with _pools_lock:
        known = _pools.get(threads)
        if known is not None:
            return known
        before, stack = torch.get_num_threads(), threading.stack_size(STACK)
        gate = threading.Barrier(threads + 1)

        def settle() -> None:
            torch.set_num_threads(1)
            gate.wait()

        pool = ThreadPoolExecutor(threads, "probrun", initializer=settle)
        for _ in range(threads):
            pool.submit(int)
        gate.wait()
        # glibc gives freed memory back to the system at once, and fresh pages are filled with zeros first, unless it has
        # seen an array as large as this one come and go (mallopt(3), M_MMAP_THRESHOLD: "dynamic")
        torch.empty(KEPT_MEMORY, dtype=torch.uint8)
        torch.set_num_threads(before)
        threading.stack_size(stack)
        _pools[threads] = pool
        return pool


def in_order(make: Callable[..., T], todo: list[tuple[int, int, int]], threads: int, stop: Stop) -> Iterator[T]:
    """`make` of every entry, in order, in threads if there are several; those that nobody waits for any more are told to `stop`."""
    if threads == 1:
        for arguments in todo:
            yield make(*arguments)
        return
    workers = pool(threads)
    waiting: deque[Future[T]] = deque()
    entries = iter(todo)
    try:
        for arguments in entries:
            waiting.append(workers.submit(make, *arguments))
            if len(waiting) > threads * AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        if waiting:
            stop.set()
        for future in waiting:
            future.cancel()
        for future in waiting:
            if not future.cancelled():
                future.exception()
