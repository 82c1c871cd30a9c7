"""The notebooks run from top to bottom, with real history and without it, and are committed without outputs."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
ON_HISTORY = ("01-first-backtest", "02-routing-thresholds")  # the others make their own market anywhere
TUNING, STRESS, TRADING = "03-tuning", "04-hedging-and-liquidation-stress", "05-trading-api"
WITHOUT_HISTORY = "import data.locate\n\ndata.locate.find_history = lambda explicit=None: None\n"
# Every cell does the same on the first part of a history, in a fraction of the time.
SHORTER = """
import backtest.scenario
from backtest.scenario_overrides import apply_overrides

load = backtest.scenario.load_scenario
shorter = ["data.to_share=0.2", "report.counterfactuals=false"]
backtest.scenario.load_scenario = lambda name: apply_overrides(load(name), shorter)
"""
CELL_PATIENCE_S = 240
# What the prose tells of the results, asked in a last cell: a change of the rules must not make it untrue.
TOLD_OF_TUNING = """
later = chosen and next(each for each in findings.finalists if each.point is chosen).parts["later"]
print(
    "as told:",
    findings.recommended is not None and sure.p_value > 0.05,
    chosen.figures["house_pnl"] > 10 * abs(later.figures["house_pnl"]),
    "stopped" in trials["state"],
    all(part.startswith("later") for each in refused.finalists for part, own in each.parts.items() if own.broken),
)
"""
TOLD_OF_STRESS = """
pnl = {key: float(result.metrics["house_pnl"]["total"]) for key, result in results.items()}
bps = closes.group_by("rule").agg(pl.col("worse_bps").max()).rows_by_key("rule")
survivors = survived.filter(pl.all_horizontal(pl.col(stress) == "✓" for stress in STRESSES))["rule"]
print(
    "as told:",
    pnl["flash-crash", "no hedge"] > 0 > pnl["flash-crash", "all of it"],
    pnl["one-way-crowd", "all of it"] > 0 > pnl["one-way-crowd", "no hedge"],
    figures["all, poor, 10x", "flash-crash"]["hedge_margin_ratio"] < 1,
    bps["whole, cap 0.2 %"] < bps["whole, cap 2 %"],
    "all of it" in survivors and "no hedge" not in survivors,
)
"""

TOLD_OF_TRADING = """
ratios = [each["ratio"] for each in path if each["ratio"] is not None]
print(
    "as told:",
    ratios == sorted(ratios, reverse=True) and ratios[-1] > 1,
    path[-1]["unrealised"] == 0 and path[-1]["equity"] == float(balance.total_balance),
    fill.price == fill.hl_reference_price and placed == again,
    [row["liquidated at"] for row in rows] == sorted(row["liquidated at"] for row in rows),
)
"""


def named(name: str) -> Path:
    """Return the notebook of that name."""
    return next(path for path in NOTEBOOKS if path.stem == name)


each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
on_history = pytest.mark.parametrize("path", [named(name) for name in ON_HISTORY], ids=ON_HISTORY)


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


def test_there_are_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == [*ON_HISTORY, TUNING, STRESS, TRADING]


@on_history
def test_it_runs_on_the_real_flow(path, tmp_path, monkeypatch, real_history) -> None:
    assert "Real history found" in run(path, tmp_path, monkeypatch, before=SHORTER)


@on_history
def test_it_runs_on_a_synthetic_market_and_says_so(path, tmp_path, monkeypatch) -> None:
    assert "No real history at hand" in run(path, tmp_path, monkeypatch, before=WITHOUT_HISTORY + SHORTER)


def test_the_tuning_walk_recommends_with_doubts_repeats_a_digest_and_refuses(tmp_path, monkeypatch) -> None:
    """What its prose says of its own results must stay true."""
    printed = run(named(TUNING), tmp_path, monkeypatch, after=TOLD_OF_TUNING)
    assert "the same run: True" in printed
    assert "recommended: nothing" in printed
    assert "as told: True True True True" in printed


def test_the_stress_tests_end_as_their_prose_says(tmp_path, monkeypatch) -> None:
    printed = run(named(STRESS), tmp_path, monkeypatch, after=TOLD_OF_STRESS)
    assert "as told: True True True True True" in printed


def test_a_newcomer_trades_and_is_liquidated_on_a_server_of_the_notebook_s_own(tmp_path, monkeypatch) -> None:
    printed = run(named(TRADING), tmp_path, monkeypatch, after=TOLD_OF_TRADING)
    for said in ("the same answer: True", "refused: 409 INSUFFICIENT_MARGIN", "position: ['LIQUIDATED']"):
        assert said in printed
    assert "changes sum to the balance: True" in printed
    assert "stopped in order: True" in printed
    assert "as told: True True True True" in printed


@each_notebook
def test_it_is_committed_without_outputs(path) -> None:
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell for cell in code if cell.outputs or cell.execution_count is not None] == []
