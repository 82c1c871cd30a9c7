"""Carry out the hedger's decisions on the hedge account, and book what its fills cost (§6, §7)."""

from decimal import Decimal

from risk.core import Core
from risk.external import capped_price
from risk.hedger import HedgeAlarm
from risk.hedging import HedgeDecision, HedgeLine, deleverage_share
from risk.house_events import AlertLevel, HedgeTargetSet, VenueFillBooked
from risk.inputs import HlAccount, VenueFilled
from risk.ledger import HEDGE_COST, HL_HEDGE, PLATFORM_PROFIT, ZERO, move
from risk.modes import force_hl_mode
from risk.numbers import round_money
from risk.state import Purpose, VenueOrder


def _lines(core: Core) -> dict[str, HedgeLine]:
    open_for_orders = core.channel.connected and not core.hl_halted
    return {
        name: HedgeLine(
            net_size=state.net_size,
            mark=state.mark,
            hedge_size=state.hedge_size,
            lot=state.spec.lot,
            min_notional=state.spec.min_notional,
            max_leverage=state.spec.tiers.leverages[0],
            hedgeable=open_for_orders and not state.guard.quarantined,
        )
        for name, state in core.symbols.items()
        if state.mark and (state.net_size or state.hedge_size)
    }


def run_hedger(core: Core) -> None:
    """Decide and send hedges, if the hedger is due or something it reacts to has changed."""
    level = core.account_level[HlAccount.HEDGE]
    due = core.hedger.next_due_ns()
    if not core.hedge_requested and (due is None or due > core.now):
        return
    core.hedge_requested = False
    lines = _lines(core)
    equity = core.account_equity(HlAccount.HEDGE)
    if level in ("CRITICAL", "UNDER_WATER"):
        maintenance = core.account_maintenance(HlAccount.HEDGE)
        loss = -core.ledger.balances[HL_HEDGE] - equity
        share = deleverage_share(equity, maintenance, max(ZERO, loss), core.risk)
        for decision in core.hedger.deleverage(core.now, lines, share):
            _send(core, decision)
    for decision in core.hedger.decide(core.now, lines, equity, may_increase=level in ("NORMAL", "LOW")):
        if decision.uncovered:
            core.alert(
                AlertLevel.ALERT,
                "HEDGE_CAPITAL_SHORT",
                decision.symbol,
                decision.net_exposure,
                "the hedge account cannot carry the whole hedge; symbol to HL_MODE",
            )
            force_hl_mode(core, core.symbols[decision.symbol])
        if decision.order_size:
            _send(core, decision)


def _send(core: Core, decision: HedgeDecision) -> None:
    state = core.symbols[decision.symbol]
    side = 1 if decision.order_size > 0 else -1
    order_id = f"hedge:{decision.symbol}"
    cloid = core.new_cloid(order_id)
    core.emit(
        HedgeTargetSet(
            core.now,
            decision.symbol,
            decision.net_exposure,
            decision.ratio,
            decision.target_size,
            decision.current_size,
            decision.order_size,
            decision.leverage,
        )
    )
    order = VenueOrder(
        cloid,
        HlAccount.HEDGE,
        Purpose.HEDGE,
        decision.symbol,
        side,
        abs(decision.order_size),
        state.mark,
        order_id,
    )
    core.hedger.order_sent(decision, core.now, cloid)
    core.send(order, capped_price(state, side, core.risk.hedge_slippage_cap))


def filled_hedge(core: Core, order: VenueOrder, fill: VenueFilled) -> None:
    """Book a hedge fill: fee and slippage are hedge cost; PnL runs between decision marks at average cost (§7)."""
    state = core.symbols[order.symbol]
    order.filled += fill.size
    order.notional += fill.price * fill.size
    slippage = round_money(order.side * (fill.price - order.mark) * fill.size)
    signed = order.side * fill.size
    pnl = ZERO
    held = state.hedge_size
    reduced = min(abs(held), fill.size) if held * order.side < 0 else ZERO
    if reduced:
        cost = (
            state.hedge_cost if reduced == abs(held) else round_money(state.hedge_cost * reduced / abs(held))
        )
        pnl = round_money(-order.side * reduced * order.mark - cost)
        state.hedge_cost -= cost
    state.hedge_cost += order.side * (fill.size - reduced) * order.mark
    state.hedge_size += signed
    core.ledger.post(
        core.now,
        "hedge_fill",
        order.cloid,
        (
            *move(HEDGE_COST, HL_HEDGE, fill.fee + slippage),
            *move(HL_HEDGE, PLATFORM_PROFIT, pnl),
        ),
    )
    core.accounts_touched.add(HlAccount.HEDGE)
    core.emit(
        VenueFillBooked(
            order.cloid,
            core.now,
            HlAccount.HEDGE,
            order.symbol,
            order.side,
            fill.size,
            fill.price,
            fill.fee,
            slippage,
            pnl,
        )
    )


def ended_hedge(core: Core, order: VenueOrder) -> None:
    """Tell the hedger that its order is done; when it has given up, its symbol goes to HL_MODE (§6)."""
    if order.order_id != f"hedge:{order.symbol}":
        return  # Hyperliquid's own liquidation of the account: nothing the hedger sent
    alarm = core.hedger.order_ended(order.symbol, core.now, order.filled)
    if alarm is HedgeAlarm.RETRYING:
        core.alert(AlertLevel.ALERT, "HEDGE_RETRYING", order.symbol, Decimal(5), "hedge orders keep failing")
    elif alarm is HedgeAlarm.GAVE_UP:
        core.alert(AlertLevel.P0, "HEDGE_GAVE_UP", order.symbol, Decimal(10), "symbol to HL_MODE")
        force_hl_mode(core, core.symbols[order.symbol])
