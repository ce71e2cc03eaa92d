"""Values by name, and where each was read: what is wrong with one can then name the file and the column."""

from __future__ import annotations

from collections.abc import Mapping


class Given(dict[str, object]):
    """Values by name; `origins` says of those that a file gave which file and which column."""

    def __init__(self) -> None:
        super().__init__()
        self.origins: dict[str, str] = {}


def origin_notes(values: Mapping[str, object], name: str) -> tuple[str, ...]:
    """The note that says where the value of a name was read; nothing for one that no file gave."""
    origin = values.origins.get(name) if isinstance(values, Given) else None
    return (f"read from {origin}",) if origin else ()
