"""The house as counterparty: opening and closing INTERNAL positions, with every entry they cause (§2, §7)."""

from decimal import Decimal

from risk.account import refile_cross, refile_isolated, settle_deficit, settle_funding
from risk.core import Core
from risk.events import FillAction, OrderFilled, PositionClosed, PositionOpened, Source
from risk.inputs import MarginMode
from risk.ledger import (
    FEE_INCOME,
    PLATFORM_PROFIT,
    ZERO,
    Entry,
    isolated_margin,
    loss_split,
    move,
)
from risk.numbers import round_money
from risk.state import Position, SymbolState, User
from risk.waiting import end_with_position


def fee_rate(core: Core, state: SymbolState, maker: bool) -> Decimal:
    """Return the INTERNAL fee rate: the higher pair while the symbol's price range guard is open (§2)."""
    risk = core.risk
    if state.range_guard.open:
        return risk.volatile_maker_fee_rate if maker else risk.volatile_taker_fee_rate
    return risk.maker_fee_rate if maker else risk.taker_fee_rate


def add_position(core: Core, user: User, position: Position) -> None:
    """Enter a new position everywhere it is looked up."""
    core.positions[position.position_id] = position
    user.enter(position)


def refile(core: Core, user: User, position: Position) -> None:
    """Give the scan the state of a position, or of the cross account it belongs to."""
    if position.isolated:
        refile_isolated(core, position)
    else:
        refile_cross(core, user)


def open_internal(
    core: Core,
    user: User,
    *,
    order_id: str,
    symbol: str,
    side: int,
    size: Decimal,
    price: Decimal,
    reference: Decimal,
    leverage: int,
    margin_mode: MarginMode,
    maker: bool,
) -> None:
    """Open an INTERNAL position at ``price``; the caller has checked that margin and fee are there.

    ``reference`` is Hyperliquid's price for the same trade, stored as proof of best execution.
    """
    state = core.symbols[symbol]
    notional = price * size
    fee = round_money(notional * fee_rate(core, state, maker))
    isolated = margin_mode is MarginMode.ISOLATED
    margin = round_money(notional / leverage) if isolated else ZERO
    position = Position(
        core.next_position_id,
        user.name,
        symbol,
        side,
        size,
        notional,
        leverage,
        margin_mode,
        Source.INTERNAL,
        margin,
        state.funding_index,
    )
    core.next_position_id += 1
    entries = list(move(user.cash_account, FEE_INCOME, fee))
    if isolated:
        entries += move(user.cash_account, isolated_margin(position.position_id), margin)
    core.ledger.post(core.now, "open", order_id, entries)
    add_position(core, user, position)
    core.track(position, size, notional)
    _emit_fill(core, position, order_id, side, price, size, fee, reference, maker, FillAction.OPEN, ZERO)
    core.emit(
        PositionOpened(
            position.position_id,
            core.now,
            user.name,
            symbol,
            side,
            size,
            notional,
            leverage,
            margin_mode,
            Source.INTERNAL,
            margin,
        )
    )
    if isolated:
        refile_isolated(core, position)
    if user.cross:
        refile_cross(core, user)


def close_internal(
    core: Core,
    user: User,
    position: Position,
    *,
    order_id: str,
    size: Decimal,
    price: Decimal,
    reference: Decimal,
    maker: bool,
) -> Decimal:
    """Close ``size`` of an INTERNAL position at ``price`` on its user's wish; return the price PnL collected."""
    settle_funding(core, position)
    cost, margin = take_share(position, size)
    pnl = round_money(position.side * (price * size - cost))
    rate = fee_rate(core, core.symbols[position.symbol], maker)
    fee = round_money(price * size * rate)
    entries: list[Entry] = []
    if position.isolated:
        # A user never owes more than was posted: first the share released, then the rest of the margin.
        taken = margin + max(ZERO, min(-pnl - margin, position.margin - margin))
        pnl = max(pnl, -taken)
        fee = min(fee, taken + pnl)
        entries += move(isolated_margin(position.position_id), user.cash_account, taken)
        position.margin -= taken
    entries += _pnl_entries(core, user.cash_account, pnl)
    entries += move(user.cash_account, FEE_INCOME, fee)
    core.ledger.post(core.now, "close", order_id, entries)
    core.breaker.realised(pnl)
    _after_close(
        core, user, position, order_id, size, cost, price, fee, reference, maker, FillAction.CLOSE, pnl
    )
    return pnl


def liquidate_internal(core: Core, user: User, position: Position, size: Decimal) -> tuple[Decimal, Decimal]:
    """Close ``size`` of an INTERNAL position at mark, without a fee; return (PnL as collected, margin zeroed).

    An isolated position loses its margin, whatever its price PnL: 80/20 (§4). Of a first part closed alone the
    PnL is taken from (or added to) the margin, which otherwise stays.
    """
    settle_funding(core, position)
    mark = core.symbols[position.symbol].mark
    order_id = f"liquidation:{position.position_id}"
    cost, margin = take_share(position, size)
    if position.isolated and size < position.size:
        margin = ZERO
        pnl = max(round_money(position.side * (mark * size - cost)), -position.margin)
        account = isolated_margin(position.position_id)
        core.ledger.post(core.now, "liquidation", order_id, _pnl_entries(core, account, pnl))
        position.margin += pnl
    elif position.isolated:
        pnl = -margin
        core.ledger.post(
            core.now,
            "liquidation",
            order_id,
            loss_split(isolated_margin(position.position_id), margin, core.risk),
        )
        position.margin -= margin
    else:
        pnl = round_money(position.side * (mark * size - cost))
        core.ledger.post(core.now, "liquidation", order_id, _pnl_entries(core, user.cash_account, pnl))
    core.breaker.realised(pnl)
    action = FillAction.LIQUIDATION
    _after_close(core, user, position, order_id, size, cost, mark, ZERO, mark, False, action, pnl)
    return pnl, margin


def take_share(position: Position, size: Decimal) -> tuple[Decimal, Decimal]:
    """Return the cost and margin that closing ``size`` releases; the last close takes the rest (§4)."""
    if size == position.size:
        return position.cost, position.margin
    # Multiplied first: a share such as 1/3, rounded, could push a result off the half it rounds from.
    cost, margin = position.cost * size / position.size, position.margin * size / position.size
    return round_money(cost), round_money(margin)


def reduce_position(core: Core, user: User, position: Position, size: Decimal, cost: Decimal) -> None:
    """Take ``size`` and ``cost`` off a position and its symbol's sums; forget it when nothing is left."""
    core.track(position, -size, -cost)
    position.size -= size
    position.cost -= cost
    if position.size:
        return
    del core.positions[position.position_id]
    user.leave(position)
    if position.isolated:
        core.index.drop_isolated(position.position_id)


def _pnl_entries(core: Core, account: str, pnl: Decimal) -> tuple[Entry, ...]:
    if pnl < 0:
        return loss_split(account, -pnl, core.risk)
    return move(PLATFORM_PROFIT, account, pnl)


def _after_close(
    core: Core,
    user: User,
    position: Position,
    order_id: str,
    size: Decimal,
    cost: Decimal,
    price: Decimal,
    fee: Decimal,
    reference: Decimal,
    maker: bool,
    action: FillAction,
    pnl: Decimal,
) -> None:
    reduce_position(core, user, position, size, cost)
    _emit_fill(core, position, order_id, -position.side, price, size, fee, reference, maker, action, pnl)
    finish_close(core, user, position, order_id, size, price, pnl, action)


def finish_close(
    core: Core,
    user: User,
    position: Position,
    order_id: str,
    size: Decimal,
    price: Decimal,
    pnl: Decimal,
    action: FillAction,
) -> None:
    """Tell of a close and leave all in order: the position's margin, its user's deficit, the scan, its orders."""
    core.emit(
        PositionClosed(
            position.position_id,
            core.now,
            user.name,
            position.symbol,
            position.side,
            size,
            position.size,
            price,
            pnl,
            position.source,
            action is FillAction.LIQUIDATION,
        )
    )
    if position.isolated:
        if position.size:
            refile_isolated(core, position)
        else:
            core.ledger.forget(isolated_margin(position.position_id))
    else:
        if pnl < 0:
            user.cross_losses.append((position.source, -pnl))
        settle_deficit(core, user, order_id, position.source)
    if user.cross or not position.isolated:
        refile_cross(core, user)
    if not position.size:
        end_with_position(core, user, position.position_id)


def _emit_fill(
    core: Core,
    position: Position,
    order_id: str,
    side: int,
    price: Decimal,
    size: Decimal,
    fee: Decimal,
    reference: Decimal,
    maker: bool,
    action: FillAction,
    pnl: Decimal,
) -> None:
    core.emit(
        OrderFilled(
            core.next_fill_id,
            order_id,
            position.position_id,
            core.now,
            position.user,
            position.symbol,
            side,
            price,
            size,
            fee,
            Source.INTERNAL,
            reference,
            maker,
            action,
            pnl,
            core.symbols[position.symbol].mark,
        )
    )
    core.next_fill_id += 1
