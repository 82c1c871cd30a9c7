"""Rulebook §2 and the flows of §7 through the book: INTERNAL execution, orders that wait, money in and out."""

import pytest

from risk.events import (
    FillAction,
    MarginChanged,
    OrderCancelled,
    OrderFilled,
    OrderRefused,
    OrderRested,
    OrderRouted,
    PositionClosed,
    PositionOpened,
    RouteReason,
    Source,
)
from risk.house_events import VenueOrderRequested
from risk.inputs import MarginMode, WithdrawalEnded, WithdrawalSubmitted
from risk.settings import DAY_NS
from tests.risk.book_builder import CROSS, D, Desk, changes, money, of, one, settings_with


@pytest.fixture
def desk():
    made = Desk()
    made.deposit("ann", 10_000)
    return made


def withdraw(desk, amount, wid="w1", fee=0, user="ann"):
    return desk.handle(WithdrawalSubmitted(desk.ts, wid, user, money(amount), money(fee)))


# -- execution


def test_a_market_order_gets_hyperliquids_best_price_and_stores_it_as_reference(desk):
    desk.mark("BTC", 100_000, bid=99_990, ask=100_010)
    bought = one(desk.order("ann", "BTC", 1, "0.05", leverage=10), OrderFilled)
    sold = one(desk.order("ann", "BTC", -1, "0.05", leverage=10), OrderFilled)
    assert (bought.price, bought.hl_fill_price, bought.mark) == (D(100_010), D(100_010), D(100_000))
    assert (sold.price, sold.hl_fill_price) == (D(99_990), D(99_990))


def test_where_depth_is_known_the_whole_order_walks_it(desk):
    asks = ((D(100_000), D("0.01")), (D(100_100), D("0.03")), (D(100_300), D(1)))
    desk.mark("BTC", 100_000, asks=asks)
    filled = one(desk.order("ann", "BTC", 1, "0.05", leverage=10), OrderFilled)
    assert filled.price == D(100_120)  # (0.01 × 100 000 + 0.03 × 100 100 + 0.01 × 100 300) / 0.05


def test_a_close_of_several_positions_walks_the_depth_once_for_all_of_them(desk):
    for _ in range(2):
        desk.order("ann", "BTC", 1, "0.02", leverage=10)
    desk.mark("BTC", 100_000, bids=((D(100_000), D("0.02")), (D(99_000), D(1))))
    events = desk.order("ann", "BTC", -1, "0.04", reduce_only=True)
    assert [f.price for f in of(events, OrderFilled)] == [D(99_500), D(99_500)]


def test_a_limit_marketable_on_arrival_is_a_taker_at_the_better_price(desk):
    filled = one(desk.order("ann", "BTC", 1, "0.05", leverage=10, limit=101_000), OrderFilled)
    assert (filled.price, filled.maker, filled.fee) == (D(100_000), False, D("2.5"))


def test_a_resting_limit_holds_margin_and_fee_and_fills_at_its_limit_as_maker(desk):
    rested = one(desk.order("ann", "BTC", 1, "0.05", leverage=10, limit=99_000, oid="r"), OrderRested)
    assert (rested.hold, rested.where) == (D("495.99"), Source.INTERNAL)  # 495 + 0.02 % of 4 950
    assert (desk.cash("ann"), desk.balance("order_holds:ann")) == (D("9504.01"), D("495.99"))
    desk.mark("BTC", 99_100, bid=99_000, ask=D("99000.1"))
    assert not desk.book.positions
    events = desk.mark("BTC", 98_000)
    filled = one(events, OrderFilled)
    assert (filled.price, filled.hl_fill_price, filled.maker, filled.fee) == (99_000, 99_000, True, D("0.99"))
    assert desk.balance("order_holds:ann") == 0
    assert one(events, PositionOpened).margin == 495


@pytest.mark.parametrize(("refused", "code"), [(False, None), (True, "FORCED_PRICE_RANGE")])
def test_forced_reasons_are_checked_again_at_the_touch(refused, code):
    desk = Desk(settings_with({"forced_at_touch_refused": refused}))
    desk.deposit("ann", 10_000)
    desk.order("ann", "BTC", -1, "0.05", leverage=10, limit=101_000)
    events = desk.mark("BTC", 101_000, low_60m=D(90_000))
    if code:
        assert one(events, OrderRefused).code == code
        assert desk.cash("ann") == 10_000
    else:
        assert one(events, OrderRouted).reason is RouteReason.PRICE_RANGE
        sent = one(events, VenueOrderRequested)
        assert (sent.limit_price, sent.resting) == (D(101_000), False)


def test_waiting_orders_of_one_mark_execute_in_order_of_arrival(desk):
    desk.order("ann", "BTC", 1, "0.01", leverage=10, limit=98_000, oid="first")
    desk.order("ann", "BTC", 1, "0.01", leverage=10, limit=99_000, oid="second")
    events = desk.mark("BTC", 97_000)
    assert [f.order_id for f in of(events, OrderFilled)] == ["first", "second"]


@pytest.mark.parametrize(
    ("side", "kind", "quiet", "fires"),
    [
        (1, "take_profit", 100_999, 101_000),
        (1, "stop_loss", "99000.1", 99_000),
        (-1, "take_profit", "99000.1", 99_000),
        (-1, "stop_loss", 100_999, 101_000),
    ],
)
def test_take_profit_and_stop_loss_trigger_on_mark(desk, side, kind, quiet, fires):
    desk.order("ann", "BTC", side, "0.05", leverage=10)
    price = 101_000 if money(fires) > 100_000 else 99_000
    desk.order("ann", "BTC", -side, "0.05", position_id=1, oid="t", **{kind: price})
    assert not of(desk.mark("BTC", quiet, bid=90_000, ask=110_000), OrderFilled)
    filled = one(desk.mark("BTC", fires), OrderFilled)
    assert (filled.order_id, filled.maker, filled.action) == ("t", False, FillAction.CLOSE)


def test_a_stop_already_passed_fires_at_once(desk):
    desk.order("ann", "BTC", 1, "0.05", leverage=10)
    assert one(desk.order("ann", "BTC", -1, "0.05", stop_loss=100_500), OrderFilled).price == 100_000


@pytest.mark.parametrize("margin_mode", MarginMode)
@pytest.mark.parametrize(
    "close",
    [
        lambda desk: desk.order("ann", "BTC", -1, None, position_id=1),
        lambda desk: desk.order("ann", "BTC", -1, "0.05", reduce_only=True),
        lambda desk: desk.mark("BTC", 98_000),  # its stop
        lambda desk: desk.glide("BTC", 50_000),  # liquidated
    ],
)
def test_what_waits_to_close_a_position_ends_with_it_however_it_is_closed(desk, close, margin_mode):
    desk.order("ann", "BTC", 1, "0.05", leverage=10, margin_mode=margin_mode)
    desk.order("ann", "BTC", 1, "0.01", leverage=10)
    waiting = {"position_id": 1, "take_profit": 120_000}
    desk.order("ann", "BTC", -1, "0.05", oid="whole", **waiting)
    desk.order("ann", "BTC", -1, "0.01", oid="part", **waiting)
    desk.order("ann", "BTC", -1, "0.05", oid="limit", position_id=1, limit=110_000)
    desk.order("ann", "BTC", -1, None, oid="stop", position_id=1, stop_loss=98_500)
    desk.order("ann", "BTC", -1, "0.01", oid="other", position_id=2, take_profit=120_000)
    desk.order("ann", "BTC", -1, "0.02", position_id=1)
    assert len(desk.book._core.orders) == 5
    events = close(desk)
    ended = {each.order_id: each.reason for each in of(events, OrderCancelled)}
    fired = {each.order_id for each in of(events, OrderFilled)}
    assert ended.keys() | fired & {"stop"} >= {"whole", "part", "limit", "stop"}
    assert set(ended.values()) == {"NOTHING_TO_CLOSE"}
    assert desk.book._core.orders.keys() <= {"other"}
    assert ("other" in desk.book._core.orders) == (2 in desk.book.positions)


@pytest.mark.parametrize("best", ["0.05", "0.06"])
def test_of_a_limit_larger_than_the_position_it_closes_nothing_waits_after_it(desk, best):
    desk.order("ann", "BTC", 1, "0.05", leverage=10)
    desk.mark("BTC", 100_000, bids=((D(100_000), D(best)), (D(99_000), D(1))))
    events = desk.order("ann", "BTC", -1, "0.08", position_id=1, limit=99_500)
    ended = of(events, OrderCancelled)
    assert {each.reason for each in ended} == {"NOTHING_TO_CLOSE"}
    assert sum(each.size_left for each in ended) == D("0.03")
    assert not desk.book._core.orders


def test_a_trigger_that_names_no_position_waits_for_the_next(desk):
    desk.order("ann", "BTC", 1, "0.05", leverage=10)
    desk.order("ann", "BTC", -1, "0.05", stop_loss=99_000)
    desk.order("ann", "BTC", -1, None, position_id=1)
    assert one(desk.mark("BTC", 98_000), OrderCancelled).reason == "NOTHING_TO_CLOSE"


def test_orders_expire_after_seven_days(desk):
    desk.order("ann", "BTC", 1, "0.05", leverage=10, limit=90_000, oid="old")
    ends = desk.ts + 7 * DAY_NS
    assert not of(desk.timer(7 * 86_400 - 1), OrderCancelled)
    assert desk.book.next_timer_ns() == ends
    assert one(desk.timer(1), OrderCancelled).reason == "EXPIRED"
    assert desk.cash("ann") == 10_000


def test_a_cancel_releases_the_hold_and_only_its_owner_may(desk):
    desk.order("ann", "BTC", 1, "0.05", leverage=10, limit=90_000, oid="mine")
    assert one(desk.cancel("bob", "mine"), OrderRefused).code == "UNKNOWN_ORDER"
    assert one(desk.cancel("ann", "mine"), OrderCancelled).size_left == D("0.05")
    assert one(desk.cancel("ann", "mine"), OrderRefused).code == "UNKNOWN_ORDER"
    assert desk.cash("ann") == 10_000


# -- positions


def test_every_opening_fill_is_a_new_position_up_to_200(desk):
    desk.deposit("ann", 10_000)
    for _ in range(200):
        desk.order("ann", "BTC", 1, "0.0002", leverage=10)
    assert one(desk.order("ann", "BTC", 1, "0.0002", leverage=10), OrderRefused).code == "TOO_MANY_POSITIONS"
    assert one(desk.order("ann", "ETH", 1, "0.01", leverage=10), PositionOpened).position_id == 201


def test_a_partial_close_leaves_the_entry_and_the_last_close_takes_the_rest(desk):
    desk.order("ann", "COIN", 1, "3", leverage=7)
    margin = desk.book.positions[1].margin
    assert margin == D("42.857143")
    desk.mark("COIN", 101)
    first = one(desk.order("ann", "COIN", -1, "1", position_id=1), PositionClosed)
    position = desk.book.positions[1]
    assert (first.pnl, first.size_left, position.cost) == (D(1), D(2), D(200))
    assert position.margin == D("28.571429")  # 42.857143 − 14.285714
    last = one(desk.order("ann", "COIN", -1, None, position_id=1), PositionClosed)
    assert (last.pnl, last.size_left, desk.book.positions) == (D(2), 0, {})


def test_closing_by_id_takes_no_more_than_that_position(desk):
    for _ in range(2):
        desk.order("ann", "BTC", 1, "0.01", leverage=10)
    events = desk.order("ann", "BTC", -1, "0.03", position_id=2)
    assert one(events, PositionClosed).size == D("0.01")
    assert one(events, OrderCancelled).size_left == D("0.02")
    assert list(desk.book.positions) == [1]
    assert one(desk.order("ann", "BTC", -1, None, position_id=2), OrderRefused).code == "UNKNOWN_POSITION"
    assert one(desk.order("bob", "BTC", -1, None, position_id=1), OrderRefused).code == "UNKNOWN_POSITION"


def test_a_close_of_the_wrong_side_or_symbol_is_told_what_closes_the_position(desk):
    desk.order("ann", "BTC", 1, "0.01", leverage=10)
    desk.order("ann", "BTC", -1, "0.01", leverage=10)
    for position, symbol, side, why in (
        (1, "BTC", 1, "position 1 is LONG BTC; it is closed by a SELL of BTC"),
        (1, "ETH", -1, "position 1 is LONG BTC; it is closed by a SELL of BTC"),
        (2, "BTC", -1, "position 2 is SHORT BTC; it is closed by a BUY of BTC"),
        (3, "BTC", -1, "no open position 3 to close"),
    ):
        refused = one(desk.order("ann", symbol, side, None, position_id=position), OrderRefused)
        assert (refused.code, refused.detail) == ("UNKNOWN_POSITION", why)


def test_reduce_only_closes_oldest_first_and_never_opens(desk):
    for size in ("0.01", "0.02"):
        desk.order("ann", "BTC", 1, size, leverage=10)
    events = desk.order("ann", "BTC", -1, "0.015", reduce_only=True)
    assert [(c.position_id, c.size) for c in of(events, PositionClosed)] == [(1, D("0.01")), (2, D("0.005"))]
    events = desk.order("ann", "BTC", -1, "1", reduce_only=True)
    assert not of(events, PositionOpened)
    assert one(events, OrderCancelled).reason == "NOTHING_TO_CLOSE"
    assert not desk.book.positions


def test_netted_flow_closes_oldest_first_across_sources_then_opens_the_remainder(desk):
    desk.deposit("ann", 100_000)
    desk.order("ann", "BTC", 1, "0.01", leverage=10)
    desk.open_on_hl("ann", "BTC", 1, "0.2", leverage=10)
    events = desk.order("ann", "BTC", -1, "0.26", netted=True, leverage=10)
    assert one(events, PositionClosed).position_id == 1
    assert one(events, VenueOrderRequested).size == D("0.2")
    assert (one(events, PositionOpened).side, one(events, PositionOpened).size) == (-1, D("0.05"))


def test_leverage_must_be_an_integer_the_tier_of_the_notional_allows(desk):
    desk.deposit("ann", 10_000_000)
    assert one(desk.order("ann", "COIN", 1, "30000", leverage=6), OrderRefused).code == "LEVERAGE_ABOVE_TIER"
    assert one(desk.order("ann", "COIN", 1, "29999", leverage=6), VenueOrderRequested)


# -- results, fees


def test_a_client_loss_is_split_80_20_and_a_gain_is_paid_by_platform_profit(desk):
    desk.order("ann", "BTC", 1, "0.05", leverage=10)
    desk.order("ann", "BTC", -1, "0.05", leverage=10)
    desk.mark("BTC", 99_000)
    loss = changes(desk, lambda: desk.order("ann", "BTC", -1, None, position_id=1))
    assert loss == {
        "isolated_margin:1": D(-500),
        "user_cash:ann": D("447.525"),  # 500 − 50 − 0.05 % of 4 950
        "fee_income": D("2.475"),
        "platform_profit": D(40),
        "risk_reserve": D(10),
    }
    gain = changes(desk, lambda: desk.order("ann", "BTC", 1, None, position_id=2))
    assert (gain["platform_profit"], gain["user_cash:ann"]) == (D(-50), D("547.525"))


def test_natural_hedge_earns_two_fees_and_no_exposure():
    desk = Desk(hedging=True)
    for user, side in (("ann", 1), ("bob", -1)):
        desk.deposit(user, 10_000)
        desk.order(user, "ETH", side, 2, leverage=10)
    assert desk.balance("fee_income") == 8
    assert desk.book._core.symbols["ETH"].exposure == 0
    assert not of(desk.timer(20), VenueOrderRequested)


def test_a_close_never_takes_more_than_the_positions_margin(desk):
    desk.order("ann", "BTC", 1, "0.05", leverage=40)
    margin = desk.book.positions[1].margin
    desk.mark("BTC", 99_000, bid=95_200, ask=99_000)  # the price to be had is far below the mark
    cash = desk.cash("ann")
    closed = one(desk.order("ann", "BTC", -1, None, position_id=1), PositionClosed)
    assert (closed.pnl, desk.cash("ann")) == (-margin, cash)


# -- money in and out


def test_opening_balances():
    book = Desk().book
    assert {k: int(v) for k, v in book.balances.items() if v} == {
        "custody": -1_500_000,
        "hl_trading": -500_000,
        "hl_hedge": -200_000,
        "platform_capital": 1_000_000,
        "risk_reserve": 500_000,
        "hl_capital": 700_000,
    }


def test_deposit_and_withdrawal_flows(desk):
    assert changes(desk, lambda: desk.deposit("bob", 5)) == {"custody": D(-5), "user_cash:bob": D(5)}
    asked = changes(desk, lambda: withdraw(desk, 100, fee=1))
    assert asked == {"user_cash:ann": D(-101), "withdrawals_pending:ann": D(100), "fee_income": D(1)}
    sent = changes(desk, lambda: desk.handle(WithdrawalEnded(desk.ts, "w1", True)))
    assert sent == {"withdrawals_pending:ann": D(-100), "custody": D(100)}
    withdraw(desk, 100, "w2")
    back = changes(desk, lambda: desk.handle(WithdrawalEnded(desk.ts, "w2", False)))
    assert back == {"withdrawals_pending:ann": D(-100), "user_cash:ann": D(100)}


def test_a_withdrawal_over_what_is_free_is_refused(desk):
    assert one(withdraw(desk, "10000.000001"), OrderRefused).code == "WITHDRAWAL_EXCEEDS_FREE"
    assert not of(withdraw(desk, 10_000, "w2"), OrderRefused)


def test_a_cross_account_keeps_its_initial_margin_or_10_percent_of_notional(desk):
    desk.order("ann", "BTC", 1, "0.1", leverage=40, margin_mode=CROSS)  # fee 5, initial 250, a tenth 1 000
    assert one(withdraw(desk, "8995.000001"), OrderRefused).code == "WITHDRAWAL_EXCEEDS_FREE"
    assert not of(withdraw(desk, 8995, "w2"), OrderRefused)
    assert desk.cash("ann") == 1000


def test_adding_and_removing_margin_of_an_isolated_position(desk):
    desk.order("ann", "BTC", 1, "0.1", leverage=5)  # margin 2 000
    added = one(desk.adjust("ann", 1, 500), MarginChanged)
    assert (added.margin, desk.balance("isolated_margin:1")) == (D(2500), D(2500))
    assert one(desk.adjust("ann", 1, "-500.000001"), OrderRefused).code == "INSUFFICIENT_MARGIN"
    assert one(desk.adjust("ann", 1, -500), MarginChanged).margin == 2000
    assert one(desk.adjust("ann", 1, 100_000), OrderRefused).code == "INSUFFICIENT_MARGIN"
    assert one(desk.adjust("ann", 7, 1), OrderRefused).code == "UNKNOWN_POSITION"
    desk.order("ann", "BTC", 1, "0.01", margin_mode=MarginMode.CROSS)
    cross = one(desk.adjust("ann", 2, 1), OrderRefused)
    assert (cross.code, "position 2 is CROSS" in cross.detail) == ("UNKNOWN_POSITION", True)


def test_removing_margin_keeps_a_tenth_of_the_notional_whatever_the_leverage(desk):
    desk.order("ann", "BTC", 1, "0.05", leverage=40)
    desk.adjust("ann", 1, 1000)
    assert one(desk.adjust("ann", 1, "-625.000001"), OrderRefused).code == "INSUFFICIENT_MARGIN"
    assert one(desk.adjust("ann", 1, -625), MarginChanged).margin == 500


def test_opening_needs_initial_margin_and_fee_out_of_free(desk):
    desk.order("ann", "BTC", 1, "0.1", leverage=2, margin_mode=CROSS)  # initial 5 000, fee 5
    assert one(desk.order("ann", "ETH", 1, "1.249", leverage=1), OrderRefused).code == "INSUFFICIENT_MARGIN"
    desk.mark("BTC", 100_100)  # + 10 of profit, − 5 of initial margin more
    assert not of(desk.order("ann", "ETH", 1, "1.249", leverage=1), OrderRefused)


def test_cash_may_be_negative_only_while_cross_positions_are_open(desk):
    desk.order("ann", "BTC", 1, "0.1", leverage=10, margin_mode=CROSS)
    desk.mark("BTC", 104_000)
    desk.mark("BTC", 108_000)
    desk.mark("BTC", 112_000)
    desk.order("ann", "ETH", 1, "2.5", leverage=1)  # 10 000 of margin against 9 995 of cash and the profit
    assert desk.cash("ann") == D(-10)
    desk.order("ann", "BTC", -1, None, position_id=1)
    assert desk.cash("ann") > 0
