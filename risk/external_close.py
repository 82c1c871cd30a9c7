"""Closing users' HYPERLIQUID positions: one order for all an order closes, settled at its receipts (§3, §4)."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal

from risk.account import settle_funding
from risk.core import Core
from risk.deviation import DayGrade, DeviationGrade, deviation
from risk.events import FillAction
from risk.external import capped_price, emit_fill
from risk.house_events import AlertLevel, DeviationLogged
from risk.inputs import HlAccount, VenueFilled
from risk.internal import finish_close, reduce_position, refile, take_share
from risk.ledger import BUILDER_INCOME, HL_TRADING, RISK_RESERVE, ZERO, isolated_margin, move
from risk.numbers import round_money
from risk.state import Position, Purpose, User, VenueOrder


def send_close(
    core: Core,
    user: User,
    parts: Sequence[tuple[Position, Decimal]],
    *,
    order_id: str,
    purpose: Purpose,
    cap: Decimal,
    limit_price: Decimal | None = None,
    keeps_margin: bool = False,
) -> None:
    """Send one order that closes ``parts``, HYPERLIQUID positions of one symbol and side with their sizes.

    Immediate-or-cancel, never reduce-only (§3); its fills go to the parts in their order.
    """
    first = parts[0][0]
    state = core.symbols[first.symbol]
    whole = VenueOrder(
        core.new_cloid(order_id),
        HlAccount.TRADING,
        purpose,
        first.symbol,
        -first.side,
        sum((size for _, size in parts), ZERO),
        state.mark,
        order_id,
        user.name,
        position_id=first.position_id,
        margin_mode=first.margin_mode,
        cap_share=cap,
        keeps_margin=keeps_margin,
        triggered_ns=core.trigger_ns,
    )
    for position, size in parts:
        position.closing += size
        whole.legs.append(
            replace(
                whole,
                size=size,
                position_id=position.position_id,
                margin_mode=position.margin_mode,
                legs=[],
            )
        )
    core.send(whole, limit_price or capped_price(state, whole.side, cap))
    for position, _ in parts:
        refile(core, user, position)


def split_fill(order: VenueOrder, fill: VenueFilled) -> Iterator[tuple[VenueOrder, VenueFilled]]:
    """Share a fill over the legs of a close in their order, its fee in proportion, the last taking the rest."""
    left, fee = fill.size, fill.fee
    order.filled += fill.size
    for leg in order.legs:
        part = min(left, leg.left)
        if not part:
            continue
        share = fee if part == left else round_money(fee * part / left)
        yield leg, VenueFilled(fill.ts, fill.cloid, fill.price, part, share, fill.maker)
        left, fee = left - part, fee - share


def filled_close(core: Core, order: VenueOrder, fill: VenueFilled) -> None:
    """Book a fill of a user's close or liquidation at its receipt (§3, §4)."""
    user = core.users[order.user]
    position = core.positions[order.position_id or 0]
    settle_funding(core, position)
    cost, margin = take_share(position, fill.size)
    pnl = round_money(position.side * (fill.price * fill.size - cost))
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
    action = FillAction.LIQUIDATION if order.purpose is Purpose.LIQUIDATION else FillAction.CLOSE
    emit_fill(core, position, order, fill, fill.fee + builder, action, pnl)
    finish_close(core, user, position, order.order_id, fill.size, fill.price, pnl, action)


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


def ended_close(core: Core, order: VenueOrder) -> None:
    """Free what the close of one position left open and log its deviation from the price it was decided at (§3)."""
    position = core.positions.get(order.position_id or 0)
    if position is not None and order.left:
        position.closing -= order.left
        refile(core, core.users[order.user], position)
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
        if not state.hl_halted:
            state.hl_halted = True
            core.guard_changed("HL_HALT", order.symbol, "OPEN", found.rate)
        core.alert(AlertLevel.P0, "DEVIATION", order.symbol, found.rate, "rate of one close; HL opens halted")
    for grade in core.deviation_day.add(core.now, found.deviation, core.risk):
        level = AlertLevel.CRITICAL if grade is DayGrade.CRITICAL else AlertLevel.ALERT
        core.alert(level, f"DEVIATION_DAY_{grade}", "", core.deviation_day.total, "sum of the UTC day")
