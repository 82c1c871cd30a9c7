"""Estimates of what the house would have earned otherwise, against runs that did just that."""

from decimal import Decimal

import pytest

from backtest.counterfactuals import counterfactual
from backtest.engine import run_engine
from backtest.estimates import ALL_HYPERLIQUID, ALL_INTERNAL, estimates
from backtest.house_pnl import COMPONENTS, house_pnl
from backtest.scenario import load_scenario
from backtest.scenario_overrides import apply_overrides
from backtest.sources import open_feed
from backtest.views import connect

from .made_run import made_run

D = Decimal
USDC_STEP = D("0.000001")


@pytest.fixture(scope="module")
def crash():
    small = (
        "data.hours=3",
        "flow.users=60",
        'data.symbols=["BTC", "ETH"]',
        "seed=5",
        "risk.hedging_enabled=false",
    )
    scenario = apply_overrides(load_scenario("synthetic-flash-crash"), small)
    return scenario, open_feed(scenario)


def both(scenario, feed):
    tables = run_engine(scenario, feed).recorder.tables()
    with connect(tables) as connection:
        return house_pnl(connection), estimates(connection, scenario.risk.config()), tables


def test_all_internal_is_exact_for_a_run_that_was_all_internal_and_unhedged(crash):
    earned, found, _ = both(counterfactual(crash[0], ALL_INTERNAL), crash[1])
    assert earned["total"] != 0
    assert found[ALL_INTERNAL]["house_pnl"] == earned


def test_all_hyperliquid_is_exact_but_for_roundings_for_a_run_that_was_all_hyperliquid(crash):
    earned, found, tables = both(counterfactual(crash[0], ALL_HYPERLIQUID), crash[1])
    fills = tables["fills"].num_rows
    assert fills > 100
    estimate = found[ALL_HYPERLIQUID]["house_pnl"]["builder_fees"]
    assert abs(estimate - earned["builder_fees"]) <= fills * USDC_STEP


def test_estimates_of_a_mixed_run_are_the_sums_over_its_fills():
    run = made_run()
    risk = run.scenario.risk
    with connect(run.tables) as connection:
        earned, found = house_pnl(connection), estimates(connection, risk.config())
    fills = run.tables["fills"].to_pylist()
    own = [fill for fill in fills if fill["action"] != "LIQUIDATION"]
    volume = sum(fill["price"] * fill["size"] for fill in own)
    on_hl = [fill for fill in own if fill["source"] == "HYPERLIQUID"]
    assert 0 < len(on_hl) < len(own) < len(fills)
    hyperliquid, internal = found[ALL_HYPERLIQUID]["house_pnl"], found[ALL_INTERNAL]["house_pnl"]
    assert hyperliquid["total"] == hyperliquid["builder_fees"] == volume * risk.builder_fee_rate

    rates = {True: risk.maker_fee_rate, False: risk.taker_fee_rate}
    fees = sum(fill["price"] * fill["size"] * rates[fill["maker"]] for fill in on_hl)
    assert internal["internal_fees"] == earned["internal_fees"] + fees
    settled = run.tables["funding_settlements"].to_pylist()
    assert internal["funding"] == sum(row["payment"] for row in settled)
    pnl = sum(fill["pnl"] for fill in fills if fill["source"] == "HYPERLIQUID")
    uncollected = sum(row["uncollected"] for row in settled if row["source"] == "HYPERLIQUID")
    covered = earned["liquidation_surplus"] + earned["bad_debt"] + uncollected
    assert internal["client_losses"] == earned["client_losses"] - pnl + covered
    assert internal["total"] == sum(internal[name] for name in COMPONENTS)
    assert internal["hedge_pnl"] == internal["bad_debt"] == 0


def test_what_is_open_on_hyperliquid_at_the_end_is_mirrored_at_the_last_marks():
    run = made_run()
    with connect(run.tables) as connection:
        earned, found = house_pnl(connection), estimates(connection, run.scenario.risk.config())
    entry, held, sides = {}, {}, {}
    for row in run.tables["positions_opened"].to_pylist():
        if row["source"] == "HYPERLIQUID":
            key = row["position_id"]
            entry[key], held[key] = row["cost"] / row["size"], row["size"]
            sides[key] = row["side"], row["symbol"]
    for row in run.tables["positions_closed"].to_pylist():
        if row["position_id"] in held:
            held[row["position_id"]] -= row["size"]
    marks = {row["symbol"]: row["mark"] for row in run.tables["marks"].to_pylist()}
    unrealised = sum(sides[key][0] * left * (marks[sides[key][1]] - entry[key]) for key, left in held.items())
    assert unrealised != 0
    mirrored = found[ALL_INTERNAL]["house_pnl"]["unrealised_internal"]
    assert mirrored == pytest.approx(earned["unrealised_internal"] - unrealised, abs=USDC_STEP)
