"""Everything the book says happened, one frozen fact each, and the requests it has for the shell.

Times are UTC nanoseconds, sizes base coin, money USDC. ``side`` is +1 (long, buy) or −1 (short, sell).
"""

from decimal import Decimal
from enum import StrEnum

from risk.inputs import HlAccount, MarginMode
from risk.record import record
from risk.settings import RoutingMode


class Source(StrEnum):
    """Name the counterparty of a position, fixed for its life: the route its order took."""

    INTERNAL = "INTERNAL"
    HYPERLIQUID = "HYPERLIQUID"


class RouteReason(StrEnum):
    """Say why an order took its route; forced reasons stand in their order of precedence (§1)."""

    SERVICE_LEVEL = "SERVICE_LEVEL"  # an operator sends every opening order to Hyperliquid (§10)
    NOT_WHITELISTED = "NOT_WHITELISTED"
    RESERVE_FLOOR = "RESERVE_FLOOR"
    DAILY_LOSS_BREAKER = "DAILY_LOSS_BREAKER"
    SYMBOL_EXPOSURE = "SYMBOL_EXPOSURE"
    TOTAL_EXPOSURE = "TOTAL_EXPOSURE"
    PRICE_RANGE = "PRICE_RANGE"
    CHANNEL_UNHEALTHY = "CHANNEL_UNHEALTHY"
    PRICE_SANITY = "PRICE_SANITY"
    HL_MODE = "HL_MODE"
    WITHIN_THRESHOLD = "WITHIN_THRESHOLD"
    OVER_THRESHOLD = "OVER_THRESHOLD"
    POSITION_SOURCE = "POSITION_SOURCE"  # a close follows its position


class FillAction(StrEnum):
    """Say what a fill did to its position."""

    OPEN = "OPEN"
    CLOSE = "CLOSE"
    LIQUIDATION = "LIQUIDATION"


class AlertLevel(StrEnum):
    """Grade an alert."""

    INFO = "INFO"
    ALERT = "ALERT"
    CRITICAL = "CRITICAL"
    P0 = "P0"


@record
class Transferred:
    """Money moved: ``entries`` are (account, signed amount) and sum to zero (§7)."""

    seq: int
    ts: int
    kind: str
    ref: str
    entries: tuple[tuple[str, Decimal], ...]


@record
class OrderRouted:
    """The routing record of one decision (§1); ``threshold`` is None where none was used."""

    order_id: str
    ts: int
    user: str
    symbol: str
    side: int
    notional: Decimal
    mode: RoutingMode
    threshold: Decimal | None
    route: Source
    reason: RouteReason


@record
class OrderRefused:
    """An order (or its remainder) was not taken; the balance is as before it."""

    order_id: str
    ts: int
    user: str
    symbol: str
    code: str
    detail: str


@record
class OrderRested:
    """An order waits, here (INTERNAL) or on Hyperliquid, with ``hold`` set aside."""

    order_id: str
    ts: int
    user: str
    symbol: str
    side: int
    size: Decimal
    price: Decimal
    where: Source
    hold: Decimal


@record
class OrderCancelled:
    """What was left of an order is gone: by its user, expiry, lack of margin, or unfilled at the venue."""

    order_id: str
    ts: int
    user: str
    symbol: str
    size_left: Decimal
    reason: str


@record
class OrderFilled:
    """One fill of a user: ``fee`` is all the user paid, ``hl_fill_price`` Hyperliquid's price for the same."""

    fill_id: int
    order_id: str
    position_id: int
    ts: int
    user: str
    symbol: str
    side: int
    price: Decimal
    size: Decimal
    fee: Decimal
    source: Source
    hl_fill_price: Decimal
    maker: bool
    action: FillAction
    pnl: Decimal
    mark: Decimal


@record
class PositionOpened:
    """A position came to be (or grew by a further fill of its own order)."""

    position_id: int
    ts: int
    user: str
    symbol: str
    side: int
    size: Decimal
    cost: Decimal
    leverage: int
    margin_mode: MarginMode
    source: Source
    margin: Decimal


@record
class PositionClosed:
    """A position was reduced by ``size``; ``size_left`` zero means it is gone."""

    position_id: int
    ts: int
    user: str
    symbol: str
    side: int
    size: Decimal
    size_left: Decimal
    price: Decimal
    pnl: Decimal
    source: Source
    liquidation: bool


@record
class PositionLiquidated:
    """The row of ``liquidations``: under water at ``trigger_price`` (mark), closed at ``close_price``.

    ``triggered_ns`` is when the mark that triggered it was received, ``ts`` when the close was booked.
    """

    position_id: int
    ts: int
    triggered_ns: int
    user: str
    symbol: str
    side: int
    size: Decimal
    notional: Decimal
    source: Source
    margin_mode: MarginMode
    trigger_price: Decimal
    close_price: Decimal
    margin_zeroed: Decimal
    pnl: Decimal
    bad_debt: Decimal


@record
class MarginChanged:
    """A user moved margin into (+) or out of (−) an isolated position."""

    position_id: int
    ts: int
    user: str
    amount: Decimal
    margin: Decimal


@record
class FundingAccrued:
    """A symbol's cumulative funding index moved to ``index`` (USDC per coin, paid by longs)."""

    ts: int
    symbol: str
    rate: Decimal
    oracle: Decimal
    index: Decimal


@record
class FundingSettled:
    """A position settled what its index had accrued (``payment`` > 0: the user paid)."""

    position_id: int
    ts: int
    user: str
    symbol: str
    payment: Decimal
    uncollected: Decimal
    source: Source


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


Event = (
    Transferred
    | OrderRouted
    | OrderRefused
    | OrderRested
    | OrderCancelled
    | OrderFilled
    | PositionOpened
    | PositionClosed
    | PositionLiquidated
    | MarginChanged
    | FundingAccrued
    | FundingSettled
    | RoutingModeChanged
    | RoutingModeRecommended
    | GuardChanged
    | AlertRaised
    | VenueOrderRequested
    | VenueCancelRequested
    | VenueFillBooked
    | HedgeTargetSet
    | DeviationLogged
    | VenueAccountAudited
    | HouseSnapshot
    | ExposureSnapshot
)
