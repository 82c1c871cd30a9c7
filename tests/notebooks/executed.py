"""Notebooks executed from top to bottom, for tests."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
CELL_PATIENCE_S = 240


def named(name: str) -> Path:
    """Return the notebook of that name."""
    return next(path for path in NOTEBOOKS if path.stem == name)


def run(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str = "", after: str = ""
) -> str:
    """Execute a notebook in a kernel of its own, with a cell ``before`` and ``after``; return what it printed."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    notebook = nbformat.read(path, as_version=4)
    if before:
        notebook.cells.insert(0, nbformat.v4.new_code_cell(before))
    if after:
        notebook.cells.append(nbformat.v4.new_code_cell(after))
    NotebookClient(notebook, timeout=CELL_PATIENCE_S, resources={"metadata": {"path": tmp_path}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("application/vnd.plotly.v1+json" in output.get("data", {}) for output in outputs)
    return "".join(output["text"] for output in outputs if output["output_type"] == "stream")
