"""What a run came to, as text tables in the terminal."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

from backtest.house_pnl import COMPONENTS
from backtest.report.summary import cards, columns, count, share, signed, verdict
from backtest.scenario import Scenario
from backtest.toxicity import HORIZONS_NS

_STYLES = {"good": "green", "bad": "bold red", "warn": "yellow", "": ""}


def print_summary(console: Console, scenario: Scenario, summary: Mapping[str, Any]) -> None:
    """Print headlines, house PnL, routes and toxicity of a run."""
    metrics = summary["metrics"]
    console.print(f"[bold]{scenario.name}[/]  {scenario.description}", highlight=False)
    console.print(verdict(summary), highlight=False)
    console.print(
        _headlines(scenario, summary), _house(summary), _routes(metrics), _toxicity(metrics["toxicity"])
    )
    without = summary["symbols_without_funding"]
    if without:
        console.print(f"Symbols run without funding data: {', '.join(without)}", highlight=False)
    console.print(f"digest {summary['digest']}", highlight=False)


def _headlines(scenario: Scenario, summary: Mapping[str, Any]) -> Table:
    table = Table("headline", title_justify="left", box=None, header_style="bold")
    table.add_column("", justify="right")
    table.add_column("")
    for card in cards(scenario, summary):
        value = f"[{_STYLES[card.tone]}]{card.value}[/]" if card.tone else card.value
        table.add_row(card.label, f"{value} {card.unit}".rstrip(), card.more)
    return table


def _house(summary: Mapping[str, Any]) -> Table:
    runs = columns(summary)
    table = Table("house PnL, USDC", box=None, header_style="bold")
    for name in runs:
        table.add_column(name, justify="right")
    for name, label in (COMPONENTS | {"total": "House PnL"}).items():
        values = [run["house_pnl"][name] for run in runs.values()]
        if name == "total" or any(Decimal(value) for value in values):
            table.add_row(label, *map(signed, values), style="bold" if name == "total" else None)
    return table


def _routes(metrics: Mapping[str, Any]) -> Table:
    table = Table("route", "reason", "mode", box=None, header_style="bold")
    for name in ("decisions", "of decisions", "of notional"):
        table.add_column(name, justify="right")
    for row in metrics["routing"]["reasons"]:
        shares = share(row["orders_share"]), share(row["notional_share"])
        table.add_row(row["route"], row["reason"], row["mode"], count(row["orders"]), *shares)
    return table


def _toxicity(found: Mapping[str, Any]) -> Table:
    table = Table("move after INTERNAL fills, bps", box=None, header_style="bold")
    for horizon in HORIZONS_NS:
        table.add_column(horizon, justify="right")
    for name, measured in {"all": found["overall"], **found["roles"]}.items():
        table.add_row(name, *(_bps(measured[horizon]) for horizon in HORIZONS_NS))
    return table


def _bps(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "–"
    return f"{found['bps']:+.2f}" + (
        "" if found["high"] is None else f" ± {found['high'] - found['bps']:.2f}"
    )
