"""Users' orders: checked, routed, executed or left waiting, cancelled, expired (§1, §2)."""

import heapq
from decimal import Decimal

from risk.account import free_collateral
from risk.checks import positive, twelve_decimals
from risk.closing import closable
from risk.core import Core
from risk.errors import InvalidInput
from risk.events import Source
from risk.execution import CLOSING_TYPES, closes, execute, hold_to_rest, open_position, refuse_while_down
from risk.external import request_cancel
from risk.inputs import CancelSubmitted, OrderSubmitted, OrderType
from risk.ledger import ZERO
from risk.routing_desk import Terms, route_of
from risk.service import refuse_order, refuse_while_closed
from risk.state import Order, Position, SymbolState, User
from risk.waiting import cancelled, rest_here, take_out, tell_rested, wait


def submit(core: Core, command: OrderSubmitted) -> None:
    """Take a user's order: execute what can be executed now, let the rest wait, or refuse it."""
    state = core.symbol(command.symbol)
    check(core, state, command)
    state.ready()
    user = core.user(command.user)
    core.orders_taken += 1
    if not core.ids_vouched_for:
        core.seen_orders.add(command.order_id)
    if refuse_order(core, command, closes(command)):
        return
    size = command.size
    if command.position_id is not None:
        position = user.position(command.position_id)
        if position is None:
            core.refuse(command, "UNKNOWN_POSITION", f"no open position {command.position_id} to close")
            return
        if (position.symbol, position.side) != (command.symbol, -command.side):
            core.refuse(command, "UNKNOWN_POSITION", _closed_by(position))
            return
        size = size or position.size
    if size is None:
        raise InvalidInput("size was None; only a close by position_id may leave it out")
    if refuse_while_down(core, command):
        return
    if command.type in CLOSING_TYPES:
        _rest_trigger(core, user, state, command, size)
    elif command.type is OrderType.LIMIT:
        _take_limit(core, user, state, command, size)
    else:
        execute(core, user, command, size)


def _closed_by(position: Position) -> str:
    side, closing = ("LONG", "SELL") if position.side > 0 else ("SHORT", "BUY")
    what = f"position {position.position_id} is {side} {position.symbol}"
    return f"{what}; it is closed by a {closing} of {position.symbol}"


def check(core: Core, state: SymbolState, command: OrderSubmitted) -> None:
    """Raise InvalidInput, naming the value, for an order that can never be right."""
    if command.order_id in core.seen_orders:
        raise InvalidInput(f"order_id was {command.order_id!r}; it must be new, this one was used before")
    if command.side not in (1, -1):
        raise InvalidInput(f"side was {command.side!r}; it must be +1 (buy) or -1 (sell)")
    if command.size is None:
        if command.position_id is None:
            raise InvalidInput("size was None; only a close by position_id may leave it out")
    else:
        positive("size", command.size)
        if command.size % state.spec.lot:
            raise InvalidInput(
                f"size was {command.size:f}; {command.symbol} trades in steps of {state.spec.lot:f}"
            )
    if (command.limit_price is not None) != (command.type is OrderType.LIMIT):
        raise InvalidInput(
            f"limit_price was {command.limit_price}; it belongs to LIMIT orders and only to them"
        )
    if (command.trigger_price is not None) != (command.type in CLOSING_TYPES):
        raise InvalidInput(
            f"trigger_price was {command.trigger_price}; it belongs to TAKE_PROFIT and STOP_LOSS only"
        )
    for name, price in (("limit_price", command.limit_price), ("trigger_price", command.trigger_price)):
        if price is not None:
            twelve_decimals(name, price)
    highest = state.spec.tiers.leverages[0]
    if type(command.leverage) is not int or not 1 <= command.leverage <= highest:
        raise InvalidInput(
            f"leverage was {command.leverage!r}; {command.symbol} allows integers from 1 to {highest}"
        )


def _take_limit(core: Core, user: User, state: SymbolState, command: OrderSubmitted, size: Decimal) -> None:
    view = state.ready()
    limit = command.limit_price
    assert limit is not None  # checked on arrival
    now = view.within(command.side, limit, size)
    now -= now % state.spec.lot
    if 0 < now < size and not closes(command) and route_of(core, state, size).route is Source.HYPERLIQUID:
        # An order is judged whole: it goes to Hyperliquid as one, to trade what it can there and rest.
        open_position(core, user, command, size, Terms(limit, limit, resting=True))
        return
    if now:
        execute(core, user, command, now, limit)
    left = size - now
    if left and command.position_id is not None and command.position_id not in core.positions:
        cancelled(core, command, left, "NOTHING_TO_CLOSE")
    elif left:
        _rest_limit(core, user, state, command, left, limit)


def _rest_limit(
    core: Core, user: User, state: SymbolState, command: OrderSubmitted, size: Decimal, limit: Decimal
) -> None:
    opening = _opening_part(user, command, size)
    if opening and not closes(command):
        open_position(core, user, command, opening, Terms(limit, limit, resting=True))
        return
    held = hold_to_rest(core, command, opening, limit)
    if held > free_collateral(core, user):
        core.refuse(command, "INSUFFICIENT_MARGIN", f"needs {held} USDC to wait")
        return
    rest_here(core, user, command, size, held)


def _opening_part(user: User, command: OrderSubmitted, size: Decimal) -> Decimal:
    if not closes(command):
        return size
    if not command.netted or command.reduce_only:
        return ZERO
    opposite = sum((closable(p) for p in user.open_on(command.symbol) if p.side == -command.side), ZERO)
    return max(ZERO, size - opposite)


def _rest_trigger(core: Core, user: User, state: SymbolState, command: OrderSubmitted, size: Decimal) -> None:
    trigger = command.trigger_price
    assert trigger is not None  # checked on arrival
    wait(core, user, command, size)
    tell_rested(core, command, command.order_id, size, trigger, Source.INTERNAL)
    if _fires_above(command):
        core.mark_triggers.add_above(command.symbol, float(trigger), command.order_id)
    else:
        core.mark_triggers.add_below(command.symbol, float(trigger), command.order_id)
    fire_waiting(core, state)


def _fires_above(command: OrderSubmitted) -> bool:
    """Tell whether the mark must rise to fire: selling at a profit, or buying back at a loss."""
    return (command.type is OrderType.TAKE_PROFIT) == (command.side < 0)


def fire_waiting(core: Core, state: SymbolState) -> None:
    """Execute the waiting orders of a symbol that its mark or best prices have reached, in order of arrival."""
    view = state.view
    if view is None:
        return
    name, ask, bid = state.spec.symbol, view.asks[0][0], view.bids[0][0]
    due = [
        *core.mark_triggers.hit(name, state.mark_float),
        *core.ask_triggers.hit(name, float(ask)),
        *core.bid_triggers.hit(name, float(bid)),
    ]
    if not due:
        return
    for order in sorted((core.orders[order_id] for order_id in due), key=lambda o: o.seq):
        if order.command.order_id in core.orders and _reached(order.command, state.mark, bid, ask):
            fire(core, order)


def _reached(command: OrderSubmitted, mark: Decimal, bid: Decimal, ask: Decimal) -> bool:
    if command.limit_price is not None:
        return ask <= command.limit_price if command.side > 0 else bid >= command.limit_price
    trigger = command.trigger_price
    assert trigger is not None  # checked on arrival
    return mark >= trigger if _fires_above(command) else mark <= trigger


def fire(core: Core, order: Order) -> None:
    """Execute a waiting order that was reached."""
    command = order.command
    user = core.users[command.user]
    take_out(core, user, order)
    if refuse_while_down(core, command):
        return
    execute(core, user, command, order.left, command.limit_price, touched=command.limit_price is not None)


def cancel(core: Core, command: CancelSubmitted) -> None:
    """Cancel a waiting order where it rests; an unknown or finished one is refused."""
    order = core.orders.get(command.order_id)
    if refuse_while_closed(core, command.order_id, command.user):
        return
    if order is None or order.command.user != command.user:
        core.refuse_act(command.order_id, command.user, "UNKNOWN_ORDER", "no such waiting order to cancel")
        return
    end_waiting(core, order, "CANCELLED_BY_USER")


def end_waiting(core: Core, order: Order, reason: str) -> None:
    """Take a waiting order off the book for ``reason``, or ask Hyperliquid to."""
    if order.cloid is not None:
        request_cancel(core, core.venue_orders[order.cloid])
        return
    take_out(core, core.users[order.command.user], order)
    cancelled(core, order.command, order.left, reason)


def expire(core: Core) -> None:
    """Cancel the waiting orders whose seven days are over."""
    while core.expiries and core.expiries[0][0] <= core.now:
        _, order_id = heapq.heappop(core.expiries)
        order = core.orders.get(order_id)
        if order is not None:
            end_waiting(core, order, "EXPIRED")
