"""``hybrid-perps backtest``: a scenario in, a result directory and a summary out."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.progress import Progress

from backtest.conclusion import Conclusion, conclude
from backtest.counterfactuals import counterfactuals
from backtest.engine import run_engine
from backtest.feed import Feed
from backtest.liquidation_comparison import compare_liquidations
from backtest.results import REPORT_FILE, Result, RunFacts, check_out, summarise, write_result
from backtest.run_symbols import symbols_of
from backtest.scenario import Scenario, load_scenario
from backtest.scenario_overrides import apply_overrides, with_settings, without_rows
from backtest.sources import open_feed
from backtest.terminal import print_summary
from data.locate import find_history

WITH_HISTORY = "flow-2023"
WITHOUT_HISTORY = "synthetic-flash-crash"
RUNS = Path("runs")
PROGRESS_AFTER_S = 2.0


def run_backtest(
    scenario: Scenario,
    out: Path,
    *,
    data_dir: Path | None = None,
    catalog_dir: Path | None = None,
    progress: Callable[[str, float], None] = lambda _, __: None,
) -> Result:
    """Run a scenario, check its books and write its result directory at ``out``.

    ``progress`` is told what is done and the share of it. Raises InvalidInput for what cannot be run and
    InvariantBroken when the books do not hold; nothing is written then.
    """
    check_out(out)
    feed = open_feed(
        scenario, data_dir=data_dir, catalog_dir=catalog_dir, progress=lambda text: progress(text, 0.0)
    )
    with counterfactuals(scenario, data_dir, catalog_dir) as running:
        run = run_engine(scenario, feed, lambda share: progress("backtest", share))
        found = conclude(run, feed.flow.orders, feed.accounting)
        facts = RunFacts(
            book_digest=found.book_digest,
            span_ns=feed.span,
            resolution_ns=dict(feed.resolution_ns),
            inputs=dict(feed.input_hashes),
            symbols_without_funding=tuple(feed.without_funding),
            source_fills=_source_fills(found.tables),
            extra=_extra(feed, found, run.ticks),
        )
        if running:
            progress("counterfactuals", 1.0)
        reruns = {name: future.result() for name, future in running.items()}
    summary = summarise(scenario, found.tables, facts, reruns)
    return write_result(out, scenario, found.tables, summary)


def backtest_command(
    scenario: str | None,
    out: Path | None,
    as_json: bool,
    overrides: Iterable[str],
    data_dir: Path | None,
    with_counterfactuals: bool = False,
    settings: str | None = None,
) -> None:
    """Run a scenario by name or path and print its summary, or with ``as_json`` its ``result.json``.

    Without a name: the real order flow where its history is at hand, else a synthetic day with a crash.
    ``settings`` is a scenario, by name or path, whose routing and risk are taken instead of the scenario's own.
    """
    name = scenario or (WITH_HISTORY if find_history(data_dir) else WITHOUT_HISTORY)
    asked = ["report.counterfactuals=true"] if with_counterfactuals else []
    taken = None if settings is None else load_scenario(settings)
    own = load_scenario(name)
    chosen = apply_overrides(own if taken is None else with_settings(own, taken), [*overrides, *asked])
    target = out or _next_free(RUNS, chosen.name)
    with _LateBar(quiet=as_json) as bar:
        strangers = [] if taken is None else _strangers(taken, chosen, data_dir)
        chosen = without_rows(chosen, strangers)
        result = run_backtest(chosen, target, data_dir=data_dir, progress=bar.show)
    if strangers:
        # Told last, so that what goes wrong stays one line.
        left = f"--settings: left out the routing of {', '.join(strangers)}, which the run does not have"
        Console(stderr=True).print(left, highlight=False, markup=False, soft_wrap=True)
    console = Console()
    if as_json:
        # Not console.print_json: a program gets one plain line, whatever the terminal's width.
        console.file.write(json.dumps(result.facts) + "\n")
        return
    print_summary(console, result.scenario, result.facts)
    console.print(f"Report: {result.directory / REPORT_FILE}", soft_wrap=True)


def _strangers(taken: Scenario, scenario: Scenario, data_dir: Path | None) -> list[str]:
    """Return the symbols that have a routing row in the settings ``taken`` but are not in the run."""
    rows = taken.routing.keys() - {"*"}
    return sorted(rows - set(symbols_of(scenario, data_dir))) if rows else []


class _LateBar:
    """Show a progress bar on stderr once a run takes longer than a moment."""

    def __init__(self, *, quiet: bool) -> None:
        self._bar = Progress(console=Console(stderr=True), transient=True)
        self._quiet = quiet
        self._since_s = time.monotonic()
        self._task = self._bar.add_task("", total=1.0)
        self._shown = False

    def __enter__(self) -> "_LateBar":
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._bar.stop()

    def show(self, text: str, share: float) -> None:
        if not self._shown and not self._quiet and time.monotonic() - self._since_s > PROGRESS_AFTER_S:
            self._bar.start()
            self._shown = True
        self._bar.update(self._task, description=text, completed=share)


def _next_free(folder: Path, name: str) -> Path:
    number = 1
    while (folder / f"{name}-{number}").exists():
        number += 1
    return folder / f"{name}-{number}"


def _source_fills(tables: Mapping[str, pa.Table]) -> dict[str, int]:
    """Count what became of each source fill on its way into the flow."""
    return _counted(tables["source_fills"], "fate") if "source_fills" in tables else {}


def _counted(table: pa.Table, *columns: str) -> Any:
    """Count the rows by the value of the first column, and within it of the next."""
    first, *rest = columns
    names = sorted(set(table[first].to_pylist()))
    parts = {name: table.filter(pc.equal(table[first], name)) for name in names}
    return {name: _counted(part, *rest) if rest else part.num_rows for name, part in parts.items()}


def _extra(feed: Feed, found: Conclusion, ticks: int) -> dict[str, Any]:
    extra: dict[str, Any] = {"ticks": ticks, "orders": feed.flow.orders.num_rows}
    extra["order_outcomes"] = _counted(found.outcomes, "outcome")
    if "source_fills" in found.tables:
        extra["source_fill_outcomes"] = _counted(found.tables["source_fills"], "fate", "outcome")
    if feed.liquidations is not None:
        compared = compare_liquidations(found.tables["liquidations"], feed.liquidations)
        extra["real_liquidations"] = compared.to_dict()
    return extra
