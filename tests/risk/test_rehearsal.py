"""A rehearsed order says what the order then does, and leaves the book as it was."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from risk.events import (
    FillAction,
    OrderCancelled,
    OrderFilled,
    OrderRefused,
    OrderRested,
    PositionClosed,
    PositionOpened,
)
from risk.figures import account_figures, liquidation_range
from risk.house_events import VenueOrderRequested
from risk.inputs import FundingPublished, OrderSubmitted, OrderType, VenueFilled, VenueOrderEnded
from risk.margin import MarginTiers, liquidation_price
from risk.rehearsal import at_dearest, mean_price, part_of, rehearse, valued
from risk.settings import HOUR_NS, SECOND_NS
from tests.risk.book_builder import CROSS, ISOLATED, UNLIMITED, D, Desk, of, settings_with

TOLD = (
    OrderCancelled, OrderFilled, OrderRefused, OrderRested, PositionClosed, PositionOpened, VenueOrderRequested,
)  # fmt: skip
USERS = ("ann", "bob")


def told(events):
    return [event for event in events if isinstance(event, TOLD) and getattr(event, "user", "x") != ""]


def figures(book, user):
    return account_figures(part_of(book, user), user)


def try_both(desk, command):
    """Rehearse an order, then place it; both must say the same, and the book must not have noticed."""
    before = desk.book.digest()
    rehearsed = rehearse(desk.book, command)
    assert desk.book.digest() == before
    events = desk.handle(command)
    assert told(rehearsed.events) == told(events)
    left_to_trade = of(rehearsed.events, VenueOrderRequested) or of(rehearsed.events, OrderRested)
    if not left_to_trade:
        assert list(rehearsed.filled) == [
            e for e in of(events, OrderFilled) if e.order_id == command.order_id
        ]
        assert account_figures(rehearsed.after, command.user) == figures(desk.book, command.user)
    return rehearsed, events


def look_twice(desk, move):
    """An account as one looks at it, all else shared, is that of a copy on which anything might be done."""
    before = desk.book.digest()
    jump = 12 if move > 2 else 1  # one that leaves the symbol in quarantine, at its last valid mark
    moved = [
        moved_view(desk, symbol, mark * (100 + move * jump) / 100) for symbol, mark in desk.marks.items()
    ]
    for user in (*USERS, "nobody"):
        for views in ((), moved, moved[:1]):
            own = [view for view in views if view.symbol in desk.book.symbols_of(user)]
            seen = account_figures(valued(desk.book, own), user)
            assert seen == account_figures(part_of(desk.book, user, views), user)
    assert desk.book.digest() == before


def moved_view(desk, symbol, mark):
    last = next(view for view in desk.book.views() if view.symbol == symbol)
    mark = mark.quantize(last.mark)
    return replace(
        last,
        ts=last.ts + 1,
        seen_ns=last.seen_ns + 1,
        prev_mark=last.mark,
        mark=mark,
        mark_seq=last.mark_seq + 1,
    )


def order(desk, number, user, symbol, side, size, **fields):
    return OrderSubmitted(desk.ts, f"o{number}", user, symbol, side, D(str(size)), **fields)


def test_internal_open_and_close_and_refusal():
    desk = Desk(settings_with(UNLIMITED))
    desk.deposit("ann", 10_000)
    opened, _ = try_both(desk, order(desk, 1, "ann", "BTC", 1, "0.05", leverage=10))
    assert mean_price(opened.filled) == 100_000
    (position,) = account_figures(opened.after, "ann").positions
    assert position.initial_margin == 500
    assert position.liquidation_price == liquidation_price(
        side=1, size="0.05", price=100_000, equity=500, tiers=[(0, 40)]
    )
    closed, _ = try_both(desk, order(desk, 2, "ann", "BTC", -1, "0.05", reduce_only=True))
    assert closed.filled[0].action is FillAction.CLOSE
    refused, _ = try_both(desk, order(desk, 3, "ann", "BTC", 1, "0.05", leverage=1, margin_mode=CROSS))
    assert not of(refused.events, OrderRefused)
    refused, _ = try_both(desk, order(desk, 4, "ann", "BTC", 1, "0.09", leverage=1))
    assert of(refused.events, OrderRefused)[0].code == "INSUFFICIENT_MARGIN"


def test_what_goes_to_the_venue_is_estimated_at_its_book():
    desk = Desk(settings_with(UNLIMITED, normal_threshold=D(10_000)))
    desk.deposit("ann", 100_000)
    command = order(desk, 1, "ann", "BTC", 1, "0.5", leverage=10)
    rehearsed, events = try_both(desk, command)
    assert [fill.price for fill in rehearsed.filled] == [D(100_000)]
    (sent,) = of(events, VenueOrderRequested)
    fee = D(50_000) * desk.specs["BTC"].taker_fee_rate
    desk.handle(VenueFilled(desk.ts, sent.cloid, D(100_000), D("0.5"), fee))
    desk.handle(VenueOrderEnded(desk.ts, sent.cloid))
    assert account_figures(rehearsed.after, "ann") == figures(desk.book, "ann")


def test_a_resting_order_is_estimated_at_its_limit():
    desk = Desk(settings_with(UNLIMITED))
    desk.deposit("ann", 10_000)
    command = order(desk, 1, "ann", "ETH", 1, "0.1", type=OrderType.LIMIT, limit_price=D(3_900), leverage=5)
    rehearsed, _ = try_both(desk, command)
    assert [(fill.price, fill.maker) for fill in rehearsed.filled] == [(D(3_900), True)]


def test_an_estimate_does_not_tell_where_an_order_goes():
    """A limit that the book reaches in part: at the house or at Hyperliquid, it trades and costs the same."""
    estimates = []
    for threshold in (D(0), D(100_000)):
        desk = Desk(settings_with(UNLIMITED, normal_threshold=threshold, betting_threshold=threshold))
        desk.deposit("ann", 100_000)
        asks = ((D(100_000), D("0.3")), (D(100_050), D("1e9")))
        desk.mark("BTC", 100_000, asks=asks)
        fields = {"type": OrderType.LIMIT, "limit_price": D(100_010), "leverage": 10, "margin_mode": CROSS}
        rehearsed = rehearse(desk.book, order(desk, 1, "ann", "BTC", 1, "0.5", **fields))
        assert {fill.source for fill in rehearsed.filled} == {"INTERNAL" if threshold else "HYPERLIQUID"}
        dearest = at_dearest(rehearsed)
        fills = [(fill.price, fill.size, fill.fee, fill.maker) for fill in dearest.filled]
        account = account_figures(dearest.after, "ann")
        (prices,) = {each.liquidation_price for each in account.positions}
        estimates.append((fills, account.free, prices))
    assert estimates[0] == estimates[1]
    assert estimates[0][0] == [
        (D(100_000), D("0.3"), D("19.5"), False),
        (D(100_010), D("0.2"), D("7.0007"), True),
    ]


ORDERS = st.lists(
    st.fixed_dictionaries(
        {
            "user": st.sampled_from(USERS),
            "symbol": st.sampled_from(("BTC", "ETH", "COIN")),
            "side": st.sampled_from((1, -1)),
            "dollars": st.sampled_from((500, 3_000, 9_000, 15_000, 40_000)),
            "leverage": st.sampled_from((1, 5, 10, 25)),
            "mode": st.sampled_from((CROSS, CROSS, ISOLATED)),
            "how": st.sampled_from(("open", "open", "netted", "reduce", "limit", "stop")),
            "move": st.sampled_from((0, 0, 0, 1, -1, 3, -4)),
            "fills": st.booleans(),
        }
    ),
    min_size=3,
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(ORDERS, st.booleans())
def test_rehearsals_of_any_orders_come_true(steps, split):
    desk = Desk(settings_with({**UNLIMITED, "split_at_threshold": split}, normal_threshold=D(10_000)))
    for user in USERS:
        desk.deposit(user, 12_000)
    for number, step in enumerate(steps):
        desk.wait(1)
        if step["move"]:
            desk.mark(step["symbol"], desk.marks[step["symbol"]] * (100 + step["move"]) / 100)
        if number == 4:
            desk.ts = (desk.ts // HOUR_NS + 1) * HOUR_NS + SECOND_NS
            desk.handle(FundingPublished(desk.ts, "ETH", D("0.0003"), D(4_000)))
        mark = desk.marks[step["symbol"]]
        size = (Decimal(step["dollars"]) / mark).quantize(desk.specs[step["symbol"]].lot)
        if not size:
            continue
        fields = {"leverage": min(step["leverage"], 10), "margin_mode": step["mode"]}
        if step["how"] in ("netted", "reduce"):
            fields["netted" if step["how"] == "netted" else "reduce_only"] = True
        elif step["how"] == "limit":
            price = (mark * (100 - step["side"]) / 100).quantize(D("0.1"))
            fields |= {"type": OrderType.LIMIT, "limit_price": price}
        elif step["how"] == "stop":
            fields |= {"type": OrderType.STOP_LOSS, "trigger_price": (mark * (100 + 2 * step["side"]) / 100)}
        command = order(desk, number, step["user"], step["symbol"], step["side"], size, **fields)
        _, events = try_both(desk, command)
        look_twice(desk, step["move"])
        if step["fills"]:
            for sent in of(events, VenueOrderRequested):
                if not sent.resting:
                    desk.handle(VenueFilled(desk.ts, sent.cloid, mark, sent.size, D(1)))
                    desk.handle(VenueOrderEnded(desk.ts, sent.cloid))


TIERS = MarginTiers.of([(0, 40), (50_000, 20), (200_000, 5)])
LEGS = st.lists(st.tuples(st.sampled_from((1, -1)), st.integers(1, 5_000)), min_size=1, max_size=4)


@given(LEGS, st.integers(2, 5))
def test_an_account_is_under_water_just_outside_its_range_and_above_just_inside(legs, spare):
    held = [(side, D(size) / 100, TIERS) for side, size in legs]
    mark, others = D(10_000), D(77)

    def maintenance(price):
        return sum(tiers.maintenance(size * price) for _, size, tiers in held) + others

    equity = maintenance(mark) * spare

    def slack(price):
        moved = sum(side * size for side, size, _ in held) * (price - mark)
        return equity + moved - maintenance(price)

    low, high = liquidation_range(held, mark, equity, others)
    for price, outwards in ((low, -1), (high, 1)):
        if price is None:
            far = D("0.000001") if outwards < 0 else D("1e12")
            assert slack(far) >= 0
            continue
        step = price * D("1e-9")
        assert slack(price + outwards * step) < 0 < slack(price - outwards * step)
    if len(held) == 1:
        side, size, tiers = held[0]
        alone = liquidation_price(
            side=side, size=size, price=mark, equity=equity, tiers=tiers, other_maintenance=others
        )
        found = low if side > 0 else high
        assert (found is None) == (alone is None)
        assert found is None or abs(found - alone) < D("1e-15") * alone
