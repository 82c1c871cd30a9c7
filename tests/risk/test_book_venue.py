"""Rulebook §3 through the book: users' positions at Hyperliquid, receipts, deviation."""

import pytest

from risk.errors import AlreadySo, InvalidInput
from risk.events import OrderCancelled, OrderFilled, OrderRefused, OrderRested, PositionOpened
from risk.house_events import (
    AlertLevel,
    AlertRaised,
    DeviationLogged,
    GuardChanged,
    VenueCancelRequested,
    VenueOrderRequested,
)
from risk.inputs import HlAccount, HlHaltLifted, VenueFilled
from risk.settings import DAY_NS
from tests.risk.book_builder import CROSS, D, Desk, changes, of, one, settings_with


@pytest.fixture
def desk():
    made = Desk()
    made.deposit("ann", 100_000)
    return made


def sent_by(events):
    return one(events, VenueOrderRequested)


def test_an_order_holds_margin_and_fees_and_is_sent_within_the_slippage_cap(desk):
    order = sent_by(desk.order("ann", "BTC", 1, "0.5", leverage=10))
    assert (order.account, order.limit_price, order.resting) == (HlAccount.TRADING, D(101_000), False)
    assert desk.balance("order_holds:ann") == D("5032.5")  # 50 000 / 10 + (0.045 % + 0.02 %) of it
    assert order.cloid.startswith(order.order_id)


def test_worked_example_the_receipt_replaces_every_estimate(desk):
    order = sent_by(desk.order("ann", "BTC", 1, 1, leverage=10))
    for size, price in (("0.3", 100_100), ("0.5", 100_050), ("0.2", 100_000)):
        desk.fill(order, price, size, fee=1, end=False)
    desk.end(order)
    (position,) = desk.book.positions.values()
    assert position.cost / position.size == 100_055
    assert position.margin == D("10005.5")
    assert desk.balance("order_holds:ann") == 0
    builder = D("20.011")
    assert desk.cash("ann") == 100_000 - D("10005.5") - 3 - builder
    assert desk.balance("builder_income") == builder


def test_what_did_not_fill_is_cancelled_and_its_margin_released(desk):
    order = sent_by(desk.order("ann", "BTC", 1, "0.5", leverage=10))
    events = desk.fill(order, size="0.2")
    assert one(events, OrderCancelled).size_left == D("0.3")
    assert (desk.balance("order_holds:ann"), desk.cash("ann")) == (0, D(100_000 - 2000 - 4))
    refused = desk.end(sent_by(desk.order("ann", "BTC", 1, "0.5", leverage=10)), refused=True, reason="tick")
    assert one(refused, OrderCancelled).reason == "REFUSED_BY_HL: tick"
    assert desk.cash("ann") == 97_996


def test_a_resting_limit_waits_at_hyperliquid_and_fills_as_maker(desk):
    events = desk.order("ann", "BTC", 1, "0.5", leverage=10, limit=99_000, oid="r")
    order = sent_by(events)
    assert (order.resting, order.limit_price) == (True, D(99_000))
    assert one(events, OrderRested).hold == D("4982.175")
    filled = one(desk.fill(order, 99_000, "0.2", end=False, maker=True), OrderFilled)
    assert filled.maker
    assert of(desk.cancel("ann", "r"), VenueCancelRequested)
    assert one(desk.end(order), OrderCancelled).reason == "CANCELLED"
    assert desk.balance("order_holds:ann") == 0


def test_a_resting_order_at_hyperliquid_expires_there(desk):
    order = sent_by(desk.order("ann", "BTC", 1, "0.5", leverage=10, limit=99_000))
    assert one(desk.timer(7 * 86_400), VenueCancelRequested).cloid == order.cloid


def test_a_part_that_trades_now_does_not_take_the_resting_rest_with_it(desk):
    desk.mark("BTC", 100_000, asks=((D(100_000), D("0.2")), (D(100_500), D(9))))
    events = desk.order("ann", "BTC", 1, "0.5", leverage=10, limit=100_000, oid="r")
    desk.fill(sent_by(events), size="0.2", end=False)
    assert of(desk.cancel("ann", "r"), VenueCancelRequested)


def test_an_own_close_settles_at_the_receipt_with_both_fees(desk):
    position = desk.open_on_hl("ann", "ETH", 1, 10, leverage=10)
    close = sent_by(desk.order("ann", "ETH", -1, None, position_id=position))
    moved = changes(desk, lambda: desk.fill(close, 4010, fee=D("18.045")))
    assert moved == {
        f"isolated_margin:{position}": D(-4000),
        "user_cash:ann": D("4000") + 100 - D("18.045") - D("8.02"),
        "hl_trading": D("-81.955"),  # the account gained 100 and paid the fee
        "builder_income": D("8.02"),
    }


def test_one_order_closes_several_positions_at_hyperliquid_oldest_first(desk):
    first = desk.open_on_hl("ann", "ETH", 1, 10, leverage=10)
    second = desk.open_on_hl("ann", "ETH", 1, 10, leverage=10)
    close = sent_by(desk.order("ann", "ETH", -1, 15, reduce_only=True))
    assert close.size == 15
    events = desk.fill(close, 4010, size=12, fee=D("12"))
    fills = [event for event in events if isinstance(event, OrderFilled)]
    assert [(fill.position_id, fill.size) for fill in fills] == [(first, 10), (second, 2)]
    assert sum(fill.fee for fill in fills) == D("12") + D("0.0002") * 12 * 4010
    assert one(events, OrderCancelled).size_left == 3
    assert desk.book.positions[second].size == 8
    assert desk.book.positions[second].closing == 0


def test_only_the_whole_of_a_close_need_reach_hyperliquids_minimum():
    desk = Desk(settings_with(normal_threshold=D(0)))
    desk.deposit("ann", 1000)
    for _ in range(2):
        desk.open_on_hl("ann", "ETH", 1, D("0.004"), leverage=10)
    refused = one(desk.order("ann", "ETH", -1, D("0.002"), reduce_only=True), OrderRefused)
    assert refused.code == "HL_MIN_NOTIONAL"
    assert sent_by(desk.order("ann", "ETH", -1, D("0.005"), reduce_only=True)).size == D("0.005")


def test_a_close_is_never_larger_than_what_is_not_already_on_its_way(desk):
    position = desk.open_on_hl("ann", "ETH", 1, 10, leverage=10)
    desk.order("ann", "ETH", -1, 6, position_id=position)
    assert sent_by(desk.order("ann", "ETH", -1, None, position_id=position)).size == 4
    assert not of(desk.order("ann", "ETH", -1, None, position_id=position), VenueOrderRequested)


def test_a_close_left_unfilled_can_be_sent_again(desk):
    position = desk.open_on_hl("ann", "ETH", 1, 10, leverage=10)
    close = sent_by(desk.order("ann", "ETH", -1, None, position_id=position))
    assert one(desk.fill(close, size=4), OrderCancelled).reason == "UNFILLED"
    assert sent_by(desk.order("ann", "ETH", -1, None, position_id=position)).size == 6


def test_a_loss_beyond_the_margin_of_an_own_close_is_bad_debt(desk):
    position = desk.open_on_hl("ann", "ETH", 1, 10, leverage=25)  # margin 1 600
    desk.mark("ETH", 3921)
    close = sent_by(desk.order("ann", "ETH", -1, None, position_id=position))
    moved = changes(desk, lambda: desk.fill(close, 3800, fee=20))
    assert moved == {
        f"isolated_margin:{position}": D(-1600),
        "hl_trading": D(2020),
        "risk_reserve": D(-420),
    }
    assert desk.book._core.ledger.turnover_bad_debt == 420


def test_further_fills_after_a_position_was_liquidated_open_a_new_one(desk):
    order = sent_by(desk.order("ann", "ETH", 1, 10, leverage=25))
    desk.fill(order, size=4, end=False)
    liquidation = sent_by(desk.mark("ETH", 3850))
    desk.fill(liquidation, 3850)
    opened = one(desk.fill(order, 3850, 6), PositionOpened)
    assert (opened.position_id, opened.size) == (2, 6)


# -- deviation


def closed_at(desk, receipt, size=10, symbol="ETH"):
    position = desk.open_on_hl("ann", symbol, 1, size, leverage=5, margin_mode=CROSS)
    close = sent_by(desk.order("ann", symbol, -1, None, position_id=position))
    return desk.fill(close, receipt)


def test_worked_example_deviation_of_40_is_logged_and_not_graded_as_an_alert(desk):
    events = closed_at(desk, 3996)
    logged = one(events, DeviationLogged)
    assert (logged.xbit_pnl, logged.hl_actual_pnl, logged.deviation) == (0, D(-40), D(-40))
    assert (logged.deviation_rate, logged.grade) == (D("0.001"), "LOGGED")
    assert not of(events, AlertRaised)


def test_a_deviation_of_10_is_not_logged(desk):
    assert not of(closed_at(desk, 3999), DeviationLogged)
    assert of(closed_at(desk, "3998.9"), DeviationLogged)


def test_deviation_over_1_percent_alerts_and_over_5_percent_halts_opens_of_that_symbol(desk):
    assert one(closed_at(desk, "3959.9", size=3), AlertRaised).code == "DEVIATION"
    events = closed_at(desk, "3799", size=3)
    assert one(events, GuardChanged).guard == "HL_HALT"
    assert [a.level for a in of(events, AlertRaised)] == [AlertLevel.P0]
    assert one(desk.order("ann", "ETH", 1, 10, leverage=5), OrderRefused).code == "HL_HALTED"
    assert of(desk.order("ann", "BTC", 1, 1, leverage=5), VenueOrderRequested)


def test_day_totals_of_deviation_are_graded_once_a_utc_day(desk):
    desk.deposit("ann", 1_000_000)
    codes = []
    for _ in range(3):
        codes.append([a.code for a in of(closed_at(desk, 3980, size=100), AlertRaised)])
    assert codes == [["DEVIATION_DAY_REVIEW"], [], ["DEVIATION_DAY_CRITICAL"]]
    desk.ts += DAY_NS
    desk.mark("ETH", 4000)
    assert not of(closed_at(desk, 3998, size=100), AlertRaised)


@pytest.mark.parametrize(
    ("price", "size", "fee", "word"),
    [
        ("NaN", 1, 0, "price"),
        (0, 1, 0, "price"),
        (4000, "NaN", 0, "size"),
        (4000, 11, 0, "size"),
        (4000, 0, 0, "size"),
        (4000, 1, "Infinity", "fee"),
    ],
)
def test_a_fill_that_cannot_be_is_named_and_changes_nothing(desk, price, size, fee, word):
    order = sent_by(desk.order("ann", "ETH", 1, 10, leverage=10))
    before = desk.book.digest()
    with pytest.raises(InvalidInput, match=f"^{word} was"):
        desk.handle(VenueFilled(desk.ts, order.cloid, D(price), D(size), D(fee)))
    assert desk.book.digest() == before


def test_an_unknown_cloid_is_refused(desk):
    with pytest.raises(InvalidInput, match="cloid was 'nobody'"):
        desk.handle(VenueFilled(desk.ts, "nobody", D(1), D(1), D(0)))


def test_an_operator_lifts_the_halt_of_a_symbol(desk):
    position = desk.open_on_hl("ann", "ETH", 1, 10, leverage=10)
    close = sent_by(desk.order("ann", "ETH", -1, None, position_id=position))
    desk.fill(close, 3700)
    assert one(desk.order("ann", "ETH", 1, 10, leverage=10), OrderRefused).code == "HL_HALTED"
    lifted = one(desk.handle(HlHaltLifted(desk.ts, "ETH", "olga")), GuardChanged)
    assert (lifted.guard, lifted.symbol, lifted.state) == ("HL_HALT", "ETH", "CLOSED")
    with pytest.raises(AlreadySo, match="'ETH'; it is not halted"):
        desk.handle(HlHaltLifted(desk.ts, "ETH", "olga"))
    assert sent_by(desk.order("ann", "ETH", 1, 10, leverage=10))
