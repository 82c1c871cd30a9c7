"""Metrics of a made run against the same figures counted the slow way, row by row."""

from collections import defaultdict
from decimal import Decimal

import numpy as np
import pytest

from backtest.house_pnl import COMPONENTS
from backtest.metrics import Metrics, compute_metrics, plain
from backtest.views import connect, rows
from risk.ledger import EQUITY_ACCOUNTS

from .made_run import made_run

D = Decimal


@pytest.fixture(scope="module")
def metrics() -> Metrics:
    run = made_run()
    return compute_metrics(run.tables, run.scenario, run.facts.resolution_ns)


def test_the_components_sum_to_the_change_of_solvency(metrics: Metrics) -> None:
    run = made_run()
    risk = run.scenario.risk
    capital = (
        risk.platform_capital
        + risk.reserve_capital
        + risk.hedge_account_capital
        + risk.trading_account_capital
    )
    pnl = metrics["house_pnl"]
    assert sum(D(pnl[name]) for name in COMPONENTS) == D(pnl["total"])
    assert D(pnl["total"]) == D(metrics["solvency"]["last"]) - capital
    assert D(pnl["other"]) == 0
    assert D(pnl["client_losses"]) != 0 != D(pnl["hedge_pnl"])


def test_client_losses_are_what_internal_closes_collected(metrics: Metrics) -> None:
    run = made_run()
    fills = run.tables["fills"].to_pylist()
    lost = -sum((fill["pnl"] for fill in fills if fill["source"] == "INTERNAL"), D(0))
    forgiven = sum(
        entry["amount"]
        for entry in run.tables["journal"].to_pylist()
        if entry["kind"] == "deficit_forgiven" and entry["account"].startswith("user_cash")
    )
    assert D(metrics["house_pnl"]["client_losses"]) == lost - forgiven


def test_bad_debt_is_the_turnover_of_its_account(metrics: Metrics) -> None:
    turnover = made_run().tables["house"]["bad_debt_turnover"].to_pylist()[-1]
    assert turnover > 0
    assert D(metrics["house_pnl"]["bad_debt"]) == -turnover


def test_hedge_costs_split_into_fees_slippage_and_funding(metrics: Metrics) -> None:
    pnl = metrics["house_pnl"]
    fills = made_run().tables["venue_fills"].to_pylist()
    assert D(pnl["hedge_fees"]) == -sum(fill["fee"] for fill in fills)
    assert D(pnl["hedge_slippage"]) == -sum(fill["slippage"] for fill in fills)
    assert D(pnl["hedge_pnl"]) == sum(fill["pnl"] for fill in fills)


def test_every_equity_entry_belongs_to_a_component() -> None:
    with connect(made_run().tables) as connection:
        accounts = {row["account"] for row in rows(connection, "select distinct account from journal")}
    assert accounts & set(EQUITY_ACCOUNTS) == set(EQUITY_ACCOUNTS) - {"deviation", "rounding"}


def test_routing_shares_count_orders_and_notional(metrics: Metrics) -> None:
    records = made_run().tables["routing_records"].to_pylist()
    counted: dict[tuple[str, str, str], list[Decimal]] = defaultdict(list)
    for record in records:
        counted[record["route"], record["reason"], record["mode"]].append(record["notional"])
    found = {(row["route"], row["reason"], row["mode"]): row for row in metrics["routing"]["reasons"]}
    assert found.keys() == counted.keys()
    for key, notionals in counted.items():
        assert found[key]["orders"] == len(notionals)
        assert D(found[key]["notional"]) == sum(notionals)
        assert found[key]["orders_share"] == len(notionals) / len(records)
    assert sum(row["notional_share"] for row in found.values()) == pytest.approx(1)


def test_hedge_efficiency_is_one_less_the_share_of_variance_left(metrics: Metrics) -> None:
    house: dict[int, float] = defaultdict(float)
    both: dict[int, float] = defaultdict(float)
    before: dict[str, dict] = {}
    for row in made_run().tables["exposure"].to_pylist():
        last = before.get(row["symbol"])
        if last is not None:
            move = row["mark"] - last["mark"]
            house[row["ts"]] -= float(move * last["net_size"])
            both[row["ts"]] += float(move * (last["hedge_size"] - last["net_size"]))
        before[row["symbol"]] = row
    expected = 1 - np.var(list(both.values())) / np.var(list(house.values()))
    assert metrics["hedging"]["efficiency"] == pytest.approx(expected, rel=1e-3)
    assert 0.3 < expected < 1


def test_the_reserve_path_is_the_running_balance(metrics: Metrics) -> None:
    run = made_run()
    balance = lowest = run.scenario.risk.reserve_capital
    totals: dict[int, Decimal] = defaultdict(Decimal)
    for entry in run.tables["journal"].to_pylist():
        if entry["account"] == "risk_reserve" and entry["kind"] != "opening":
            totals[entry["seq"]] += entry["amount"]
    for seq in sorted(totals):
        balance += totals[seq]
        lowest = min(lowest, balance)
    assert D(metrics["reserve"]["lowest"]) == lowest
    assert D(metrics["reserve"]["last"]) == balance == run.book.balances["risk_reserve"]


def test_drawdown_and_lowest_ratios_are_those_of_the_snapshots(metrics: Metrics) -> None:
    house = made_run().tables["house"].to_pylist()
    peak, deepest = house[0]["solvency"], D(0)
    for row in house:
        peak = max(peak, row["solvency"])
        deepest = max(deepest, peak - row["solvency"])
    assert D(metrics["solvency"]["max_drawdown"]) == deepest
    ratios = [row["trading_ratio"] for row in house if row["trading_ratio"] is not None]
    assert D(metrics["accounts"]["trading"]["lowest_ratio"]) == min(ratios)


def test_liquidations_count_by_source_and_mode(metrics: Metrics) -> None:
    found = made_run().tables["liquidations"].to_pylist()
    assert metrics["liquidations"]["count"] == len(found) > 20
    assert D(metrics["liquidations"]["notional"]) == sum(row["notional"] for row in found)
    parts = {
        (part["source"], part["margin_mode"]): part["count"] for part in metrics["liquidations"]["parts"]
    }
    assert sum(parts.values()) == len(found)
    assert len(parts) == 4


def test_users_and_symbols_share_the_same_totals(metrics: Metrics) -> None:
    fills = made_run().tables["fills"].to_pylist()
    volume = sum(fill["price"] * fill["size"] for fill in fills)
    for people in (metrics["symbols"], metrics["users"]["largest"]):
        assert sum(D(row["volume"]) for row in people) == volume
        assert sum(row["fills"] for row in people) == len(fills)
    assert metrics["users"]["traded"] == len(metrics["users"]["largest"])
    result = sum(D(row["house_result"]) for row in metrics["symbols"])
    pnl = metrics["house_pnl"]
    with connect(made_run().tables) as connection:
        (forgiven,) = rows(
            connection,
            "select coalesce(sum(amount), 0) as x from journal where kind = 'deficit_forgiven' and amount > 0",
        )
    assert result == D(pnl["client_losses"]) + forgiven["x"] + D(pnl["internal_fees"]) + D(pnl["funding"])


def test_no_internal_fill_was_worse_than_its_reference(metrics: Metrics) -> None:
    assert metrics["execution"]["worse_than_reference"] == 0


def test_a_run_in_which_nothing_happened_has_metrics_too() -> None:
    run = made_run()
    empty = {name: table.slice(0, 0) for name, table in run.tables.items()}
    metrics = compute_metrics(empty, run.scenario, {})
    assert D(metrics["house_pnl"]["total"]) == 0
    assert metrics["solvency"]["solvent"]
    assert metrics["liquidations"]["count"] == 0


def test_decimals_become_short_exact_text() -> None:
    assert plain({"a": [D("1.500000000000"), D("-0.000001"), D("1000")]}) == {
        "a": ["1.5", "-0.000001", "1000"]
    }
