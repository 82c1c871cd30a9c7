"""The notebooks run from top to bottom, with real history and without it, and are committed without outputs."""

import nbformat
import pytest

from tests.notebooks.executed import NOTEBOOKS, named, run

ON_HISTORY = ("01-first-backtest", "02-routing-thresholds")  # the others make their own market anywhere
TUNING, STRESS, TRADING = "03-tuning", "04-hedging-and-liquidation-stress", "05-trading-api"
WITHOUT_HISTORY = "import data.locate\n\ndata.locate.find_history = lambda explicit=None: None\n"
# Every cell does the same on the first part of a history, in a fraction of the time.
SHORTER = """
import backtest.scenario
from backtest.scenario_overrides import apply_overrides

load = backtest.scenario.load_scenario
shorter = ["data.to_share=0.1", "report.counterfactuals=false"]
backtest.scenario.load_scenario = lambda name: apply_overrides(load(name), shorter)
"""
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
on_history = pytest.mark.parametrize("path", [named(name) for name in ON_HISTORY], ids=ON_HISTORY)


def test_there_are_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == [*ON_HISTORY, TUNING, STRESS, TRADING]


@on_history
def test_it_runs_on_the_real_flow(path, tmp_path, monkeypatch, real_history) -> None:
    assert "Real history found" in run(path, tmp_path, monkeypatch, before=SHORTER)


@on_history
def test_it_runs_on_a_synthetic_market_and_says_so(path, tmp_path, monkeypatch) -> None:
    assert "No real history at hand" in run(path, tmp_path, monkeypatch, before=WITHOUT_HISTORY + SHORTER)


@each_notebook
def test_it_is_committed_without_outputs(path) -> None:
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell for cell in code if cell.outputs or cell.execution_count is not None] == []
