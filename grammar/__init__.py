"""The grammar of `.prob` files: its text, and lark's parser for it.

Building the LALR tables takes lark about half a second, loading them 10 ms; so they are kept in `tables.py`, which
`python -m probrun.grammar.build_tables` writes.  Tables made from another grammar text or by another lark are
never used: they are built then, once, and kept in the user's cache (`shelf.py`).  Where they cannot be kept, every start builds
them, and `take_complaint` says so: this room prints nothing.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from importlib.resources import files
from typing import Any

import lark
from lark.grammar import Rule
from lark.lexer import TerminalDef

STARTS = ["program", "estimator", "expression"]
UNFIT = (LookupError, TypeError, AttributeError, ValueError)  # of tables of a lark with another inside

_complaints: list[str] = []


class KeepTerminals:
    """Makes lark keep the terminals that no rule uses: they exist to be refused with a hint."""

    always_accept = ("WRONG", "UNKNOWN")

    @staticmethod
    def process(stream: Any) -> Any:
        """The tokens as they come; `dsl/reading/tokens.py` arranges them."""
        return stream


def grammar_text() -> str:
    """The text of `prob.lark`."""
    return (files(__package__) / "prob.lark").read_text(encoding="utf-8")


def fingerprint() -> str:
    """What the tables depend on: lark's version and the grammar's text."""
    return f"lark {lark.__version__} {hashlib.sha256(grammar_text().encode()).hexdigest()}"


def build_parser(transformer: Any = None, strict: bool = False) -> lark.Lark:
    """The parser, built from the text; `strict` refuses every ambiguity (needs interegular)."""
    return lark.Lark(
        grammar_text(), parser="lalr", lexer="basic", start=STARTS, keep_all_tokens=True, maybe_placeholders=False,
        postlex=KeepTerminals(), transformer=transformer, strict=strict,
    )  # fmt: skip


def tables_of(parser: lark.Lark) -> str:
    """The tables of a parser, as JSON."""
    data, memo = parser.memo_serialize([TerminalDef, Rule])
    data["options"]["postlex"] = None
    return json.dumps({"data": data, "memo": memo}, separators=(",", ":"))


def _with_numbers(mapping: dict[str, Any]) -> dict[Any, Any]:
    """Whole numbers as keys again, which JSON has turned into text."""
    return {int(key): value for key, value in mapping.items()} if all(map(str.isdecimal, mapping)) else mapping


def _from_tables(text: str, transformer: Any) -> lark.Lark:
    load: Any = lark.Lark._load_from_dict  # the way of lark's own standalone parsers
    parser: lark.Lark = load(**json.loads(text, object_hook=_with_numbers), postlex=KeepTerminals(), transformer=transformer)
    return parser


def load_parser(transformer: Any = None) -> lark.Lark:
    """The parser, from prepared or kept tables where they fit; `transformer` has a method per rule (`list -> node`)."""
    key = fingerprint()
    try:
        from . import tables

        if key == tables.FINGERPRINT:
            return _from_tables(tables.TABLES, transformer)
    except (ImportError, *UNFIT):
        pass  # build them
    return _load_kept(key, transformer)


def _load_kept(key: str, transformer: Any) -> lark.Lark:
    """The parser from tables in the user's cache, which are built and put there if need be."""
    from . import shelf

    kept = shelf.read(key)
    if kept is not None:
        with suppress(Exception):  # whatever another hand has made of the file
            return _from_tables(kept, transformer)
    try:
        text = tables_of(build_parser())
        parser = _from_tables(text, transformer)
    except UNFIT as error:
        _complain(f"they cannot be written down ({type(error).__name__}: {error})")
        return build_parser(transformer)
    problem = shelf.write(key, text)
    if problem is not None and shelf.read(key) is None:  # another process may have put them there
        _complain(f"they cannot be kept: {problem}")
    return parser


def _complain(problem: str) -> None:
    _complaints.append(f"slow start: parser tables for lark {lark.__version__} are built every time; {problem}")


def take_complaint() -> str | None:
    """Why every start takes half a second longer, in one line; None: it does not, or it has been said."""
    return _complaints.pop() if _complaints else None
