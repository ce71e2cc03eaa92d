"""`%load_ext probrun`, then `%%prob grad -n 10000 -p theta=2` over a cell that holds a program."""

from __future__ import annotations

import shlex
from typing import Any


def load_ipython_extension(ipython: Any) -> None:
    """Called by IPython for `%load_ext probrun`."""
    ipython.register_magic_function(prob, magic_kind="cell", magic_name="prob")


def prob(line: str, cell: str) -> None:
    """`%%prob COMMAND OPTIONS`: the command line's words, with the cell as the program (`grad` if no command is named)."""
    from .cli import COMMAND_NAMES, execute

    words = shlex.split(line)
    if not words or words[0] not in COMMAND_NAMES:
        words.insert(0, "grad")
    execute([*words, "-e", cell])
