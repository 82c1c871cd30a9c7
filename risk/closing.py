"""Closing positions on an order: oldest first, each where its source is (§1, §2)."""

from decimal import Decimal

from risk.core import Core
from risk.events import RouteReason, Source
from risk.external_close import send_close
from risk.inputs import OrderSubmitted
from risk.internal import close_internal
from risk.ledger import ZERO
from risk.routing import RouteDecision
from risk.routing_desk import Terms, record_route
from risk.state import Position, Purpose, User


def closable(position: Position) -> Decimal:
    """Return what of a position is not already on its way out at the venue."""
    return position.size - position.closing


def close_positions(core: Core, user: User, command: OrderSubmitted, size: Decimal, terms: Terms) -> Decimal:
    """Close up to ``size`` of the positions the order is against, oldest first; return what is left of it."""
    if command.position_id is not None:
        named = user.position(command.position_id)
        against = [named] if named is not None else []
    else:
        against = [p for p in user.open_on(command.symbol) if p.side == -command.side]
    left = size
    forwarded: list[tuple[Position, Decimal]] = []
    for position in against:
        part = min(left, closable(position))
        if part and user.position(position.position_id) is position:
            if position.source is Source.INTERNAL:
                _close_internal(core, user, position, command, part, terms)
            else:
                forwarded.append((position, part))
        left -= part
        if not left:
            break
    if forwarded:
        _close_external(core, user, forwarded, command, terms)
    return left


def _close_internal(
    core: Core, user: User, position: Position, command: OrderSubmitted, size: Decimal, terms: Terms
) -> None:
    _record_close(core, command, size, Source.INTERNAL)
    close_internal(
        core,
        user,
        position,
        order_id=command.order_id,
        size=size,
        price=terms.price,
        reference=terms.price,
        maker=terms.touched,
    )


def _close_external(
    core: Core,
    user: User,
    parts: list[tuple[Position, Decimal]],
    command: OrderSubmitted,
    terms: Terms,
) -> None:
    """Forward the close of HYPERLIQUID positions as one order, so that only their sum need reach HL's minimum."""
    size = sum((part for _, part in parts), ZERO)
    notional = _record_close(core, command, size, Source.HYPERLIQUID)
    if not core.channel.connected or core.hl_halted:
        core.refuse(command, "HL_DOWN", "the position is on Hyperliquid, which cannot be reached now")
    elif notional < core.risk.hl_min_notional:
        core.refuse(command, "HL_MIN_NOTIONAL", f"closes {notional} USDC, under {core.risk.hl_min_notional}")
    else:
        send_close(
            core,
            user,
            parts,
            order_id=command.order_id,
            purpose=Purpose.CLOSE,
            cap=core.risk.hl_slippage_cap,
            limit_price=terms.limit,
        )


def _record_close(core: Core, command: OrderSubmitted, size: Decimal, source: Source) -> Decimal:
    state = core.symbols[command.symbol]
    notional = size * state.mark
    decision = RouteDecision(source, RouteReason.POSITION_SOURCE, None)
    record_route(core, command.order_id, command, state, notional, decision)
    return notional
