"""`python -m probrun` is the command `probrun`."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn

from .cli import main


def command() -> NoReturn:
    """The whole life of a process.  It ends without taking apart what torch has made, which takes longer than a short run."""
    status = main()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    command()
