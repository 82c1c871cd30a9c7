"""Rows of the order flow → the core's inputs."""

from risk.errors import InvalidInput
from risk.inputs import CancelSubmitted, MarginMode, OrderSubmitted, OrderType
from strategies.flow_types import UserOrder

_SIDES = {"BUY": 1, "SELL": -1}


def order_input(order: UserOrder, ts: int) -> OrderSubmitted | CancelSubmitted:
    """Return what the core is told of a row at ``ts``; the row's own checks stand in ``data.flow``."""
    if order.intent == "CANCEL":
        return CancelSubmitted(ts, order.cancels or "", order.user)
    return OrderSubmitted(
        ts=ts,
        order_id=order.order_id,
        user=order.user,
        symbol=order.symbol,
        side=_SIDES[order.side or ""],
        size=order.size,
        type=OrderType(order.order_type or ""),
        limit_price=order.limit_price,
        trigger_price=order.trigger_price,
        leverage=order.leverage or 1,
        margin_mode=MarginMode(order.margin_mode or ""),
        reduce_only=order.reduce_only,
        netted=order.intent == "NET",
        position_id=order.position_id,
    )


def wrong_order(order: UserOrder, error: InvalidInput) -> InvalidInput:
    """Return what ends a run over a row that can never be right, by the row's name."""
    return InvalidInput(f"order {order.order_id!r} of {order.user!r}: {error}")
