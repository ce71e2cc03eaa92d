"""Every diagnostic code with its explanation: the pages of `probrun help P0402`.

Codes are stable: a script may test for them.  P01 is syntax, P02 names and calls, P03 shapes, P04 estimators, P05 what
happens while running, P06 the values given from outside, P07 why a result is not to be
trusted (warnings), P09 a fault of probrun itself.
"""

from __future__ import annotations

from .code_page import Code
from .code_pages_estimators import PAGES as ESTIMATOR_PAGES
from .code_pages_names import PAGES as NAME_PAGES
from .code_pages_running import PAGES as RUNNING_PAGES
from .code_pages_syntax import PAGES as SYNTAX_PAGES

__all__ = ["CODES", "Code"]

CODES: dict[str, Code] = {
    entry.code: entry
    for entry in sorted((*SYNTAX_PAGES, *NAME_PAGES, *ESTIMATOR_PAGES, *RUNNING_PAGES), key=lambda entry: entry.code)
}
