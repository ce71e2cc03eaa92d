"""Whether this thread is writing a block down as a graph: then numbers must stay in tensors."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_here = threading.local()


def recording() -> bool:
    """Whether this thread is writing a block down: numbers must stay in tensors."""
    return getattr(_here, "on", False)


@contextmanager
def written_down() -> Iterator[None]:
    """What this thread does inside is being written down."""
    _here.on = True
    try:
        yield
    finally:
        _here.on = False
