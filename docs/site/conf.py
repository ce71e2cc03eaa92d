"""The site of the documents: `make docs` builds it into build/docs."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from probrun.editor.highlight import ProbLexer  # noqa: E402

project = "probrun"
author = "the probrun developers"
extensions = ["myst_nb", "sphinx.ext.mathjax"]
html_theme = "alabaster"
html_theme_options = {"description": "the right gradient of an expectation, or a refusal that says why", "page_width": "1100px"}
html_sidebars = {"**": ["about.html", "navigation.html", "searchbox.html"]}
exclude_patterns = ["site", "**.ipynb_checkpoints"]
myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]
nb_execution_mode = "force"
nb_execution_timeout = 240
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_merge_streams = True
suppress_warnings = ["mystnb.mime_priority"]


def setup(app: object) -> None:
    """Let `.prob` blocks be coloured."""
    app.add_lexer("prob", ProbLexer)  # type: ignore[attr-defined]
