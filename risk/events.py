"""Everything the book says happened, one frozen fact each: here to users' orders, positions and money.

What the house did, and its requests for the shell, are in ``risk.house_events``; ``Event`` is any of all.

Times are UTC nanoseconds, sizes base coin, money USDC. ``side`` is +1 (long, buy) or −1 (short, sell).
"""

from decimal import Decimal
from enum import StrEnum

from risk.house_events import (
    AlertRaised,
    DeviationLogged,
    ExposureSnapshot,
    GuardChanged,
    HedgeTargetSet,
    HouseSnapshot,
    RoutingModeChanged,
    RoutingModeRecommended,
    VenueAccountAudited,
    VenueCancelRequested,
    VenueFillBooked,
    VenueOrderRequested,
)
from risk.inputs import MarginMode
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
