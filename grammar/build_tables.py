"""Write `tables.py` from `prob.lark`: `python -m probrun.grammar.build_tables`."""

from __future__ import annotations

import re
from pathlib import Path

from lark.grammar import Rule
from lark.lexer import TerminalDef

from . import build_parser, fingerprint

HEAD = '''"""LALR tables of `prob.lark`, written by `python -m probrun.grammar.build_tables`; do not edit."""
# ruff: noqa
from typing import Any

'''


def tables_text() -> str:
    """The text of `tables.py`."""
    data, memo = build_parser().memo_serialize([TerminalDef, Rule])
    data["options"]["postlex"] = None
    parts = [f"FINGERPRINT = {fingerprint()!r}"]
    for name, value in (("DATA", data), ("MEMO", memo)):
        parts.append(f"{name}: Any = " + re.sub(r"(\}, )(?=\d+: \{)", r"},\n", repr(value)))
    return HEAD + "\n".join(parts) + "\n"


if __name__ == "__main__":
    (Path(__file__).parent / "tables.py").write_text(tables_text(), encoding="utf-8")
