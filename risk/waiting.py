"""Orders that wait in our own book: holds, triggers, expiry (§2)."""

import heapq
from decimal import Decimal

from risk.account import hold, refile_cross, release
from risk.core import Core
from risk.events import OrderRested, Source
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
    core.emit(
        OrderRested(
            command.order_id,
            core.now,
            user.name,
            command.symbol,
            command.side,
            size,
            limit,
            Source.INTERNAL,
            held,
        )
    )
    if user.cross:
        refile_cross(core, user)


def wait(core: Core, user: User, command: OrderSubmitted, size: Decimal) -> Order:
    """Remember ``size`` of an order until it fires, is cancelled or expires."""
    order = Order(core.orders_taken, command, size, core.now + core.risk.order_expiry_ns)
    core.orders[command.order_id] = user.orders[command.order_id] = order
    heapq.heappush(core.expiries, (order.expires_ns, command.order_id))
    return order


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
