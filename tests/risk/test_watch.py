import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.errors import InvalidInput
from risk.guards import PriceGuard, RangeGuard
from risk.margin_tiers import MarginTiers
from risk.market import SymbolSpec
from risk.settings import HOUR_NS, MINUTE_NS, Settings
from risk.watch import Bands, MarketWatch

TIERS = MarginTiers.of([(0, 40)])
SPECS = {
    "ETH": SymbolSpec("ETH", size_decimals=4, price_decimals=1, tiers=TIERS),
    "BTC": SymbolSpec("BTC", size_decimals=5, price_decimals=0, tiers=TIERS),
}


@pytest.fixture
def watch():
    return MarketWatch(SPECS, Settings())


def quote(watch, ts=1, bid=99.0, ask=101.0, symbol="ETH"):
    return watch.on_quote(symbol, ts, bid, ask, 1.0, 2.0)


def test_a_view_needs_a_quote_and_a_mark(watch):
    quote(watch)
    assert watch.flush(1) is None
    watch.on_mark("BTC", 1, 50_000.0)
    assert watch.flush(1) is None
    watch.on_mark("ETH", 2, 100.0)
    assert [view.symbol for view in watch.flush(2).views] == ["ETH"]


def test_a_flush_gives_exact_views_by_symbol_and_only_once(watch):
    for symbol, price in (("ETH", 100.1), ("BTC", 50_000.0)):
        watch.on_mark(symbol, 5, price)
        watch.on_quote(symbol, 6, price - 1, price, 0.3, 0.7)
    given_ = watch.flush(7)
    assert given_.ts == 7
    assert [view.symbol for view in given_.views] == ["BTC", "ETH"]
    view = given_.views[1]
    assert (view.ts, view.seen_ns, view.mark_seq) == (5, 6, 1)
    assert view.mark == view.prev_mark == view.oracle == view.low_60m == view.high_60m == Decimal("100.1")
    assert view.bids == ((Decimal("99.1"), Decimal("0.3")),)
    assert view.asks == ((Decimal("100.1"), Decimal("0.7")),)
    assert str(view.bids[0][1]) == "0.3000"
    assert watch.flush(8) is None


def test_prev_mark_is_the_one_received_before_whenever_it_was_flushed(watch):
    quote(watch)
    for ts, mark in enumerate((100.0, 101.0, 102.0), start=1):
        watch.on_mark("ETH", ts, mark)
    view = watch.flush(3).views[0]
    assert (view.prev_mark, view.mark, view.mark_seq) == (101, 102, 3)
    quote(watch, ts=4)
    view = watch.flush(4).views[0]
    assert (view.prev_mark, view.mark, view.mark_seq) == (101, 102, 3)


def test_the_oracle_replaces_the_mark_once_it_is_known(watch):
    quote(watch)
    watch.on_mark("ETH", 1, 100.0)
    watch.on_oracle("ETH", 2, 100.4)
    assert watch.flush(2).views[0].oracle == Decimal("100.4")


def test_a_book_gives_its_levels(watch):
    watch.on_mark("ETH", 1, 100.0)
    assert not watch.on_book("ETH", 1, [(99.0, 1.0), (98.0, 5.0)], [(101.0, 2.0), (102.0, 4.0)])
    view = watch.flush(1).views[0]
    assert view.bids == ((99, 1), (98, 5))
    assert view.walk(1, Decimal(4)) == Decimal("101.5")
    assert view.walk(1, Decimal(3)) == Decimal("101.333333333333")


def test_marks_are_quiet_inside_their_band_only(watch):
    watch.on_mark("ETH", 1, 100.0)
    watch.set_bands("ETH", Bands(mark_low=99.0, mark_high=101.0))
    answers = [watch.on_mark("ETH", 2, mark) for mark in (99.2, 99.0, 98.0, 100.8, 101.0, 102.0)]
    assert answers == [False, True, True, False, True, True]


def test_quotes_speak_up_when_they_touch_a_resting_order(watch):
    watch.set_bands("ETH", Bands(ask_low=95.0, bid_high=105.0))
    answers = [quote(watch, bid=bid, ask=ask) for bid, ask in ((95.0, 95.2), (94.0, 95.0), (104.8, 110.0))]
    answers.append(quote(watch, bid=105.0, ask=110.0))
    assert answers == [False, True, False, True]
    assert watch.on_book("ETH", 1, [(94.0, 1.0)], [(95.0, 1.0)])


def test_a_mark_that_rounds_onto_the_edge_is_not_quiet(watch):
    watch.on_mark("ETH", 1, 100.0)
    watch.set_bands("ETH", Bands(mark_low=99.0))
    assert watch.on_mark("ETH", 2, 99.04)


def test_every_mark_is_told_under_quarantine(watch):
    watch.on_mark("ETH", 1, 100.0)
    assert not watch.on_mark("ETH", 2, 100.1)
    watch.set_bands("ETH", Bands(quarantined=True))
    assert watch.on_mark("ETH", 3, 100.1)
    assert not quote(watch, ts=3)


def test_a_jump_is_told_by_the_symbols_own_limit():
    watch = MarketWatch(SPECS, Settings(sanity_limit={"BTC": Decimal("0.001")}))
    for symbol in SPECS:
        watch.on_mark(symbol, 1, 50_000.0)
    assert watch.on_mark("BTC", 2, 50_051.0)
    assert not watch.on_mark("ETH", 2, 50_051.0)
    watch.configure(Settings(sanity_limit={"ETH": Decimal("0.001")}))
    assert watch.on_mark("ETH", 3, 50_102.0)
    assert not watch.on_mark("BTC", 3, 50_102.0)


@pytest.mark.parametrize("jump", [940.0, 1060.0])
def test_a_jump_is_told_in_either_direction_and_within_a_wide_range(watch, jump):
    watch.set_bands("ETH", Bands(range_open=True))
    for ts, mark in enumerate((1200.0, 900.0, 950.0, 1000.0)):
        watch.on_mark("ETH", ts, mark)
    assert not watch.on_mark("ETH", 4, 1000.0)
    assert watch.on_mark("ETH", 5, jump)


@pytest.mark.parametrize(("high", "told"), [(104.0, False), (103.0, True), (102.0, True)])
def test_an_open_range_is_told_once_it_is_back_at_the_release(watch, high, told):
    watch.set_bands("ETH", Bands(range_open=True))
    watch.on_mark("ETH", 1, 100.0)
    assert watch.on_mark("ETH", 2, high) is told


def test_the_range_is_told_when_it_opens_and_when_it_could_close(watch):
    marks = [100.0, 102.0, 104.0, 105.2]
    assert [watch.on_mark("ETH", ts, mark) for ts, mark in enumerate(marks)] == [False, False, False, True]
    watch.set_bands("ETH", Bands(range_open=True))
    assert not watch.on_mark("ETH", 4, 104.0)
    # An hour later only the marks from 104 on are left of it: within 3 %.
    assert watch.on_mark("ETH", HOUR_NS + 2, 104.0)
    assert watch.on_mark("ETH", HOUR_NS + 3, 104.0)


@pytest.mark.parametrize(
    ("bid", "ask", "bid_size", "ask_size", "message"),
    [
        (math.nan, 101.0, 1.0, 1.0, "bid of ETH was nan"),
        (99.0, math.nan, 1.0, 1.0, "ask of ETH was nan"),
        (0.0, 101.0, 1.0, 1.0, "bid of ETH was 0.0; it must be finite, at least a price step"),
        (99.0, math.inf, 1.0, 1.0, "ask of ETH was inf"),
        (102.0, 101.0, 1.0, 1.0, "bid of ETH was 102.0; it must not exceed the ask, 101.0"),
        (99.0, 101.0, -1.0, 1.0, "bid size of ETH was -1.0"),
        (99.0, 101.0, 1.0, math.nan, "ask size of ETH was nan"),
    ],
)
def test_an_impossible_quote_is_refused_and_changes_nothing(watch, bid, ask, bid_size, ask_size, message):
    quote(watch)
    watch.on_mark("ETH", 1, 100.0)
    watch.flush(1)
    with pytest.raises(InvalidInput, match=message):
        watch.on_quote("ETH", 2, bid, ask, bid_size, ask_size)
    assert watch.flush(2) is None


@pytest.mark.parametrize(
    ("bids", "asks", "message"),
    [
        ([], [(101.0, 1.0)], "bids of ETH were empty"),
        ([(99.0, 1.0), (99.5, 1.0)], [(101.0, 1.0)], "bid 1 of ETH was 99.5"),
        ([(99.0, 1.0)], [(101.0, 1.0), (101.0, 1.0)], "ask 1 of ETH was 101.0"),
    ],
)
def test_an_impossible_book_is_refused(watch, bids, asks, message):
    with pytest.raises(InvalidInput, match=message):
        watch.on_book("ETH", 1, bids, asks)


@pytest.mark.parametrize("price", [math.nan, 0.0, -1.0, math.inf, 0.01])
def test_an_impossible_mark_or_oracle_is_refused(watch, price):
    with pytest.raises(InvalidInput, match=f"mark of ETH was {price}"):
        watch.on_mark("ETH", 1, price)
    with pytest.raises(InvalidInput, match=f"oracle of ETH was {price}"):
        watch.on_oracle("ETH", 1, price)


def test_time_cannot_go_backwards(watch):
    quote(watch, ts=5)
    with pytest.raises(InvalidInput, match="ts of ETH was 4; it must not lie before 5"):
        watch.on_mark("ETH", 4, 100.0)
    watch.on_mark("ETH", 5, 100.0)
    with pytest.raises(InvalidInput, match="ts was 4; ETH was seen at 5 already"):
        watch.flush(4)
    assert watch.flush(5).views[0].mark == 100


def test_an_unknown_symbol_is_named_with_those_that_exist(watch):
    for call in (
        lambda: quote(watch, symbol="DOGE"),
        lambda: watch.on_mark("DOGE", 1, 1.0),
        lambda: watch.set_bands("DOGE", Bands()),
    ):
        with pytest.raises(InvalidInput, match="symbol was 'DOGE'; loaded are BTC, ETH"):
            call()


@given(
    st.lists(
        st.tuples(st.integers(0, 25), st.sampled_from([0, 1, -1, 20, -20, 60, -60]), st.booleans()),
        max_size=60,
    )
)
def test_a_shell_that_flushes_only_when_told_sees_every_change_of_every_guard(moves):
    """One book is shown every mark, another only what the watch tells: their guards agree after every mark."""
    watch, risk = MarketWatch(SPECS, Settings()), Settings().risk
    watch.on_quote("ETH", 0, 999.0, 1001.0, 1.0, 1.0)
    watch.on_mark("ETH", 0, 1000.0)
    watch.flush(0)
    every, told = (PriceGuard(Decimal(1000)), RangeGuard()), (PriceGuard(Decimal(1000)), RangeGuard())
    seen: list[tuple[int, Decimal]] = [(0, Decimal(1000))]
    judged = 1
    for minutes, step_permille, flush_anyway in moves:
        ts = seen[-1][0] + minutes * MINUTE_NS
        mark = (seen[-1][1] * (1000 + step_permille) / 1000).quantize(Decimal("0.1"))
        previous = seen[-1][1]
        seen.append((ts, mark))
        last_hour = [price for at, price in seen if at >= ts - HOUR_NS]
        every[0].update(mark, previous, risk.price_sanity_limit, risk.price_sanity_updates)
        every[1].update(min(last_hour), max(last_hour), risk.price_range_limit, risk.price_range_release)
        if watch.on_mark("ETH", ts, float(mark)) or flush_anyway:
            view = watch.flush(ts).views[0]
            assert (view.mark, view.prev_mark) == (mark, previous)
            assert (view.low_60m, view.high_60m) == (min(last_hour), max(last_hour))
            assert view.mark_seq > judged
            judged = view.mark_seq
            told[0].update(view.mark, view.prev_mark, risk.price_sanity_limit, risk.price_sanity_updates)
            told[1].update(view.low_60m, view.high_60m, risk.price_range_limit, risk.price_range_release)
            watch.set_bands("ETH", Bands(quarantined=told[0].quarantined, range_open=told[1].open))
        assert told[0].quarantined == every[0].quarantined
        assert told[1].open == every[1].open
