"""What the house decided, sent and saw: modes, guards, alerts, its orders at Hyperliquid, hedges, snapshots.

Units as in ``risk.events``, whose ``Event`` is any of these too.
"""

from decimal import Decimal
from enum import StrEnum

from risk.inputs import HlAccount
from risk.record import record
from risk.settings import RoutingMode


class AlertLevel(StrEnum):
    """Grade an alert."""

    INFO = "INFO"
    ALERT = "ALERT"
    CRITICAL = "CRITICAL"
    P0 = "P0"


@record
class RoutingModeChanged:
    """The row of ``routing_mode_logs``; ``trigger`` is MANUAL or AUTO."""

    ts: int
    symbol: str
    from_mode: RoutingMode
    to_mode: RoutingMode
    trigger: str
    operator_id: str
    net_exposure_at_switch: Decimal


@record
class RoutingModeRecommended:
    """Auto-switch is off or pinned, and would have changed the mode."""

    ts: int
    symbol: str
    from_mode: RoutingMode
    to_mode: RoutingMode
    net_exposure: Decimal


@record
class GuardChanged:
    """A guard of the house opened or closed; ``symbol`` is empty for house-wide ones.

    ``guard``: RESERVE, DAILY_LOSS_BREAKER, PRICE_RANGE, PRICE_SANITY, CHANNEL, HL_HALT.
    """

    ts: int
    guard: str
    symbol: str
    state: str
    value: Decimal


@record
class AlertRaised:
    """Something an operator must know; P0 ones are those of rulebook §9."""

    ts: int
    level: AlertLevel
    code: str
    symbol: str
    value: Decimal
    detail: str


@record
class VenueOrderRequested:
    """Request: send this order to Hyperliquid on that account.

    ``resting`` False is an immediate-or-cancel order with the slippage cap in ``limit_price``; True rests at it.
    """

    cloid: str
    ts: int
    account: HlAccount
    symbol: str
    side: int
    size: Decimal
    limit_price: Decimal
    resting: bool
    order_id: str
    mark: Decimal


@record
class VenueCancelRequested:
    """Request: cancel this order at Hyperliquid."""

    cloid: str
    ts: int
    account: HlAccount
    symbol: str


@record
class VenueFillBooked:
    """A fill on one of our own accounts, as booked; ``slippage`` against the mark at decision (+ is a cost)."""

    cloid: str
    ts: int
    account: HlAccount
    symbol: str
    side: int
    size: Decimal
    price: Decimal
    fee: Decimal
    slippage: Decimal
    pnl: Decimal


@record
class HedgeTargetSet:
    """The hedger decided: users' net exposure, the share to hedge, what stands and what is sent (signed sizes)."""

    ts: int
    symbol: str
    net_exposure: Decimal
    ratio: Decimal
    target_size: Decimal
    current_size: Decimal
    order_size: Decimal
    leverage: int


@record
class DeviationLogged:
    """The row of ``deviation_logs`` (§3); ``grade`` is LOGGED, ALERT or CRITICAL."""

    position_id: int
    ts: int
    symbol: str
    xbit_pnl: Decimal
    hl_actual_pnl: Decimal
    deviation: Decimal
    deviation_rate: Decimal
    grade: str


@record
class VenueAccountAudited:
    """Hyperliquid liquidated our account: one row per affected user, for audit (§4)."""

    ts: int
    account: HlAccount
    user: str
    position_id: int
    symbol: str
    size: Decimal


@record
class HouseSnapshot:
    """The house at one moment; margin ratios are None without maintenance. Balances in journal signs (§7)."""

    ts: int
    platform_capital: Decimal
    hl_capital: Decimal
    platform_profit: Decimal
    risk_reserve: Decimal
    fee_income: Decimal
    builder_income: Decimal
    funding_income: Decimal
    hedge_cost: Decimal
    deviation: Decimal
    bad_debt_turnover: Decimal
    house_unrealised: Decimal
    hedge_unrealised: Decimal
    solvency: Decimal
    daily_loss: Decimal
    total_exposure: Decimal
    trading_equity: Decimal
    trading_ratio: Decimal | None
    hedge_equity: Decimal
    hedge_ratio: Decimal | None
    user_assets: Decimal


@record
class ExposureSnapshot:
    """One symbol's exposure at one moment (signed sizes; notionals at mark)."""

    ts: int
    symbol: str
    mark: Decimal
    mode: RoutingMode
    net_size: Decimal
    net_exposure: Decimal
    hedge_size: Decimal
    hedge_notional: Decimal
    hl_users_size: Decimal
