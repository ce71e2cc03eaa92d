"""Gathers the pages of the site into a folder: the documents, the README, and the reference that is made from the tables.

`python docs/site/pages.py FOLDER`
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
ORDER = (
    ("First steps", ("tutorial", "gallery", "differentiating-through-randomness", "glossary")),
    ("How to", ("language", "command-line", "python", "fitting", "observations", "distributed", "editor")),
    ("For", ("calibration", "greeks", "variational", "teaching")),
    ("What is behind it", ("estimators", "choice", "exact", "coverage", "performance", "architecture", "extending")),
    ("Reference", ("reference-functions", "reference-distributions", "reference-estimators", "reference-codes")),
)


def main(folder: Path) -> None:
    """Write all pages."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs", folder, ignore=shutil.ignore_patterns("site", "*.py", "__pycache__"))
    for name, text in _reference().items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    for page in folder.glob("*.md"):
        page.write_text(_tame(page.read_text(encoding="utf-8")), encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    readme = re.sub(r"\]\(docs/", "](", readme)
    trees = [f"```{{toctree}}\n:caption: {title}\n:maxdepth: 1\n\n" + "\n".join(names) + "\n```\n" for title, names in ORDER]
    (folder / "index.md").write_text(_tame(readme) + "\n\n" + "\n".join(trees), encoding="utf-8")
    _missing(folder)


def _missing(folder: Path) -> None:
    listed = {name for _, names in ORDER for name in names} | {"index"}
    there = {path.stem for path in folder.iterdir() if path.suffix in (".md", ".ipynb")}
    if listed != there:
        raise SystemExit(f"docs/site/pages.py lists {sorted(listed - there)} that are not there, and not {sorted(there - listed)}")


def _tame(text: str) -> str:
    """A page as MyST reads it: a code in a fence is for our tests, links to files of the source are names, mermaid is text."""
    text = re.sub(r"^```prob P\d+$", "```prob", text, flags=re.MULTILINE)
    text = re.sub(r"^```mermaid$", "```text", text, flags=re.MULTILINE)
    return re.sub(r"\[([^\]]+)\]\((?:\.\./)?(?:[A-Z]+(?:\.\w+)?|examples[^)]*|benchmarks/[^)]*|tests/[^)]*)\)", r"\1", text)


def _reference() -> dict[str, str]:
    """The pages that are made from the tables, as `probrun help` shows them."""
    from probrun import help as pages

    found = {}
    for group in ("functions", "distributions", "estimators", "codes"):
        members = pages.topics()[group]
        lines = [f"# {group.capitalize()}", "", f"What `probrun help {group}` shows, a page each.", ""]
        for member in members:
            lines += [f"## {member}", "", "```text", (pages.page(member) or "").strip(), "```", ""]
        found[f"reference-{group}"] = "\n".join(lines)
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
