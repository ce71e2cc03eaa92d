"""The tutorial is executed in an empty folder, cell by cell, as a reader would."""

from __future__ import annotations

from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parent.parent / "docs" / "tutorial.ipynb"


def test_the_tutorial_runs_and_shows_html(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    book = nbformat.read(NOTEBOOK, 4)
    nbclient.NotebookClient(book, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert (tmp_path / "newspapers.prob").exists()
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    seen = dict.fromkeys(("text/html", "image/png"), 0)
    for cell in cells:
        for output in cell.outputs:
            assert output.get("name") != "stderr", output.text
            data = output.get("data", {})
            for kind in seen:
                seen[kind] += kind in data
            if "text/html" in data and not cell.source.startswith(("print", "program.explain", "%%prob -o jumping")):
                assert "<table" in data["text/html"] and data["text/plain"].strip()
    assert seen["text/html"] >= 8 and seen["image/png"] >= 4
    printed = next(cell for cell in cells if cell.source.startswith("print(result)")).outputs[0]
    shown = next(cell for cell in cells if cell.source.startswith("%prob -o result")).outputs[0]
    assert printed.name == "stdout" and printed.text.rstrip("\n") == shown.data["text/plain"].rstrip("\n")
    assert "E[profit]" in printed.text and "demand" in printed.text
