"""What an input of one user would do: carried out by the core's own rules on a copy of the little it can touch.

The copy shares with the book whatever a user's order only reads, and knows no other user.
"""

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import replace
from decimal import Decimal

from risk import house, liquidation, orders, venue
from risk.book import Book
from risk.core import Core
from risk.deviation import DeviationDay
from risk.errors import InvalidInput
from risk.events import Event, FillAction, OrderFilled
from risk.hedger import Hedger
from risk.house_events import VenueOrderRequested
from risk.inputs import OrderSubmitted, OrderType, VenueFilled, VenueOrderEnded
from risk.internal import fee_rate
from risk.ledger import FEE_INCOME, HOUSE_ACCOUNTS, ZERO, Ledger, isolated_margin, move, withdrawals_pending
from risk.market import SymbolView
from risk.numbers import round_money
from risk.record import record
from risk.scan import LiquidationIndex
from risk.state import SPLIT_SUFFIX, SymbolState, User
from risk.triggers import PriceTriggers


@record
class Rehearsal:
    """Hold what an order would do: ``events`` at once, ``filled`` when all of it that would trade has traded.

    ``after`` is the user's part of the books then.
    """

    events: tuple[Event, ...]
    filled: tuple[OrderFilled, ...]
    after: Core


def rehearse(book: Book, command: OrderSubmitted, quiet: Sequence[SymbolView] = ()) -> Rehearsal:
    """Return what ``book.handle(command, quiet)`` would do to the user; the book stays as it is.

    What would be sent to Hyperliquid fills whole at the price of its own book now, what would rest fills at its
    limit. Raises InvalidInput where the book would.
    """
    core = part_of(book, command.user, quiet, [command.symbol], command.ts)
    orders.submit(core, command)
    liquidation.sweep(core)
    events = tuple(core.events)
    _trade(core, command, events)
    filled = tuple(e for e in core.events if isinstance(e, OrderFilled) and _is_of(command, e.order_id))
    return Rehearsal(events, filled, core)


def part_of(
    book: Book,
    name: str,
    quiet: Sequence[SymbolView] = (),
    symbols: Iterable[str] = (),
    now: int | None = None,
) -> Core:
    """Return a copy of a user's part of the books, valued at ``quiet`` views where there are any.

    Of the symbols only those the user trades, and ``symbols``, may be changed by what is done to it.
    """
    core = book._core
    user = core.users.get(name)
    part = copy(core)
    part.events = []
    part.ledger = _ledger_of(core, user)
    part.ledger.tell(part.events.append)
    _leave_out_others(part, user)
    part.breaker, part.deviation_day, part.hedger = copy(core.breaker), DeviationDay(), Hedger(core.risk)
    own = {*symbols, *(view.symbol for view in quiet), *(user.by_symbol if user else ())}
    part.symbols = dict(core.symbols)
    for symbol in own & core.symbols.keys():
        part.symbols[symbol] = _own(core.symbols[symbol])
    if now is not None:
        if now < core.now:
            raise InvalidInput(f"ts was {now}; it must not lie before the last input's {core.now}")
        part.now = part.trigger_ns = now
        if now >= part.breaker.ends_ns:
            house.check_day(part)
    for view in quiet:
        house.take_view(part, view)
    part.events.clear()
    return part


def valued(book: Book, views: Sequence[SymbolView]) -> Core:
    """Return the books valued at quiet ``views``, to be looked at only: all else is shared with the book."""
    core = book._core
    if not views:
        return core
    part = copy(core)
    part.events, part.touched, part.marks_moved = [], set(), set()
    part.symbols = dict(core.symbols)
    for view in views:
        part.symbols[view.symbol] = _own(core.symbols[view.symbol])
        house.take_view(part, view)
    return part


def _own(state: SymbolState) -> SymbolState:
    """Copy a symbol's state, guards included."""
    return replace(state, guard=copy(state.guard), range_guard=copy(state.range_guard))


def _ledger_of(core: Core, user: User | None) -> Ledger:
    """Copy the house's accounts and the user's."""
    ledger, balances = copy(core.ledger), core.ledger.balances
    accounts = list(HOUSE_ACCOUNTS)
    if user is not None:
        accounts += (user.cash_account, user.holds_account, withdrawals_pending(user.name))
        accounts += map(isolated_margin, user.isolated)
    ledger.balances = {account: balances[account] for account in accounts if account in balances}
    return ledger


def _leave_out_others(part: Core, user: User | None) -> None:
    """Let the copy know one user's positions and orders, and have nothing of theirs filed for the scan."""
    part.ids_vouched_for = True  # so that the ids seen, which are shared, stay as they are
    part.withdrawals, part.users, part.positions, part.orders, part.venue_orders = {}, {}, {}, {}, {}
    part.liquidation_retries, part.expiries = [], []
    part.narrowed, part.touched, part.stale_accounts = set(), set(), set()
    part.marks_moved, part.accounts_touched = set(), set()
    part.index, part.account_index = LiquidationIndex(), LiquidationIndex()
    part.mark_triggers, part.ask_triggers, part.bid_triggers = (
        PriceTriggers(),
        PriceTriggers(),
        PriceTriggers(),
    )
    if user is None:
        return
    own = part.users[user.name] = User.named(user.name)
    for position in sorted((user.isolated | user.cross).values(), key=lambda p: p.position_id):
        own.enter(replace(position))
    part.positions = own.isolated | own.cross
    own.legs = {symbol: replace(leg) for symbol, leg in user.legs.items()}
    part.orders = {key: replace(order) for key, order in user.orders.items()}
    own.orders = dict(part.orders)
    part.venue_orders = {
        cloid: replace(sent, legs=[replace(leg) for leg in sent.legs])
        for cloid, sent in user.in_flight.items()
    }
    own.in_flight = dict(part.venue_orders)
    own.liquidating, own.cross_losses = user.liquidating, list(user.cross_losses)


def _trade(core: Core, command: OrderSubmitted, events: Sequence[Event]) -> None:
    """Let what the order sent to the venue be filled, and what rests here trade at its limit."""
    for event in events:
        if isinstance(event, VenueOrderRequested) and _is_of(command, event.order_id):
            _fill_at_venue(core, event)
    resting = core.orders.get(command.order_id)
    if resting is not None and resting.cloid is None and command.type is OrderType.LIMIT:
        orders.fire(core, resting)
    liquidation.sweep(core)


def _fill_at_venue(core: Core, sent: VenueOrderRequested) -> None:
    """Trade what its limit reaches now as a taker, and what would rest there as a maker."""
    state = core.symbols[sent.symbol]
    view, now = state.ready(), sent.size
    if sent.resting:
        now = view.within(sent.side, sent.limit_price, sent.size)
        now -= now % state.spec.lot
    if now:
        walked = view.walk(sent.side, now)
        price = min(walked, sent.limit_price) if sent.side > 0 else max(walked, sent.limit_price)
        _filled_at_venue(core, sent, price, now, state.spec.taker_fee_rate, maker=False)
    if now < sent.size:
        left = sent.size - now
        _filled_at_venue(core, sent, sent.limit_price, left, state.spec.maker_fee_rate, maker=True)
    venue.ended(core, VenueOrderEnded(core.now, sent.cloid))


def _filled_at_venue(
    core: Core, sent: VenueOrderRequested, price: Decimal, size: Decimal, rate: Decimal, *, maker: bool
) -> None:
    venue.filled(core, VenueFilled(core.now, sent.cloid, price, size, price * size * rate, maker))


def at_dearest(rehearsal: Rehearsal) -> Rehearsal:
    """Return it with every opening fill charged what it costs where that is most, to ``after`` as well.

    What an order costs differs between the house and Hyperliquid: the estimate must not tell which it would be.
    """
    core = rehearsal.after
    return replace(rehearsal, filled=tuple(_at_dearest(core, fill) for fill in rehearsal.filled))


def _at_dearest(core: Core, fill: OrderFilled) -> OrderFilled:
    if fill.action is not FillAction.OPEN:
        return fill
    state = core.symbols[fill.symbol]
    at_venue = state.spec.maker_fee_rate if fill.maker else state.spec.taker_fee_rate
    rate = max(fee_rate(core, state, fill.maker), at_venue + core.risk.builder_fee_rate)
    fee = round_money(fill.price * fill.size * rate)
    payer = core.users[fill.user].cash_account
    core.ledger.post(core.now, "fee", fill.order_id, move(payer, FEE_INCOME, fee - fill.fee))
    return replace(fill, fee=fee)


def _is_of(command: OrderSubmitted, order_id: str) -> bool:
    return order_id.removesuffix(SPLIT_SUFFIX) == command.order_id


def mean_price(fills: Sequence[OrderFilled]) -> Decimal | None:
    """Return the size-weighted price of fills; None without any."""
    size = sum((fill.size for fill in fills), ZERO)
    return sum((fill.price * fill.size for fill in fills), ZERO) / size if size else None
