"""Whether this thread is writing a block down as a graph: then numbers must stay in tensors."""

from __future__ import annotations

import threading

_here = threading.local()


def recording() -> bool:
    """Whether this thread is writing a block down: numbers must stay in tensors."""
    return getattr(_here, "on", False)
