"""Liquidation: what the scan suspects is confirmed exactly, then closed as rulebook §4 says."""

import heapq
from decimal import Decimal

from risk.account import (
    cross_under_water,
    file_stale,
    isolated_under_water,
    refile_cross,
    refile_isolated,
    settle_cross,
    settle_funding,
)
from risk.core import Core
from risk.events import PositionLiquidated, Source
from risk.external_close import send_close
from risk.house_events import AlertLevel
from risk.inputs import MarginMode
from risk.internal import liquidate_internal, refile
from risk.ledger import ZERO
from risk.state import Position, Purpose, User, VenueOrder


def sweep(core: Core) -> None:
    """Confirm and liquidate until no touched symbol has an unseen suspect left.

    A suspect is looked at again only when something was closed meanwhile, so the loop ends.
    """
    file_stale(core)
    if not core.touched:
        return
    confirmed: set[int | str] = set()
    while core.touched:
        symbols = sorted(core.touched)
        core.touched.clear()
        for name in symbols:
            state = core.symbols[name]
            if state.view is None:
                continue
            isolated, accounts = core.index.candidates(name, state.mark_float)
            for position_id in isolated:
                if position_id not in confirmed:
                    confirmed.add(position_id)
                    _confirm_isolated(core, core.positions[position_id])
            for account in accounts:
                if account not in confirmed:
                    confirmed.add(account)
                    confirm_cross(core, core.users[account])
        file_stale(core)


def _confirm_isolated(core: Core, position: Position) -> None:
    settle_funding(core, position)
    user = core.users[position.user]
    while position.size and not position.busy and isolated_under_water(core, position):
        size = _size_to_close(core, position)
        _close(core, user, position, size, cap=core.risk.liquidation_slippage_cap)
    if position.size:
        refile_isolated(core, position)


def confirm_cross(core: Core, user: User) -> None:
    """Close a cross account's largest losses until it is above its maintenance (§4).

    A close at Hyperliquid is valued at mark until its receipt, and only one is in flight per account.
    """
    settle_cross(core, user)
    while not any(p.busy for p in user.cross.values()) and cross_under_water(core, user):
        if not user.liquidating:
            user.liquidating = True
            user.cross_losses.clear()
        worst = min(
            user.cross.values(), key=lambda p: (p.unrealised(core.symbols[p.symbol].mark), p.position_id)
        )
        _close(core, user, worst, _size_to_close(core, worst), cap=core.risk.liquidation_slippage_cap)
    if user.cross:
        if not any(p.busy for p in user.cross.values()):
            user.liquidating = False
        refile_cross(core, user)


def _size_to_close(core: Core, position: Position) -> Decimal:
    """Return the whole size, or the first fifth of a large one when partial liquidation is on."""
    risk = core.risk
    if not risk.partial_liquidation:
        return position.size
    state = core.symbols[position.symbol]
    recently = (
        position.partly_liquidated_ns is not None
        and core.now - position.partly_liquidated_ns <= risk.partial_liquidation_window_ns
    )
    if recently or position.size * state.mark <= risk.partial_liquidation_above:
        return position.size
    lot = state.spec.lot
    part = (position.size * risk.partial_liquidation_share / lot).to_integral_value("ROUND_CEILING") * lot
    position.partly_liquidated_ns = core.now
    return min(part, position.size)


def _close(core: Core, user: User, position: Position, size: Decimal, cap: Decimal) -> None:
    if position.source is Source.HYPERLIQUID:
        if not core.channel.connected or core.hl_halted:
            _try_later(core, user, position)
            return
        send_close(
            core,
            user,
            [(position, size)],
            order_id=f"liquidation:{position.position_id}",
            purpose=Purpose.LIQUIDATION,
            cap=cap,
            keeps_margin=position.isolated and size < position.size,
        )
        return
    mark = core.symbols[position.symbol].mark
    pnl, margin = liquidate_internal(core, user, position, size)
    core.emit(
        PositionLiquidated(
            position.position_id,
            core.now,
            core.trigger_ns,
            user.name,
            position.symbol,
            position.side,
            size,
            mark * size,
            position.source,
            position.margin_mode,
            mark,
            mark,
            margin,
            pnl,
            ZERO,
        )
    )


def _try_later(core: Core, user: User, position: Position) -> None:
    """Wait before a liquidation is sent (again): nothing at Hyperliquid would take it now."""
    position.retry_ns = core.now + core.risk.liquidation_retry_ns
    heapq.heappush(core.liquidation_retries, (position.retry_ns, position.position_id))
    refile(core, user, position)


def retry(core: Core) -> None:
    """Give the liquidations whose wait is over back to the scan."""
    while core.liquidation_retries and core.liquidation_retries[0][0] <= core.now:
        _, position_id = heapq.heappop(core.liquidation_retries)
        position = core.positions.get(position_id)
        if position is None:
            continue
        position.retry_ns = None
        if position.isolated:
            refile_isolated(core, position)
        else:
            confirm_cross(core, core.users[position.user])


def _send_again(core: Core, user: User, position: Position, order: VenueOrder, refused: bool) -> None:
    risk = core.risk
    if refused:
        core.alert(
            AlertLevel.P0, "LIQUIDATION_REFUSED", order.symbol, order.size, "Hyperliquid refused the close"
        )
    if refused or order.cap_share >= risk.liquidation_widest_cap:
        _try_later(core, user, position)
        return
    cap = min(order.cap_share * risk.liquidation_cap_widening, risk.liquidation_widest_cap)
    _close(core, user, position, min(order.left, position.size), cap)


def ended_liquidation(core: Core, order: VenueOrder, refused: bool) -> None:
    """Record what a liquidation at Hyperliquid closed; what it left open is sent again with a wider cap (§4).

    Where the widest cap found no taker, or Hyperliquid refused, it is tried again later.
    """
    user = core.users[order.user]
    position = core.positions.get(order.position_id or 0)
    if order.filled:
        price = order.notional / order.filled
        core.emit(
            PositionLiquidated(
                order.position_id or 0,
                core.now,
                order.triggered_ns,
                user.name,
                order.symbol,
                -order.side,
                order.filled,
                order.mark * order.filled,
                Source.HYPERLIQUID,
                order.margin_mode,
                order.mark,
                price,
                order.margin_zeroed,
                -order.side * (order.notional - order.cost_closed),
                order.bad_debt,
            )
        )
    left = order.left
    if position is not None and left and (position.isolated or cross_under_water(core, user)):
        _send_again(core, user, position, order, refused)
    elif order.margin_mode is MarginMode.CROSS:
        confirm_cross(core, user)
