"""Executing an order: closes follow their position's source, opens are routed (§1, §2)."""

from decimal import Decimal

from risk.account import free_collateral
from risk.closing import close_positions
from risk.core import Core
from risk.events import OrderCancelled, RouteReason, Source
from risk.external import open_hold, send_open
from risk.house_accounts import trading_opens_allowed
from risk.inputs import MarginMode, OrderSubmitted, OrderType
from risk.internal import fee_rate, open_internal
from risk.numbers import round_money
from risk.reconciliation import opens_allowed
from risk.routing import RouteDecision, forced_reason, split
from risk.routing_desk import Terms, house_state, record_route, route_of
from risk.service import refuse_open
from risk.state import SPLIT_SUFFIX, SymbolState, User
from risk.waiting import rest_here, tell_rested, wait

CLOSING_TYPES = (OrderType.TAKE_PROFIT, OrderType.STOP_LOSS)


def refuse_while_down(core: Core, command: OrderSubmitted) -> bool:
    """Refuse an order, opening or closing, while Hyperliquid is unreachable: there is no safe price (§1)."""
    if not core.channel.unreachable(core.now, core.risk):
        return False
    core.refuse(
        command, "HL_UNREACHABLE", "no safe price: Hyperliquid was out of reach for 60 s; try again later"
    )
    return True


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


def open_position(core: Core, user: User, command: OrderSubmitted, size: Decimal, terms: Terms) -> None:
    """Route an opening order of ``size`` and carry it out: now, or as an order resting at its limit.

    One touched at its limit was routed when it came to rest: only a forced reason may still send it away.
    """
    if refuse_open(core, command):
        return
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
            _route(core, user, command, command.order_id + SPLIT_SUFFIX, outside, terms, decision)
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
    record_route(core, order_id, command, state, size * state.mark, decision)
    if len(user.by_symbol.get(command.symbol, ())) >= core.risk.max_positions_per_user_symbol:
        cap = core.risk.max_positions_per_user_symbol
        core.refuse(command, "TOO_MANY_POSITIONS", f"{cap} are open on {command.symbol}; close one first")
        return
    tiers = state.spec.tiers
    highest = tiers.leverages[tiers.index(size * state.mark)]
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
        tell_rested(core, command, order_id, size, limit, Source.HYPERLIQUID, held)


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
