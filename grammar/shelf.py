"""Where the parser's tables for another lark are kept: a file in the user's cache.

What is read there is data, never code: JSON, under a first line that names lark's version, the grammar and a checksum of the rest.
A file that is cut short, of another version, or of another user counts as none.  It is written under another name and then put
in its place in one step, so that several processes can do it at once.  Nothing here fails: a cache that cannot be used is told.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from pathlib import Path

from platformdirs import user_cache_path

FORM = 1  # of the file


def place(key: str) -> Path:
    """The file for the tables of one lark and one grammar (`fingerprint()`)."""
    lark, version, grammar = key.split()
    return user_cache_path("probrun", appauthor=False) / f"parser-{FORM}-{lark}-{version}-{grammar[:16]}.json"


def _heading(key: str, text: str) -> str:
    return f"probrun {FORM} {key} {hashlib.sha256(text.encode()).hexdigest()}\n"


def read(key: str) -> str | None:
    """The tables that are kept, or None."""
    try:
        with place(key).open(encoding="utf-8", newline="") as stream:
            facts = os.fstat(stream.fileno())
            if not stat.S_ISREG(facts.st_mode) or _of_another(facts.st_uid):
                return None
            heading, text = stream.readline(), stream.read()
    except (OSError, UnicodeError):
        return None
    return text if heading == _heading(key, text) else None


def _of_another(user: int) -> bool:
    """Whether a file belongs to somebody who is not this user (nor root)."""
    return hasattr(os, "geteuid") and user not in (0, os.geteuid())


def write(key: str, text: str) -> str | None:
    """Keep tables; gives what is in the way, in words, or None."""
    path = place(key)
    if not path.is_absolute():
        return "there is no home directory"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        number, draft = tempfile.mkstemp(prefix=".parser-", suffix=".tmp", dir=path.parent)
        try:
            with open(number, "w", encoding="utf-8", newline="") as stream:
                stream.write(_heading(key, text) + text)
            os.replace(draft, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(draft)
            raise
    except OSError as error:
        return f"{path.parent}: {error.strerror or error}"
    return None
