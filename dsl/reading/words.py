"""The words of the language by what they are, read from the grammar and the tables: for whatever colours or completes a program."""

from __future__ import annotations

import re
from functools import cache

from ...grammar import grammar_text
from ..syntax import FORMS
from ..tables.composites import COMPOSITES
from ..tables.constants import CONSTANTS
from ..tables.distributions import DISTRIBUTIONS
from ..tables.estimators import ESTIMATORS
from ..tables.functions import FUNCTIONS

_DECLARING = ("param", "data", "fn")
_OPERATORS = ("in", "and", "or", "not")
_TRUTHS = ("true", "false")
_IN_CONTEXT = ("factor", "via")  # words only where no name can stand (`tokens.py`)
_DOMAINS = ("simplex",)


@cache
def terminals() -> dict[str, str]:
    """The regular expression (without numbered groups) or the text (in quotes) of every terminal that is written in one piece."""
    found = re.findall(r'^([A-Z]+)(?:\.-?\d+)?: (/.+/|"[^"]+")$', grammar_text(), re.MULTILINE)
    return {name: re.sub(r"(?<!\\)\((?!\?)", "(?:", text[1:-1]) if text.startswith("/") else text for name, text in found}


@cache
def reserved() -> tuple[str, ...]:
    """The reserved words, in the order of the grammar."""
    return tuple(text[1:-1] for text in terminals().values() if re.fullmatch(r'"[a-z]+"', text))


@cache
def words() -> dict[str, tuple[str, ...]]:
    """Every word that means something by itself, by kind; each reserved word is of one kind."""
    others = {*_DECLARING, *_OPERATORS, *_TRUTHS}
    return {
        "declaring": _DECLARING,
        "operators": _OPERATORS,
        "control": tuple(word for word in reserved() if word not in others),
        "context": _IN_CONTEXT,
        "constants": (*_TRUTHS, *CONSTANTS),
        "distributions": (*DISTRIBUTIONS, *COMPOSITES),
        "functions": (*FUNCTIONS, "range", *FORMS),
        "domains": _DOMAINS,
        "estimators": tuple(ESTIMATORS),
    }
