"""Routing modes of symbols: auto-switch, recommendations, and an operator's pin (§1)."""

from risk.core import Core
from risk.errors import AlreadySo
from risk.house_events import RoutingModeChanged, RoutingModeRecommended
from risk.inputs import RoutingModeSet
from risk.routing import auto_mode
from risk.settings import RoutingMode
from risk.state import SymbolState


def review_mode(core: Core, state: SymbolState) -> None:
    """Switch a symbol's mode where its exposure asks for it, or recommend it where auto-switch may not."""
    name = state.spec.symbol
    config = core.settings.routing_of(name)
    if state.hedge_forced:
        if not _needs_no_hedge(core, state):
            return
        state.hedge_forced = False
        if not _switches(core, state) and config.routing_mode is not state.mode:
            change_mode(core, state, config.routing_mode, "AUTO", "hedger")
    switches = _switches(core, state)
    current = state.mode if switches or state.recommended is None else state.recommended
    wanted = auto_mode(current, abs(state.exposure), config, core.risk)
    if switches:
        state.recommended = wanted
        if wanted is not state.mode:
            change_mode(core, state, wanted, "AUTO", "")
    elif wanted is not state.recommended:
        # The first look only takes note of where the symbol stands: a recommendation is a crossing.
        crossed = state.recommended is not None and wanted is not state.mode
        state.recommended = wanted
        if crossed:
            core.emit(RoutingModeRecommended(core.now, name, state.mode, wanted, state.exposure))


def _needs_no_hedge(core: Core, state: SymbolState) -> bool:
    return abs(state.exposure) < core.risk.hedge_tiers[0].lower * core.risk.hedge_tier_release


def _switches(core: Core, state: SymbolState) -> bool:
    return core.settings.routing_of(state.spec.symbol).auto_switch_enabled and not state.pinned


def change_mode(core: Core, state: SymbolState, mode: RoutingMode, trigger: str, operator: str) -> None:
    """Switch a symbol's mode and leave the row of ``routing_mode_logs``."""
    core.emit(
        RoutingModeChanged(core.now, state.spec.symbol, state.mode, mode, trigger, operator, state.exposure)
    )
    state.mode = mode


def force_hl_mode(core: Core, state: SymbolState) -> None:
    """Send a symbol that cannot be hedged to HL_MODE until its exposure needs no hedge, or an operator decides."""
    if state.mode is not RoutingMode.HL_MODE:
        change_mode(core, state, RoutingMode.HL_MODE, "AUTO", "hedger")
        state.hedge_forced = True


def set_mode(core: Core, command: RoutingModeSet) -> None:
    """Pin a symbol's mode for an operator, or release the pin; either ends what the hedger forced.

    Raises AlreadySo for the mode that is pinned, and where nothing is there to release.
    """
    state = core.symbol(command.symbol)
    if not state.hedge_forced:
        if command.mode is None and not state.pinned:
            raise AlreadySo(f"mode was null; no mode of {command.symbol} is pinned")
        if command.mode is state.mode and state.pinned:
            raise AlreadySo(f"mode was {command.mode}; {command.symbol} is pinned to it already")
    state.hedge_forced, state.reviewed = False, None
    if command.mode is None:
        state.pinned = False
        review_mode(core, state)
        return
    state.pinned = True
    if command.mode is not state.mode:
        change_mode(core, state, command.mode, "MANUAL", command.operator_id)
