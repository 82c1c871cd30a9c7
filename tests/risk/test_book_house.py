"""Rulebook §6 through the book: hedging, our own accounts, the breaker, solvency."""

from dataclasses import replace

import pytest

from risk.errors import AlreadySo
from risk.events import OrderRefused, OrderRouted, RouteReason, Source
from risk.house_events import (
    AlertLevel,
    AlertRaised,
    ExposureSnapshot,
    GuardChanged,
    HedgeTargetSet,
    HouseSnapshot,
    RoutingModeChanged,
    VenueAccountAudited,
    VenueFillBooked,
    VenueOrderRequested,
)
from risk.inputs import ConfigChanged, HlAccount, RoutingModeSet, SnapshotRequested, VenueAccountLiquidated
from risk.settings import SECOND_NS, RoutingMode
from tests.risk.book_builder import (
    CROSS,
    UNLIMITED,
    D,
    Desk,
    changes,
    of,
    one,
    settings_with,
    to_hl,
    wide_desk,
)

HEDGE, TRADING = HlAccount.HEDGE, HlAccount.TRADING


def hedged_desk(risk=None, **routing):
    """Make a desk with the hedger on, where any size is INTERNAL, and two rich users."""
    settings = settings_with(
        {**UNLIMITED, "price_sanity_limit": D(10), **(risk or {})}, normal_threshold=D("1e9"), **routing
    )
    desk = Desk(settings, hedging=True)
    for user in ("ann", "bob"):
        desk.deposit(user, 10_000_000)
    return desk


def hedge_of(desk, seconds=5):
    return one(desk.timer(seconds), VenueOrderRequested)


# -- hedging


def test_worked_example_users_net_103000_of_btc_hedge_long_51500():
    desk = hedged_desk()
    desk.order("ann", "BTC", 1, "1.03", leverage=10)
    assert desk.book.next_timer_ns() == desk.ts + 5 * SECOND_NS
    events = desk.timer(5)
    order, decided = one(events, VenueOrderRequested), one(events, HedgeTargetSet)
    assert (order.account, order.side, order.size) == (HEDGE, 1, D("0.515"))
    assert (order.limit_price, order.resting) == (D(101_000), False)
    assert (decided.net_exposure, decided.ratio, decided.leverage) == (D(103_000), D("0.5"), 2)


def test_worked_example_net_falls_to_650000_with_640000_hedged_reduce_120000():
    desk = hedged_desk()
    desk.order("ann", "BTC", 1, "8", leverage=10)
    desk.fill(hedge_of(desk))
    assert desk.book.venue_position(HEDGE, "BTC") == D("6.4")
    desk.order("ann", "BTC", -1, "1.5", position_id=1)
    order = hedge_of(desk)
    assert (order.side, order.size) == (-1, D("1.2"))


def test_under_100000_nothing_is_hedged_and_users_net_short_hedge_short():
    desk = hedged_desk()
    desk.order("ann", "BTC", -1, "0.99999", leverage=10)
    assert not of(desk.timer(20), VenueOrderRequested)
    desk.mark("BTC", 100_000)
    desk.order("ann", "BTC", -1, "0.00001", leverage=10)
    assert (order := hedge_of(desk)).side == -1
    assert order.size == D("0.5")


def test_a_hedge_waits_for_5_s_of_quiet_and_at_most_15_s():
    desk = hedged_desk()
    for second in range(15):
        events = desk.order("ann", "BTC", 1, "0.2", leverage=10)
        assert not of(events, VenueOrderRequested), second
        desk.wait(1)
        events = desk.mark("BTC", 100_000)
    assert one(events, VenueOrderRequested).size == D("1.5")


def test_hedge_fills_cost_fee_and_slippage_and_pnl_runs_between_decision_marks():
    desk = hedged_desk()
    desk.order("ann", "BTC", 1, "2", leverage=10)
    first = hedge_of(desk)
    moved = changes(desk, lambda: desk.fill(first, 100_010, fee=45))
    assert moved == {"hl_hedge": D(55), "hedge_cost": D(-55)}  # fee 45, slippage 10 on 1 BTC
    desk.mark("BTC", 101_000)
    desk.order("ann", "BTC", -1, "2", position_id=1)
    second = hedge_of(desk)
    booked = []
    moved = changes(desk, lambda: booked.extend(of(desk.fill(second, 100_980, fee=45), VenueFillBooked)))
    assert moved == {"hl_hedge": D(-1000 + 65), "hedge_cost": D(-65), "platform_profit": D(1000)}
    assert (booked[0].slippage, booked[0].pnl) == (20, 1000)


def test_a_hedge_that_flips_realises_the_old_side_and_opens_the_new_at_its_decision_mark():
    desk = hedged_desk()
    desk.order("ann", "BTC", 1, "2", leverage=10)
    desk.fill(hedge_of(desk))
    desk.mark("BTC", 101_000)
    desk.order("bob", "BTC", -1, "4", leverage=10)
    events = desk.fill(hedge_of(desk), 101_000)
    assert one(events, VenueFillBooked).pnl == 1000
    assert desk.book.venue_position(HEDGE, "BTC") == -1
    desk.mark("BTC", 100_000)
    assert one(desk.handle(SnapshotRequested(desk.ts)), HouseSnapshot).hedge_unrealised == 1000


def test_what_capital_cannot_cover_goes_to_hl_mode_until_it_needs_no_hedge():
    desk = hedged_desk({"hedge_account_capital": D(10_000), "platform_capital": D(0)})
    events = desk.order("ann", "BTC", 1, "3", leverage=10)  # wants 150 000, 5 × 10 000 is there
    assert hedge_of(desk).size == D("0.5")
    assert one(events, AlertRaised).code == "HEDGE_CAPITAL_SHORT"
    switched = one(events, RoutingModeChanged)
    assert (switched.to_mode, switched.trigger, switched.operator_id) == (
        RoutingMode.HL_MODE,
        "AUTO",
        "hedger",
    )
    assert one(desk.order("bob", "BTC", 1, "0.01", leverage=10), OrderRouted).reason is RouteReason.HL_MODE
    assert not of(desk.order("ann", "BTC", -1, "2.1", position_id=1), RoutingModeChanged)
    back = one(desk.order("ann", "BTC", -1, "0.01", position_id=1), RoutingModeChanged)
    assert back.to_mode is RoutingMode.NORMAL_MODE


def test_auto_switch_does_not_undo_what_the_hedger_forced():
    desk = hedged_desk(
        {"hedge_account_capital": D(10_000), "platform_capital": D(0)},
        auto_switch_enabled=True,
        betting_threshold=D("1e9"),
    )
    desk.order("ann", "BTC", 1, "3", leverage=10)
    desk.timer(5)
    assert not of(desk.mark("BTC", 100_100), RoutingModeChanged)
    assert one(desk.order("bob", "BTC", 1, "0.01", leverage=10), OrderRouted).reason is RouteReason.HL_MODE


def test_refused_hedges_are_retried_alerted_at_the_5th_and_given_up_after_the_10th_retry():
    desk = hedged_desk()
    desk.order("ann", "BTC", 1, "3", leverage=10)
    sent, waits, codes = [hedge_of(desk)], [], []
    while sent:
        events = desk.end(sent[0], refused=True)
        codes += [(a.level, a.code) for a in of(events, AlertRaised)]
        due = desk.book.next_timer_ns()
        waits.append(due - desk.ts)
        sent = []
        if len(waits) <= 10:
            desk.ts = due
            sent = of(desk.timer(), VenueOrderRequested)
    assert waits[:10] == [100_000_000 * 2**n for n in range(10)]
    assert waits[10] > 10**12  # midnight: nothing is due any more
    assert codes == [(AlertLevel.ALERT, "HEDGE_RETRYING"), (AlertLevel.P0, "HEDGE_GAVE_UP")]
    assert desk.book._core.symbols["BTC"].mode is RoutingMode.HL_MODE


def test_the_hedger_waits_while_the_channel_is_down_and_acts_when_it_is_back():
    desk = hedged_desk()
    desk.order("ann", "BTC", 1, "3", leverage=10)
    desk.channel(False)
    assert not of(desk.timer(5), VenueOrderRequested)
    assert of(desk.channel(True), VenueOrderRequested)


def test_the_hedger_leaves_a_quarantined_symbol_alone_and_acts_when_it_is_accepted():
    desk = hedged_desk({"price_sanity_limit": D("0.05")})
    desk.order("ann", "BTC", 1, "3", leverage=10)
    desk.mark("BTC", 110_000)
    assert not of(desk.timer(6), VenueOrderRequested)
    events = [e for _ in range(5) for e in desk.mark("BTC", 110_000)]
    assert of(tuple(events), VenueOrderRequested)


def test_the_bands_end_where_the_exposure_reaches_the_next_row_of_the_hedge_table():
    desk = hedged_desk()
    desk.order("ann", "BTC", 1, "0.8", leverage=2)
    desk.timer(5)
    # 0.8 BTC are 90 000 USDC, where a row would be left, and then 100 000, where one is entered.
    assert abs(desk.book.bands("BTC").mark_high - 112_500) < 0.001
    assert desk.mark("BTC", 112_500) == ()
    assert abs(desk.book.bands("BTC").mark_high - 125_000) < 0.001
    assert desk.mark("BTC", 124_999) == ()
    assert one(desk.mark("BTC", 125_000), VenueOrderRequested).size == D("0.4")


# -- our own accounts


def test_the_hedge_account_is_topped_up_from_capital_under_300_percent_to_500():
    desk = hedged_desk({"hedge_account_capital": D(20_000), "hedge_loss_critical_share": D(1)})
    desk.order("ann", "BTC", 1, "2", leverage=10)
    desk.fill(hedge_of(desk))  # 1 BTC: maintenance 1 250
    desk.mark("BTC", 84_000)  # equity 4 000 ≥ 3 × 1 050
    assert desk.balance("platform_capital") == 1_000_000
    moved = changes(desk, lambda: desk.mark("BTC", 83_000))  # 3 000 < 3 × 1 037.5
    x = D("2187.5")  # to 5 × 1 037.5
    assert moved == {"hl_hedge": -x, "custody": x, "platform_capital": -x, "hl_capital": x}


def test_the_hedge_account_under_200_percent_without_capital_is_a_p0_and_de_leverages():
    desk = hedged_desk(
        {"hedge_account_capital": D(20_000), "hedge_loss_critical_share": D(1), "platform_capital": D(0)}
    )
    desk.order("ann", "BTC", 1, "2", leverage=10)
    desk.fill(hedge_of(desk))
    low = desk.mark("BTC", 83_000)
    assert one(low, AlertRaised).code == "HEDGE_MARGIN_LOW"
    events = desk.mark("BTC", 82_000)  # 2 000 < 2 × 1 025
    assert one(events, AlertRaised).level is AlertLevel.P0
    assert one(events, VenueOrderRequested).side == -1


def test_the_hedge_account_is_critical_when_it_lost_more_than_half_of_its_margin():
    desk = hedged_desk({"hedge_account_capital": D(20_000)})
    desk.order("ann", "BTC", 1, "2", leverage=10)
    desk.fill(hedge_of(desk))
    assert not of(desk.mark("BTC", 90_000), AlertRaised)
    assert one(desk.mark("BTC", "89999.9"), AlertRaised).code == "HEDGE_MARGIN_CRITICAL"


def test_the_trading_account_sweeps_users_hl_losses_before_capital():
    desk = wide_desk({"trading_account_capital": D(19_000)}, ann=1_000_000)
    position = to_hl(desk, "ann", "BTC", 1, 4, leverage=10)
    desk.mark("BTC", 99_000)
    (close,) = of(desk.order("ann", "BTC", -1, 2, position_id=position), VenueOrderRequested)
    desk.fill(close)  # a loss of 2 000 lies in custody
    assert desk.balance("platform_capital") == 1_000_000
    moved = changes(desk, lambda: desk.mark("BTC", 95_000))  # equity 7 000 < 3 × 2 375 → to 11 875
    assert moved == {"hl_trading": -4875, "custody": 4875, "platform_capital": -2875, "hl_capital": 2875}


def test_the_trading_account_under_150_percent_is_a_p0_and_stops_new_opens():
    desk = wide_desk({"trading_account_capital": D(16_000), "platform_capital": D(0)}, ann=1_000_000)
    to_hl(desk, "ann", "BTC", 1, 4, leverage=10)
    assert one(desk.mark("BTC", 99_700), AlertRaised).code == "TRADING_MARGIN_LOW"  # 14 800 < 3 × 4 985
    alert = one(desk.mark("BTC", 97_800), AlertRaised)  # 7 200 < 1.5 × 4 890
    assert (alert.level, alert.code) == (AlertLevel.P0, "TRADING_MARGIN_CRITICAL")
    desk.channel(True, SECOND_NS)
    assert one(desk.order("ann", "BTC", 1, 1, leverage=10), OrderRefused).code == "HL_MARGIN"
    desk.mark("BTC", 101_000)
    assert of(desk.order("ann", "BTC", 1, 1, leverage=10), VenueOrderRequested)


def test_funding_alone_can_bring_the_trading_account_to_its_limit():
    desk = wide_desk({"trading_account_capital": D(20_000), "platform_capital": D(0)}, ann=1_000_000)
    to_hl(desk, "ann", "BTC", 1, 4, leverage=10)  # maintenance 5 000
    assert one(desk.funding("BTC", "0.0126"), AlertRaised).code == "TRADING_MARGIN_LOW"


def test_our_trading_account_liquidated_settles_users_at_mark_lists_them_and_halts():
    desk = wide_desk(
        {"trading_account_capital": D(10_000), "platform_capital": D(0)}, ann=500_000, bob=100_000
    )
    position = to_hl(desk, "ann", "BTC", 1, 4, leverage=10)
    to_hl(desk, "bob", "BTC", -1, "0.5", leverage=10, margin_mode=CROSS)
    desk.mark("BTC", 98_000)
    cash = desk.cash("ann")
    events = desk.handle(VenueAccountLiquidated(desk.ts, TRADING))
    assert [(a.user, a.size) for a in of(events, VenueAccountAudited)] == [("ann", D(4)), ("bob", D("0.5"))]
    assert desk.cash("ann") == cash + 40_000 - 8_000
    assert position not in desk.book.positions
    takeover = one(events, VenueOrderRequested)
    assert (takeover.side, takeover.size) == (-1, D("3.5"))
    desk.channel(True, SECOND_NS)
    assert one(desk.order("ann", "BTC", 1, 1, leverage=10), OrderRefused).code == "HL_HALTED"
    reserve, capital = desk.balance("risk_reserve"), desk.balance("platform_capital")
    desk.fill(takeover, 97_000, fee=100)  # costs 3 500 and the fee beyond the mark
    assert (desk.balance("risk_reserve"), desk.balance("platform_capital")) == (reserve - 3600, capital)


def test_the_take_over_is_paid_by_capital_when_the_reserve_is_empty():
    desk = wide_desk({"trading_account_capital": D(10_000), "reserve_capital": D(600)}, ann=500_000)
    to_hl(desk, "ann", "BTC", 1, 4, leverage=10)
    events = desk.handle(VenueAccountLiquidated(desk.ts, TRADING))
    moved = changes(desk, lambda: desk.fill(one(events, VenueOrderRequested), 99_000))
    assert moved == {"risk_reserve": D(-600), "platform_capital": D(-3400), "hl_trading": D(4000)}


def test_our_hedge_account_liquidated_is_flattened_at_hedge_cost_and_touches_no_user():
    desk = hedged_desk()
    desk.order("ann", "BTC", 1, "2", leverage=10)
    desk.fill(hedge_of(desk))
    events = desk.handle(VenueAccountLiquidated(desk.ts, HEDGE))
    assert not of(events, VenueAccountAudited)
    assert one(events, GuardChanged).guard == "HL_HALT"
    desk.fill(one(events, VenueOrderRequested), 99_000)
    assert (desk.book.venue_position(HEDGE, "BTC"), desk.balance("hedge_cost")) == (0, D(-1000))
    assert len(desk.book.positions) == 1
    assert not of(desk.timer(30), VenueOrderRequested)


# -- reserve, breaker, solvency


def test_the_reserve_guard_tells_its_levels():
    desk = wide_desk({"reserve_capital": D(500_000)}, ann=1_000_000)
    to_hl(desk, "ann", "BTC", 1, "0.1", leverage=20)
    sent = one(desk.mark("BTC", 96_000), VenueOrderRequested)
    changed = one(desk.fill(sent, 94_000), GuardChanged)
    assert (changed.guard, changed.state, changed.value) == ("RESERVE", "HALVED", D(499_900))


def test_the_breaker_alerts_at_100000_and_opens_at_500000_of_realised_and_unrealised_loss():
    desk = wide_desk(
        {"daily_loss_alert": D(100_000), "daily_loss_breaker": D(500_000)}, ann=1_000_000, bob=10_000_000
    )
    desk.order("bob", "BTC", 1, 20, leverage=10)
    assert not of(desk.mark("BTC", 105_000), AlertRaised)
    assert one(desk.mark("BTC", "105000.1"), AlertRaised).code == "DAILY_LOSS"
    desk.order("bob", "BTC", -1, 10, position_id=1)  # half of it realised: the same loss
    assert not of(desk.mark("BTC", 120_000), AlertRaised)
    assert not of(desk.mark("BTC", 144_999), GuardChanged)
    opened = one(desk.mark("BTC", 145_001), GuardChanged)
    assert (opened.guard, opened.state) == ("DAILY_LOSS_BREAKER", "OPEN")


def test_marks_inside_the_bands_cannot_reach_the_next_limit_of_the_days_loss():
    desk = wide_desk({"daily_loss_alert": D(1_000)}, ann=1_000_000, bob=1_000_000)
    desk.order("ann", "BTC", 1, "0.1", leverage=10)
    desk.order("bob", "ETH", -1, "2", leverage=10)
    high, low = round(D(desk.book.bands("BTC").mark_high), 6), round(D(desk.book.bands("ETH").mark_low), 6)
    assert 0 < (high - 100_000) / 10 + 2 * (4_000 - low) <= 1_000
    assert desk.mark("BTC", high - 1) == desk.mark("ETH", low + 1) == ()
    assert one(desk.mark("BTC", 110_001), AlertRaised).code == "DAILY_LOSS"


def test_insolvent_is_what_the_house_would_have_left_with_everything_closed_at_mark():
    desk = wide_desk(ann=1_000_000)
    opening = D(2_200_000)  # capital 1 000 000, HL capital 700 000, reserve 500 000
    assert desk.book.solvency() == opening
    desk.order("ann", "BTC", 1, 10, leverage=10)  # fee 500
    desk.mark("BTC", 101_000)
    assert desk.book.solvency() == opening + 500 - 10_000
    desk.funding("BTC", "0.001", 100_000)  # 1 000 owed, not yet settled
    assert desk.book.solvency() == opening + 500 - 10_000 + 1_000
    desk.order("ann", "BTC", -1, None, position_id=1)
    assert desk.book.solvency() == opening + 500 - 10_000 + 1_000 + D(505)


def test_a_snapshot_records_the_house_and_every_symbol():
    desk = wide_desk(ann=1_000_000)
    desk.order("ann", "BTC", 1, 1, leverage=10)
    desk.mark("BTC", 101_000)
    events = desk.handle(SnapshotRequested(desk.ts))
    house = one(events, HouseSnapshot)
    assert (house.house_unrealised, house.daily_loss, house.total_exposure) == (-1000, 1000, 101_000)
    assert house.user_assets == 1_000_000 - 50 + 1000
    assert house.trading_ratio is None
    lines = {e.symbol: e for e in of(events, ExposureSnapshot)}
    assert (lines["BTC"].net_size, lines["BTC"].net_exposure, lines["ETH"].net_exposure) == (1, 101_000, 0)


def test_a_pin_can_be_set_and_released_on_a_symbol_the_hedger_forced():
    desk = hedged_desk({"hedge_account_capital": D(10_000), "platform_capital": D(0)})
    desk.order("ann", "BTC", 1, "3", leverage=10)
    desk.timer(5)
    desk.handle(RoutingModeSet(desk.ts, "BTC", RoutingMode.NORMAL_MODE, "olga"))
    assert one(desk.order("bob", "BTC", 1, "0.01", leverage=10), OrderRouted).route is Source.INTERNAL


def test_a_pin_that_is_there_and_the_release_of_none_are_told_so_and_change_nothing():
    desk = hedged_desk({"hedge_account_capital": D(10_000), "platform_capital": D(0)})

    def refused(mode):
        before = desk.book.digest()
        with pytest.raises(AlreadySo):
            desk.handle(RoutingModeSet(desk.ts, "BTC", mode, "olga"))
        assert desk.book.digest() == before

    refused(None)
    desk.order("ann", "BTC", 1, "3", leverage=10)
    desk.timer(5)
    desk.handle(RoutingModeSet(desk.ts, "BTC", None, "olga"))  # of what the hedger forced
    refused(None)
    desk.handle(RoutingModeSet(desk.ts, "BTC", RoutingMode.HL_MODE, "olga"))  # stays, but is pinned now
    refused(RoutingMode.HL_MODE)


def test_a_changed_risk_config_counts_at_once():
    desk = hedged_desk()
    desk.order("ann", "BTC", 1, "1", leverage=10)
    desk.handle(ConfigChanged(desk.ts, "op", risk=replace(desk.settings.risk, hedging_enabled=False)))
    assert not of(desk.timer(6), VenueOrderRequested)
