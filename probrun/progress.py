"""The progress bar on standard error: only on a terminal, only after half a second, gone at the end.

It is drawn by a thread of its own, so that it also shows while the work has nothing to count yet: a pilot, an exact answer that
is tried, a gradient that is verified.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress as Bar


class Progress:
    """What is going on, and how much of it is done."""

    PATIENCE = 0.5

    def __init__(self, stream: IO[str] | None = None, unit: str = "runs") -> None:
        self.stream = stream or sys.stderr
        self.words = unit
        self.unit = unit
        self.done, self.total = 0, 0
        self.bar: Bar | None = None
        self.task: Any = None
        self.ended = False
        self.lock = threading.Lock()
        self.timer = threading.Timer(self.PATIENCE, self._show)
        self.timer.daemon = True

    def __enter__(self) -> Progress:
        if self.stream.isatty():
            self.timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.timer.cancel()
        with self.lock:
            self.ended = True
            if self.bar is not None:
                self.bar.stop()

    def __call__(self, done: int, total: int) -> None:
        """`done` of `total` are made."""
        self.words, self.done, self.total = self.unit, done, total
        self._update()

    def phase(self, words: str) -> None:
        """Something begins that cannot be counted."""
        self.words, self.done, self.total = words, 0, 0
        self._update()

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        with self.lock:
            if self.ended:
                return
            columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
            self.bar = Bar(*columns, console=Console(file=self.stream), transient=True)
            self.task = self.bar.add_task(self.words, total=self.total or None, completed=self.done)
            self.bar.start()

    def _update(self) -> None:
        if self.bar is not None and not self.ended:
            self.bar.update(self.task, description=self.words, completed=self.done, total=self.total or None)


def phase_of(progress: Callable[[int, int], None] | None) -> Callable[[str], None]:
    """What is told what begins: the method `phase` of a progress, if it has one."""
    found: Callable[[str], None] = getattr(progress, "phase", lambda words: None)
    return found
