"""Before they are a team: the processes of a job leave word for each other in torch's store.

A launcher that sees one process end with a failure ends all the others at once (torchrun does; Slurm can).  Process 0 is the one
that prints the report or the error, so none of the others may end with a failure before it has; and none may stay away in
silence, because process 0 waits for all.  Hence two rules:

1. Each process says on the board that it has come, or why it will not; a team begins when all have come.  What goes wrong
   after that is told in the team (`team.py`).
2. A process that process 0 no longer waits for ends with status 0, however the work has ended: process 0 knows it, and its
   status is that of the job.  Only a process that could not tell what happened to it ends with a failure of its own.

Rejected: to wait until process 0 has printed.  If it dies on the way, that wait has no end but a limit of time.
"""

from __future__ import annotations

import pickle
from functools import cache
from typing import Any

import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from ..blocks.ranks import rank, world_size

Word = tuple[str, Any]  # "come", or what went wrong, packed
COME: Word = ("come", None)


class Unreachable(Exception):
    """The store, or a process that has left no word there."""


class Board:
    """The store of a job.  A process that comes a second time starts a new page."""

    def __init__(self) -> None:
        try:
            self.store: Store = next(rendezvous("env://"))[0]
        except dist.DistError as error:
            raise Unreachable(f"the store of the job cannot be reached: {error}") from error
        self.number = 0

    def meet(self, word: Word) -> list[Word]:
        """Leave a word, and wait for those of all processes, in the order of ranks."""
        self.leave(word)
        found = []
        for number in range(world_size()):
            try:
                found.append(pickle.loads(bytes.fromhex(self.store.get(f"{self._page}/{number}").decode())))
            except dist.DistError as error:
                raise Unreachable(f"process {number} has left no word: {error}") from error
        return found

    def leave(self, word: Word) -> None:
        """Leave a word on a new page, without waiting."""
        self.number += 1
        try:
            self.store.set(f"{self._page}/{rank()}", pickle.dumps(word).hex())
        except dist.DistError as error:
            raise Unreachable(f"the store of the job cannot be reached: {error}") from error

    @property
    def _page(self) -> str:
        return f"probrun/{self.number}"

    def below(self) -> Store:
        """The part of the store that belongs to the team of this page."""
        return PrefixStore(f"{self._page}/team", self.store)


@cache
def board() -> Board:
    """The board of this process's job."""
    return Board()
