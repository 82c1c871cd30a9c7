"""The house's watch over the market and itself: marks taken in, guards, and its state for the record (§6)."""

from decimal import Decimal

from risk.core import Core
from risk.guards import LossChange, PriceGuard, reserve_state
from risk.house_accounts import margin_ratio
from risk.house_events import AlertLevel, ExposureSnapshot, HouseSnapshot
from risk.inputs import HlAccount
from risk.ledger import (
    BUILDER_INCOME,
    DEVIATION,
    FEE_INCOME,
    FUNDING_INCOME,
    HEDGE_COST,
    HL_CAPITAL,
    PLATFORM_CAPITAL,
    PLATFORM_PROFIT,
    RISK_RESERVE,
    ZERO,
)
from risk.market import SymbolView
from risk.state import SymbolState


def take_view(core: Core, view: SymbolView) -> None:
    """Take a symbol's view in: judge the mark, then let exposure and results follow the last valid one (§6)."""
    state = core.symbols[view.symbol]
    risk = core.risk
    if state.view is None:
        state.guard = PriceGuard(view.prev_mark)
    state.seen_ns = max(state.seen_ns, view.seen_ns)
    if view.mark_seq != state.mark_seq:
        state.mark_seq = view.mark_seq
        limit = core.settings.sanity_limit.get(view.symbol, risk.price_sanity_limit)
        if state.guard.update(view.mark, view.prev_mark, limit, risk.price_sanity_updates):
            now = "OPEN" if state.guard.quarantined else "CLOSED"
            core.guard_changed("PRICE_SANITY", view.symbol, now, view.mark)
            core.hedge_requested = True  # the hedger leaves a quarantined symbol alone
            if state.guard.quarantined:
                core.alert(
                    AlertLevel.ALERT, "PRICE_SANITY", view.symbol, view.mark, "kept the last valid price"
                )
    if state.range_guard.update(
        view.low_60m, view.high_60m, risk.price_range_limit, risk.price_range_release
    ):
        core.guard_changed(
            "PRICE_RANGE", view.symbol, "OPEN" if state.range_guard.open else "CLOSED", view.mark
        )
    if state.guard.quarantined and state.view is not None:
        return
    state.view = view
    if state.mark != state.guard.valid_mark:
        state.mark = state.guard.valid_mark
        state.mark_float = float(state.mark)
        core.revalue(state)
        core.touched.add(view.symbol)
        core.marks_moved.add(view.symbol)


def check_day(core: Core) -> None:
    """Look at the day's loss and tell when it reached a limit, or a new day began."""
    for change in core.breaker.check(core.now, core.total_unrealised, core.risk):
        loss = core.breaker.loss(core.total_unrealised)
        if change is LossChange.ALERTED:
            core.alert(AlertLevel.ALERT, "DAILY_LOSS", "", loss, "INTERNAL loss of the UTC day")
        else:
            core.guard_changed(
                "DAILY_LOSS_BREAKER", "", "OPEN" if change is LossChange.OPENED else "CLOSED", loss
            )


def check_guards(core: Core) -> None:
    """Look at the day's loss, the reserve and the channel, and tell when their state changed."""
    room = core.breaker.room(core.total_unrealised, core.risk)
    if room is not None and room < 0:
        check_day(core)
        room = core.breaker.room(core.total_unrealised, core.risk)
    _ration_loss(core, room)
    reserve = core.ledger.balances[RISK_RESERVE]
    level = reserve_state(reserve, core.risk)
    if level != core.reserve_level:
        core.reserve_level = level
        core.guard_changed("RESERVE", "", level, reserve)
    unreachable = core.channel.unreachable(core.now, core.risk)
    if unreachable is not core.unreachable_told:
        core.unreachable_told = unreachable
        if unreachable:
            core.guard_changed("CHANNEL", "", "UNREACHABLE", ZERO)
            core.alert(
                AlertLevel.P0,
                "HL_UNREACHABLE",
                "",
                ZERO,
                "out of reach for 60 s: opens and closes are refused",
            )


def _ration_loss(core: Core, room: Decimal | None) -> None:
    """Set what each symbol may add to the day's loss unseen, so that all together stay within the next limit.

    Set anew only when the room got smaller than what was given out, or much larger: every band moves with it.
    """
    if room is None:
        if core.loss_ration is not None:
            core.loss_ration = None
            core.narrowed.update(core.symbols)
        return
    left, shares = float(room), len(core.symbols)
    given_out = None if core.loss_ration is None else core.loss_ration * shares
    if given_out is None or left < given_out or left > 8 * given_out > 0 or (left and not given_out):
        core.loss_ration = left / (2 * shares)
        core.narrowed.update(core.symbols)


def open_results(core: Core) -> tuple[Decimal, Decimal]:
    """Return what is open: of the mirror of INTERNAL positions, funding not yet settled included, and of hedges."""
    states = core.symbols.values()
    funding = sum((s.funding_index * s.net_size - s.net_indexed for s in states), ZERO)
    hedges = sum((s.mark * s.hedge_size - s.hedge_cost for s in states), ZERO)
    return funding - core.total_unrealised, hedges


def solvency(core: Core) -> Decimal:
    """Return what would be left to the house if everything were closed at mark; insolvent below zero (§7)."""
    return sum(open_results(core), core.ledger.house_equity())


def users_open(core: Core) -> Decimal:
    """Return what users' positions of both sources would gain at mark, funding not yet settled included."""
    return sum(
        (
            s.unrealised
            - (s.funding_index * s.net_size - s.net_indexed)
            + s.mark * s.hl_size
            - s.hl_cost
            - (s.funding_index * s.hl_size - s.hl_indexed)
            for s in core.symbols.values()
        ),
        ZERO,
    )


def snapshot(core: Core) -> None:
    """Record the house's state and every symbol's exposure as events."""
    balances = core.ledger.balances
    house_open, hedge_open = open_results(core)
    core.emit(
        HouseSnapshot(
            core.now,
            balances[PLATFORM_CAPITAL],
            balances[HL_CAPITAL],
            balances[PLATFORM_PROFIT],
            balances[RISK_RESERVE],
            balances[FEE_INCOME],
            balances[BUILDER_INCOME],
            balances[FUNDING_INCOME],
            balances[HEDGE_COST],
            balances[DEVIATION],
            core.ledger.turnover_bad_debt,
            house_open,
            hedge_open,
            house_open + hedge_open + core.ledger.house_equity(),
            core.breaker.loss(core.total_unrealised),
            core.total_exposure,
            core.account_equity(HlAccount.TRADING),
            margin_ratio(core, HlAccount.TRADING),
            core.account_equity(HlAccount.HEDGE),
            margin_ratio(core, HlAccount.HEDGE),
            core.ledger.user_total() + users_open(core),
        )
    )
    for name, state in core.symbols.items():
        if state.view is not None:
            core.emit(_exposure(core, name, state))


def _exposure(core: Core, name: str, state: SymbolState) -> ExposureSnapshot:
    return ExposureSnapshot(
        core.now,
        name,
        state.mark,
        state.mode,
        state.net_size,
        state.exposure,
        state.hedge_size,
        state.hedge_size * state.mark,
        state.hl_size,
    )
