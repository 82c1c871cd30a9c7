import numpy as np
import pyarrow.compute as pc
import pytest

from data.flow import validate
from data.synthetic.flow import synthetic_flow
from data.synthetic.profiles import PROFILES
from data.synthetic.seeds import stream
from data.synthetic.ticks import round_near
from data.synthetic.users import HABITS, draw_user
from risk.errors import InvalidInput


def small_opens_usd(dataset):
    """Return signed notionals (+ long) of the opening orders up to 10 000 USDC, at the first marks."""
    price = {symbol: frames.marks["mark"][0].as_py() for symbol, frames in dataset.market.items()}
    sign = {"BUY": 1, "SELL": -1}
    signed = [
        sign[row["side"]] * float(row["size"]) * price[row["symbol"]]
        for row in dataset.flow.orders.to_pylist()
        if row["intent"] == "OPEN"
    ]
    return np.array([notional for notional in signed if abs(notional) <= 10_000])


def kinds_of(dataset):
    """Draw each user's kind again from the user's own stream."""
    return {
        user: draw_user(dataset.profile, user, stream(dataset.seed, "user", user)).habits.kind
        for user in dataset.flow.users
    }


@pytest.mark.parametrize("name", PROFILES)
def test_every_flow_is_valid_and_inside_its_span(name, whole_day):
    dataset = whole_day(name)
    validate(dataset.flow, dataset.symbols)
    first, last = dataset.flow.span
    assert dataset.span[0] < first
    assert last < dataset.span[1]
    assert 2_000 < len(dataset.flow.orders) < 8_000


@pytest.mark.parametrize("name", PROFILES)
def test_a_deposit_precedes_every_users_orders(name, short):
    flow = short(name).flow
    funded = {}
    for row in flow.transfers.to_pylist():
        funded.setdefault(row["user"], (row["ts"], row["kind"]))
    assert {kind for _, kind in funded.values()} == {"DEPOSIT"}
    assert all(funded[row["user"]][0] < row["ts"] for row in flow.orders.to_pylist())


def test_prices_sizes_and_leverage_are_what_the_venue_takes(whole_day, specs):
    for row in whole_day("trend").flow.orders.to_pylist():
        spec = specs[row["symbol"]]
        if row["intent"] == "CANCEL":
            continue
        _, _, decimals = row["size"].partition(".")
        assert len(decimals) == spec.size_decimals
        assert 1 <= row["leverage"] <= spec.tiers.leverages[0]
        for text in (row["limit_price"], row["trigger_price"]):
            if text is not None:
                assert round_near(np.array([float(text)]), spec.price_decimals)[0] == float(text)


def test_a_cancel_follows_the_resting_order_it_names(whole_day):
    orders = {row["order_id"]: row for row in whole_day("calm").flow.orders.to_pylist()}
    cancels = [row for row in orders.values() if row["intent"] == "CANCEL"]
    assert len(cancels) > 50
    for row in cancels:
        resting = orders[row["cancels"]]
        assert resting["type"] != "MARKET"
        assert resting["ts"] < row["ts"]
        assert (resting["user"], resting["symbol"]) == (row["user"], row["symbol"])


def test_the_flow_holds_every_kind_of_order(whole_day):
    orders = whole_day("flash-crash").flow.orders
    counts = {
        name: {entry["values"]: entry["counts"] for entry in pc.value_counts(orders[name]).to_pylist()}
        for name in ("intent", "type", "margin_mode", "symbol", "side")
    }
    for name, values in {
        "intent": ("OPEN", "CLOSE", "NET", "CANCEL"),
        "type": ("MARKET", "LIMIT", "TAKE_PROFIT", "STOP_LOSS"),
        "margin_mode": ("ISOLATED", "CROSS"),
        "symbol": ("BTC", "ETH", "SOL", "DOGE"),
        "side": ("BUY", "SELL"),
    }.items():
        assert all(counts[name][value] >= 10 for value in values), name


def test_orders_fall_on_both_sides_of_the_routing_thresholds(whole_day):
    dataset = whole_day("flash-crash")
    price = {symbol: frames.marks["mark"][0].as_py() for symbol, frames in dataset.market.items()}
    notional = np.array(
        [
            float(row["size"]) * price[row["symbol"]]
            for row in dataset.flow.orders.to_pylist()
            if row["intent"] == "OPEN"
        ]
    )
    assert (notional <= 10_000).sum() > 1_000
    assert ((notional > 10_000) & (notional <= 50_000)).sum() > 50
    assert (notional > 50_000).sum() > 20
    assert notional.min() > 10


def test_the_crowd_is_one_way(whole_day):
    crowd, calm = small_opens_usd(whole_day("one-way-crowd")), small_opens_usd(whole_day("calm"))
    assert crowd.sum() > 3_000_000  # enough to push several symbols over a million
    assert crowd.sum() > 0.5 * np.abs(crowd).sum()  # three dollars long for each one short
    assert abs(calm.sum()) < 0.4 * np.abs(calm).sum()


def test_informed_users_are_right(whole_day):
    """Entries of the informed gain on average over the next two minutes by more than anyone else's."""
    dataset = whole_day("calm")
    gains = {"informed": [], "other": []}
    kinds = kinds_of(dataset)
    for row in dataset.flow.orders.to_pylist():
        if row["intent"] != "OPEN" or row["type"] != "MARKET":
            continue
        marks = dataset.market[row["symbol"]].marks
        ts, mark = marks["ts"].to_numpy(), marks["mark"].to_numpy()
        entry, later = np.searchsorted(ts, (row["ts"], row["ts"] + 120_000_000_000), side="right") - 1
        side = 1 if row["side"] == "BUY" else -1
        kind = "informed" if kinds[row["user"]] == "informed" else "other"
        gains[kind].append(side * (mark[later] / mark[entry] - 1))
    assert np.mean(gains["informed"]) > 0.0002
    assert abs(np.mean(gains["other"])) < 0.0002


def test_every_kind_of_user_is_there(whole_day):
    assert set(kinds_of(whole_day("flash-crash")).values()) == set(HABITS)


def test_hedgers_hold_both_sides(whole_day):
    dataset = whole_day("calm")
    kinds = kinds_of(dataset)
    opened = [
        row
        for row in dataset.flow.orders.to_pylist()
        if row["intent"] == "OPEN" and kinds[row["user"]] == "hedger"
    ]
    buys = sum(float(row["size"]) for row in opened if row["side"] == "BUY" and row["symbol"] == "BTC")
    sells = sum(float(row["size"]) for row in opened if row["side"] == "SELL" and row["symbol"] == "BTC")
    assert sells > 0
    assert sells == pytest.approx(buys, rel=0.2)


def test_some_orders_are_sent_into_the_outage(whole_day):
    dataset = whole_day("hl-outage")
    ((begin, end),) = dataset.outages
    ts = dataset.flow.orders["ts"].to_numpy()
    assert ((ts >= begin) & (ts < end)).any()


def test_a_user_does_not_depend_on_the_others(short, specs):
    dataset = short("trend")
    fewer = synthetic_flow(dataset.profile, dataset.market, specs, 20, dataset.seed)
    names = fewer.users
    for part, whole in (
        (fewer.orders, dataset.flow.orders),
        (fewer.transfers, dataset.flow.transfers),
    ):
        assert part.to_pylist() == [row for row in whole.to_pylist() if row["user"] in names]


def test_bad_sizes_are_refused(short, specs):
    dataset = short("calm")
    with pytest.raises(InvalidInput, match="users was 0"):
        synthetic_flow(dataset.profile, dataset.market, specs, 0, 7)
    with pytest.raises(InvalidInput, match="market was empty"):
        synthetic_flow(dataset.profile, {}, specs, 5, 7)
