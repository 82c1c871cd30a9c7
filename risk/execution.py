"""Executing an order: closes follow their position's source, opens are routed (§1, §2)."""

from decimal import Decimal

from risk.account import free_collateral
from risk.core import Core
from risk.events import OrderCancelled, OrderRested, OrderRouted, RouteReason, Source
from risk.external import open_hold, send_open
from risk.external_close import send_close
from risk.house_accounts import trading_opens_allowed
from risk.inputs import MarginMode, OrderSubmitted, OrderType
from risk.internal import close_internal, fee_rate, open_internal
from risk.ledger import RISK_RESERVE, ZERO
from risk.margin import max_leverage
from risk.numbers import round_money
from risk.reconciliation import opens_allowed
from risk.record import record
from risk.routing import HouseState, RouteDecision, decide, forced_reason, split
from risk.state import Position, Purpose, SymbolState, User
from risk.waiting import rest_here, wait


@record
class Terms:
    """Say how an order trades now: ``price`` is what all of it gets internally, ``limit`` binds Hyperliquid.

    ``touched``: it rested here and its limit was reached, so it fills there, as maker. ``resting``: it is to wait.
    """

    limit: Decimal | None
    price: Decimal
    touched: bool = False
    resting: bool = False


CLOSING_TYPES = (OrderType.TAKE_PROFIT, OrderType.STOP_LOSS)


def refuse_while_down(core: Core, command: OrderSubmitted) -> bool:
    """Refuse an order, opening or closing, while Hyperliquid is unreachable: there is no safe price (§1)."""
    if not core.channel.unreachable(core.now, core.risk):
        return False
    core.refuse(
        command, "HL_UNREACHABLE", "no safe price: Hyperliquid was out of reach for 60 s; try again later"
    )
    return True


def house_state(core: Core, state: SymbolState) -> HouseState:
    """Gather what routing looks at, as it is before the order."""
    name = state.spec.symbol
    silence = core.settings.channel_silence_ns.get(name, core.risk.max_channel_silence_ns)
    return HouseState(
        core.settings.routing_of(name).internal_whitelisted,
        core.ledger.balances[RISK_RESERVE],
        core.breaker.open,
        abs(state.exposure),
        core.total_exposure,
        state.range_guard.open,
        core.channel.unhealthy(core.now, state.seen_ns, silence, core.risk),
        state.guard.quarantined,
    )


def closable(position: Position) -> Decimal:
    """Return what of a position is not already on its way out at the venue."""
    return position.size - position.closing


def execute(
    core: Core,
    user: User,
    command: OrderSubmitted,
    size: Decimal,
    limit: Decimal | None = None,
    touched: bool = False,
) -> None:
    """Execute ``size`` now: close what the order is to close, oldest first, then open the remainder if it may.

    ``touched`` says that a resting order's own limit was reached: it fills there, as maker.
    """
    if touched and limit is not None:
        terms = Terms(limit, limit, touched=True)
    else:
        terms = Terms(limit, core.symbols[command.symbol].ready().walk(command.side, size))
    left = close_positions(core, user, command, size, terms) if closes(command) else size
    if not left:
        return
    if _only_closes(command):
        core.emit(
            OrderCancelled(command.order_id, core.now, user.name, command.symbol, left, "NOTHING_TO_CLOSE")
        )
    else:
        open_position(core, user, command, left, terms)


def closes(command: OrderSubmitted) -> bool:
    """Tell whether an order closes positions before (or instead of) opening one."""
    return command.netted or _only_closes(command)


def _only_closes(command: OrderSubmitted) -> bool:
    return command.reduce_only or command.position_id is not None or command.type in CLOSING_TYPES


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
    _record(core, command.order_id, command, state, notional, decision)
    return notional


def _record(
    core: Core,
    order_id: str,
    command: OrderSubmitted,
    state: SymbolState,
    notional: Decimal,
    decision: RouteDecision,
) -> None:
    core.emit(
        OrderRouted(
            order_id,
            core.now,
            command.user,
            command.symbol,
            command.side,
            notional,
            state.mode,
            decision.threshold,
            decision.route,
            decision.reason,
        )
    )


def route_of(core: Core, state: SymbolState, size: Decimal) -> RouteDecision:
    """Route an opening order of ``size`` by the house as it is now."""
    config = core.settings.routing_of(state.spec.symbol)
    return decide(size * state.mark, state.mode, config, core.risk, house_state(core, state))


def open_position(core: Core, user: User, command: OrderSubmitted, size: Decimal, terms: Terms) -> None:
    """Route an opening order of ``size`` and carry it out: now, or as an order resting at its limit.

    One touched at its limit was routed when it came to rest: only a forced reason may still send it away.
    """
    state = core.symbols[command.symbol]
    was_routed = terms.touched and not command.netted
    forced = forced_reason(house_state(core, state), core.risk) if was_routed else None
    if was_routed and forced is None:
        decision = RouteDecision(Source.INTERNAL, RouteReason.WITHIN_THRESHOLD, None)
    else:
        decision = route_of(core, state, size)
    if forced is not None and core.risk.forced_at_touch_refused:
        core.refuse(command, f"FORCED_{forced}", "the resting order may not be internalised any more")
        return
    can_split = core.risk.split_at_threshold and not terms.resting
    if can_split and decision.reason is RouteReason.OVER_THRESHOLD and decision.threshold:
        inside, outside = split(
            size, state.mark, decision.threshold, state.spec.lot, core.risk.hl_min_notional
        )
        if inside:
            kept = RouteDecision(Source.INTERNAL, RouteReason.WITHIN_THRESHOLD, decision.threshold)
            _route(core, user, command, command.order_id, inside, terms, kept)
            _route(core, user, command, f"{command.order_id}/hl", outside, terms, decision)
            return
    _route(core, user, command, command.order_id, size, terms, decision)


def _route(
    core: Core,
    user: User,
    command: OrderSubmitted,
    order_id: str,
    size: Decimal,
    terms: Terms,
    decision: RouteDecision,
) -> None:
    state = core.symbols[command.symbol]
    _record(core, order_id, command, state, size * state.mark, decision)
    if len(user.by_symbol.get(command.symbol, ())) >= core.risk.max_positions_per_user_symbol:
        cap = core.risk.max_positions_per_user_symbol
        core.refuse(command, "TOO_MANY_POSITIONS", f"{cap} are open on {command.symbol}; close one first")
        return
    highest = max_leverage(size * state.mark, state.spec.tiers)
    if command.leverage > highest:
        core.refuse(command, "LEVERAGE_ABOVE_TIER", f"{command.leverage}x; this notional allows {highest}x")
        return
    if decision.route is Source.HYPERLIQUID:
        _open_external(core, user, command, order_id, size, terms)
    elif terms.resting:
        _rest_internal(core, user, command, size, terms.price)
    else:
        _open_internal(core, user, command, order_id, size, terms)


def _rest_internal(core: Core, user: User, command: OrderSubmitted, size: Decimal, limit: Decimal) -> None:
    held = hold_to_rest(core, command, size, limit)
    if held > free_collateral(core, user):
        core.refuse(command, "INSUFFICIENT_MARGIN", f"needs {held} USDC to wait")
        return
    rest_here(core, user, command, size, held)


def hold_to_rest(core: Core, command: OrderSubmitted, size: Decimal, limit: Decimal) -> Decimal:
    """Return what an opening order waiting in our book holds: margin and maker fee at its limit."""
    notional = size * limit
    return round_money(notional / command.leverage + notional * core.risk.maker_fee_rate)


def _open_internal(
    core: Core, user: User, command: OrderSubmitted, order_id: str, size: Decimal, terms: Terms
) -> None:
    state = core.symbols[command.symbol]
    price = terms.price
    notional = price * size
    margin = round_money(notional / command.leverage)
    needed = margin + round_money(notional * fee_rate(core, state, terms.touched))
    free = free_collateral(core, user)
    if needed > free:
        core.refuse(command, "INSUFFICIENT_MARGIN", f"needs {needed} USDC, free is {free}")
        return
    if command.margin_mode is MarginMode.ISOLATED:
        equity = margin + command.side * (state.mark * size - notional)
        if equity <= state.spec.tiers.maintenance(state.mark * size):
            core.refuse(command, "WOULD_LIQUIDATE", f"at {price} it is under water at the mark {state.mark}")
            return
    open_internal(
        core,
        user,
        order_id=order_id,
        symbol=command.symbol,
        side=command.side,
        size=size,
        price=price,
        reference=price,
        leverage=command.leverage,
        margin_mode=command.margin_mode,
        maker=terms.touched,
    )


def _open_external(
    core: Core,
    user: User,
    command: OrderSubmitted,
    order_id: str,
    size: Decimal,
    terms: Terms,
) -> None:
    state = core.symbols[command.symbol]
    limit = terms.limit
    held = open_hold(core, state, size, limit or state.mark, command.leverage)
    refusal = _external_refusal(core, state, size * state.mark) or (
        ("INSUFFICIENT_MARGIN", f"needs {held} USDC") if held > free_collateral(core, user) else None
    )
    if refusal is not None:
        core.refuse(command, *refusal)
        return
    cloid = send_open(
        core,
        user,
        order_id=order_id,
        symbol=command.symbol,
        side=command.side,
        size=size,
        leverage=command.leverage,
        margin_mode=command.margin_mode,
        limit_price=limit,
        resting=terms.resting,
        held=held,
    )
    if terms.resting and limit is not None:
        wait(core, user, command, size).cloid = cloid
        core.emit(
            OrderRested(
                order_id,
                core.now,
                user.name,
                command.symbol,
                command.side,
                size,
                limit,
                Source.HYPERLIQUID,
                held,
            )
        )


def _external_refusal(core: Core, state: SymbolState, notional: Decimal) -> tuple[str, str] | None:
    risk = core.risk
    if not core.channel.connected:
        return "HL_DOWN", "it must go to Hyperliquid, which cannot be reached now"
    if core.hl_halted or state.hl_halted:
        return "HL_HALTED", "new Hyperliquid orders are halted"
    if not opens_allowed(core):
        return "HL_POSITIONS_DIFFER", "our books and Hyperliquid disagree about positions"
    if not trading_opens_allowed(core):
        return "HL_MARGIN", "our Hyperliquid account is short of margin"
    if notional < risk.hl_min_notional:
        return "HL_MIN_NOTIONAL", f"{notional} USDC is under Hyperliquid's {risk.hl_min_notional}"
    return None
