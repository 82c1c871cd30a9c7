"""What a reader wants to know first: the headline figures and the verdict, shared by report and terminal."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from backtest.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Card:
    """One headline: ``tone`` is good, bad, warn or empty."""

    label: str
    value: str
    unit: str
    more: str
    tone: str = ""


def cards(scenario: Scenario, summary: Mapping[str, Any]) -> list[Card]:
    """Return the headlines of a run."""
    metrics = summary["metrics"]
    risk = scenario.risk
    solvency, pnl, liquidated = metrics["solvency"], metrics["house_pnl"], metrics["liquidations"]
    total, reserve = Decimal(pnl["total"]), metrics["reserve"]
    bad_debt = -Decimal(pnl["bad_debt"])
    return [
        Card("House PnL", signed(total), "USDC", _client_line(pnl), "good" if total >= 0 else "bad"),
        Card(
            "Solvency",
            "solvent" if solvency["solvent"] else "INSOLVENT",
            "",
            f"lowest {amount(solvency['lowest'])} USDC, {when(solvency['lowest_ts'])}",
            "good" if solvency["solvent"] else "bad",
        ),
        Card("Worst drawdown", amount(solvency["max_drawdown"]), "USDC", _at(solvency["max_drawdown_ts"])),
        Card(
            "Bad debt",
            amount(bad_debt),
            "USDC",
            f"of {amount(liquidated['notional'])} USDC liquidated",
            "bad" if bad_debt else "good",
        ),
        Card(
            "Liquidations",
            count(liquidated["count"]),
            "",
            f"of {liquidated['users']} users",
        ),
        _ratio_card(
            "Trading account",
            metrics["accounts"]["trading"],
            risk.margin_ratio_topup,
            risk.trading_ratio_critical,
        ),
        _ratio_card(
            "Hedge account", metrics["accounts"]["hedge"], risk.margin_ratio_topup, risk.hedge_ratio_critical
        ),
        _reserve_card(reserve, risk.reserve_normal, risk.reserve_floor),
        Card(
            "Kept INTERNAL",
            share(_internal_share(metrics["routing"]["reasons"], "notional_share")),
            "of notional",
            f"{share(_internal_share(metrics['routing']['reasons'], 'orders_share'))} of "
            f"{count(metrics['routing']['orders'])} routing decisions",
        ),
        Card(
            "Hedge efficiency",
            share(metrics["hedging"]["efficiency"]),
            "less variance",
            f"{share(metrics['hedging']['coverage'])} of exposure covered",
        ),
        Card(
            "Mode switches",
            str(metrics["modes"]["count"]),
            "",
            f"{metrics['modes']['recommended']} more recommended",
        ),
        Card(
            "Daily-loss breaker",
            str(metrics["guards"]["breaker_openings"]),
            "times open",
            "no internalisation while it is",
            "warn" if metrics["guards"]["breaker_openings"] else "good",
        ),
    ]


def verdict(summary: Mapping[str, Any]) -> str:
    """Say in a few sentences how the house came out of the run."""
    metrics = summary["metrics"]
    pnl, solvency = metrics["house_pnl"], metrics["solvency"]
    total = Decimal(pnl["total"])
    costs = sum(
        (Decimal(pnl[name]) for name in ("hedge_fees", "hedge_slippage", "hedge_funding")), Decimal(0)
    )
    words = [
        f"The house {'earned' if total >= 0 else 'lost'} {amount(abs(total))} USDC and "
        f"{'stayed solvent throughout' if solvency['solvent'] else 'WAS INSOLVENT at its lowest point'}."
    ]
    client = Decimal(pnl["client_losses"]) + Decimal(pnl["unrealised_internal"])
    words.append(
        f"Users {'lost' if client >= 0 else 'won'} {amount(abs(client))} USDC against it; hedges brought "
        f"{signed(Decimal(pnl['hedge_pnl']) + Decimal(pnl['unrealised_hedge']))} and cost {amount(-costs)}."
    )
    bad_debt = -Decimal(pnl["bad_debt"])
    words.append(f"Bad debt came to {amount(bad_debt)} USDC." if bad_debt else "There was no bad debt.")
    compared = []
    for name, other in summary["reruns"].items():
        gap = total - Decimal(other["house_pnl"]["total"])
        compared.append(f"{amount(abs(gap))} {'more' if gap >= 0 else 'less'} than with {name}")
    if compared:
        words.append(f"That is {' and '.join(compared)} (each run again).")
    return " ".join(words)


def counterfactuals(summary: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return what would have been, by name, and its kind: ``rerun`` where it was run, else ``estimate``."""
    if summary["reruns"]:
        return "rerun", dict(summary["reruns"])
    return "estimate", dict(summary["metrics"]["estimates"])


def columns(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics to show beside each other: those of this run and of what would have been."""
    kind, others = counterfactuals(summary)
    return {"this run": summary["metrics"]} | {f"{name} ({kind})": other for name, other in others.items()}


def amount(value: Any) -> str:
    """Write USDC with spaces between thousands, two places where it is small; a dash for None."""
    if value is None:
        return "–"
    number = Decimal(value)
    return f"{number:,.{0 if abs(number) >= 1_000 else 2}f}".replace(",", " ").replace("-", "−")


def signed(value: Any) -> str:
    """Write USDC with its sign."""
    return ("+" if Decimal(value) > 0 else "") + amount(value)


def count(value: int) -> str:
    """Write a whole number with spaces between thousands."""
    return f"{value:,}".replace(",", " ")


def share(value: float | None) -> str:
    """Write a fraction as a percentage; a dash for None."""
    return "–" if value is None else f"{100 * value:.1f} %".replace("-", "−")


def when(ts: int | None) -> str:
    """Write nanoseconds as a UTC time to the minute; a dash for None."""
    return "–" if ts is None else str(np.datetime64(ts, "ns").astype("datetime64[m]")).replace("T", " ")


def _at(ts: int | None) -> str:
    return "" if ts is None else f"deepest {when(ts)}"


def _client_line(pnl: Mapping[str, str]) -> str:
    fees = Decimal(pnl["internal_fees"]) + Decimal(pnl["builder_fees"])
    return f"clients {signed(pnl['client_losses'])}, fees {signed(fees)}"


def _ratio_card(label: str, account: Mapping[str, Any], topup: Decimal, critical: Decimal) -> Card:
    ratio = None if account["lowest_ratio"] is None else Decimal(account["lowest_ratio"])
    topped_up = Decimal(account["topped_up"])
    fine = ratio is None or (ratio >= topup and not topped_up)
    tone = "good" if fine else "bad" if ratio is not None and ratio < critical else "warn"
    value = "–" if ratio is None else f"{100 * ratio:,.0f} %".replace(",", " ")
    more = f"at a snapshot, {when(account['lowest_ratio_ts'])}" if ratio is not None else "never in use"
    if topped_up:
        more = f"under {100 * topup:.0f} % before top-ups of {amount(topped_up)} USDC"
    return Card(f"{label}, lowest margin ratio", value, "", more, tone)


def _reserve_card(reserve: Mapping[str, Any], normal: Decimal, floor: Decimal) -> Card:
    lowest = Decimal(reserve["lowest"])
    tone = "good" if lowest >= normal else "bad" if lowest < floor else "warn"
    return Card("Risk reserve, lowest", amount(lowest), "USDC", f"at the end {amount(reserve['last'])}", tone)


def _internal_share(reasons: list[Mapping[str, Any]], column: str) -> float:
    return float(sum(row[column] for row in reasons if row["route"] == "INTERNAL"))
