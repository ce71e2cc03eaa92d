"""The grammar of `.prob` files: its text, and lark's parser for it.

Building the LALR tables takes lark about 0.3 s, loading them 10 ms; so they are kept in `tables.py`, which
`python -m probrun.grammar.build_tables` writes.  Tables made from another grammar text or by another lark are
never used: the parser is then built from the text, only slower.
"""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from typing import Any

import lark

STARTS = ["program", "estimator", "expression"]


class KeepTerminals:
    """Makes lark keep the terminals that no rule uses: they exist to be refused with a hint."""

    always_accept = ("WRONG", "UNKNOWN", "OBSERVE")

    @staticmethod
    def process(stream: Any) -> Any:
        """The tokens as they come; `dsl/tokens.py` arranges them."""
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


def _with_numbers(mapping: dict[str, Any]) -> dict[Any, Any]:
    """Whole numbers as keys again, which JSON has turned into text."""
    return {int(key): value for key, value in mapping.items()} if all(map(str.isdecimal, mapping)) else mapping


def load_parser(transformer: Any = None) -> lark.Lark:
    """The parser, from the prepared tables where they fit; `transformer` has a method per rule (`list -> node`)."""
    try:
        from . import tables

        if fingerprint() == tables.FINGERPRINT:
            load: Any = lark.Lark._load_from_dict  # the way of lark's own standalone parsers
            stored = json.loads(tables.TABLES, object_hook=_with_numbers)
            parser: lark.Lark = load(**stored, postlex=KeepTerminals(), transformer=transformer)
            return parser
    except (ImportError, LookupError, TypeError, AttributeError, ValueError):
        pass  # tables of a lark with another inside: build instead
    return build_parser(transformer)
