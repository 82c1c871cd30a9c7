"""Degraded service (§10) and operators' corrections of balances (§7, §8), through the book."""

import pytest

from risk.book import Book
from risk.errors import InvalidInput
from risk.events import (
    MarginChanged,
    OrderCancelled,
    OrderFilled,
    OrderRefused,
    OrderRested,
    OrderRouted,
    RouteReason,
    Source,
)
from risk.house_events import VenueOrderRequested
from risk.inputs import Approval, BalanceAdjusted, ServiceLevelSet, WithdrawalEnded, WithdrawalSubmitted
from tests.risk.book_builder import CROSS, D, Desk, changes, money, of, one


@pytest.fixture
def desk():
    made = Desk()
    made.deposit("ann", 10_000)
    made.channel(True)
    return made


def set_level(desk, level):
    return desk.handle(ServiceLevelSet(desk.ts, level, "op", "a drill"))


def adjust(desk, amount, *, user="ann", reason="a fee charged twice", operator="op", approver="boss"):
    return desk.handle(
        BalanceAdjusted(desk.ts, "a1", user, money(amount), reason, operator, Approval(1, approver))
    )


def withdraw(desk, amount, wid="w1", fee=0):
    return desk.handle(WithdrawalSubmitted(desk.ts, wid, "ann", money(amount), money(fee)))


# -- service levels


def test_level_1_sends_every_open_to_hyperliquid_with_a_reason_of_its_own(desk):
    set_level(desk, 1)
    events = desk.order("ann", "BTC", 1, "0.01", leverage=10)
    routed = one(events, OrderRouted)
    assert (routed.route, routed.reason) == (Source.HYPERLIQUID, RouteReason.SERVICE_LEVEL)
    assert routed.threshold is None
    desk.fill(one(events, VenueOrderRequested))
    set_level(desk, 0)
    routed = one(desk.order("ann", "BTC", 1, "0.01", leverage=10), OrderRouted)
    assert (routed.route, routed.reason) == (Source.INTERNAL, RouteReason.WITHIN_THRESHOLD)


def test_a_switch_from_a_level_that_is_not_in_force_changes_nothing(desk):
    set_level(desk, 2)
    with pytest.raises(InvalidInput, match="before was 3; level 2 is in force"):
        desk.handle(ServiceLevelSet(desk.ts, 0, "op", "a drill", before=3))
    assert desk.book.service_level == 2
    desk.handle(ServiceLevelSet(desk.ts, 0, "op", "a drill", before=2))
    assert desk.book.service_level == 0


def test_level_1_leaves_internal_positions_to_close_where_they_are(desk):
    desk.order("ann", "BTC", 1, "0.01", leverage=10)
    set_level(desk, 1)
    filled = one(desk.order("ann", "BTC", -1, "0.01", reduce_only=True), OrderFilled)
    assert filled.source is Source.INTERNAL


def test_level_2_refuses_opens_and_lets_users_out(desk):
    desk.order("ann", "BTC", 1, "0.02", leverage=10)
    desk.order("ann", "BTC", 1, "0.01", leverage=10, limit=90_000, oid="resting")
    set_level(desk, 2)
    refused = one(desk.order("ann", "BTC", 1, "0.01", leverage=10), OrderRefused)
    assert refused.code == "SERVICE_LEVEL"
    assert one(desk.order("ann", "BTC", 1, "0.01", limit=90_000), OrderRefused).code == "SERVICE_LEVEL"
    assert one(desk.adjust("ann", 1, 5), MarginChanged).amount == 5
    assert one(desk.adjust("ann", 1, -5), OrderRefused).code == "SERVICE_LEVEL"
    assert of(desk.cancel("ann", "resting"), OrderCancelled)
    assert one(desk.order("ann", "BTC", -1, None, position_id=1), OrderFilled).size == D("0.02")
    assert not of(withdraw(desk, 100), OrderRefused)


def test_level_2_closes_what_a_netted_order_closes_and_refuses_the_rest(desk):
    desk.order("ann", "BTC", 1, "0.02", leverage=10)
    set_level(desk, 2)
    events = desk.order("ann", "BTC", -1, "0.05", leverage=10, netted=True)
    assert one(events, OrderFilled).size == D("0.02")
    assert one(events, OrderRefused).code == "SERVICE_LEVEL"
    assert not desk.book.positions


@pytest.mark.parametrize("level", [2, 3])
def test_orders_that_rest_do_not_open_but_still_close_while_degraded(desk, level):
    desk.order("ann", "BTC", 1, "0.02", leverage=10)
    desk.order("ann", "BTC", 1, "0.01", leverage=10, limit=99_000, oid="opens")
    assert of(desk.order("ann", "BTC", -1, None, position_id=1, stop_loss=98_500), OrderRested)
    set_level(desk, level)
    assert one(desk.mark("BTC", 98_900), OrderRefused).code == "SERVICE_LEVEL"
    assert desk.balance("order_holds:ann") == 0
    assert one(desk.mark("BTC", 98_400), OrderFilled).position_id == 1
    assert not desk.book.positions


def test_an_order_that_level_3_refuses_is_one_of_its_symbol(desk):
    """Refusals without a symbol are of other acts: rows of orders leave them out."""
    set_level(desk, 3)
    refused = one(desk.order("ann", "BTC", 1, "0.01", leverage=10), OrderRefused)
    assert (refused.symbol, refused.code) == ("BTC", "SERVICE_LEVEL")


def test_level_3_refuses_everything_a_user_asks_for_and_changes_nothing(desk):
    desk.order("ann", "BTC", 1, "0.02", leverage=10)
    desk.order("ann", "BTC", 1, "0.01", leverage=10, limit=90_000, oid="resting")
    set_level(desk, 3)
    before = desk.book.balances
    for events in (
        desk.order("ann", "BTC", 1, "0.01", leverage=10),
        desk.order("ann", "BTC", -1, None, position_id=1),
        desk.cancel("ann", "resting"),
        desk.adjust("ann", 1, 5),
        desk.adjust("ann", 1, -5),
        withdraw(desk, 100),
    ):
        assert one(events, OrderRefused).code == "SERVICE_LEVEL"
        assert len(events) == 1
    assert desk.book.balances == before
    set_level(desk, 0)
    assert of(desk.cancel("ann", "resting"), OrderCancelled)


@pytest.mark.parametrize(("level", "named"), [(4, "level was 4"), (-1, "level was -1"), (0, "in force")])
def test_levels_that_do_not_exist_or_are_in_force_are_refused(desk, level, named):
    with pytest.raises(InvalidInput, match=named):
        set_level(desk, level)


def test_the_level_is_part_of_the_state(desk):
    normal = desk.book.digest()
    set_level(desk, 2)
    assert desk.book.digest() != normal
    assert Book.thaw(desk.book.freeze()).service_level == 2
    set_level(desk, 0)
    assert desk.book.digest() == normal


# -- corrections


@pytest.mark.parametrize("amount", ["12.5", "-12.5"])
def test_a_correction_moves_between_cash_and_platform_capital(desk, amount):
    moved = changes(desk, lambda: adjust(desk, amount))
    assert moved == {"user_cash:ann": D(amount), "platform_capital": -D(amount)}


def test_a_correction_takes_no_more_than_is_free(desk):
    desk.order("ann", "BTC", 1, "0.05", leverage=10, margin_mode=CROSS)  # initial 500, fee 2.5
    assert one(adjust(desk, "-9497.500001"), OrderRefused).code == "ADJUSTMENT_EXCEEDS_FREE"
    assert changes(desk, lambda: adjust(desk, "-9497.5"))["user_cash:ann"] == D("-9497.5")
    assert one(adjust(desk, "-0.000001"), OrderRefused).code == "ADJUSTMENT_EXCEEDS_FREE"


def test_a_correction_of_a_cross_account_needs_a_safe_price(desk):
    desk.order("ann", "BTC", 1, "0.05", leverage=10, margin_mode=CROSS)
    desk.channel(False)
    desk.timer(61)
    assert one(adjust(desk, -1), OrderRefused).code == "HL_UNREACHABLE"
    assert changes(desk, lambda: adjust(desk, 1))["user_cash:ann"] == 1


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"amount": 0}, "amount was 0"),
        ({"amount": "0.0000001"}, "at most 6 decimals"),
        ({"amount": 1, "reason": ""}, "reason was empty"),
        ({"amount": 1, "operator": ""}, "operator_id was empty"),
        ({"amount": 1, "approver": ""}, "approver_id was empty"),
        ({"amount": 1, "approver": "op"}, "another one must approve"),
    ],
)
def test_corrections_without_an_amount_a_reason_or_two_people_are_refused(desk, wrong, named):
    amount = wrong.pop("amount")
    with pytest.raises(InvalidInput, match=named):
        adjust(desk, amount, **wrong)


# -- withdrawals' fees


def test_a_refused_withdrawal_gives_amount_and_fee_back(desk):
    asked = changes(desk, lambda: withdraw(desk, 100, fee=2))
    assert asked == {"user_cash:ann": D(-102), "withdrawals_pending:ann": D(100), "fee_income": D(2)}
    back = changes(desk, lambda: desk.handle(WithdrawalEnded(desk.ts, "w1", False)))
    assert back == {account: -amount for account, amount in asked.items()}
