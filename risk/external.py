"""Users' HYPERLIQUID positions: orders sent to our trading account, and what its receipts do to the books (§3)."""

from decimal import Decimal

from risk.account import cash, hold, refile_cross, release, settle_deficit, settle_funding
from risk.core import Core
from risk.events import FillAction, OrderCancelled, OrderFilled, PositionOpened, Source
from risk.house_events import VenueCancelRequested
from risk.inputs import HlAccount, MarginMode, VenueFilled
from risk.internal import add_position, refile
from risk.ledger import BUILDER_INCOME, HL_TRADING, ZERO, Entry, isolated_margin, move
from risk.numbers import round_money
from risk.state import Order, Position, Purpose, SymbolState, User, VenueOrder


def capped_price(state: SymbolState, side: int, cap: Decimal) -> Decimal:
    """Return mark ± ``cap`` on the tick grid: the worst price a market order of ours may pay.

    Rounded toward the mark, so that the cap holds.
    """
    return state.spec.limit_on_grid(state.mark * (1 + side * cap), side)


def open_hold(core: Core, state: SymbolState, size: Decimal, price: Decimal, leverage: int) -> Decimal:
    """Return what an order for Hyperliquid holds: size × price / leverage, and the fees on it (§3)."""
    fees = state.spec.taker_fee_rate + core.risk.builder_fee_rate
    return round_money(size * price / leverage + size * price * fees)


def send_open(
    core: Core,
    user: User,
    *,
    order_id: str,
    symbol: str,
    side: int,
    size: Decimal,
    leverage: int,
    margin_mode: MarginMode,
    limit_price: Decimal | None,
    resting: bool,
    held: Decimal,
) -> str:
    """Hold ``held`` USDC and send an opening order: resting at its limit, or at once within the slippage cap."""
    state = core.symbols[symbol]
    cloid = core.new_cloid(order_id)
    hold(core, user, held, order_id)
    order = VenueOrder(
        cloid,
        HlAccount.TRADING,
        Purpose.OPEN,
        symbol,
        side,
        size,
        state.mark,
        order_id,
        user.name,
        leverage=leverage,
        margin_mode=margin_mode,
        hold=held,
        resting=resting,
    )
    if limit_price is None:
        limit_price = capped_price(state, side, core.risk.hl_slippage_cap)
    core.send(order, limit_price)
    if user.cross:
        refile_cross(core, user)
    return cloid


def request_cancel(core: Core, order: VenueOrder) -> None:
    """Ask the shell to cancel a resting order of ours, once."""
    if not order.cancel_sent:
        order.cancel_sent = True
        core.emit(VenueCancelRequested(order.cloid, core.now, order.account, order.symbol))


def filled_open(core: Core, order: VenueOrder, fill: VenueFilled) -> None:
    """Book a fill of an opening order: the receipt replaces the estimate, the difference is released or taken."""
    user = core.users[order.user]
    state = core.symbols[order.symbol]
    notional = fill.price * fill.size
    left = order.left
    released = order.hold if fill.size == left else round_money(order.hold * fill.size / left)
    order.hold -= released
    release(core, user, released, order.order_id)
    builder = round_money(notional * core.risk.builder_fee_rate)
    position = _position_of(core, user, order, state)
    entries: list[Entry] = [
        *move(user.cash_account, HL_TRADING, fill.fee),
        *move(user.cash_account, BUILDER_INCOME, builder),
    ]
    if position.isolated:
        margin = round_money(notional / order.leverage)
        if not user.cross:  # cash may not go negative: post what there is, the trigger is checked at once
            margin = min(margin, max(ZERO, cash(core, user) - fill.fee - builder))
        entries += move(user.cash_account, isolated_margin(position.position_id), margin)
        position.margin += margin
    core.ledger.post(core.now, "open", order.order_id, entries)
    core.user_hl_result -= fill.fee
    position.size += fill.size
    position.cost += notional
    order.filled += fill.size
    order.notional += notional
    waiting = _waiting(core, order)
    if waiting is not None:
        waiting.left -= fill.size
    core.track(position, fill.size, notional)
    emit_fill(core, position, order, fill, fill.fee + builder, FillAction.OPEN, ZERO)
    core.emit(
        PositionOpened(
            position.position_id,
            core.now,
            user.name,
            order.symbol,
            order.side,
            position.size,
            position.cost,
            order.leverage,
            order.margin_mode,
            Source.HYPERLIQUID,
            position.margin,
        )
    )
    refile(core, user, position)
    if position.isolated and user.cross:
        refile_cross(core, user)
    elif not user.cross and cash(core, user) < 0:
        settle_deficit(core, user, order.order_id, Source.HYPERLIQUID)


def _waiting(core: Core, order: VenueOrder) -> Order | None:
    """Find the user's order that rests at the venue as ``order``; another part of it may rest here."""
    waiting = core.orders.get(order.order_id)
    return waiting if waiting is not None and waiting.cloid == order.cloid else None


def _position_of(core: Core, user: User, order: VenueOrder, state: SymbolState) -> Position:
    position = core.positions.get(order.position_id) if order.position_id is not None else None
    if position is not None:
        settle_funding(core, position)
        return position
    position = Position(
        core.next_position_id,
        user.name,
        order.symbol,
        order.side,
        ZERO,
        ZERO,
        order.leverage,
        order.margin_mode,
        Source.HYPERLIQUID,
        ZERO,
        state.funding_index,
    )
    core.next_position_id += 1
    order.position_id = position.position_id
    add_position(core, user, position)
    return position


def ended_open(core: Core, order: VenueOrder, refused: bool, reason: str) -> None:
    """Release what an opening order did not use, and say what became of its remainder."""
    user = core.users[order.user]
    release(core, user, order.hold, order.order_id)
    order.hold = ZERO
    if _waiting(core, order) is not None:
        del user.orders[order.order_id]
        del core.orders[order.order_id]
    tell_unfilled(core, order, refused, reason)
    if user.cross:
        refile_cross(core, user)


def tell_unfilled(core: Core, order: VenueOrder, refused: bool, reason: str) -> None:
    """Record that a part of a user's order found nothing at the venue."""
    if not order.left:
        return
    why = "REFUSED_BY_HL" if refused else "CANCELLED" if order.cancel_sent else "UNFILLED"
    text = f"{why}: {reason}" if reason else why
    core.emit(OrderCancelled(order.order_id, core.now, order.user, order.symbol, order.left, text))


def emit_fill(
    core: Core,
    position: Position,
    order: VenueOrder,
    fill: VenueFilled,
    fee: Decimal,
    action: FillAction,
    pnl: Decimal,
) -> None:
    """Record a fill of a user at Hyperliquid."""
    core.emit(
        OrderFilled(
            core.next_fill_id,
            order.order_id,
            position.position_id,
            core.now,
            position.user,
            order.symbol,
            order.side,
            fill.price,
            fill.size,
            fee,
            Source.HYPERLIQUID,
            fill.price,
            fill.maker,
            action,
            pnl,
            order.mark,
        )
    )
    core.next_fill_id += 1
