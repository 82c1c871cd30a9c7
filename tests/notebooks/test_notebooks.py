"""The notebooks run from top to bottom, with real history and without it, and are committed without outputs."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
WITHOUT_HISTORY = "import data.locate\n\ndata.locate.find_history = lambda explicit=None: None"
CELL_PATIENCE_S = 240

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str = "") -> str:
    """Execute a notebook in a kernel of its own; return all the text it printed."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    notebook = nbformat.read(path, as_version=4)
    if before:
        notebook.cells.insert(0, nbformat.v4.new_code_cell(before))
    NotebookClient(notebook, timeout=CELL_PATIENCE_S, resources={"metadata": {"path": tmp_path}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("application/vnd.plotly.v1+json" in output.get("data", {}) for output in outputs)
    return "".join(output["text"] for output in outputs if output["output_type"] == "stream")


def test_there_are_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["01-first-backtest", "02-routing-thresholds"]


@each_notebook
def test_it_runs_on_the_real_flow(path, tmp_path, monkeypatch, real_history) -> None:
    assert "Real history found" in run(path, tmp_path, monkeypatch)


@each_notebook
def test_it_runs_on_a_synthetic_market_and_says_so(path, tmp_path, monkeypatch) -> None:
    assert "No real history at hand" in run(path, tmp_path, monkeypatch, before=WITHOUT_HISTORY)


@each_notebook
def test_it_is_committed_without_outputs(path) -> None:
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell for cell in code if cell.outputs or cell.execution_count is not None] == []
