"""Asking for a route and leaving its record: what routing is told of the house, and what it decided (§1)."""

from decimal import Decimal

from risk.core import Core
from risk.events import OrderRouted
from risk.inputs import OrderSubmitted
from risk.ledger import RISK_RESERVE
from risk.record import record
from risk.routing import HouseState, RouteDecision, decide
from risk.state import SymbolState


@record
class Terms:
    """Say how an order trades now: ``price`` is what all of it gets internally, ``limit`` binds Hyperliquid.

    ``touched``: it rested here and its limit was reached, so it fills there, as maker. ``resting``: it is to wait.
    """

    limit: Decimal | None
    price: Decimal
    touched: bool = False
    resting: bool = False


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
        bool(core.service_level),
    )


def record_route(
    core: Core,
    order_id: str,
    command: OrderSubmitted,
    state: SymbolState,
    notional: Decimal,
    decision: RouteDecision,
) -> None:
    """Leave the routing record of one decision."""
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
