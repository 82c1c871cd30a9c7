"""Rulebook §1 through the book: routes, forced reasons, thresholds, outages, modes."""

from dataclasses import replace

import pytest

from risk.events import (
    OrderFilled,
    OrderRefused,
    OrderRested,
    OrderRouted,
    PositionOpened,
    RouteReason,
    Source,
)
from risk.house_events import (
    AlertLevel,
    AlertRaised,
    GuardChanged,
    RoutingModeChanged,
    RoutingModeRecommended,
    VenueOrderRequested,
)
from risk.inputs import ConfigChanged, RoutingModeSet
from risk.settings import DAY_NS, SECOND_NS, RoutingConfig, RoutingMode, Settings
from tests.risk.book_builder import CROSS, UNLIMITED, D, Desk, of, one, settings_with

INTERNAL, HYPERLIQUID = Source.INTERNAL, Source.HYPERLIQUID


def rich_desk(settings=None, **desk):
    made = Desk(settings, **desk)
    for user in ("ann", "bob"):
        made.deposit(user, 10_000_000)
    return made


def route(desk, size="0.01", symbol="BTC", **fields):
    """Send an order of 1 000 USDC unless told otherwise; return its routing record."""
    return one(desk.order("ann", symbol, 1, size, leverage=10, **fields), OrderRouted)


def test_worked_example_5000_in_normal_mode_is_internal_and_needs_500_at_10x():
    desk = Desk()
    desk.deposit("ann", 502)
    assert one(desk.order("ann", "BTC", 1, "0.05", leverage=10), OrderRefused).code == "INSUFFICIENT_MARGIN"
    desk.deposit("ann", "0.5")
    events = desk.order("ann", "BTC", 1, "0.05", leverage=10)
    routed = one(events, OrderRouted)
    assert (routed.notional, routed.mode, routed.threshold) == (D(5000), RoutingMode.NORMAL_MODE, D(10_000))
    assert (routed.route, routed.reason) == (INTERNAL, RouteReason.WITHIN_THRESHOLD)
    assert one(events, PositionOpened).margin == 500


def test_worked_example_exactly_10000_is_internal_and_a_step_more_is_not():
    desk = rich_desk()
    assert route(desk, "0.1").route is INTERNAL
    over = route(desk, "0.10001")
    assert (over.route, over.reason) == (HYPERLIQUID, RouteReason.OVER_THRESHOLD)


@pytest.mark.parametrize(
    ("mode", "size", "expected", "reason"),
    [
        (RoutingMode.HL_MODE, "0.001", HYPERLIQUID, RouteReason.HL_MODE),
        (RoutingMode.BETTING_MODE, "0.5", INTERNAL, RouteReason.WITHIN_THRESHOLD),
        (RoutingMode.BETTING_MODE, "0.50001", HYPERLIQUID, RouteReason.OVER_THRESHOLD),
    ],
)
def test_mode_table(mode, size, expected, reason):
    routed = route(rich_desk(settings_with(routing_mode=mode)), size)
    assert (routed.route, routed.reason) == (expected, reason)


def test_a_symbol_without_its_own_row_follows_the_default_row():
    rows = {"*": RoutingConfig(), "ETH": RoutingConfig(routing_mode=RoutingMode.HL_MODE)}
    desk = rich_desk(Settings(routing=rows))
    assert (route(desk).route, route(desk, "1", "ETH").route) == (INTERNAL, HYPERLIQUID)


def test_a_close_names_its_position_and_follows_its_source_and_the_sources_never_offset():
    desk = rich_desk()
    desk.order("ann", "BTC", 1, "0.05", leverage=10)
    hl = desk.open_on_hl("ann", "BTC", 1, "0.5", leverage=10)
    desk.order("ann", "BTC", -1, "0.05", leverage=10)  # opens: API orders never net
    assert sorted((p.source, p.side) for p in desk.book.positions.values()) == [
        (HYPERLIQUID, 1),
        (INTERNAL, -1),
        (INTERNAL, 1),
    ]
    inside = one(desk.order("ann", "BTC", -1, None, position_id=1), OrderRouted)
    outside = one(desk.order("ann", "BTC", -1, None, position_id=hl), OrderRouted)
    assert (inside.route, outside.route) == (INTERNAL, HYPERLIQUID)
    assert {inside.reason, outside.reason} == {RouteReason.POSITION_SOURCE}


# -- forced reasons, each alone and all in their order


def _not_whitelisted(desk):
    desk.handle(ConfigChanged(desk.ts, "op", "*", RoutingConfig(internal_whitelisted=False)))


def test_forced_reason_1_not_on_the_whitelist():
    desk = rich_desk()
    _not_whitelisted(desk)
    assert route(desk).reason is RouteReason.NOT_WHITELISTED


def test_forced_reason_2_reserve_under_its_floor():
    desk = rich_desk()
    desk.handle(ConfigChanged(desk.ts, "op", risk=replace(desk.settings.risk, reserve_floor=D(500_001))))
    routed = route(desk)
    assert (routed.route, routed.reason) == (HYPERLIQUID, RouteReason.RESERVE_FLOOR)


def test_forced_reason_3_daily_loss_breaker_until_midnight():
    desk = rich_desk(settings_with({"daily_loss_breaker": D(90)}))
    desk.order("bob", "ETH", 1, "1", leverage=10)
    opened = one(desk.mark("ETH", 4100), GuardChanged)
    assert (opened.guard, opened.state, opened.value) == ("DAILY_LOSS_BREAKER", "OPEN", D(100))
    assert route(desk).reason is RouteReason.DAILY_LOSS_BREAKER
    assert desk.book.next_timer_ns() <= desk.ts - desk.ts % DAY_NS + DAY_NS
    closed = one(desk.timer(86_400), GuardChanged)
    assert (closed.guard, closed.state) == ("DAILY_LOSS_BREAKER", "CLOSED")
    desk.mark("BTC", 100_000)
    assert route(desk).route is INTERNAL


def test_the_first_input_of_a_new_day_counts_to_it():
    desk = rich_desk(settings_with({"daily_loss_breaker": D(90)}))
    desk.order("bob", "ETH", 1, "1", leverage=10)
    desk.mark("ETH", 4080)
    desk.wait(86_400)
    events = desk.order("bob", "ETH", -1, None, position_id=1)  # 80 of gain, all of it yesterday's
    assert not of(events, GuardChanged)
    desk.order("bob", "ETH", 1, "1", leverage=10)
    assert not of(desk.mark("ETH", 4100), GuardChanged)  # 20 today


def test_forced_reason_4_symbol_exposure_over_a_million_without_hysteresis():
    risk = {**UNLIMITED, "symbol_exposure_cap": D(1_000_000)}
    desk = rich_desk(settings_with(risk, routing_mode=RoutingMode.BETTING_MODE, betting_threshold=D("1e9")))
    assert route(desk, "10").route is INTERNAL
    assert route(desk, "0.01").route is INTERNAL  # the state before the order: exactly at the cap
    assert route(desk).reason is RouteReason.SYMBOL_EXPOSURE
    desk.order("ann", "BTC", -1, "0.01", position_id=1)
    assert route(desk).route is INTERNAL  # ended at once: exactly 1 000 000 again


def test_forced_reason_5_total_exposure_counts_every_symbol_either_side():
    risk = {**UNLIMITED, "total_exposure_cap": D(1500)}
    desk = rich_desk(settings_with(risk))
    assert route(desk, "0.01").route is INTERNAL
    assert one(desk.order("bob", "ETH", -1, "0.25", leverage=5), OrderRouted).route is INTERNAL
    assert route(desk).reason is RouteReason.TOTAL_EXPOSURE


def test_forced_reason_6_price_range_with_hysteresis_and_volatile_fees_on_closes():
    desk = rich_desk()
    desk.order("ann", "BTC", 1, "0.01", leverage=10)
    opened = one(desk.mark("BTC", 100_000, low_60m=D(100_000), high_60m=D(105_001)), GuardChanged)
    assert (opened.guard, opened.state) == ("PRICE_RANGE", "OPEN")
    assert route(desk).reason is RouteReason.PRICE_RANGE
    filled = one(desk.order("ann", "BTC", -1, "0.005", position_id=1), OrderFilled)
    assert filled.fee == D("0.4")  # 0.08 % of 500
    assert not of(desk.mark("BTC", 100_000, low_60m=D(100_000), high_60m=D(103_000)), GuardChanged)
    closed = one(desk.mark("BTC", 100_000, low_60m=D(100_000), high_60m=D(102_999)), GuardChanged)
    assert closed.state == "CLOSED"
    assert route(desk).route is INTERNAL
    assert one(desk.order("ann", "BTC", -1, "0.005", position_id=1), OrderFilled).fee == D("0.25")


@pytest.mark.parametrize(
    "make_unhealthy",
    [
        lambda desk: desk.channel(True, 500_000_001),
        lambda desk: desk.wait("5.000000001"),
    ],
    ids=["slow", "silent"],
)
def test_forced_reason_7_unhealthy_channel(make_unhealthy):
    desk = rich_desk()
    desk.channel(True, 500_000_000)
    desk.wait(0)
    assert route(desk).route is INTERNAL
    make_unhealthy(desk)
    routed = route(desk)
    assert (routed.route, routed.reason) == (HYPERLIQUID, RouteReason.CHANNEL_UNHEALTHY)


def test_the_silence_allowed_may_be_set_per_symbol_by_the_resolution_of_its_data():
    desk = rich_desk(Settings(channel_silence_ns={"BTC": 120 * SECOND_NS}))
    desk.wait(120)
    assert (route(desk).route, route(desk, "1", "ETH").route) == (INTERNAL, HYPERLIQUID)


def test_forced_reason_8_price_sanity_keeps_the_last_valid_price_until_five_calm_updates():
    desk = rich_desk()
    events = desk.mark("BTC", 106_000)
    assert one(events, GuardChanged).guard == "PRICE_SANITY"
    assert one(events, AlertRaised).code == "PRICE_SANITY"
    assert route(desk).reason is RouteReason.PRICE_SANITY
    assert route(desk).notional == 1000  # at the last valid price
    for _ in range(4):
        assert not of(desk.mark("BTC", 106_000), GuardChanged)
    assert one(desk.mark("BTC", 106_000), GuardChanged).state == "CLOSED"
    assert (route(desk).route, route(desk).notional) == (INTERNAL, D(1060))


def test_a_position_is_not_liquidated_at_a_quarantined_price_but_at_the_new_level_once_accepted():
    desk = rich_desk()
    desk.order("ann", "BTC", 1, "0.01", leverage=40)
    desk.mark("BTC", 90_000)
    assert desk.book.positions
    for _ in range(5):
        desk.mark("BTC", 90_000)
    assert not desk.book.positions


def test_new_quotes_without_a_new_mark_do_not_end_a_quarantine():
    desk = rich_desk()
    desk.mark("BTC", 106_000)
    for _ in range(6):
        seq = desk.seqs["BTC"]
        desk.mark("BTC", 106_000, mark_seq=seq)
        desk.seqs["BTC"] = seq
    assert route(desk).reason is RouteReason.PRICE_SANITY


def test_forced_reasons_stand_in_their_order_of_precedence():
    desk = rich_desk()
    seen = []

    def note():
        seen.append(route(desk).reason)

    desk.mark("BTC", 106_000)
    note()
    desk.wait(6)
    note()
    desk.mark("BTC", 106_000, low_60m=D(90_000), seen_ns=0)
    note()
    risk = replace(desk.settings.risk, total_exposure_cap=D(0))
    desk.mark("ETH", 4000)
    desk.order("bob", "ETH", 1, "1", leverage=10)
    desk.handle(ConfigChanged(desk.ts, "op", risk=risk))
    note()
    risk = replace(risk, symbol_exposure_cap=D(-1))
    desk.handle(ConfigChanged(desk.ts, "op", risk=risk))
    note()
    risk = replace(risk, daily_loss_breaker=D(-1))
    desk.handle(ConfigChanged(desk.ts, "op", risk=risk))
    note()
    risk = replace(risk, reserve_floor=D("1e9"))
    desk.handle(ConfigChanged(desk.ts, "op", risk=risk))
    note()
    _not_whitelisted(desk)
    note()
    assert seen == [
        RouteReason.PRICE_SANITY,
        RouteReason.CHANNEL_UNHEALTHY,
        RouteReason.PRICE_RANGE,
        RouteReason.TOTAL_EXPOSURE,
        RouteReason.SYMBOL_EXPOSURE,
        RouteReason.DAILY_LOSS_BREAKER,
        RouteReason.RESERVE_FLOOR,
        RouteReason.NOT_WHITELISTED,
    ]


def test_a_reserve_between_200000_and_500000_halves_the_thresholds():
    desk = rich_desk(settings_with({"reserve_capital": D(499_999)}))
    assert route(desk, "0.05").threshold == 5000
    assert route(desk, "0.05001").route is HYPERLIQUID
    floor = rich_desk(settings_with({"reserve_capital": D(200_000)}))
    assert route(floor, "0.05").route is INTERNAL
    under = rich_desk(settings_with({"reserve_capital": D("199999.999999")}))
    assert route(under, "0.001").reason is RouteReason.RESERVE_FLOOR


# -- Hyperliquid out of reach


def test_an_order_that_must_go_to_hl_while_it_is_down_is_refused_at_once():
    desk = rich_desk()
    desk.channel(False)
    events = desk.order("ann", "BTC", 1, "0.5", leverage=10)
    assert one(events, OrderRefused).code == "HL_DOWN"
    assert not of(events, VenueOrderRequested)


def test_unreachable_for_60_s_refuses_opens_and_closes_while_cancels_and_adding_margin_work():
    desk = rich_desk()
    desk.order("ann", "BTC", 1, "0.05", leverage=10)
    desk.order("ann", "BTC", 1, "0.05", leverage=10, limit=90_000, oid="rests")
    assert one(desk.channel(False), AlertRaised).level is AlertLevel.ALERT
    desk.wait("59.999999999")
    desk.order("ann", "BTC", -1, "0.01", position_id=1)
    assert desk.book.positions[1].size == D("0.04")
    desk.wait("0.000000001")
    alert = one(desk.timer(), AlertRaised)
    assert (alert.level, alert.code) == (AlertLevel.P0, "HL_UNREACHABLE")
    for fields in ({"side": 1, "size": "0.01"}, {"side": -1, "size": None, "position_id": 1}):
        assert one(desk.order("ann", "BTC", **fields), OrderRefused).code == "HL_UNREACHABLE"
    assert of(desk.adjust("ann", 1, -10), OrderRefused)  # nothing safe to measure it at
    assert not of(desk.adjust("ann", 1, 10), OrderRefused)
    assert not of(desk.cancel("ann", "rests"), OrderRefused)
    desk.channel(True)
    desk.mark("BTC", 100_000)
    assert not of(desk.order("ann", "BTC", -1, None, position_id=1), OrderRefused)


def test_the_book_asks_to_be_woken_when_hl_will_have_been_away_for_60_s():
    desk = rich_desk()
    desk.channel(False)
    assert desk.book.next_timer_ns() == desk.ts + 60 * SECOND_NS


def test_orders_under_hyperliquids_minimum_are_refused():
    desk = rich_desk(settings_with(routing_mode=RoutingMode.HL_MODE))
    assert one(desk.order("ann", "BTC", 1, "0.00009"), OrderRefused).code == "HL_MIN_NOTIONAL"
    assert of(desk.order("ann", "BTC", 1, "0.0001"), VenueOrderRequested)


def test_cancels_go_where_the_order_rests():
    desk = rich_desk()
    events = desk.order("ann", "BTC", 1, "0.5", leverage=10, limit=90_000, oid="big")
    assert one(events, OrderRested).where is HYPERLIQUID
    (cancel,) = desk.cancel("ann", "big")
    assert cancel.cloid == one(events, VenueOrderRequested).cloid
    assert desk.cancel("ann", "big") == ()  # asked once


def test_splitting_at_the_threshold_is_off_and_can_be_switched_on():
    whole = rich_desk().order("ann", "BTC", 1, "0.15", leverage=10)
    assert one(whole, VenueOrderRequested).size == D("0.15")
    parts = rich_desk(settings_with({"split_at_threshold": True})).order("ann", "BTC", 1, "0.15", leverage=10)
    assert [(r.route, r.notional) for r in of(parts, OrderRouted)] == [
        (INTERNAL, D(10_000)),
        (HYPERLIQUID, D(5000)),
    ]
    assert (one(parts, PositionOpened).size, one(parts, VenueOrderRequested).size) == (D("0.1"), D("0.05"))


def test_a_limit_order_is_judged_whole_even_where_a_part_could_trade_now():
    desk = rich_desk()
    depth = {"asks": ((D(100_000), D("0.04")), (D(100_100), D(9)))}
    desk.mark("BTC", 100_000, **depth)
    big = desk.order("ann", "BTC", 1, "0.12", leverage=10, limit=100_050)
    assert one(big, VenueOrderRequested).size == D("0.12")
    assert one(big, OrderRested).where is HYPERLIQUID
    small = desk.order("ann", "BTC", 1, "0.06", leverage=10, limit=100_050)
    assert one(small, PositionOpened).size == D("0.04")
    assert (one(small, OrderRested).size, one(small, OrderRested).where) == (D("0.02"), INTERNAL)


# -- modes


def exposed(symbol_risk=None, **routing):
    return rich_desk(
        settings_with(
            {**UNLIMITED, **(symbol_risk or {})},
            betting_threshold=D("1e9"),
            normal_threshold=D("1e9"),
            **routing,
        )
    )


def go_to(desk, exposure):
    """Bring the exposure of COIN (100 USDC) to that many USDC; return the mode changes."""
    held = desk.book._core.symbols["COIN"].net_size
    size = D(exposure) / 100 - held
    for position in list(desk.book.positions.values()):
        if position.side * size < 0:
            part = min(position.size, abs(size))
            side = -position.side
            events = desk.order("ann", "COIN", side, part, position_id=position.position_id)
            size -= side * part
    if size:
        events = desk.order("ann", "COIN", 1 if size > 0 else -1, abs(size), leverage=5, margin_mode=CROSS)
    return events


def test_auto_switch_follows_exposure_and_does_not_flap():
    desk = exposed(auto_switch_enabled=True)
    state = desk.book._core.symbols["COIN"]
    seen = []
    for exposure in (50_000, 60_000, 60_100, 50_100, 50_000, 799_900, 800_000):
        switched = of(go_to(desk, exposure), RoutingModeChanged)
        seen.append(
            [(s.from_mode.value[:2], s.to_mode.value[:2], s.net_exposure_at_switch) for s in switched]
        )
    assert seen == [
        [],  # in BETTING_MODE since its first mark, without any exposure
        [],
        [("BE", "NO", D(60_100))],
        [],
        [("NO", "BE", D(50_000))],
        [("BE", "NO", D(799_900))],
        [("NO", "HL", D(800_000))],
    ]
    assert not of(go_to(desk, 500_000), RoutingModeChanged)
    left = one(go_to(desk, 499_900), RoutingModeChanged)
    assert (left.to_mode, left.trigger, left.operator_id) == (RoutingMode.NORMAL_MODE, "AUTO", "")
    assert state.mode is RoutingMode.NORMAL_MODE


def test_without_auto_switch_a_crossing_is_recommended():
    desk = exposed()
    recommended = one(go_to(desk, 800_000), RoutingModeRecommended)
    assert (recommended.to_mode, recommended.net_exposure) == (RoutingMode.HL_MODE, D(800_000))
    assert not of(go_to(desk, 900_000), RoutingModeRecommended)


def test_a_mode_set_by_an_operator_pins_until_released():
    desk = exposed(auto_switch_enabled=True)
    go_to(desk, 70_000)
    pinned = one(
        desk.handle(RoutingModeSet(desk.ts, "COIN", RoutingMode.BETTING_MODE, "olga")), RoutingModeChanged
    )
    assert (pinned.trigger, pinned.operator_id, pinned.net_exposure_at_switch) == (
        "MANUAL",
        "olga",
        D(70_000),
    )
    events = go_to(desk, 900_000)
    assert not of(events, RoutingModeChanged)
    assert one(events, RoutingModeRecommended).to_mode is RoutingMode.HL_MODE
    released = one(desk.handle(RoutingModeSet(desk.ts, "COIN", None, "olga")), RoutingModeChanged)
    assert (released.from_mode, released.to_mode) == (RoutingMode.BETTING_MODE, RoutingMode.HL_MODE)


def test_a_routing_row_with_another_mode_is_a_switch_by_that_operator():
    desk = rich_desk()
    row = RoutingConfig(routing_mode=RoutingMode.HL_MODE)
    switched = one(desk.handle(ConfigChanged(desk.ts, "olga", "ETH", row)), RoutingModeChanged)
    assert (switched.symbol, switched.to_mode, switched.trigger) == ("ETH", RoutingMode.HL_MODE, "MANUAL")
    assert (route(desk).route, route(desk, "1", "ETH").route) == (INTERNAL, HYPERLIQUID)


def test_two_books_of_the_same_settings_do_not_share_an_operators_change():
    settings = Settings()
    one_desk, other = rich_desk(settings), rich_desk(settings)
    one_desk.handle(ConfigChanged(one_desk.ts, "op", "*", RoutingConfig(internal_whitelisted=False)))
    assert (route(one_desk).route, route(other).route) == (HYPERLIQUID, INTERNAL)
