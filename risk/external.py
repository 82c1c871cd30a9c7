"""Users' HYPERLIQUID positions: orders sent to our trading account, and what its receipts do to the books (§3)."""

from decimal import Decimal

from risk.account import cash, hold, refile_cross, refile_isolated, release, settle_deficit, settle_funding
from risk.core import Core
from risk.deviation import DayGrade, DeviationGrade, deviation
from risk.events import (
    AlertLevel,
    DeviationLogged,
    FillAction,
    OrderCancelled,
    OrderFilled,
    PositionClosed,
    PositionOpened,
    Source,
    VenueCancelRequested,
)
from risk.inputs import HlAccount, MarginMode, VenueFilled
from risk.internal import add_position, reduce_position, refile, take_share
from risk.ledger import BUILDER_INCOME, HL_TRADING, RISK_RESERVE, ZERO, Entry, isolated_margin, move
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


def send_close(
    core: Core,
    user: User,
    position: Position,
    *,
    order_id: str,
    size: Decimal,
    purpose: Purpose,
    cap: Decimal,
    limit_price: Decimal | None = None,
    keeps_margin: bool = False,
) -> None:
    """Send the close of (part of) a HYPERLIQUID position: immediate-or-cancel, never reduce-only (§3)."""
    state = core.symbols[position.symbol]
    position.closing += size
    order = VenueOrder(
        core.new_cloid(order_id),
        HlAccount.TRADING,
        purpose,
        position.symbol,
        -position.side,
        size,
        state.mark,
        order_id,
        user.name,
        position_id=position.position_id,
        margin_mode=position.margin_mode,
        cap_share=cap,
        keeps_margin=keeps_margin,
        triggered_ns=state.mark_ts,
    )
    core.send(order, limit_price or capped_price(state, -position.side, cap))
    refile(core, user, position)


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
    left = order.size - order.filled
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
    _emit_fill(core, position, order, fill, fill.fee + builder, FillAction.OPEN, ZERO)
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


def filled_close(core: Core, order: VenueOrder, fill: VenueFilled) -> None:
    """Book a fill of a user's close or liquidation at its receipt (§3, §4)."""
    user = core.users[order.user]
    position = core.positions[order.position_id or 0]
    settle_funding(core, position)
    cost, margin = take_share(position, fill.size)
    pnl = round_money(position.side * (fill.price * fill.size - cost))
    liquidation = order.purpose is Purpose.LIQUIDATION
    wanted = order.purpose is Purpose.CLOSE  # no builder fee on what we had to close
    builder = round_money(fill.price * fill.size * core.risk.builder_fee_rate) if wanted else ZERO
    position.closing -= fill.size
    order.filled += fill.size
    order.notional += fill.price * fill.size
    order.cost_closed += cost
    core.user_hl_result += pnl - fill.fee
    if position.isolated:
        builder = _settle_isolated(core, user, position, order, pnl - fill.fee, margin, builder)
    else:
        core.ledger.post(
            core.now,
            "close",
            order.order_id,
            (
                *move(HL_TRADING, user.cash_account, pnl),
                *move(user.cash_account, HL_TRADING, fill.fee),
                *move(user.cash_account, BUILDER_INCOME, builder),
            ),
        )
    reduce_position(core, user, position, fill.size, cost)
    action = FillAction.LIQUIDATION if liquidation else FillAction.CLOSE
    _emit_fill(core, position, order, fill, fill.fee + builder, action, pnl)
    core.emit(
        PositionClosed(
            position.position_id,
            core.now,
            user.name,
            position.symbol,
            position.side,
            fill.size,
            position.size,
            fill.price,
            pnl,
            Source.HYPERLIQUID,
            liquidation,
        )
    )
    _after_close(core, user, position, order, pnl)


def _settle_isolated(
    core: Core,
    user: User,
    position: Position,
    order: VenueOrder,
    result: Decimal,
    margin: Decimal,
    builder: Decimal,
) -> Decimal:
    """Settle an isolated close of ``result`` = PnL − HL's fee out of the margin; return the builder fee taken.

    What exceeds the position's margin is bad debt. A liquidation's left-over margin goes to the reserve.
    """
    account = isolated_margin(position.position_id)
    whole = position.margin
    if order.keeps_margin:
        margin = -min(result, ZERO)
    taken = min(whole, max(margin, -result))
    bad_debt = max(ZERO, -result - taken)
    left = taken + result + bad_debt
    builder = min(builder, left)
    liquidation = order.purpose is Purpose.LIQUIDATION
    heir = account if order.keeps_margin else RISK_RESERVE if liquidation else user.cash_account
    core.ledger.post(
        core.now,
        "liquidation" if liquidation else "close",
        order.order_id,
        (
            *move(account, heir, left - builder),
            *move(account, BUILDER_INCOME, builder),
            *move(account, HL_TRADING, taken - left),
        ),
    )
    position.margin -= taken - left if order.keeps_margin else taken
    if bad_debt:
        core.ledger.absorb(core.now, order.order_id, bad_debt, HL_TRADING)
    order.bad_debt += bad_debt
    order.margin_zeroed += ZERO if order.keeps_margin else taken
    return builder


def _after_close(core: Core, user: User, position: Position, order: VenueOrder, pnl: Decimal) -> None:
    if position.isolated:
        if position.size:
            refile_isolated(core, position)
        else:
            core.ledger.forget(isolated_margin(position.position_id))
    else:
        if pnl < 0:
            user.cross_losses.append((Source.HYPERLIQUID, -pnl))
        settle_deficit(core, user, order.order_id, Source.HYPERLIQUID)
    if user.cross or not position.isolated:
        refile_cross(core, user)


def ended_open(core: Core, order: VenueOrder, refused: bool, reason: str) -> None:
    """Release what an opening order did not use, and say what became of its remainder."""
    user = core.users[order.user]
    release(core, user, order.hold, order.order_id)
    order.hold = ZERO
    if _waiting(core, order) is not None:
        del user.orders[order.order_id]
        del core.orders[order.order_id]
    left = order.size - order.filled
    if left:
        why = "REFUSED_BY_HL" if refused else "CANCELLED" if order.cancel_sent else "UNFILLED"
        core.emit(
            OrderCancelled(
                order.order_id, core.now, user.name, order.symbol, left, f"{why}: {reason}" if reason else why
            )
        )
    if user.cross:
        refile_cross(core, user)


def ended_close(core: Core, order: VenueOrder, refused: bool, reason: str) -> None:
    """Free what a close left open and log its deviation from the price it was decided at (§3)."""
    user = core.users[order.user]
    position = core.positions.get(order.position_id or 0)
    left = order.size - order.filled
    if position is not None and left:
        position.closing -= left
        refile(core, user, position)
    if left and order.purpose is Purpose.CLOSE:
        why = "REFUSED_BY_HL" if refused else "UNFILLED"
        core.emit(
            OrderCancelled(
                order.order_id, core.now, user.name, order.symbol, left, f"{why}: {reason}" if reason else why
            )
        )
    if order.filled:
        _log_deviation(core, order)


def _log_deviation(core: Core, order: VenueOrder) -> None:
    state = core.symbols[order.symbol]
    found = deviation(
        -order.side, order.mark, order.notional / order.filled, order.filled, order.cost_closed, core.risk
    )
    if found.grade is not None:
        core.emit(
            DeviationLogged(
                order.position_id or 0,
                core.now,
                order.symbol,
                round_money(found.xbit_pnl),
                round_money(found.actual_pnl),
                round_money(found.deviation),
                round_money(found.rate),
                found.grade,
            )
        )
    if found.grade is DeviationGrade.ALERT:
        core.alert(AlertLevel.ALERT, "DEVIATION", order.symbol, found.rate, "rate of one close")
    elif found.grade is DeviationGrade.CRITICAL:
        state.hl_halted = True
        core.guard_changed("HL_HALT", order.symbol, "OPEN", found.rate)
        core.alert(AlertLevel.P0, "DEVIATION", order.symbol, found.rate, "rate of one close; HL opens halted")
    for grade in core.deviation_day.add(core.now, found.deviation, core.risk):
        level = AlertLevel.CRITICAL if grade is DayGrade.CRITICAL else AlertLevel.ALERT
        core.alert(level, f"DEVIATION_DAY_{grade}", "", core.deviation_day.total, "sum of the UTC day")


def _emit_fill(
    core: Core,
    position: Position,
    order: VenueOrder,
    fill: VenueFilled,
    fee: Decimal,
    action: FillAction,
    pnl: Decimal,
) -> None:
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
