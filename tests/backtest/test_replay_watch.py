"""The watch of a replay against the watch of an engine: the same rows are quiet, the same views come of them."""

from dataclasses import replace
from decimal import Decimal
from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.replay_watch import ReplayWatch
from backtest.scenario import load_scenario
from backtest.scenario_overrides import apply_overrides
from backtest.sources import open_feed
from backtest.tape import Tape
from risk.errors import InvalidInput
from risk.settings import Settings
from risk.watch import Bands, MarketWatch


@lru_cache
def tape() -> Tape:
    overrides = ("data.hours=3", "data.step=60s", 'data.symbols=["BTC", "ETH"]', "flow.users=2", "seed=5")
    return Tape.of(open_feed(apply_overrides(load_scenario("synthetic-flash-crash"), overrides)))


def limits(sanity: str, opens: str, releases: str) -> Settings:
    risk = replace(Settings().risk, price_range_limit=Decimal(opens), price_range_release=Decimal(releases))
    return replace(Settings(), risk=risk, sanity_limit=dict.fromkeys(tape().specs, Decimal(sanity)))


@given(
    sanity=st.sampled_from(["0.0005", "0.005", "0.5"]),
    opens=st.sampled_from(["0.01", "0.1", "0.9"]),
    share=st.sampled_from(["0.5", "1"]),
    every=st.integers(1, 40),
    guards=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=5),
)
@settings(max_examples=25)
def test_it_judges_every_tick_and_shows_every_view_as_the_engines_watch_does(
    sanity, opens, share, every, guards
):
    chosen = limits(sanity, opens, str(Decimal(opens) * Decimal(share)))
    watch, oracle = ReplayWatch(tape(), chosen), MarketWatch(tape().specs, chosen)
    names = list(tape().specs)
    for chunk in tape().chunks():
        quotes, marks = iter(chunk.quotes), iter(chunk.marks)
        for row, (ts, code) in enumerate(zip(chunk.ts, chunk.codes, strict=True), chunk.first_row):
            if code < 0:
                continue
            symbol, market = names[code // 2], watch.by_symbol[code // 2]
            watch.seen[symbol] = row
            if code % 2:
                mark = next(marks)
                loud = not market.mark_low < mark < market.mark_high or watch.alarms[market.range_open][row]
                assert bool(loud) == oracle.on_mark(symbol, ts, mark)
            else:
                quote = next(quotes)
                loud = quote[1] <= market.ask_low or quote[0] >= market.bid_high
                assert loud == oracle.on_quote(symbol, ts, *quote)
            if loud or row % every == 0:
                assert watch.flush(ts) == oracle.flush(ts)
                price = tape().marks[row // 3]
                quarantined, is_open = guards[row % len(guards)]
                bands = Bands(price * 0.99, price * 1.01, price * 0.999, price * 1.001, quarantined, is_open)
                for taker in (watch, oracle):
                    taker.set_bands(symbol, bands)


@pytest.mark.parametrize(("column", "value"), [(0, 0.0), (1, float("nan")), (2, 0.0), (3, float("inf"))])
def test_a_quote_that_cannot_be_is_refused_before_the_run(column, value):
    quotes = tape().quotes.copy()
    quotes[7, column] = value
    with pytest.raises(InvalidInput):
        ReplayWatch(replace(tape(), quotes=quotes), Settings())


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_mark_that_cannot_be_is_refused_before_the_run(value):
    marks = tape().marks.copy()
    marks[7] = value
    with pytest.raises(InvalidInput, match=r"^mark of "):
        ReplayWatch(replace(tape(), marks=marks), Settings())
