"""The replay's venue against NautilusTrader's own: scripts of orders, cancels and alerts, told apart by nothing."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest import replay
from backtest.scenario import load_scenario
from backtest.tape import Tape
from risk.errors import InvariantBroken
from risk.inputs import ChannelReported, HlAccount, VenueFilled, VenueOrderEnded, VenuePositionsReported
from risk.settings import SECOND_NS

from .scripted import START, Alert, Cancel, Order, ReplayedDriver, Script, Tick, logs, make_feed

D = Decimal


def told(script: Script, ticks: list[Tick], *overrides: str) -> list[Any]:
    """Return the fills and ends both shells agree on, as short tuples; times in seconds."""
    expected, found = logs(script, ticks, *overrides)
    assert found == expected
    return [
        ((i.ts - START) / SECOND_NS, i.cloid, str(i.price), str(i.size), i.maker)
        if isinstance(i, VenueFilled)
        else ((i.ts - START) / SECOND_NS, i.cloid)
        for i in found
        if isinstance(i, VenueFilled | VenueOrderEnded)
    ]


def quote(second: float, bid: float = 100_000.0, size: float = 1.0, symbol: str = "BTC") -> Tick:
    return second, symbol, bid, bid + 1, size


QUIET = [quote(1), quote(10)]


def test_the_quotes_size_is_no_limit_to_an_immediate_order():
    script = Script(at_tick={1: [Order("2.5", "100010")]})
    assert told(script, QUIET) == [(1.2, "o0", "100001.0", "2.50000", False), (1.2, "o0")]


@pytest.mark.parametrize("bps", ["venue.slippage_bps=0", "venue.slippage_bps=10"])
def test_an_immediate_order_that_meets_no_level_within_its_limit_is_cancelled(bps):
    limit = "100000" if bps.endswith("=0") else "100002"
    assert told(Script(at_tick={1: [Order("1", limit)]}), QUIET, bps) == [(1.2, "o0")]


def test_an_immediate_order_walks_the_levels_and_is_cancelled_at_its_limit():
    depth = ("venue.slippage_bps=1", "venue.depth_usd=100000")
    assert told(Script(at_tick={1: [Order("2.5", "100022")]}), QUIET, *depth) == [
        (1.2, "o0", "100012.0", "0.99999", False),
        (1.2, "o0", "100022.0", "0.99999", False),
        (1.2, "o0"),
    ]


def test_an_order_that_rests_fills_at_its_limit_by_the_quotes_size_and_before_the_quote_is_seen():
    script = Script(at_tick={1: [Order("2.5", "99990", rests=True)]})
    ticks = [quote(1), quote(2, 99_980.0), quote(3, 99_989.0), quote(4, 99_980.0, size=0.25), quote(5)]
    assert told(script, ticks) == [
        (2.0, "o0", "99990.0", "1.00000", True),
        (3.0, "o0", "99990.0", "1.00000", True),
        (4.0, "o0", "99990.0", "0.25000", True),
    ]
    _, found = logs(script, ticks)
    seen = [type(i).__name__ if not isinstance(i, tuple) else i[0] for i in found if i != found[0]]
    assert seen.index("VenueFilled") < seen.index("quote", seen.index("quote") + 1)


def test_an_order_that_is_to_rest_takes_the_quote_it_meets_and_then_rests():
    assert told(Script(at_tick={1: [Order("2.5", "100010", rests=True)]}), QUIET) == [
        (1.2, "o0", "100001.0", "1.00000", False),
        (1.2, "o0", "100010.0", "1.00000", True),
        (10.0, "o0", "100010.0", "0.50000", True),
        (10.0, "o0"),
    ]


def test_resting_orders_fill_by_price_then_age_buys_first():
    wide = (1.0, "BTC", 99_000.0, 101_000.0, 1.0)
    sells = [Order("-1", limit, rests=True) for limit in ("99990", "99980", "99990")]
    buys = [Order("1", limit, rests=True) for limit in ("100010", "100020", "100010")]
    found = told(Script(at_tick={1: [*sells, *buys]}), [wide, quote(2)])
    assert [fill[1] for fill in found if len(fill) > 2] == ["o4", "o3", "o5", "o1", "o0", "o2"]


def test_a_cancel_takes_the_latency_too_and_may_come_too_late():
    script = Script(
        at_tick={
            1: [Order("1", "99990", rests=True), Order("1", "99995", rests=True)],
            2: [Cancel(0)],
            3: [Cancel(1)],
        }
    )
    ticks = [quote(1), quote(2), quote(3), quote(3.1, 99_980.0), quote(10)]
    assert told(script, ticks) == [(2.2, "o0"), (3.1, "o1", "99995.0", "1.00000", True), (3.1, "o1")]


def test_an_order_that_arrives_with_data_waits_for_its_own_quote_or_else_for_the_alerts():
    script = Script(at_tick={1: [Order("1", "200000"), Order("1", "200000", symbol="ETH")]})
    ticks = [quote(1), quote(1, 3_000.0, symbol="ETH"), quote(2, 100_500.0), quote(2, 100_700.0)]
    second = "venue.order_latency=1s"
    assert told(script, ticks, second) == [
        (2.0, "o0", "100501.0", "1.00000", False),
        (2.0, "o0"),
        (2.0, "o1", "3001.00", "1.0000", False),
        (2.0, "o1"),
    ]
    _, found = logs(script, ticks, second)
    stands = (("BTC", D(1)), ("ETH", D(1)))
    assert VenuePositionsReported(START + 57 * SECOND_NS, HlAccount.TRADING, stands) in found


def test_the_hedge_accounts_venue_is_quoted_after_all_of_the_market_of_that_time():
    hedge = Order("1", "200000", account=HlAccount.HEDGE)
    twice = [quote(2, 100_500.0), quote(2, 100_700.0)]
    ticks = [quote(1), *twice, quote(2, 3_000.0, symbol="ETH"), quote(3)]
    assert told(Script(at_tick={1: [hedge]}), ticks, "venue.order_latency=1s")[0][2] == "100501.0"
    # Without latency it is filled at once, at what was quoted there before.
    assert told(Script(at_tick={2: [hedge]}), ticks, "venue.order_latency=0s")[0][2] == "100001.0"


def test_without_latency_an_order_is_carried_out_after_the_row_it_was_sent_in():
    script = Script(at_tick={2: [Order("1", "200000", symbol="ETH"), Order("1", "200000")]})
    ticks = [quote(1), quote(2, 100_500.0), quote(2, 100_600.0), quote(3, 3_000.0, symbol="ETH")]
    assert told(script, ticks, "venue.order_latency=0s") == [
        (2.0, "o0"),
        (2.0, "o1", "100501.0", "1.00000", False),
        (2.0, "o1"),
    ]


def test_an_alert_moved_while_its_time_is_in_hand_still_rings():
    script = Script(at_tick={1: [Alert(1)], 2: [Alert(3)], 3: [Alert(2), Alert(1)]})
    expected, found = logs(script, [quote(1), quote(2), quote(8), quote(20)])
    assert found == expected
    rung = [given[1] - START for given in found if isinstance(given, tuple) and given[0] == "alert"]
    assert rung == [2 * SECOND_NS, 5 * SECOND_NS, 9 * SECOND_NS]


def test_what_is_under_way_at_the_end_is_never_heard_of_again():
    assert told(Script(at_tick={2: [Order("1", "200000")]}), [quote(1), quote(59.9)]) == []


def test_a_replay_refuses_an_order_that_would_rest_where_it_cannot(monkeypatch):
    script = Script(at_tick={1: [Order("1", "99000", rests=True, account=HlAccount.HEDGE)]})
    tape = Tape.of(make_feed(QUIET))
    driver = lambda book, watch, _: ReplayedDriver(script, [], book, watch, tape)  # noqa: E731
    monkeypatch.setattr(replay, "CoreDriver", driver)
    with pytest.raises(InvariantBroken, match="o0 is to rest"):
        replay.run_replay(load_scenario("synthetic-calm"), tape)


def _asked() -> st.SearchStrategy[list[Order | Cancel | Alert]]:
    buys = st.builds(
        lambda lots, step, symbol, account, rests: Order(
            str(D(lots) / 100),
            str((D(100_000) if symbol == "BTC" else D(3_000)) + step),
            rests and account is HlAccount.TRADING,
            symbol,
            account,
        ),
        st.integers(-400, 400).filter(bool),
        st.integers(-6, 8),
        st.sampled_from(["BTC", "ETH"]),
        st.sampled_from(list(HlAccount)),
        st.booleans(),
    )
    return st.lists(
        buys | st.builds(Cancel, st.integers(0, 9)) | st.builds(Alert, st.sampled_from([0.0, 0.5, 1.0, 3.0])),
        max_size=3,
    )


def _ticks() -> st.SearchStrategy[list[Tick]]:
    tick = st.tuples(
        st.integers(2, 20).map(lambda half: half / 2),
        st.sampled_from(["BTC", "ETH"]),
        st.integers(-6, 6),
        st.integers(1, 3),
        st.sampled_from([0.25, 1.0, 2.5]),
        st.booleans(),
    ).map(lambda t: _tick(*t))
    return st.lists(tick, min_size=5, max_size=40).map(lambda ticks: sorted(ticks, key=lambda t: t[0]))


def _tick(second: float, symbol: str, step: int, spread: int, size: float, is_mark: bool) -> Tick:
    base = 100_000.0 if symbol == "BTC" else 3_000.0
    return second, symbol, base + step, 0.0 if is_mark else base + step + spread, size


@given(
    ticks=_ticks(),
    at_tick=st.dictionaries(st.integers(1, 20), _asked(), min_size=4, max_size=16),
    at_fill=st.dictionaries(st.integers(1, 6), _asked(), max_size=3),
    at_alert=st.dictionaries(st.integers(1, 4), _asked(), max_size=3),
    latency=st.sampled_from(["0s", "200ms", "500ms", "1s", "2s"]),
    slippage=st.sampled_from(["0", "0.2", "3"]),
    depth=st.sampled_from(["0", "5000"]),
)
@settings(max_examples=80)
def test_scripts_at_random_are_told_apart_by_nothing(
    ticks, at_tick, at_fill, at_alert, latency, slippage, depth
):
    venue = [f"venue.order_latency={latency}", f"venue.slippage_bps={slippage}", f"venue.depth_usd={depth}"]
    expected, found = logs(Script(at_tick, at_fill, at_alert), ticks, *venue)
    assert found == expected
    assert isinstance(found[0], ChannelReported) or found[0][0] in ("quote", "mark")
