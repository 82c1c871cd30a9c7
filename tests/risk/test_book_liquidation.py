"""Rulebook §4 through the book: who is liquidated, at what, and who pays."""

import pytest

from risk.events import OrderFilled, PositionClosed, PositionLiquidated, Source
from risk.house_events import AlertLevel, AlertRaised, VenueOrderRequested
from risk.settings import SECOND_NS
from tests.risk.book_builder import CROSS, D, changes, money, of, one, to_hl, wide_desk


def test_worked_example_isolated_liquidation_price_72911_39():
    desk = wide_desk(ann=1000)
    desk.mark("BTC", 80_000)
    desk.order("ann", "BTC", 1, "0.1", leverage=10)
    assert not of(desk.mark("BTC", "72911.4"), PositionLiquidated)
    moved = changes(desk, lambda: desk.mark("BTC", "72911.3"))
    # the loss split of the worked examples: 640 / 160
    assert moved == {"isolated_margin:1": D(-800), "platform_profit": D(640), "risk_reserve": D(160)}


def test_worked_example_after_200_of_funding_74936_71():
    desk = wide_desk(ann=1000)
    desk.mark("BTC", 80_000)
    desk.order("ann", "BTC", 1, "0.1", leverage=10)
    desk.funding("BTC", "0.025", 80_000)  # 0.1 × 80 000 × 0.025
    assert not of(desk.mark("BTC", "74936.8"), PositionLiquidated)
    assert one(desk.mark("BTC", "74936.7"), PositionLiquidated).margin_zeroed == 600


def test_worked_example_two_tiers_104_702():
    desk = wide_desk(ann=400_000)
    desk.order("ann", "COIN", -1, "29000", leverage=10)  # margin 290 000
    assert not of(desk.mark("COIN", "104.701"), PositionLiquidated)
    assert one(desk.mark("COIN", "104.703"), PositionLiquidated).trigger_price == D("104.703")


def test_isolated_liquidation_touches_nothing_else():
    desk = wide_desk(ann=10_000)
    desk.order("ann", "BTC", 1, "0.1", leverage=40)
    desk.order("ann", "BTC", 1, "0.1", leverage=2)
    desk.order("ann", "ETH", 1, "1", leverage=10, margin_mode=CROSS)
    cash = desk.cash("ann")
    events = desk.mark("BTC", 98_000)
    assert one(events, PositionLiquidated).position_id == 1
    assert one(events, PositionClosed).liquidation
    assert one(events, OrderFilled).fee == 0  # no liquidation fee inside
    assert (list(desk.book.positions), desk.cash("ann")) == ([2, 3], cash)


def test_an_isolated_user_never_owes_more_than_the_margin_and_the_house_gains_less():
    desk = wide_desk(ann=1000)
    desk.order("ann", "BTC", 1, "0.1", leverage=20)
    liquidated = one(desk.mark("BTC", 50_000), PositionLiquidated)
    assert (liquidated.margin_zeroed, liquidated.pnl, liquidated.bad_debt) == (D(500), D(-500), 0)
    assert desk.cash("ann") == 495


def test_the_trigger_is_equity_equal_to_maintenance():
    desk = wide_desk(ann=1000)
    desk.order("ann", "COIN", 1, "10", leverage=5)
    desk.adjust("ann", 1, 40)  # 1 tier: equity 240 + 10 (x − 100), maintenance x / 2
    assert not of(desk.mark("COIN", 80 + D("1e-12")), PositionLiquidated)
    assert of(desk.mark("COIN", 80), PositionLiquidated)


# -- cross


def test_cross_closes_the_largest_loss_first_and_stops_when_healthy():
    desk = wide_desk(ann=1600)
    desk.order("ann", "BTC", 1, "0.1", leverage=20, margin_mode=CROSS)
    desk.order("ann", "ETH", 1, "2", leverage=10, margin_mode=CROSS)
    # value = 1 591 − 1 000 − 350 = 241 ≤ 112.5 + 153 = 265.5; after the larger loss is closed 241 > 153
    desk.mark("ETH", 3825)
    events = desk.mark("BTC", 90_000)
    assert one(events, PositionLiquidated).position_id == 1
    assert list(desk.book.positions) == [2]


def test_cross_ties_go_to_the_lowest_position_id():
    desk = wide_desk(ann=1001)
    for _ in range(2):
        desk.order("ann", "BTC", 1, "0.05", leverage=20, margin_mode=CROSS)
    events = desk.mark("BTC", 91_000)  # value 96 against 113.75: one close is enough
    assert one(events, PositionLiquidated).position_id == 1


def test_cross_deficit_of_internal_positions_is_given_back_80_20():
    desk = wide_desk(ann=510)
    desk.order("ann", "BTC", 1, "0.1", leverage=20, margin_mode=CROSS)  # cash 505
    moved = changes(desk, lambda: desk.mark("BTC", 94_000))  # loss 600
    assert desk.cash("ann") == 0
    assert moved == {"user_cash:ann": D(-505), "platform_profit": D(404), "risk_reserve": D(101)}


def test_a_mixed_cross_deficit_is_shared_in_proportion_to_the_losses():
    desk = wide_desk(ann=1100)
    hl = to_hl(desk, "ann", "BTC", 1, "0.1", leverage=20, margin_mode=CROSS)  # builder 2
    desk.order("ann", "BTC", 1, "0.1", leverage=20, margin_mode=CROSS)  # fee 5
    assert desk.cash("ann") == 1093
    before = desk.book.balances
    events = desk.mark("BTC", 94_000)  # each loses 600; the older one first, which is at Hyperliquid
    sent = one(events, VenueOrderRequested)
    assert not of(events, PositionLiquidated)  # one in flight, valued at mark
    events = desk.fill(sent, 93_000)  # and loses 700
    assert [p.position_id for p in of(events, PositionLiquidated)] == [2, hl]
    assert not desk.book.positions
    deficit = D(1300 - 1093)
    hl_share = deficit - (deficit * 600 / 1300).quantize(D("1e-6"))
    assert desk.book._core.ledger.turnover_bad_debt == hl_share
    assert desk.cash("ann") == 0
    internal = 600 - (deficit - hl_share)
    reserve = desk.balance("risk_reserve") - before["risk_reserve"]
    assert abs(reserve - (internal / 5 - hl_share)) <= D("2e-6")


def test_what_a_user_closes_before_a_liquidation_can_be_sent_has_its_share_in_the_deficit():
    desk = wide_desk(ann=20_000)
    hl = to_hl(desk, "ann", "BTC", 1, 1, leverage=10, margin_mode=CROSS)  # builder 20
    desk.order("ann", "ETH", 1, 5, leverage=10, margin_mode=CROSS)  # fee 10
    desk.channel(False)
    desk.mark("ETH", 3000)
    assert not desk.mark("BTC", 85_000)  # value −30: the liquidation begins, and waits for Hyperliquid
    before = desk.book.balances
    desk.order("ann", "ETH", -1, None, position_id=hl + 1)  # loses 5 000; fee 7.5
    desk.channel(True)
    desk.fill(one(desk.timer(1), VenueOrderRequested), 80_000)  # loses 20 000
    assert desk.cash("ann") == 0
    # deficit 5 037.5, a fifth of it inside: 1 007.5 of the 5 000 go back
    assert desk.balance("platform_profit") - before["platform_profit"] == D("0.8") * (5000 - D("1007.5"))
    assert desk.book._core.ledger.turnover_bad_debt == 4030


def test_a_liquidation_the_user_ended_has_no_share_in_the_deficit_of_the_next():
    desk = wide_desk(ann=20_000)
    hl = to_hl(desk, "ann", "BTC", 1, 1, leverage=10, margin_mode=CROSS)
    desk.order("ann", "ETH", 1, 5, leverage=10, margin_mode=CROSS)
    desk.channel(False)
    desk.mark("BTC", 81_000)  # value 970 ≤ 1 412.5: begins, and waits for Hyperliquid
    desk.deposit("ann", 10_000)
    desk.channel(True)
    sent = one(desk.order("ann", "BTC", -1, None, position_id=hl), VenueOrderRequested)
    assert not desk.timer(2)  # the user's own close is in flight
    desk.fill(sent)  # loses 19 000, and the account is healthy
    before = desk.cash("ann")
    assert one(desk.mark("ETH", 1000), PositionLiquidated).pnl == -15_000
    assert (desk.cash("ann"), desk.book._core.ledger.turnover_bad_debt) == (0, 0)
    # all of the deficit was lost inside
    assert desk.balance("platform_profit") == D("0.8") * before


def test_order_holds_are_released_before_a_deficit_is_forgiven():
    desk = wide_desk(ann=1200)
    desk.order("ann", "BTC", 1, "0.1", leverage=20, margin_mode=CROSS)
    desk.order("ann", "ETH", 1, "0.5", leverage=10, limit=3000)  # holds 150.3
    desk.mark("BTC", 88_900)  # loss 1 110; value 85 ≤ 111
    assert desk.book.positions == {}
    assert (desk.cash("ann"), desk.balance("order_holds:ann")) == (D(85), 0)
    desk.mark("ETH", 2900)  # the order fires without its hold: nothing breaks


def test_users_own_last_close_likewise():
    desk = wide_desk(ann=510)
    desk.order("ann", "BTC", 1, "0.1", leverage=20, margin_mode=CROSS)
    desk.mark("BTC", 97_000, bid=94_000)
    desk.order("ann", "BTC", -1, None, position_id=1)  # loses 600 and a fee of 4.70
    assert desk.cash("ann") == 0
    assert desk.balance("fee_income") == 5 + D("4.7")


# -- at Hyperliquid


def test_isolated_at_hl_what_is_left_over_goes_to_the_reserve_and_there_is_no_builder_fee():
    desk = wide_desk(ann=10_000)
    position = to_hl(desk, "ann", "BTC", 1, "0.1", leverage=20)  # margin 500
    sent = one(desk.mark("BTC", 96_000), VenueOrderRequested)
    assert (sent.limit_price, sent.side) == (D("94080"), -1)  # cap 2 %
    builder = desk.balance("builder_income")
    moved = changes(desk, lambda: desk.fill(sent, 95_900, fee=4))
    assert moved == {f"isolated_margin:{position}": D(-500), "hl_trading": D(414), "risk_reserve": D(86)}
    assert desk.balance("builder_income") == builder


def test_isolated_at_hl_a_missing_part_is_bad_debt_of_the_reserve_then_of_capital():
    desk = wide_desk({"reserve_capital": D(100)}, ann=10_000)
    position = to_hl(desk, "ann", "BTC", 1, "0.1", leverage=20)
    sent = one(desk.mark("BTC", 96_000), VenueOrderRequested)
    before = desk.book.balances
    events = desk.fill(sent, 93_000, fee=4)
    assert one(events, PositionLiquidated).bad_debt == 204
    after = desk.book.balances
    assert after["risk_reserve"] - before["risk_reserve"] == -100
    assert after["platform_capital"] - before["platform_capital"] == -104
    assert after["hl_trading"] - before["hl_trading"] == 704
    assert (position in desk.book.positions, after["bad_debt"]) == (False, 0)


def test_one_order_in_flight_and_what_it_leaves_open_is_sent_again_with_a_wider_cap():
    desk = wide_desk(ann=10_000)
    to_hl(desk, "ann", "BTC", 1, "0.1", leverage=20)
    sent = one(desk.mark("BTC", 96_000), VenueOrderRequested)
    assert not of(desk.mark("BTC", 95_900), VenueOrderRequested)
    events = desk.fill(sent, 95_000, "0.04")
    again = one(events, VenueOrderRequested)
    assert (again.size, again.limit_price) == (D("0.06"), D("92064"))  # 4 % under 95 900
    assert one(events, PositionLiquidated).size == D("0.04")
    desk.fill(again, 95_000)
    assert not desk.book.positions


def test_a_liquidation_nobody_takes_widens_to_its_limit_and_then_waits_a_second():
    desk = wide_desk(ann=10_000)
    to_hl(desk, "ann", "BTC", 1, "0.1", leverage=20)
    events, sent = desk.mark("BTC", 96_000), []
    while found := of(events, VenueOrderRequested):
        sent += found
        assert len(sent) < 10
        events = desk.end(found[0])
    assert [order.limit_price for order in sent] == [
        D(x) for x in ("94080", "92160", "88320", "80640", "65280", "48000")
    ]
    assert desk.book.next_timer_ns() == desk.ts + SECOND_NS
    assert one(desk.timer(1), VenueOrderRequested).size == D("0.1")


def test_a_refused_liquidation_is_a_p0_and_tried_again_unless_the_account_recovered():
    desk = wide_desk(ann=10_000)
    to_hl(desk, "ann", "BTC", 1, "0.1", leverage=20)
    sent = one(desk.mark("BTC", 96_000), VenueOrderRequested)
    events = desk.end(sent, refused=True)
    assert one(events, AlertRaised).level is AlertLevel.P0
    assert not of(events, VenueOrderRequested)
    desk.mark("BTC", 100_000)
    assert not of(desk.timer(1), VenueOrderRequested)
    assert of(desk.mark("BTC", 96_000), VenueOrderRequested)


def test_a_liquidation_at_hl_waits_while_the_channel_is_down():
    desk = wide_desk(ann=10_000)
    to_hl(desk, "ann", "BTC", 1, "0.1", leverage=20)
    desk.channel(False)
    assert not of(desk.mark("BTC", 96_000), VenueOrderRequested)
    assert not of(desk.timer(1), VenueOrderRequested)
    desk.channel(True)
    assert of(desk.timer(1), VenueOrderRequested)


def test_a_cross_account_with_a_close_in_flight_stops_when_its_receipt_made_it_healthy():
    desk = wide_desk(ann=1600)
    to_hl(desk, "ann", "BTC", 1, "0.1", leverage=20, margin_mode=CROSS)
    desk.order("ann", "ETH", 1, "2", leverage=10, margin_mode=CROSS)
    desk.mark("ETH", 3825)
    sent = one(desk.mark("BTC", 90_000), VenueOrderRequested)
    desk.fill(sent, 90_500)
    assert [p.source for p in desk.book.positions.values()] == [Source.INTERNAL]


# -- partial liquidation


def test_partial_liquidation_closes_a_fifth_first_and_keeps_the_margin_with_the_position():
    desk = wide_desk({"partial_liquidation": True}, ann=50_000)
    desk.order("ann", "BTC", 1, 2, leverage=20)  # margin 10 000
    # under water at 96 200 by a little: equity 2 400 ≤ maintenance 2 405; after a fifth 2 400 > 1 924
    events = desk.mark("BTC", 96_200)
    assert one(events, PositionLiquidated).size == D("0.4")
    assert desk.book.positions[1].margin == 10_000 - D("0.4") * 3800
    assert desk.cash("ann") == 50_000 - 10_000 - 100


@pytest.mark.parametrize(("seconds", "size"), [(30, "1.6"), ("30.000000001", "0.32")])
def test_a_position_liquidated_again_within_30_s_closes_whole(seconds, size):
    desk = wide_desk({"partial_liquidation": True}, ann=50_000)
    desk.order("ann", "BTC", 1, 2, leverage=20)
    desk.mark("BTC", 96_200)
    desk.wait(seconds)
    desk.mark(
        "BTC", "95940", seen_ns=desk.ts
    )  # equity 10 000 − 1 520 − 6 496 = 1 984 ≥ 1 918.8: still healthy
    events = desk.mark("BTC", "95890")
    assert of(events, PositionLiquidated)[0].size == money(size)


def test_partial_liquidation_leaves_positions_up_to_100000_alone():
    desk = wide_desk({"partial_liquidation": True}, ann=50_000)
    desk.order("ann", "BTC", 1, 1, leverage=20)
    assert one(desk.mark("BTC", 96_000), PositionLiquidated).size == 1


def test_partial_liquidation_at_hl_keeps_the_margin_too():
    desk = wide_desk({"partial_liquidation": True}, ann=50_000)
    position = to_hl(desk, "ann", "BTC", 1, 2, leverage=20)
    sent = one(desk.mark("BTC", 96_200), VenueOrderRequested)
    assert sent.size == D("0.4")
    events = desk.fill(sent, 96_200, fee=10)
    assert desk.book.positions[position].margin == 10_000 - 1520 - 10
    assert not of(events, VenueOrderRequested)
