import numpy as np
import pyarrow as pa
import pytest

from data.frames import FUNDING, MARKS, ORACLES, QUOTES
from data.synthetic.funding import hourly_funding
from data.synthetic.market import synthetic_market
from data.synthetic.profiles import HOUR_NS, MINUTE_NS, PROFILES, SECOND_NS, profile_named
from data.synthetic.ticks import round_near
from risk.errors import InvalidInput

START_NS = 1_748_736_000 * SECOND_NS
STEP_NS = 5 * SECOND_NS


def column(table: pa.Table, name: str) -> np.ndarray:
    return table[name].to_numpy()


def make(name, specs, seed=7, duration_ns=2 * HOUR_NS, step_ns=STEP_NS):
    return synthetic_market(profile_named(name), specs, START_NS, duration_ns, step_ns, seed)


def returns(marks: pa.Table) -> np.ndarray:
    return np.diff(np.log(column(marks, "mark")))


def worst_in_a_minute(marks: pa.Table, step_ns: int) -> float:
    mark = column(marks, "mark")
    return min((mark[lag:] / mark[:-lag] - 1).min() for lag in range(1, MINUTE_NS // step_ns + 1))


@pytest.mark.parametrize("name", PROFILES)
def test_every_frame_is_sound(name, short, specs):
    dataset = short(name)
    for symbol, frames in dataset.market.items():
        decimals = specs[symbol].price_decimals
        assert (frames.quotes.schema, frames.marks.schema) == (QUOTES, MARKS)
        assert (frames.oracles.schema, frames.funding.schema) == (ORACLES, FUNDING)
        bid, ask = column(frames.quotes, "bid"), column(frames.quotes, "ask")
        assert (bid < ask).all()
        for prices in (bid, ask, column(frames.marks, "mark"), column(frames.oracles, "oracle")):
            assert (prices > 0).all()
            assert (round_near(prices, decimals) == prices).all()
        for size in (column(frames.quotes, "bid_size"), column(frames.quotes, "ask_size")):
            assert (size > 0).all()
            assert (np.round(size, specs[symbol].size_decimals) == size).all()
        for table in (frames.quotes, frames.marks, frames.oracles, frames.funding):
            ts = column(table, "ts")
            assert (np.diff(ts) > 0).all()
            assert dataset.span[0] <= ts[0]
            assert ts[-1] < dataset.span[1]


def test_another_seed_gives_another_market(specs):
    assert make("calm", specs, seed=1)["BTC"].marks != make("calm", specs, seed=2)["BTC"].marks


def test_a_symbol_does_not_depend_on_the_others(specs):
    alone = make("flash-crash", {"ETH": specs["ETH"]})["ETH"]
    together = make("flash-crash", dict(reversed(specs.items())))["ETH"]
    assert alone == together


def test_symbols_move_together_but_not_as_one(specs):
    market = make("calm", specs, duration_ns=12 * HOUR_NS, step_ns=MINUTE_NS)
    correlation = np.corrcoef([returns(frames.marks) for frames in market.values()])
    off_diagonal = correlation[np.triu_indices(len(specs), 1)]
    assert (off_diagonal > 0.3).all()
    assert (off_diagonal < 0.95).all()


def test_spreads_widen_and_sizes_shrink_with_volatility(specs):
    frames = make("flash-crash", specs, duration_ns=6 * HOUR_NS)["DOGE"]
    bid, ask, ts = (column(frames.quotes, name) for name in ("bid", "ask", "ts"))
    spread, size = (ask - bid) / bid, column(frames.quotes, "bid_size") * bid
    crash = START_NS + int(0.6 * 6 * HOUR_NS)
    before, after = ts < crash, (ts >= crash) & (ts < crash + 5 * MINUTE_NS)
    assert np.median(spread[after]) > 2 * np.median(spread[before])
    assert np.median(size[after]) < np.median(size[before]) / 2


def test_calm_is_calm_and_trend_rises(whole_day):
    calm, trend = whole_day("calm"), whole_day("trend")
    for symbol in calm.symbols:
        mark = column(calm.market[symbol].marks, "mark")
        assert mark.max() / mark.min() < 1.08
        assert returns(calm.market[symbol].marks).std() < returns(trend.market[symbol].marks).std()
    rises = [column(frames.marks, "mark")[[0, -1]] for frames in trend.market.values()]
    assert np.mean([last / first - 1 for first, last in rises]) > 0.05


@pytest.mark.parametrize("step_ns", [SECOND_NS, 5 * SECOND_NS, MINUTE_NS])
@pytest.mark.parametrize("seed", [1, 7, 99])
def test_flash_crash_falls_fifteen_percent_within_a_minute_and_half_recovers(specs, seed, step_ns):
    for frames in make("flash-crash", specs, seed, 4 * HOUR_NS, step_ns).values():
        assert worst_in_a_minute(frames.marks, step_ns) <= -0.15
        mark = column(frames.marks, "mark")
        low = int(mark.argmin())
        peak = mark[max(0, low - 10 * MINUTE_NS // step_ns) : low].max()
        assert 0.25 < (mark[-1] - mark[low]) / (peak - mark[low]) < 0.95


def test_flash_crash_passes_price_sanity_step_by_step(whole_day):
    for frames in whole_day("flash-crash").market.values():
        assert np.abs(np.expm1(returns(frames.marks))).max() < 0.05


def test_only_the_crash_crashes(whole_day):
    for name in set(PROFILES) - {"flash-crash"}:
        for frames in whole_day(name).market.values():
            assert worst_in_a_minute(frames.marks, STEP_NS) > -0.06


def test_outage_is_five_silent_minutes(whole_day):
    dataset = whole_day("hl-outage")
    ((begin, end),) = dataset.outages
    assert end - begin == 5 * MINUTE_NS
    for frames in dataset.market.values():
        for table in (frames.quotes, frames.marks, frames.oracles):
            ts = column(table, "ts")
            assert not ((ts >= begin) & (ts < end)).any()
        ts = column(frames.quotes, "ts")
        gaps = np.diff(ts)
        assert ts[:-1][gaps > STEP_NS].tolist() == [begin - STEP_NS]
        assert gaps.max() == 5 * MINUTE_NS + STEP_NS
    assert whole_day("calm").outages == []


def test_thin_book_is_thin(whole_day):
    calm, thin = whole_day("calm"), whole_day("thin-book")
    for symbol in calm.symbols:
        medians = []
        for dataset in (calm, thin):
            bid, ask, size = (
                column(dataset.market[symbol].quotes, name) for name in ("bid", "ask", "bid_size")
            )
            medians.append((np.median((ask - bid) / bid), np.median(size * bid)))
        assert medians[1][0] > 5 * medians[0][0]
        assert medians[1][1] < medians[0][1] / 20


def test_funding_spike_is_a_spike(whole_day):
    for frames in whole_day("funding-spike").market.values():
        rates = column(frames.funding, "rate")
        assert (rates > 0.001).sum() >= 4
        assert rates.max() < 0.002
        assert np.median(rates) == 0.0000125
    for frames in whole_day("calm").market.values():
        assert (column(frames.funding, "rate") == 0.0000125).all()


@pytest.mark.parametrize(
    ("premium", "rate"),
    [
        (0.0, 0.0000125),  # interest alone: 0.01 % / 8
        (0.0004, 0.0000125),  # inside the clamp the premium is offset
        (0.0016, 0.0001375),  # (0.16 % − 0.05 %) / 8
        (-0.0016, -0.0001375),
        (0.9, 0.04),  # the cap
    ],
)
def test_funding_formula(premium, rate):
    ts = np.arange(0, 2 * HOUR_NS, MINUTE_NS, dtype=np.int64)
    oracle = np.full(len(ts), 100.0)
    price = oracle * (1 + premium)
    paid, rates, hours = hourly_funding(ts, price, price, oracle)
    assert (paid.tolist(), rates.tolist(), hours.tolist()) == ([HOUR_NS], [rate], [1])


def test_funding_is_of_the_hour_before():
    ts = np.arange(0, 3 * HOUR_NS, MINUTE_NS, dtype=np.int64)
    oracle = np.full(len(ts), 100.0)
    price = np.where(ts < HOUR_NS, 100.0, 101.0)
    _, rates, _ = hourly_funding(ts, price, price, oracle)
    assert rates.tolist() == [0.0000125, 0.0011875]


def test_default_size_fits_the_budget(whole_day):
    rows = sum(len(f.quotes) + len(f.marks) for f in whole_day("calm").market.values())
    assert rows <= 150_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step_ns": 61 * SECOND_NS}, "step_ns was 61000000000"),
        ({"step_ns": 1}, "step_ns was 1:"),
        ({"duration_ns": HOUR_NS - STEP_NS}, "duration_ns was"),
        ({"duration_ns": HOUR_NS + 1}, "duration_ns was 3600000000001"),
    ],
)
def test_a_bad_clock_is_refused(specs, change, message):
    with pytest.raises(InvalidInput, match=message):
        make("calm", specs, **change)


def test_an_unknown_coin_is_refused(specs):
    with pytest.raises(InvalidInput, match="synthetic symbol was 'NOPE'"):
        make("calm", {"NOPE": specs["BTC"]})


def test_an_unknown_profile_suggests_the_near_one():
    with pytest.raises(InvalidInput, match="was 'flash-crush': did you mean 'flash-crash'"):
        profile_named("flash-crush")
