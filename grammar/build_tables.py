"""Write `tables.py` from `prob.lark`: `python -m probrun.grammar.build_tables`."""

from __future__ import annotations

from pathlib import Path

from . import build_parser, fingerprint, tables_of

HEAD = '''"""LALR tables of `prob.lark`, written by `python -m probrun.grammar.build_tables`; do not edit."""
# ruff: noqa
'''


def tables_text() -> str:
    """The text of `tables.py`: JSON in a string, which Python reads faster than a literal."""
    stored = tables_of(build_parser()).replace("},", "},\n")
    return f"{HEAD}FINGERPRINT = {fingerprint()!r}\nTABLES = r'''{stored}'''\n"


if __name__ == "__main__":
    (Path(__file__).parent / "tables.py").write_text(tables_text(), encoding="utf-8")
