"""A result directory: the scenario, what came out, the event tables and the report, written whole or not at all.

scenario.toml      everything the run depended on
result.json        versions, seed, input hashes, counts, digest, metrics
tables/*.parquet   one table per kind of event
report.html
"""

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from backtest.metrics import Metrics, compute_metrics
from backtest.recorder import digest_of
from backtest.report.page import render_report
from backtest.scenario import Scenario, load_scenario
from backtest.scenario_toml import dump_toml
from backtest.views import select
from data.storage import read_json, read_table, replaced_directory, write_json
from risk.errors import InvalidInput

FACTS_FILE = "result.json"
SCENARIO_FILE = "scenario.toml"
REPORT_FILE = "report.html"
TABLES_FOLDER = "tables"
FORMAT = 1
_NEEDED = ("name", "digest", "counts", "metrics")
_PACKAGES = ("hybrid-perps", "nautilus_trader", "pyarrow", "numpy", "duckdb")


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Say what a run was made of, beside its scenario and its events.

    ``inputs`` maps input names to SHA-256; ``resolution_ns`` gives each symbol's price resolution;
    ``source_fills`` counts the fates of an imported flow's fills; ``extra`` holds further named facts.
    """

    book_digest: str
    span_ns: tuple[int, int]
    resolution_ns: Mapping[str, int]
    inputs: Mapping[str, str] = field(default_factory=dict)
    symbols_without_funding: tuple[str, ...] = ()
    source_fills: Mapping[str, int] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """One result directory, opened."""

    directory: Path
    facts: dict[str, Any]

    @property
    def name(self) -> str:
        """Return the scenario's name."""
        return str(self.facts["name"])

    @property
    def metrics(self) -> Metrics:
        """Return the metrics as ``result.json`` holds them."""
        return dict(self.facts["metrics"])

    @cached_property
    def scenario(self) -> Scenario:
        """Load the scenario the run was made of."""
        return load_scenario(str(self.directory / SCENARIO_FILE))

    @cached_property
    def tables(self) -> dict[str, pa.Table]:
        """Read every table, by name; raise InvalidInput for one that is missing or corrupt."""
        folder = self.directory / TABLES_FOLDER
        return {name: read_table(folder / f"{name}.parquet") for name in sorted(self.facts["counts"])}

    def query(self, sql: str) -> pa.Table:
        """Run one SELECT over the tables; raise InvalidInput when it is not one or not valid."""
        return select(self.tables, sql)


def check_out(out: Path) -> None:
    """Raise InvalidInput unless ``out`` can be written: absent, an empty directory, or an earlier result."""
    place = out.resolve()
    if place.exists() and not (place / FACTS_FILE).is_file() and (not place.is_dir() or any(place.iterdir())):
        raise InvalidInput(f"--out was {out}; it must be new, an empty folder or an earlier result")
    above = next(folder for folder in place.parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise InvalidInput(f"--out was {out}; nothing can be written in {above}")


def summarise(
    scenario: Scenario,
    tables: Mapping[str, pa.Table],
    facts: RunFacts,
    reruns: Mapping[str, Metrics] | None = None,
) -> dict[str, Any]:
    """Return what ``result.json`` holds: provenance, counts, digest and metrics, plain values only.

    ``reruns`` are the metrics of counterfactual runs by name; without them the report shows the estimates.
    """
    return {
        "format": FORMAT,
        "name": scenario.name,
        "description": scenario.description,
        "seed": scenario.seed,
        "digest": digest_of(tables, facts.book_digest),
        "versions": {"python": python_version()} | {name: version(name) for name in _PACKAGES},
        "counts": {name: table.num_rows for name, table in sorted(tables.items())},
        "metrics": compute_metrics(tables, scenario, facts.resolution_ns),
        "reruns": dict(reruns or {}),
    } | asdict(facts)


def write_result(
    out: Path, scenario: Scenario, tables: Mapping[str, pa.Table], summary: Mapping[str, Any]
) -> Result:
    """Write the directory at ``out`` in one step, replacing an earlier result; raise as ``check_out`` does."""
    check_out(out)
    try:
        with replaced_directory(out.resolve()) as partial:
            (partial / SCENARIO_FILE).write_text(dump_toml(scenario), encoding="utf-8")
            write_json(summary, partial / FACTS_FILE)
            _write_tables(tables.items(), partial / TABLES_FOLDER)
            (partial / REPORT_FILE).write_text(render_report(scenario, tables, summary), encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"--out was {out}; it could not be written: {error.strerror or error}") from error
    return open_result(out)


def open_result(directory: Path) -> Result:
    """Open a result directory; raise InvalidInput if it is none or from another format."""
    if not (directory / FACTS_FILE).is_file():
        raise InvalidInput(f"{directory} is not a result: it has no {FACTS_FILE}")
    facts = read_json(directory / FACTS_FILE)
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise InvalidInput(
            f"{directory / FACTS_FILE} is not of result format {FORMAT}; run the backtest again"
        )
    missing = [key for key in _NEEDED if key not in facts]
    if missing:
        raise InvalidInput(f"{directory / FACTS_FILE} has no {', '.join(missing)}; run the backtest again")
    return Result(directory, facts)


def query(directory: Path, sql: str) -> pa.Table:
    """Run one SELECT over a result directory's tables."""
    return open_result(directory).query(sql)


def _write_tables(tables: Iterable[tuple[str, pa.Table]], folder: Path) -> None:
    folder.mkdir()
    with ThreadPoolExecutor(2) as pool:
        list(
            pool.map(
                lambda item: pq.write_table(item[1], folder / f"{item[0]}.parquet", compression="zstd"),
                tables,
            )
        )
