"""Small real runs with everything INTERNAL, and the same market and users under other settings.

Nothing but size, mode, whitelist and a symbol's own cap decides in them: no hedges, no house-wide limits, users and
accounts with more money than they can lose, and a Hyperliquid that takes every order.
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from functools import cache

import pyarrow as pa

from backtest.engine import run_engine
from backtest.feed import Feed
from backtest.scenario import Scenario, load_scenario
from backtest.scenario_overrides import apply_overrides
from backtest.sources import open_feed
from backtest.tuning.internal_flow import InternalFlow
from backtest.tuning.internal_run import FlowRecorder, internal_flow
from backtest.tuning.presearch import reference
from data.flow import Flow

TREND = "synthetic-trend"
_UNBOUND = (
    'data.symbols=["BTC", "ETH"]',
    "report.sample_interval=60s",
    "risk.hedging_enabled=false",
    "risk.hl_min_notional=0",
    "risk.deviation_critical_rate=1",
    "risk.trading_account_capital=1e12",
    "risk.symbol_exposure_cap=1e12",
    "risk.total_exposure_cap=1e12",
    "risk.daily_loss_breaker=1e12",
    "risk.daily_loss_alert=1e12",
    "risk.reserve_floor=0",
    "risk.reserve_normal=0",
)


@cache
def unbound(name: str = TREND, hours: int = 3, users: int = 60) -> tuple[Scenario, Feed]:
    """Return a scenario in which nothing binds, and its feed with a thousand times the users' money."""
    size = (f"data.hours={hours}", f"flow.users={users}", "seed=5")
    scenario = apply_overrides(load_scenario(name), (*_UNBOUND, *size))
    feed = open_feed(scenario)
    rows = feed.flow.transfers.to_pylist()
    rich = [row | {"amount": str(Decimal(row["amount"]) * 1000)} for row in rows]
    transfers = pa.Table.from_pylist(rich, schema=feed.flow.transfers.schema)
    return scenario, replace(feed, flow=Flow(feed.flow.orders, transfers))


def run(scenario: Scenario, feed: Feed) -> Mapping[str, pa.Table]:
    """Run a scenario and return its tables."""
    return run_engine(scenario, feed).recorder.tables()


@cache
def flow_of(name: str = TREND, hours: int = 3, users: int = 60) -> InternalFlow:
    """Return the flow of the run with everything INTERNAL."""
    scenario, feed = unbound(name, hours, users)
    recorder = FlowRecorder()
    found = run_engine(reference(scenario), feed, observe=recorder.watch)
    return internal_flow(recorder, found.recorder.tables())
