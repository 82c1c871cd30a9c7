"""Commands around scenarios and results: ``scenario list|show|new``, ``compare``, ``query``."""

import csv
import json
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table
from rich.text import Text

from backtest.house_pnl import COMPONENTS
from backtest.metrics import plain
from backtest.results import Result, open_result
from backtest.scenario import load_scenario, ready_scenarios
from backtest.scenario_overrides import apply_overrides
from backtest.scenario_toml import dump_toml
from risk.errors import InvalidInput

MOST_ROWS_SHOWN = 200

# What ``compare`` sets side by side: label → path in the metrics.
_COMPARED = {
    "House PnL, USDC": ("house_pnl", "total"),
    **{f"  {label}": ("house_pnl", name) for name, label in COMPONENTS.items()},
    "Worst drawdown, USDC": ("solvency", "max_drawdown"),
    "Lowest solvency, USDC": ("solvency", "lowest"),
    "Lowest reserve, USDC": ("reserve", "lowest"),
    "Trading account, lowest margin ratio": ("accounts", "trading", "lowest_ratio"),
    "Hedge account, lowest margin ratio": ("accounts", "hedge", "lowest_ratio"),
    "Hedge efficiency": ("hedging", "efficiency"),
    "Hedge coverage": ("hedging", "coverage"),
    "Hedge volume, USDC": ("hedging", "volume"),
    "Largest total exposure, USDC": ("exposure", "largest_total"),
    "Liquidations": ("liquidations", "count"),
    "Liquidated notional, USDC": ("liquidations", "notional"),
    "Routing decisions": ("routing", "orders"),
    "Mode switches": ("modes", "count"),
    "Breaker openings": ("guards", "breaker_openings"),
}


def scenario_list(as_json: bool = False) -> None:
    """Print the ready scenarios with what each is for."""
    scenarios = ready_scenarios()
    if as_json:
        _print_json([{"name": each.name, "description": each.description} for each in scenarios])
        return
    table = Table("scenario", "what it is", box=None, header_style="bold")
    for scenario in scenarios:
        table.add_row(scenario.name, scenario.description)
    Console().print(table)


def scenario_show(name_or_path: str, overrides: Sequence[str] = ()) -> None:
    """Print a scenario as complete TOML: every setting, its default and what it means."""
    sys.stdout.write(dump_toml(apply_overrides(load_scenario(name_or_path), overrides)))


def scenario_new(path: Path, like: str = "synthetic-calm") -> None:
    """Write a complete scenario file to start from, ``like`` a ready one; refuse to overwrite."""
    if path.suffix != ".toml":
        raise InvalidInput(f"the new scenario was {path}; its name must end in .toml")
    scenario = apply_overrides(load_scenario(like), [f"name={json.dumps(path.stem)}"])
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(dump_toml(scenario))
    except FileExistsError:
        raise InvalidInput(f"{path} exists; name a file that does not") from None
    except OSError as error:
        raise InvalidInput(f"{path} could not be written: {error.strerror}") from None
    Console(stderr=True).print(f"wrote {path}; run it with: hybrid-perps backtest {path}", highlight=False)


def compare(directories: Sequence[Path], as_json: bool = False) -> None:
    """Set results side by side, with the differences from the first."""
    results = [open_result(directory) for directory in directories]
    rows = [_compared(label, path, results) for label, path in _COMPARED.items()]
    if as_json:
        runs = [{"directory": str(r.directory), "name": r.name, "digest": r.facts["digest"]} for r in results]
        _print_json({"runs": runs, "rows": [row | {"metric": row["metric"].strip()} for row in rows]})
        return
    table = Table("", box=None, header_style="bold")
    for i, result in enumerate(results):
        table.add_column(f"{result.directory.name}\n{result.name}", justify="right")
        if i:
            table.add_column("\nΔ", justify="right", style="dim")
    for row in rows:
        if any(value not in (None, "0", 0) for value in row["values"]):
            table.add_row(row["metric"], *_interleaved(row))
    Console().print(table)


def query(directory: Path, sql: str, as_json: bool = False, as_csv: bool = False) -> None:
    """Run one SELECT over a result's tables and print the rows."""
    if as_json and as_csv:
        raise InvalidInput("--json and --csv were both given; choose one")
    found = open_result(directory).query(sql)
    rows = [[plain(value) for value in row.values()] for row in _python_rows(found)]
    if as_json:
        _print_json([dict(zip(found.column_names, row, strict=True)) for row in rows])
    elif as_csv:
        csv.writer(sys.stdout, lineterminator="\n").writerows([found.column_names, *rows])
    else:
        _print_table(found, rows)


def _compared(label: str, path: tuple[str, ...], results: Sequence[Result]) -> dict[str, Any]:
    values = []
    for result in results:
        value: Any = result.metrics
        for key in path:
            if not isinstance(value, dict) or key not in value:
                raise InvalidInput(
                    f"{result.directory} has no metric {'.'.join(path)}; run the backtest again"
                )
            value = value[key]
        values.append(value)
    first = values[0]
    deltas = [
        None if None in (value, first) else plain(Decimal(str(value)) - Decimal(str(first)))
        for value in values[1:]
    ]
    return {"metric": label, "values": values, "deltas": deltas}


def _interleaved(row: dict[str, Any]) -> list[str]:
    texts = [_figure(row["values"][0])]
    for value, delta in zip(row["values"][1:], row["deltas"], strict=True):
        texts += [_figure(value), "" if delta is None else _figure(delta, sign="+")]
    return texts


def _figure(value: Any, sign: str = "") -> str:
    if value is None:
        return "–"
    number = Decimal(str(value))
    places = (
        0 if number == number.to_integral_value() or abs(number) >= 10_000 else 2 if abs(number) >= 10 else 4
    )
    return f"{number:{sign},.{places}f}".replace(",", " ")


def _python_rows(table: pa.Table) -> list[dict[str, Any]]:
    # Python's times end at microseconds; ours do not, so they are written by Arrow.
    written = [
        column.cast(pa.string()) if pa.types.is_timestamp(column.type) else column for column in table.columns
    ]
    return pa.table(dict(zip(_unique(table.column_names), written, strict=True))).to_pylist()


def _unique(names: Sequence[str]) -> list[str]:
    return [f"{i}:{name}" for i, name in enumerate(names)]


def _print_table(found: pa.Table, rows: Sequence[Sequence[Any]]) -> None:
    console = Console()
    table = Table(box=None, header_style="bold")
    for field in found.schema:
        is_text = pa.types.is_string(field.type) or pa.types.is_timestamp(field.type)
        table.add_column(field.name, justify="left" if is_text else "right")
    for row in rows[:MOST_ROWS_SHOWN]:
        table.add_row(*(Text("" if value is None else str(value)) for value in row))
    console.print(table if rows else "no rows")
    if len(rows) > MOST_ROWS_SHOWN:
        console.print(f"… and {len(rows) - MOST_ROWS_SHOWN} more rows: --csv or --json prints all")


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
