"""Where an opening order goes and which mode a symbol should be in (rulebook §1), as pure functions."""

from decimal import Decimal

from risk.events import RouteReason, Source
from risk.guards import ReserveState, reserve_state
from risk.record import record
from risk.settings import RiskConfig, RoutingConfig, RoutingMode

# An HL_MODE threshold set at or under the fixed release level would be left where it is entered; it is then
# left at the share of itself that the defaults have (500 000 of 800 000).
_HL_RELEASE_SHARE = Decimal("0.625")
_ZERO = Decimal(0)
_NOTHING = Decimal(-1)


@record
class HouseState:
    """Hold what routing looks at: the house before the order; exposures are |USDC| at mark."""

    whitelisted: bool
    reserve: Decimal
    breaker_open: bool
    symbol_exposure: Decimal
    total_exposure: Decimal
    range_open: bool
    channel_unhealthy: bool
    quarantined: bool
    service_degraded: bool = False


@record
class RouteDecision:
    """Name the route and why; ``threshold`` (USDC) is None where size did not decide."""

    route: Source
    reason: RouteReason
    threshold: Decimal | None


def decide(
    notional: Decimal, mode: RoutingMode, config: RoutingConfig, risk: RiskConfig, state: HouseState
) -> RouteDecision:
    """Route an opening order of ``notional`` USDC: forced reasons first, then the mode, then size."""
    forced = forced_reason(state, risk)
    if forced is not None:
        return RouteDecision(Source.HYPERLIQUID, forced, None)
    if mode is RoutingMode.HL_MODE:
        return RouteDecision(Source.HYPERLIQUID, RouteReason.HL_MODE, None)
    threshold = size_limit(mode, config, risk, state.reserve)
    if notional <= threshold:
        return RouteDecision(Source.INTERNAL, RouteReason.WITHIN_THRESHOLD, threshold)
    return RouteDecision(Source.HYPERLIQUID, RouteReason.OVER_THRESHOLD, threshold)


def size_limit(mode: RoutingMode, config: RoutingConfig, risk: RiskConfig, reserve: Decimal) -> Decimal:
    """Return up to which notional (USDC) an unforced opening order stays INTERNAL; below 0 in HL_MODE: none does."""
    if mode is RoutingMode.HL_MODE:
        return _NOTHING
    threshold = config.betting_threshold if mode is RoutingMode.BETTING_MODE else config.normal_threshold
    return threshold / 2 if reserve_state(reserve, risk) is ReserveState.HALVED else threshold


def forced_reason(state: HouseState, risk: RiskConfig) -> RouteReason | None:
    """Give the first reason that forbids internalising: a degraded service (§10), then §1's; None without one.

    Resting limits are judged by it again when they are touched.
    """
    if state.service_degraded:
        return RouteReason.SERVICE_LEVEL
    if not state.whitelisted:
        return RouteReason.NOT_WHITELISTED
    if reserve_state(state.reserve, risk) is ReserveState.STOPPED:
        return RouteReason.RESERVE_FLOOR
    if state.breaker_open:
        return RouteReason.DAILY_LOSS_BREAKER
    if state.symbol_exposure > risk.symbol_exposure_cap:
        return RouteReason.SYMBOL_EXPOSURE
    if state.total_exposure > risk.total_exposure_cap:
        return RouteReason.TOTAL_EXPOSURE
    if state.range_open:
        return RouteReason.PRICE_RANGE
    if state.channel_unhealthy:
        return RouteReason.CHANNEL_UNHEALTHY
    return RouteReason.PRICE_SANITY if state.quarantined else None


def split(
    size: Decimal, mark: Decimal, threshold: Decimal, lot: Decimal, hl_min_notional: Decimal
) -> tuple[Decimal, Decimal]:
    """Split an order of ``size`` coins into (INTERNAL, HYPERLIQUID) sizes that sum to it.

    The internal part is the most whole lots whose notional at ``mark`` is within ``threshold`` USDC, fewer
    where Hyperliquid would refuse the rest as smaller than ``hl_min_notional`` USDC.
    """
    if size * mark <= threshold:
        return size, _ZERO
    lot_notional = mark * lot
    within = threshold // lot_notional
    leaving_enough = (size * mark - hl_min_notional) // lot_notional
    internal = max(_ZERO, min(within, leaving_enough) * lot)
    return internal, size - internal


def auto_mode(
    current: RoutingMode, exposure_abs: Decimal, config: RoutingConfig, risk: RiskConfig
) -> RoutingMode:
    """Give the mode that auto-switch wants at ``exposure_abs`` USDC, with hysteresis against flapping.

    HL_MODE from its threshold on, BETTING_MODE up to its own, NORMAL_MODE between. HL_MODE is left only under
    its release level, BETTING_MODE only above ``betting_mode_release_factor`` × its threshold.
    """
    betting_edge, betting_release, hl_release, hl_edge = mode_edges(config, risk)
    in_hl = current is RoutingMode.HL_MODE
    if exposure_abs >= (hl_release if in_hl else hl_edge):
        return RoutingMode.HL_MODE
    in_betting = current is RoutingMode.BETTING_MODE
    if exposure_abs <= (betting_release if in_betting else betting_edge):
        return RoutingMode.BETTING_MODE
    return RoutingMode.NORMAL_MODE


def exposure_edges(config: RoutingConfig, risk: RiskConfig) -> tuple[Decimal, ...]:
    """Give the |exposures| (USDC, ascending) at which ``auto_mode`` may change its answer."""
    return tuple(sorted(set(mode_edges(config, risk))))


def mode_edges(config: RoutingConfig, risk: RiskConfig) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """Give the |exposures| (USDC) that bound BETTING_MODE on entry and release, and HL_MODE on release and entry."""
    betting = config.betting_mode_exposure_threshold
    entry = config.hl_mode_exposure_threshold
    release = risk.hl_mode_release if risk.hl_mode_release < entry else entry * _HL_RELEASE_SHARE
    return betting, betting * risk.betting_mode_release_factor, release, entry
