"""Rulebook §5 through the book: funding settled on touch, capped at margin, matched with Hyperliquid's booking."""

import pytest

from risk.errors import InvalidInput
from risk.events import FundingAccrued, FundingSettled, PositionLiquidated
from risk.house_events import AlertRaised
from risk.inputs import FundingBooked, FundingCorrected, HlAccount
from tests.risk.book_builder import CROSS, D, Desk, changes, of, one, settings_with, to_hl, wide_desk


def touch(desk, user, position):
    """Settle a position's funding by adding a micro-dollar of margin."""
    return desk.adjust(user, position, "0.000001")


def test_worked_examples_a_long_pays_1_and_a_short_receives_1():
    desk = wide_desk(ann=50_000)
    desk.order("ann", "BTC", 1, "0.1", leverage=10)
    desk.order("ann", "ETH", -1, 5, leverage=10)
    desk.funding("BTC", "0.0001", 100_000)
    desk.funding("ETH", "0.00005", 4_000)
    assert one(touch(desk, "ann", 1), FundingSettled).payment == 1
    assert one(touch(desk, "ann", 2), FundingSettled).payment == -1
    assert desk.balance("funding_income") == 0


def test_funding_uses_the_oracle_not_the_mark():
    desk = wide_desk(ann=50_000)
    desk.order("ann", "BTC", 1, "0.1", leverage=10)
    desk.funding("BTC", "0.0001", 90_000)
    assert one(touch(desk, "ann", 1), FundingSettled).payment == D("0.9")


def test_an_open_in_mid_period_pays_the_full_period_and_none_before_it():
    desk = wide_desk(ann=50_000)
    desk.funding("BTC", "0.01")
    desk.wait(1800)
    desk.mark("BTC", 100_000)
    desk.order("ann", "BTC", 1, "0.1", leverage=10)
    desk.wait(1800)
    desk.funding("BTC", "0.0001")
    assert one(touch(desk, "ann", 1), FundingSettled).payment == 1


def test_isolated_pays_from_margin_and_cross_from_cash():
    desk = wide_desk(ann=50_000)
    desk.order("ann", "BTC", 1, "0.1", leverage=10)
    desk.order("ann", "BTC", 1, "0.2", leverage=10, margin_mode=CROSS)
    desk.funding("BTC", "0.0001")
    moved = changes(desk, lambda: desk.order("ann", "BTC", -1, "0.0001", position_id=2))
    assert moved["funding_income"] == 2
    moved = changes(desk, lambda: touch(desk, "ann", 1))
    assert moved["isolated_margin:1"] == D("-0.999999")


def test_hours_add_up_and_are_settled_once():
    desk = wide_desk(ann=50_000)
    desk.order("ann", "BTC", 1, "0.1", leverage=10)
    for rate in ("0.0001", "-0.0003", "0.0004"):
        assert not of(desk.funding("BTC", rate), FundingSettled)
    assert one(touch(desk, "ann", 1), FundingSettled).payment == 2
    assert not of(touch(desk, "ann", 1), FundingSettled)


def test_funding_triggers_a_liquidation_in_its_own_hour():
    desk = wide_desk(ann=1000)
    desk.order("ann", "BTC", 1, "0.1", leverage=20)  # margin 500, maintenance 125
    desk.funding("BTC", "0.03")
    assert one(desk.funding("BTC", "0.0075"), PositionLiquidated).margin_zeroed == 125


def test_a_payment_is_capped_at_the_margin_and_the_rest_is_forgiven():
    desk = wide_desk(ann=1000)
    desk.order("ann", "BTC", 1, "0.1", leverage=20)
    settled = one(desk.funding("BTC", "0.06"), FundingSettled)
    assert (settled.payment, settled.uncollected) == (500, 100)
    assert desk.balance("funding_income") == 500
    assert desk.balance("risk_reserve") == 500_000


def test_at_hyperliquid_the_reserve_pays_what_cannot_be_collected():
    desk = wide_desk(ann=1000)
    to_hl(desk, "ann", "BTC", 1, "0.1", leverage=20)
    moved = changes(desk, lambda: desk.funding("BTC", "0.06"))
    assert moved == {"isolated_margin:1": D(-500), "hl_trading": D(600), "risk_reserve": D(-100)}


def test_a_margin_used_up_is_noticed_in_the_right_hour_even_when_later_hours_pay_it_back():
    desk = wide_desk(ann=3000)
    desk.order("ann", "BTC", 1, "0.1", leverage=20)
    desk.mark("BTC", 150_000)  # a profit keeps it afloat without any margin
    settled = one(desk.funding("BTC", "0.06", 100_000), FundingSettled)
    assert (settled.payment, settled.uncollected) == (500, 100)
    desk.funding("BTC", "-0.06", 100_000)
    assert one(touch(desk, "ann", 1), FundingSettled).payment == -600


def test_hyperliquids_booking_of_the_net_differs_by_rounding_only_and_goes_to_deviation():
    desk = wide_desk(ann=50_000, bob=50_000)
    to_hl(desk, "ann", "BTC", 1, "0.3", leverage=10)
    to_hl(desk, "bob", "BTC", -1, "0.1", leverage=10)
    desk.funding("BTC", "0.0001")
    exact = changes(desk, lambda: desk.handle(FundingBooked(desk.ts, HlAccount.TRADING, "BTC", D(-2))))
    assert exact == {}
    desk.funding("BTC", "0.0001")
    moved = changes(desk, lambda: desk.handle(FundingBooked(desk.ts, HlAccount.TRADING, "BTC", D("-2.5"))))
    assert moved == {"hl_trading": D("0.5"), "deviation": D("-0.5")}


def test_a_booking_that_comes_late_is_matched_with_all_it_covers():
    desk = wide_desk(ann=50_000)
    to_hl(desk, "ann", "BTC", 1, "0.3", leverage=10)
    desk.funding("BTC", "0.0001")
    desk.funding("BTC", "0.0002")
    for amount in (-3, -6):
        desk.handle(FundingBooked(desk.ts, HlAccount.TRADING, "BTC", D(amount)))
    assert desk.balance("deviation") == 0


def test_the_hedges_funding_is_hedge_cost():
    desk = wide_desk()
    moved = changes(desk, lambda: desk.handle(FundingBooked(desk.ts, HlAccount.HEDGE, "BTC", D(-7))))
    assert moved == {"hl_hedge": D(7), "hedge_cost": D(-7)}


def test_users_who_paid_too_little_are_not_asked_again_the_reserve_absorbs_it():
    desk = wide_desk(ann=50_000, bob=50_000)
    desk.order("ann", "BTC", 1, "0.1", leverage=10)
    to_hl(desk, "bob", "BTC", 1, "0.2", leverage=10)
    desk.funding("BTC", "0.0001")
    correction = FundingCorrected(desk.ts, "BTC", D("0.0001"), D(100_000))
    moved = changes(desk, lambda: desk.handle(correction))
    assert moved == {"risk_reserve": D(-3), "funding_income": D(1), "deviation": D(2)}


def test_users_who_paid_too_much_are_refunded():
    desk = wide_desk(ann=50_000, bob=50_000)
    desk.order("ann", "BTC", 1, "0.1", leverage=10)
    to_hl(desk, "bob", "BTC", 1, "0.2", leverage=10, margin_mode=CROSS)
    correction = FundingCorrected(desk.ts, "BTC", D("-0.0001"), D(100_000))
    moved = changes(desk, lambda: one(desk.handle(correction), AlertRaised))
    assert moved == {
        "isolated_margin:1": D(1),
        "user_cash:bob": D(2),
        "funding_income": D(-1),
        "deviation": D(-2),
    }


@pytest.mark.parametrize(
    ("rate", "oracle", "word"), [("NaN", 1, "rate"), (0, 0, "oracle"), (0, "NaN", "oracle")]
)
def test_funding_that_cannot_be_is_named(rate, oracle, word):
    desk = Desk()
    with pytest.raises(InvalidInput, match=f"^{word} was"):
        desk.funding("BTC", rate, oracle)


def test_the_index_has_18_decimals_so_that_sums_over_positions_stay_exact():
    desk = wide_desk(ann=1_000_000)
    for rate in ("0.0001", "-0.0003"):
        desk.funding("BTC", rate, D(100_000) / 3)
    state = desk.book._core.symbols["BTC"]
    assert state.funding_index == D("-6.666666666666666667")
    for size in ("0.05", "0.07", "1.1"):
        desk.order("ann", "BTC", 1, size, leverage=10, margin_mode=CROSS)
    desk.funding("BTC", "0.0001", D(100_000) / 3)
    for position_id in (2, 1):
        desk.order("ann", "BTC", -1, None, position_id=position_id)
    (left,) = desk.book.positions.values()
    leg = desk.book._core.users["ann"].legs["BTC"]
    assert state.net_indexed == leg.net_indexed == left.size * left.funding_index


def test_a_longer_interval_settles_its_hours_together_and_mid_period_opens_pay_them_all():
    desk = Desk(settings_with({"funding_interval_hours": 8}))
    desk.deposit("ann", 10_000)
    paid = []
    for hour in range(1, 9):
        desk.wait(3600)
        if hour == 5:
            desk.mark("BTC", 100_000)
            desk.order("ann", "BTC", 1, "0.05", leverage=10)
        paid += of(desk.funding("BTC", "0.0001"), FundingAccrued)
    assert [event.index for event in paid] == [80]  # 8 hours of 100 000 × 0.0001
    desk.mark("BTC", 100_000)
    close = desk.order("ann", "BTC", -1, None, position_id=max(desk.book.positions))
    assert one(close, FundingSettled).payment == 4
