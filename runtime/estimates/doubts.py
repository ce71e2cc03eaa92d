"""What a gradient says against itself: warnings in words, each of which makes the exit status 3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Doubt:
    """Why a number is not to be trusted: a code of `probrun help`, a sentence, and the line that it is about, if one is."""

    code: str
    message: str
    line: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The entry of `warnings` in the JSON."""
        return {"code": self.code, "message": self.message, "line": self.line}
