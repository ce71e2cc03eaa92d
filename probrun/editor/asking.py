"""What the commands hand to the language server: `explain` and `help` of the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..dsl.names.resolved import Resolved


class SiteTold(Protocol):
    """What `probrun explain` says of a site."""

    @property
    def name(self) -> str:
        """The site's name."""
        ...

    @property
    def estimator(self) -> str:
        """What is taken there, without measuring."""
        ...

    @property
    def summary(self) -> str:
        """The estimator in a few words."""
        ...

    @property
    def because(self) -> tuple[str, ...]:
        """Why it is taken."""
        ...

    @property
    def rejected(self) -> tuple[tuple[str, str], ...]:
        """Other estimators, and why not."""
        ...

    @property
    def among(self) -> tuple[str, ...]:
        """Every estimator that it may get."""
        ...

    @property
    def path(self) -> str:
        """From a parameter through the site to the result."""
        ...


Explain = Callable[["Resolved"], Sequence[SiteTold]]
Page = Callable[[str], "str | None"]
