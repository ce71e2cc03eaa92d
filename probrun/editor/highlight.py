"""A lexer for Pygments, so that documentation and notebooks colour programs (`prob`).

Its words come from the grammar and the tables (`dsl/reading/words.py`); what is never right in a program is an error.
"""

from __future__ import annotations

import re
from typing import ClassVar

from pygments.lexer import RegexLexer, bygroups, words
from pygments.token import Comment, Error, Keyword, Name, Number, Operator, Punctuation, Whitespace

from ..dsl.reading.words import terminals
from ..dsl.reading.words import words as words_of_kind

_T, _W = terminals(), words_of_kind()
_NAME = _T["NAME"]
_BEFORE_VALUE = r"(?=[ \t]*(?:[-(.\d]|[^\W\d]))"


def _called(kind: str) -> words:
    """The words of a kind before a bracket."""
    return words(_W[kind], prefix=r"\b", suffix=r"\b(?=[ \t]*\()")


class ProbLexer(RegexLexer):
    """Programs of probrun."""

    name = "probrun"
    aliases: ClassVar = ["prob", "probrun"]
    filenames: ClassVar = ["*.prob"]
    mimetypes: ClassVar = ["text/x-prob"]
    url = "docs/editor.md"
    flags = re.MULTILINE

    tokens: ClassVar = {
        "root": [
            (r"^([ \t]*)(factor)\b" + _BEFORE_VALUE, bygroups(Whitespace, Keyword)),
            (r"([{;])([ \t]*)(factor)\b" + _BEFORE_VALUE, bygroups(Punctuation, Whitespace, Keyword)),
            (r"(\))([ \t]*)(via)\b(?=[ \t]+[^\W\d])", bygroups(Punctuation, Whitespace, Keyword)),
            (rf"\b(using)([ \t]+)({_NAME})(?:([ \t]+)(via)\b(?=[ \t]+[^\W\d]))?",
             bygroups(Keyword, Whitespace, Name.Decorator, Whitespace, Keyword)),
            (rf"\b(fn)([ \t]+)({_NAME})", bygroups(Keyword.Declaration, Whitespace, Name.Function)),
            (r"[ \t\f\r\n]+", Whitespace),
            (_T["COMMENT"], Comment.Single),
            (_T["WRONG"], Error),
            (_T["NUMBER"], Number),
            (words(_W["declaring"], prefix=r"\b", suffix=r"\b"), Keyword.Declaration),
            (words(_W["control"], prefix=r"\b", suffix=r"\b"), Keyword),
            (words(_W["operators"], prefix=r"\b", suffix=r"\b"), Operator.Word),
            (words(_W["constants"], prefix=r"\b", suffix=r"\b"), Keyword.Constant),
            (rf"(?:{'|'.join(_W['domains'])})\b", Keyword.Type),
            (_called("distributions"), Name.Class),
            (_called("functions"), Name.Builtin),
            (rf"{_NAME}(?=[ \t]*\()", Name.Function),
            (_NAME, Name.Variable),
            (r"\*\*|[<>=!]=|[-+*/%^<>=~]", Operator),
            (r"[(){}\[\],:;]", Punctuation),
        ],
    }
