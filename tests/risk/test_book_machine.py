"""Random histories: after every input the book agrees with the naive one, to the last digit."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from risk.errors import AlreadySo, InvalidInput
from risk.events import Source
from risk.house_events import VenueOrderRequested
from risk.inputs import (
    CancelSubmitted,
    ConfigChanged,
    FundingBooked,
    FundingPublished,
    HlAccount,
    MarginMode,
    MarketUpdated,
    OrderSubmitted,
    OrderType,
    VenueFilled,
    WithdrawalEnded,
    WithdrawalSubmitted,
)
from risk.numbers import round_price
from risk.settings import HOUR_NS, HedgeTier, RoutingConfig
from tests.risk.bad_inputs import bad_inputs
from tests.risk.book_builder import SPECS, D, Desk, of, settings_with
from tests.risk.oracle import NaiveBooks
from tests.risk.oracle_holdings import cents

USERS = st.sampled_from(["ann", "bob", "cyd"])
SYMBOLS = st.sampled_from(sorted(SPECS))
SIDES = st.sampled_from([1, -1])
# About 1 000 to 90 000 USDC of each symbol at its first mark.
COINS = {"BTC": D("0.01"), "ETH": D("0.25"), "COIN": D(10)}
SMALL_TIERS = (HedgeTier(D(20_000), D("0.5")), HedgeTier(D(60_000), D("0.8")))
RISK = {
    "hedge_tiers": SMALL_TIERS,
    "daily_loss_alert": D(5_000),
    "daily_loss_breaker": D(20_000),
    "trading_account_capital": D(15_000),
    "hedge_account_capital": D(6_000),
    "platform_capital": D(20_000),
    "reserve_capital": D(800_000),
    "symbol_exposure_cap": D(150_000),
    "total_exposure_cap": D(250_000),
}


class BookMachine(RuleBasedStateMachine):
    """Drive a desk and the naive books side by side."""

    def __init__(self):
        super().__init__()
        patient = dict.fromkeys(SPECS, HOUR_NS)
        settings = settings_with(RISK, normal_threshold=D(30_000))
        self.desk = Desk(replace(settings, channel_silence_ns=patient), hedging=True)
        self.naive = NaiveBooks(self.desk.settings.risk, SPECS)
        self.at_venue: dict[str, VenueOrderRequested] = {}
        self.filled: dict[str, Decimal] = {}
        self.count = 0
        for user in ("ann", "bob", "cyd"):
            self.give(self.desk.deposit, user, 20_000)

    def give(self, act, *args, **fields):
        """Hand one input to both; remember the orders that are now at the venue."""
        known = len(self.desk.inputs)
        events = act(*args, **fields)
        (given,) = self.desk.inputs[known:]
        self.naive.take(given, events, self.marks())
        for order in of(events, VenueOrderRequested):
            self.at_venue[order.cloid] = order
            self.filled[order.cloid] = D(0)
        return events

    def marks(self):
        return {name: state.mark for name, state in self.desk.book._core.symbols.items()}

    # -- users

    @rule(user=USERS, amount=st.integers(1, 5_000_000_000))
    def deposit(self, user, amount):
        self.give(self.desk.deposit, user, D(amount) / 1_000_000)

    @initialize(
        trades=st.lists(
            st.tuples(USERS, SYMBOLS, SIDES, st.integers(5, 60), st.sampled_from([5, 10]), st.booleans()),
            min_size=3,
            max_size=9,
        )
    )
    def some_positions(self, trades):
        for user, symbol, side, lots, leverage, cross in trades:
            self.open(user, symbol, side, lots, leverage, cross)

    @rule(
        user=USERS,
        symbol=SYMBOLS,
        side=SIDES,
        lots=st.integers(5, 60),
        leverage=st.sampled_from([3, 5, 10]),
        cross=st.booleans(),
    )
    def open(self, user, symbol, side, lots, leverage, cross):
        mode = MarginMode.CROSS if cross else MarginMode.ISOLATED
        size = COINS[symbol] * lots
        self.submit(user, symbol, side, size, leverage=leverage, margin_mode=mode)
        for cloid in [c for c, order in self.at_venue.items() if order.order_id == f"o{self.count}"]:
            self.fill(cloid, 0, 8, ends=True)

    @rule(user=USERS, amount=st.integers(1, 5_000_000_000), fee=st.integers(0, 3), sent=st.booleans())
    def withdraw(self, user, amount, fee, sent):
        self.count += 1
        name = f"w{self.count}"
        self.give(
            self.desk.handle,
            WithdrawalSubmitted(self.desk.ts, name, user, D(amount) / 1_000_000, D(fee)),
        )
        if name in self.naive.withdrawals:
            self.give(self.desk.handle, WithdrawalEnded(self.desk.ts, name, sent))

    @rule(
        user=USERS,
        symbol=SYMBOLS,
        side=SIDES,
        lots=st.integers(1, 90),
        leverage=st.sampled_from([1, 3, 5, 10]),
        cross=st.booleans(),
        netted=st.booleans(),
        reduce_only=st.sampled_from([False, False, True]),
        offset=st.sampled_from([None, None, -30, -5, 5, 30]),
    )
    def order(self, user, symbol, side, lots, leverage, cross, netted, reduce_only, offset):
        limit = None
        if offset is not None:
            limit = round_price(self.desk.marks[symbol] * (1 + D(offset) / 1000))
        self.submit(
            user,
            symbol,
            side,
            COINS[symbol] * lots,
            type=OrderType.MARKET if limit is None else OrderType.LIMIT,
            limit_price=limit,
            leverage=leverage,
            margin_mode=MarginMode.CROSS if cross else MarginMode.ISOLATED,
            netted=netted,
            reduce_only=reduce_only,
        )

    def submit(self, user, symbol, side, size, **fields):
        self.count += 1
        self.give(
            self.desk.handle,
            OrderSubmitted(self.desk.ts, f"o{self.count}", user, symbol, side, size, **fields),
        )

    def positions(self):
        return sorted(self.desk.book.positions.values(), key=lambda p: p.position_id)

    @precondition(lambda self: self.desk.book.positions)
    @rule(
        data=st.data(),
        part=st.sampled_from([None, 1, 3, 90]),
        stop=st.sampled_from([None, None, -20, 20]),
        offset=st.sampled_from([None, None, -30, -5, 5, 30]),
    )
    def close(self, data, part, stop, offset):
        position = data.draw(st.sampled_from(self.positions()))
        fields = {}
        if stop is not None:
            fields = {
                "type": OrderType.STOP_LOSS if stop < 0 else OrderType.TAKE_PROFIT,
                "trigger_price": round_price(
                    self.desk.marks[position.symbol] * (1 + position.side * D(stop) / 1000)
                ),
            }
        elif offset is not None:
            limit = round_price(self.desk.marks[position.symbol] * (1 + position.side * D(offset) / 1000))
            fields = {"type": OrderType.LIMIT, "limit_price": limit}
        size = None if part is None else COINS[position.symbol] * part
        self.submit(
            position.user, position.symbol, -position.side, size, position_id=position.position_id, **fields
        )

    @precondition(lambda self: self.desk.book.positions)
    @rule(data=st.data(), amount=st.integers(-3_000_000_000, 3_000_000_000).filter(bool))
    def adjust(self, data, amount):
        position = data.draw(st.sampled_from(self.positions()))
        self.give(self.desk.adjust, position.user, position.position_id, D(amount) / 1_000_000)

    @rule(data=st.data())
    def cancel(self, data):
        waiting = sorted(self.desk.book._core.orders)
        if waiting:
            order_id = data.draw(st.sampled_from(waiting))
            user = self.desk.book._core.orders[order_id].command.user
            self.give(self.desk.handle, CancelSubmitted(self.desk.ts, order_id, user))

    # -- the market

    @rule(
        symbol=SYMBOLS,
        move=st.integers(-60, 60),
        spread=st.integers(0, 3),
        hour=st.sampled_from([False] * 5 + [True]),
        lots=st.sampled_from([None, 3, 40]),
    )
    def mark(self, symbol, move, spread, hour, lots):
        mark = (self.desk.marks[symbol] * (1 + D(move) / 1000)).quantize(D("0.01"))
        half = mark * spread / 10_000
        low = mark * D("0.93") if hour else mark
        view = self.desk.view(symbol, mark, bid=mark - half, ask=mark + half, low_60m=low)
        if lots is not None:  # that many at the best price, the rest worse
            few = COINS[symbol] * lots
            view = replace(
                view,
                bids=((mark - half, few), (mark * D("0.99"), few)),
                asks=((mark + half, few), (mark * D("1.01"), few)),
            )
        self.give(self.desk.handle, MarketUpdated(self.desk.ts, (view,)))

    @rule(moves=st.tuples(*[st.integers(-45, 45)] * 3))
    def all_marks(self, moves):
        views = tuple(
            self.desk.view(symbol, (self.desk.marks[symbol] * (1 + D(move) / 1000)).quantize(D("0.01")))
            for symbol, move in zip(sorted(SPECS), moves, strict=True)
        )
        self.give(self.desk.handle, MarketUpdated(self.desk.ts, views))

    @rule(
        symbol=SYMBOLS,
        side=SIDES,
        steps=st.integers(1, 6),
        slip=st.integers(-8, 8),
        eighths=st.sampled_from([0, 3, 8]),
    )
    def trend(self, symbol, side, steps, slip, eighths):
        """The market runs one way while the venue answers everything sent."""
        for _ in range(steps):
            mark = (self.desk.marks[symbol] * (1 + side * D("0.03"))).quantize(D("0.01"))
            self.give(self.desk.mark, symbol, mark)
            for cloid in sorted(self.at_venue):
                self.fill(cloid, slip, eighths, ends=True)

    @rule(symbol=SYMBOLS, share=st.integers(1, 99))
    def quiet_mark(self, symbol, share):
        """A mark strictly inside the bands, with nothing else due, must have no consequence."""
        book, state = self.desk.book, self.desk.book._core.symbols[symbol]
        due = book.next_timer_ns()
        bands = book.bands(symbol)
        if bands.quarantined or bands.range_open or due <= self.desk.ts:
            return
        mark = state.mark
        low = max(D(bands.mark_low), mark * D("0.96"), D(bands.ask_low))
        high = min(D(bands.mark_high), mark * D("1.04"), D(bands.bid_high))
        if not low < high:
            return
        inside = round_price(low + (high - low) * share / 100)
        if not low < inside < high:
            return
        assert self.give(self.desk.mark, symbol, inside) == ()

    @rule(symbol=SYMBOLS, rate=st.integers(-300, 300), thirds=st.sampled_from([3, 2, 4]))
    def funding(self, symbol, rate, thirds):
        oracle = self.desk.marks[symbol] * thirds / 3  # two of three with all the digits there are
        delta = oracle * D(rate) / 10_000
        booked = {a: cents(-self.desk.book.venue_position(a, symbol) * delta) for a in HlAccount}
        self.give(self.desk.handle, FundingPublished(self.desk.ts, symbol, D(rate) / 10_000, oracle))
        for account, amount in booked.items():
            self.give(self.desk.handle, FundingBooked(self.desk.ts, account, symbol, amount))

    # -- the venue

    @precondition(lambda self: self.at_venue)
    @rule(data=st.data(), slip=st.integers(-8, 8), eighths=st.sampled_from([0, 3, 8, 8]), ends=st.booleans())
    def venue(self, data, slip, eighths, ends):
        self.fill(data.draw(st.sampled_from(sorted(self.at_venue))), slip, eighths, ends)

    def fill(self, cloid, slip, eighths, ends):
        """Fill some eighths of what is left of an order, ``slip`` per mille off its mark."""
        order = self.at_venue[cloid]
        left = order.size - self.filled[order.cloid]
        size = left if eighths == 8 else (left * eighths / 8).quantize(SPECS[order.symbol].lot)
        if size:
            price = round_price(order.mark * (1 + D(slip) / 1000))
            fee = cents(price * size * D("0.00045"))
            self.give(self.desk.handle, VenueFilled(self.desk.ts, order.cloid, price, size, fee))
            self.filled[order.cloid] += size
        if ends or not left:  # one that is filled whole may end later
            del self.at_venue[order.cloid]
            self.give(self.desk.end, order, refused=not size and slip > 0)

    # -- time and operators

    @rule(seconds=st.sampled_from([1, 5, 20, 100, 86_400]))
    def time(self, seconds):
        due = self.desk.book.next_timer_ns()
        self.desk.ts = min(self.desk.ts + seconds * 10**9, max(due, self.desk.ts))
        self.give(self.desk.timer)

    @rule()
    def hour(self):
        # Set once: a liquidation that Hyperliquid cannot take is due again every second.
        end = self.desk.ts + HOUR_NS
        while (due := self.desk.book.next_timer_ns()) < end:
            self.desk.ts = max(due, self.desk.ts + 1)
            self.give(self.desk.timer)
        self.desk.ts = end

    @rule(connected=st.sampled_from([True] * 5 + [False]), slow=st.sampled_from([False, False, True]))
    def channel(self, connected, slow):
        self.give(self.desk.channel, connected, 600_000_000 if slow else 0)

    @rule(partial=st.booleans(), auto=st.booleans(), split=st.booleans(), floor=st.sampled_from([0, 900_000]))
    def config(self, partial, auto, split, floor):
        risk = replace(
            self.desk.settings.risk,
            partial_liquidation=partial,
            partial_liquidation_above=D(8_000),
            split_at_threshold=split,
            reserve_normal=D(500_000 + floor),
        )
        row = RoutingConfig(normal_threshold=D(30_000), auto_switch_enabled=auto)
        changed = ConfigChanged(self.desk.ts, "op", "*", row, risk)
        settings = self.desk.book._core.settings
        if (settings.routing["*"], settings.risk) == (row, risk):
            with pytest.raises(AlreadySo):
                self.desk.book.handle(changed)
        else:
            self.give(self.desk.handle, changed)

    @rule(data=st.data())
    def bad_input(self, data):
        """An input that can never be right is refused by name and changes nothing."""
        desk = self.desk
        bad, _ = data.draw(st.sampled_from(bad_inputs(desk)))
        before = desk.book.digest(), desk.book.next_timer_ns()
        with pytest.raises(InvalidInput):
            desk.book.handle(bad)
        assert (desk.book.digest(), desk.book.next_timer_ns()) == before

    # -- what must hold

    @invariant()
    def balances_are_the_naive_ones(self):
        found = {}
        for name, amount in self.desk.book.balances.items():
            kind, _, owner = name.partition(":")
            key = f"wallet:{owner}" if kind in ("user_cash", "order_holds") else name
            found[key] = found.get(key, D(0)) + amount
        wanted = self.naive.expected()
        names = found.keys() | wanted.keys()
        off = {n: found.get(n, D(0)) - wanted.get(n, D(0)) for n in names}
        off = {n: amount for n, amount in off.items() if amount}
        assert not off, off

    @invariant()
    def no_account_is_negative_that_must_not_be(self):
        crossing = {p.user for p in self.desk.book.positions.values() if not p.isolated}
        for name, amount in self.desk.book.balances.items():
            kind, _, owner = name.partition(":")
            if kind in ("order_holds", "isolated_margin", "withdrawals_pending"):
                assert amount >= 0, name
            elif kind == "user_cash":
                assert amount >= 0 or owner in crossing, name
        assert self.desk.balance("bad_debt") == 0

    @invariant()
    def positions_are_the_naive_ones(self):
        found = {i: (p.size, p.cost, p.margin) for i, p in self.desk.book.positions.items()}
        assert found == {i: (h.size, h.cost, h.margin) for i, h in self.naive.holdings.items()}

    @invariant()
    def nobody_under_water_is_left_alone(self):
        core = self.desk.book._core
        isolated, accounts = self.naive.under_water()
        positions = self.desk.book.positions
        assert all(positions[i].busy for i in isolated)
        for user in accounts:
            assert any(p.busy for p in core.users[user].cross.values()), user

    @invariant()
    def legs_are_the_sums_of_the_cross_positions(self):
        core = self.desk.book._core
        for user in core.users.values():
            summed = {}
            for p in user.cross.values():
                net, gross, cost, indexed = summed.get(p.symbol, (D(0),) * 4)
                summed[p.symbol] = (
                    net + p.side * p.size,
                    gross + p.size,
                    cost + p.side * p.cost,
                    indexed + p.side * p.size * p.funding_index,
                )
            kept = {
                s: (leg.net_size, leg.gross_size, leg.net_cost, leg.net_indexed)
                for s, leg in user.legs.items()
            }
            assert kept == summed

    @invariant()
    def sums_of_all_users_are_those_of_their_positions(self):
        core, positions = self.desk.book._core, self.desk.book.positions.values()
        for symbol, state in core.symbols.items():
            for source, kept in (
                (Source.INTERNAL, (state.net_size, state.net_cost, state.net_indexed)),
                (Source.HYPERLIQUID, (state.hl_size, state.hl_cost, state.hl_indexed)),
            ):
                held = [p for p in positions if (p.symbol, p.source) == (symbol, source)]
                size = sum((p.side * p.size for p in held), D(0))
                cost = sum((p.side * p.cost for p in held), D(0))
                indexed = sum((p.side * p.size * p.funding_index for p in held), D(0))
                assert kept == (size, cost, indexed), (symbol, source)
        states = core.symbols.values()
        assert core.total_exposure == sum(abs(s.net_size * s.mark) for s in states)
        assert core.total_unrealised == sum(s.net_size * s.mark - s.net_cost for s in states)

    @invariant()
    def no_order_waits_for_a_position_that_is_gone(self):
        waiting = self.desk.book._core.orders.values()
        named = {order.command.position_id for order in waiting} - {None}
        assert named <= self.desk.book.positions.keys()

    @invariant()
    def hyperliquid_would_say_the_same_of_our_accounts(self):
        core, marks = self.desk.book._core, self.marks()
        for account, venue in self.naive.venues.items():
            for symbol in SPECS:
                assert self.desk.book.venue_position(account, symbol) == venue.sizes[symbol]
            # Each settlement and each hedge close rounds once, to a micro-dollar.
            allowed = D("0.000002") * len(self.desk.inputs)
            assert abs(core.account_equity(account) - venue.value(marks)) <= allowed

    @invariant()
    def solvency_is_what_is_not_the_users(self):
        """Everything the house holds at mark, less what it owes."""
        core = self.desk.book._core
        owed = sum((a for n, a in self.desk.book.balances.items() if ":" in n), D(0))
        for p in self.desk.book.positions.values():
            state = core.symbols[p.symbol]
            owed += p.unrealised(state.mark) - p.accrued(state.funding_index)
        has = -self.desk.balance("custody") + sum(core.account_equity(account) for account in HlAccount)
        assert abs(has - owed - self.desk.book.solvency()) <= D("0.000002") * len(self.desk.inputs)

    def teardown(self):
        assert self.desk.replay().digest() == self.desk.book.digest()


BookMachine.TestCase.settings = hypothesis_settings(max_examples=100, stateful_step_count=40)
TestBookMachine = BookMachine.TestCase


def test_a_liquidation_that_cannot_be_sent_has_begun_all_the_same():
    state = BookMachine()
    state.open("ann", "BTC", 1, 90, 10, cross=True)  # 90 000 at Hyperliquid
    state.open("ann", "ETH", 1, 30, 10, cross=True)  # 30 000 inside
    assert [p.source for p in state.positions()] == [Source.HYPERLIQUID, Source.INTERNAL]
    state.channel(connected=False, slow=False)
    for _ in range(6):
        state.all_marks((-40, 0, -40))
    assert not state.at_venue
    state.submit("ann", "ETH", -1, None, position_id=2)  # lost inside, after the account was under water
    state.channel(connected=True, slow=False)
    state.time(seconds=1)
    (cloid,) = state.at_venue
    state.fill(cloid, 0, 8, ends=True)
    assert state.desk.balance("platform_profit") < 4_000  # of 5 214 that it had taken
    state.balances_are_the_naive_ones()
    state.teardown()
