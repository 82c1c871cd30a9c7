"""Whole runs over a small synthetic market."""

import os
import subprocess
import sys
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from backtest import engine
from backtest.counterfactuals import ALL_HYPERLIQUID, ALL_INTERNAL, counterfactual
from backtest.engine import resolved_settings, run_engine
from backtest.feed import Feed
from backtest.invariants import check_invariants
from backtest.recorder import Recorder, digest_of
from backtest.scenario import Scenario, load_scenario
from backtest.scenario_overrides import apply_overrides
from backtest.sources import open_feed
from risk.errors import InvalidInput, InvariantBroken
from risk.events import OrderRouted
from risk.settings import SECOND_NS
from risk.watch import MarketWatch
from strategies import adapter

SMALL = ("data.hours=3", "flow.users=60", 'data.symbols=["BTC", "ETH"]', "seed=5")


def small(name: str = "synthetic-flash-crash", *overrides: str) -> Scenario:
    return apply_overrides(load_scenario(name), [*SMALL, *overrides])


def digest(run: engine.Run) -> str:
    return digest_of(run.recorder.tables(), run.book.digest())


@pytest.fixture(scope="module")
def crash() -> tuple[Scenario, Feed, engine.Run]:
    scenario = small()
    feed = open_feed(scenario)
    return scenario, feed, run_engine(scenario, feed)


def test_a_crash_exercises_both_routes_and_liquidation_and_the_books_hold(crash):
    _, feed, run = crash
    tables = run.recorder.tables()
    check_invariants(tables, run.book.balances)
    assert set(tables["fills"]["source"].to_pylist()) == {"INTERNAL", "HYPERLIQUID"}
    assert tables["liquidations"].num_rows > 0
    assert tables["funding_rates"].num_rows > 0
    decided = set(tables["routing_records"]["order_id"].to_pylist())
    refused = set(tables["orders_refused"]["order_id"].to_pylist())
    cancelled = set(tables["orders_cancelled"]["order_id"].to_pylist())
    rested = set(tables["orders_rested"]["order_id"].to_pylist())
    cancels = set(
        feed.flow.orders.filter(pc.equal(feed.flow.orders["intent"], "CANCEL"))["order_id"].to_pylist()
    )
    assert set(feed.flow.orders["order_id"].to_pylist()) - cancels <= decided | refused | cancelled | rested


def test_the_books_agree_with_the_venue_about_positions_at_every_look(crash):
    _, _, run = crash
    assert not [code for code in run.recorder.tables()["alerts"]["code"].to_pylist() if "POSITIONS" in code]


def test_a_venue_that_holds_other_positions_than_the_books_is_noticed_and_stops_hl_opens(monkeypatch):
    monkeypatch.setattr(adapter, "_signed_size", lambda position: position.quantity.as_decimal() * 2)
    scenario = small()
    tables = run_engine(scenario, open_feed(scenario)).recorder.tables()
    assert "TRADING_POSITIONS_DIFFER" in tables["alerts"]["code"].to_pylist()
    assert "HL_POSITIONS_DIFFER" in tables["orders_refused"]["code"].to_pylist()


def test_hyperliquid_fills_come_after_the_latency_and_pay_its_fee(crash):
    scenario, feed, run = crash
    tables = run.recorder.tables()
    sent = {row["order_id"]: row for row in tables["venue_orders"].to_pylist()}
    opens = [
        row
        for row in tables["fills"].to_pylist()
        if row["source"] == "HYPERLIQUID" and row["action"] == "OPEN" and not row["maker"]
    ]
    assert opens
    for fill in opens:
        request = sent[fill["order_id"]]
        assert fill["ts"] - request["ts"] == scenario.venue.order_latency
        assert fill["side"] * (fill["price"] - request["limit_price"]) <= 0
        notional = fill["price"] * fill["size"]
        rate = feed.specs[fill["symbol"]].taker_fee_rate + scenario.risk.builder_fee_rate
        assert abs(fill["fee"] - notional * rate) <= Decimal("0.000002")


def test_slicing_the_run_changes_nothing(crash, monkeypatch):
    scenario, feed, run = crash
    whole = Feed.slices
    monkeypatch.setattr(Feed, "slices", lambda self: whole(self, 1_500))
    assert len(list(feed.slices())) > 3
    assert digest(run_engine(scenario, feed)) == digest(run)


def test_ticks_held_back_as_quiet_would_have_changed_no_fill(crash, monkeypatch):
    scenario, feed, run = crash
    for name in ("on_quote", "on_mark"):
        take = getattr(MarketWatch, name)
        monkeypatch.setattr(MarketWatch, name, lambda self, *tick, take=take: take(self, *tick) or True)
    every = run_engine(scenario, feed).recorder.tables()
    held = run.recorder.tables()
    for table in ("fills", "liquidations", "routing_records", "orders_refused", "guards"):
        assert every[table].equals(held[table]), table


def test_another_process_with_another_hash_seed_gives_the_same_digest(crash):
    program = (
        "from tests.backtest.test_engine import *\n"
        "scenario = small()\n"
        "print(digest(run_engine(scenario, open_feed(scenario))))"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "77")
    }
    assert answers == {digest(crash[2])}


def test_an_error_inside_a_callback_ends_the_run_with_that_error(crash, monkeypatch):
    scenario, feed, _ = crash
    record = Recorder.record
    taken = []

    def failing(self, happened):
        if any(isinstance(event, OrderRouted) for event in happened):
            taken.append(happened)
            raise RuntimeError("the sink broke")
        record(self, happened)

    monkeypatch.setattr(Recorder, "record", failing)
    with pytest.raises(RuntimeError, match="the sink broke"):
        run_engine(scenario, feed)
    assert len(taken) == 1


def test_a_row_that_can_never_be_right_ends_the_run_by_its_name(crash):
    scenario, feed, _ = crash
    orders = feed.flow.orders.to_pylist()
    row = next(row for row in orders if row["leverage"] is not None)
    row["leverage"] = 4_000
    changed = pa.Table.from_pylist(orders, schema=feed.flow.orders.schema)
    flow = type(feed.flow)(changed, feed.flow.transfers)
    with pytest.raises(InvalidInput, match=rf"order '{row['order_id']}'.*leverage was 4000"):
        run_engine(scenario, _replaced(feed, flow=flow))


def _replaced(feed: Feed, **changes) -> Feed:
    return Feed(**{name: getattr(feed, name) for name in Feed.__dataclass_fields__} | changes)


def test_nothing_is_quoted_or_routed_to_hyperliquid_in_an_outage():
    scenario = apply_overrides(
        small("synthetic-calm"), ['outages=[{ after = "90m", lasts = "5m" }]', "risk.unreachable_after=60s"]
    )
    feed = open_feed(scenario)
    ((begin, end),) = feed.outages
    tables = run_engine(scenario, feed).recorder.tables()
    marks = tables["marks"]["ts"].to_numpy()
    assert not ((begin <= marks) & (marks < end)).any()
    sent = tables["venue_orders"]["ts"].to_numpy()
    assert not ((begin <= sent) & (sent < end)).any()
    guard = [(row["ts"], row["state"]) for row in tables["guards"].to_pylist() if row["guard"] == "CHANNEL"]
    assert guard == [(begin, "OPEN"), (begin + 60 * SECOND_NS, "UNREACHABLE"), (end, "CLOSED")]


@pytest.mark.parametrize(("name", "absent"), [(ALL_HYPERLIQUID, "INTERNAL"), (ALL_INTERNAL, "HYPERLIQUID")])
def test_a_counterfactual_keeps_every_open_on_one_route(crash, name, absent):
    changed = counterfactual(crash[0], name)
    routed = run_engine(changed, crash[1]).recorder.tables()["routing_records"]
    assert routed.num_rows
    assert absent not in routed["route"].to_pylist()


def test_limits_that_scale_with_the_data_never_fall_below_the_rulebook(crash):
    scenario, feed, _ = crash
    settings = resolved_settings(scenario.settings(), _replaced(feed, resolution_ns={"BTC": 3 * SECOND_NS}))
    assert settings.sanity_limit == {"BTC": Decimal("0.05")}
    assert settings.channel_silence_ns == {"BTC": 6 * SECOND_NS}
    slow = resolved_settings(scenario.settings(), _replaced(feed, resolution_ns={"BTC": 300 * SECOND_NS}))
    assert slow.sanity_limit == {"BTC": Decimal("0.5")}


def test_a_recorded_run_that_breaks_a_rule_is_refused(crash):
    _, _, run = crash
    tables, balances = run.recorder.tables(), run.book.balances
    with pytest.raises(InvariantBroken, match="do not sum to zero"):
        check_invariants(tables | {"journal": tables["journal"].slice(1)}, balances)
    with pytest.raises(InvariantBroken, match="without a routing record"):
        check_invariants(tables | {"routing_records": tables["routing_records"].slice(40)}, balances)
    with pytest.raises(InvariantBroken, match="balance of custody"):
        check_invariants(tables, balances | {"custody": Decimal(1)})
    fills = tables["fills"]
    worse = pa.array([Decimal(1)] * fills.num_rows, fills["price"].type)
    column = fills.column_names.index("hl_fill_price")
    priced = fills.set_column(column, "hl_fill_price", pc.cast(worse, fills["price"].type))
    with pytest.raises(InvariantBroken, match="worse than Hyperliquid's"):
        check_invariants(tables | {"fills": priced}, balances)
