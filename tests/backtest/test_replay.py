"""Replays against NautilusTrader: for whatever is asked, the same events, the same books, the same digest."""

import pickle

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.engine import Run, run_engine
from backtest.feed import Feed
from backtest.recorder import digest_of
from backtest.replay import run_replay
from backtest.scenario import Scenario, load_scenario
from backtest.scenario_overrides import apply_overrides
from backtest.sources import open_feed
from backtest.tape import CHUNK_ROWS, PAUSE, Tape
from risk.errors import InvalidInput
from risk.events import OrderRouted
from risk.settings import HOUR_NS
from tests.backtest.kept_digests import assert_kept

SMALL = ("data.hours=2", "flow.users=50", 'data.symbols=["BTC", "ETH"]', "seed=5")
SOON_HEDGED = "risk.hedge_tiers=[{ lower = 2000, ratio = 0.5 }, { lower = 20000, ratio = 0.8 }]"
ALL_TO_HL = "routing.*.normal_threshold=100"
POOR = (
    "risk.trading_account_capital=2000",
    "risk.hedge_account_capital=2000",
    "risk.platform_capital=100",
    "risk.trading_ratio_critical=1",
    "risk.hedge_ratio_critical=1",
    "risk.margin_ratio_topup=1.1",
)


def small(profile: str, *overrides: str) -> Scenario:
    return apply_overrides(load_scenario(f"synthetic-{profile}"), [*SMALL, *overrides])


def digest(run: Run) -> str:
    return digest_of(run.recorder.tables(), run.book.digest())


def replayed(scenario: Scenario, feed: Feed) -> Run:
    """Return the run of a replay that has the digest of the engine's."""
    run = run_replay(scenario, Tape.of(feed))
    expected = run_engine(scenario, feed)
    assert run.ticks == expected.ticks
    assert digest(run) == digest(expected)
    return run


def with_parts(feed: Feed, **changes) -> Feed:
    return Feed(**{name: getattr(feed, name) for name in Feed.__dataclass_fields__} | changes)


@pytest.mark.parametrize(
    "profile",
    ["calm", "flash-crash", "funding-spike", "hl-outage", "one-way-crowd", "thin-book", "trend"],
)
def test_every_mood_of_the_market_gives_the_digest_of_the_engine(profile):
    scenario = small(profile, SOON_HEDGED, "routing.*.auto_switch_enabled=true")
    run = replayed(scenario, open_feed(scenario))
    assert {"INTERNAL", "HYPERLIQUID"} <= set(run.recorder.tables()["fills"]["source"].to_pylist())
    assert_kept(f"synthetic-{profile}, two hours of 50 users", digest(run))


@pytest.mark.parametrize("latency", ["0s", "200ms", "5s", "2m"])
@pytest.mark.parametrize("depth", ["0", "2000"])
def test_orders_of_any_latency_arrive_between_and_together_with_quotes(latency, depth):
    """The market moves every five seconds, so that much latency after a tick an order meets the next one."""
    venue = [f"venue.order_latency={latency}", "venue.slippage_bps=3", f"venue.depth_usd={depth}"]
    scenario = small("flash-crash", *venue, ALL_TO_HL, SOON_HEDGED, "risk.hedge_debounce=0s")
    tables = replayed(scenario, open_feed(scenario)).recorder.tables()
    assert {"TRADING", "HEDGE"} <= set(tables["venue_orders"]["account"].to_pylist())


def test_accounts_that_are_taken_over_and_orders_that_rest_and_are_cancelled_at_hyperliquid():
    more = ["data.hours=3", "flow.users=60", "risk.reserve_capital=100", "risk.reserve_normal=0", *POOR]
    scenario = small("trend", *more, "risk.reserve_floor=0", ALL_TO_HL, SOON_HEDGED)
    tables = replayed(scenario, open_feed(scenario)).recorder.tables()
    assert "TRADING_LIQUIDATED" in tables["alerts"]["code"].to_pylist()
    assert True in tables["venue_orders"]["resting"].to_pylist()
    assert tables["venue_cancels"].num_rows


def test_split_orders_partial_liquidations_and_halts_lifted_by_the_operator():
    rules = ["risk.split_at_threshold=true", "risk.partial_liquidation=true", "venue.slippage_bps=150"]
    limits = ["risk.partial_liquidation_above=100", "venue.operator_response=5s", ALL_TO_HL]
    critical = ["risk.deviation_critical_rate=0.01", "risk.hl_slippage_cap=0.05"]
    scenario = small("flash-crash", *rules, *limits, *critical)
    tables = replayed(scenario, open_feed(scenario)).recorder.tables()
    assert "HL_HALT" in tables["guards"]["guard"].to_pylist()
    assert tables["liquidations"].num_rows


def test_without_hedging_the_hedge_account_has_no_quotes():
    scenario = small("one-way-crowd", "risk.hedging_enabled=false", ALL_TO_HL)
    replayed(scenario, open_feed(scenario))


@given(data=st.data())
@settings(max_examples=12)
def test_settings_at_random_give_the_digest_of_the_engine(data):
    def one_of(name, *values):
        return f"{name}={data.draw(st.sampled_from(values), label=name)}"

    profile = data.draw(st.sampled_from(["flash-crash", "hl-outage", "one-way-crowd", "thin-book", "trend"]))
    scenario = small(
        profile,
        "flow.users=30",
        one_of("seed", 1, 2, 3, 4),
        one_of("data.step", "1s", "5s", "60s"),
        one_of("venue.order_latency", "0s", "1ms", "200ms", "1s", "5s", "7s"),
        one_of("venue.slippage_bps", "0", "0.03", "5"),
        one_of("venue.depth_usd", "0", "2000", "50000"),
        one_of("risk.hl_slippage_cap", "0.01", "0.0005"),
        one_of("risk.hedging_enabled", "true", "false"),
        one_of("risk.hedge_debounce", "0s", "1s", "5s"),
        one_of("risk.hedge_slippage_cap", "0.01", "0.0003"),
        one_of("risk.order_expiry", "7d", "5m"),
        one_of("risk.liquidation_retry", "1s", "5s"),
        one_of("report.sample_interval", "60s", "5m"),
        one_of("routing.*.normal_threshold", "0", "500", "10000"),
        SOON_HEDGED,
    )
    replayed(scenario, open_feed(scenario))


def test_a_tape_of_many_slices_some_of_them_empty_gives_the_digest_of_the_engine(monkeypatch):
    scenario = small("calm", ALL_TO_HL, "report.sample_interval=60s")
    whole = open_feed(scenario)
    begin = whole.span[0]
    silent = with_parts(
        whole,
        flow=whole.flow.between(begin, begin + HOUR_NS),
        funding={},
        load_ticks=lambda start, end: whole.load_ticks(start, min(end, begin + HOUR_NS)),
    )
    slices = Feed.slices
    monkeypatch.setattr(Feed, "slices", lambda self: slices(self, 300))
    assert PAUSE in Tape.of(silent).codes
    replayed(scenario, silent)


def test_one_tape_serves_many_settings_here_and_in_another_process():
    scenario = small("flash-crash")
    feed = open_feed(scenario)
    buffers: list[pickle.PickleBuffer] = []
    sent = pickle.dumps(Tape.of(feed), protocol=5, buffer_callback=buffers.append)
    tape = pickle.loads(sent, buffers=buffers)
    assert len(sent) < 50_000 < sum(buffer.raw().nbytes for buffer in buffers)
    for threshold in ("100", "5000", "100"):
        changed = apply_overrides(scenario, [f"routing.*.normal_threshold={threshold}"])
        assert digest(run_replay(changed, tape)) == digest(run_engine(changed, feed))


def test_a_tape_holds_every_tick_once_in_time_order_and_in_chunks():
    feed = open_feed(small("calm"))
    tape = Tape.of(feed)
    ticks, _ = feed.load(*feed.span)
    assert tape.ticks == len(ticks)
    assert (tape.ts[1:] >= tape.ts[:-1]).all()
    assert len(tape.ts) < CHUNK_ROWS
    (whole,), parts = tape.chunks(), list(tape.chunks(1_000))
    for name in ("ts", "codes", "quotes", "marks"):
        assert [value for part in parts for value in getattr(part, name)] == getattr(whole, name)


def test_what_observes_a_run_is_told_everything_and_can_end_it():
    scenario = small("flash-crash")
    tape = Tape.of(open_feed(scenario))
    told, shares = [], []
    run = run_replay(scenario, tape, shares.append, told.extend)
    assert shares[-1] == 1.0
    routed = sum(isinstance(event, OrderRouted) for event in told)
    assert routed == run.recorder.tables()["routing_records"].num_rows > 0

    def stop(events):
        raise StopIteration("enough")

    with pytest.raises(StopIteration, match="enough"):
        run_replay(scenario, tape, observe=stop)


def test_a_row_that_can_never_be_right_ends_the_run_by_its_name():
    scenario = small("flash-crash")
    feed = open_feed(scenario)
    orders = feed.flow.orders.to_pylist()
    row = [row for row in orders if row["leverage"] is not None][7]
    row["leverage"] = 4_000
    changed = pa.Table.from_pylist(orders, schema=feed.flow.orders.schema)
    wrong = with_parts(feed, flow=type(feed.flow)(changed, feed.flow.transfers))
    with pytest.raises(InvalidInput) as expected:
        run_engine(scenario, wrong)
    with pytest.raises(InvalidInput) as found:
        run_replay(scenario, Tape.of(wrong))
    assert str(found.value) == str(expected.value)
    assert repr(row["order_id"]) in str(found.value)


@pytest.mark.usefixtures("real_history")
def test_a_week_of_the_real_flow_gives_the_digest_of_the_engine():
    week = ['data.start="2023-04-10"', 'data.end="2023-04-17"']
    scenario = apply_overrides(load_scenario("flow-2023"), week)
    run = replayed(scenario, open_feed(scenario))
    assert run.recorder.tables()["fills"].num_rows > 1_000
    assert_kept("flow-2023, a week", digest(run))
