"""Orders that wait in our own book: holds, triggers, expiry (§2)."""

import heapq
from decimal import Decimal

from risk.account import hold, refile_cross, release
from risk.core import Core
from risk.events import OrderCancelled, OrderRested, Source
from risk.inputs import OrderSubmitted
from risk.ledger import ZERO
from risk.state import Order, User


def rest_here(core: Core, user: User, command: OrderSubmitted, size: Decimal, held: Decimal) -> None:
    """Let a limit order wait in our own book with ``held`` USDC set aside."""
    limit = command.limit_price
    assert limit is not None  # checked on arrival
    order = wait(core, user, command, size)
    order.hold = held
    hold(core, user, held, command.order_id)
    if command.side > 0:
        core.ask_triggers.add_below(command.symbol, float(limit), command.order_id)
    else:
        core.bid_triggers.add_above(command.symbol, float(limit), command.order_id)
    tell_rested(core, command, command.order_id, size, limit, Source.INTERNAL, held)
    if user.cross:
        refile_cross(core, user)


def tell_rested(
    core: Core,
    command: OrderSubmitted,
    order_id: str,
    size: Decimal,
    price: Decimal,
    where: Source,
    held: Decimal = ZERO,
) -> None:
    """Tell that ``size`` of an order waits for ``price``, under its own id or that of its second part."""
    core.emit(
        OrderRested(order_id, core.now, command.user, command.symbol, command.side, size, price, where, held)
    )


def wait(core: Core, user: User, command: OrderSubmitted, size: Decimal) -> Order:
    """Remember ``size`` of an order until it fires, is cancelled or expires."""
    order = Order(core.orders_taken, command, size, core.now + core.risk.order_expiry_ns)
    core.orders[command.order_id] = user.orders[command.order_id] = order
    heapq.heappush(core.expiries, (order.expires_ns, command.order_id))
    return order


def end_with_position(core: Core, user: User, position_id: int) -> None:
    """Cancel the orders in our own book that were to close a position which is closed by now in whole."""
    for order in [
        o for o in user.orders.values() if o.command.position_id == position_id and o.cloid is None
    ]:
        take_out(core, user, order)
        cancelled(core, order.command, order.left, "NOTHING_TO_CLOSE")


def cancelled(core: Core, command: OrderSubmitted, left: Decimal, reason: str) -> None:
    """Tell that an order ended with ``left`` of it not done."""
    core.emit(OrderCancelled(command.order_id, core.now, command.user, command.symbol, left, reason))


def take_out(core: Core, user: User, order: Order) -> None:
    """Remove a waiting order of our own book and release its hold."""
    order_id = order.command.order_id
    core.orders.pop(order_id, None)
    user.orders.pop(order_id, None)
    for triggers in (core.mark_triggers, core.ask_triggers, core.bid_triggers):
        triggers.remove(order_id)
    release(core, user, order.hold, order_id)
    order.hold = ZERO
    if user.cross:
        refile_cross(core, user)
