"""Everything that can happen to the book, one frozen fact each; every one carries its time in UTC nanoseconds."""

from decimal import Decimal
from enum import StrEnum

from risk.market import SymbolView
from risk.record import record
from risk.settings import RiskConfig, RoutingConfig, RoutingMode


class OrderType(StrEnum):
    """Name the order types a user may send (§2)."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    TAKE_PROFIT = "TAKE_PROFIT"
    STOP_LOSS = "STOP_LOSS"


class MarginMode(StrEnum):
    """Name the two margin modes."""

    ISOLATED = "ISOLATED"
    CROSS = "CROSS"


class HlAccount(StrEnum):
    """Name our two Hyperliquid accounts."""

    TRADING = "TRADING"
    HEDGE = "HEDGE"


@record
class MarketUpdated:
    """The market moved: the views that changed since the last input."""

    ts: int
    views: tuple[SymbolView, ...]


@record
class ChannelReported:
    """The shell measured the HL channel: connected or not, and its last round trip."""

    ts: int
    connected: bool
    round_trip_ns: int = 0


@record
class TimerFired:
    """The time ``Book.next_timer_ns`` asked for has come."""

    ts: int


@record
class SnapshotRequested:
    """Someone wants the house's state recorded as events; nothing else follows."""

    ts: int


@record
class DepositCredited:
    """A user's money arrived in custody; ``label`` tells a real deposit from an opening balance."""

    ts: int
    user: str
    amount: Decimal
    ref: str
    label: str = "DEPOSIT"


@record
class WithdrawalSubmitted:
    """A user asks for money out; ``amount`` leaves the balance now, ``fee`` on top of it."""

    ts: int
    withdrawal_id: str
    user: str
    amount: Decimal
    fee: Decimal = Decimal(0)


@record
class WithdrawalEnded:
    """A pending withdrawal left custody (``sent``) or was refused: then it returns to the user, and its fee with it."""

    ts: int
    withdrawal_id: str
    sent: bool


@record
class OrderSubmitted:
    """A user's order.

    ``side`` is +1 buy, −1 sell; ``size`` in base coin. ``limit_price`` belongs to LIMIT, ``trigger_price``
    to TAKE_PROFIT and STOP_LOSS (both reduce only). ``reduce_only`` closes the user's opposite positions,
    oldest first, and never opens. ``netted`` (importers of netted flow) does the same and then opens the
    remainder. ``position_id`` closes that position, in whole (``size`` None) or in part.
    """

    ts: int
    order_id: str
    user: str
    symbol: str
    side: int
    size: Decimal | None
    type: OrderType = OrderType.MARKET
    limit_price: Decimal | None = None
    trigger_price: Decimal | None = None
    leverage: int = 1
    margin_mode: MarginMode = MarginMode.ISOLATED
    reduce_only: bool = False
    netted: bool = False
    position_id: int | None = None


@record
class CancelSubmitted:
    """A user withdraws a resting order."""

    ts: int
    order_id: str
    user: str


@record
class MarginAdjusted:
    """A user adds (+) or removes (−) margin of an isolated position."""

    ts: int
    user: str
    position_id: int
    amount: Decimal


@record
class FundingPublished:
    """Hyperliquid settled funding of a symbol: longs pay size × oracle × rate."""

    ts: int
    symbol: str
    rate: Decimal
    oracle: Decimal


@record
class FundingBooked:
    """Hyperliquid booked funding on one of our accounts (+ received, − paid)."""

    ts: int
    account: HlAccount
    symbol: str
    amount: Decimal


@record
class FundingCorrected:
    """A rate published for ``symbol`` was corrected; ``delta_rate`` = right − published, at that oracle.

    It applies to the positions open now; the reserve absorbs what users paid too little.
    """

    ts: int
    symbol: str
    delta_rate: Decimal
    oracle: Decimal


@record
class VenueFilled:
    """Hyperliquid filled (part of) an order of ours; ``fee`` is its real fee in USDC."""

    ts: int
    cloid: str
    price: Decimal
    size: Decimal
    fee: Decimal
    maker: bool = False


@record
class VenueOrderEnded:
    """An order of ours is done at the venue; ``refused`` says it was rejected rather than filled or cancelled."""

    ts: int
    cloid: str
    refused: bool = False
    reason: str = ""


@record
class VenueAccountLiquidated:
    """Hyperliquid took over one of our accounts at these marks (it never should)."""

    ts: int
    account: HlAccount


@record
class VenuePositionsReported:
    """Hyperliquid says what stands on one of our accounts: (symbol, signed size); symbols left out have none."""

    ts: int
    account: HlAccount
    positions: tuple[tuple[str, Decimal], ...]


@record
class HlHaltLifted:
    """An operator lets HL opens of a symbol go on after a deviation had stopped them."""

    ts: int
    symbol: str
    operator_id: str
    reason: str = ""


@record
class RoutingModeSet:
    """An operator pins a symbol's mode, or releases the pin (``mode`` None)."""

    ts: int
    symbol: str
    mode: RoutingMode | None
    operator_id: str
    reason: str = ""


@record
class Approval:
    """A second operator approved what the first had proposed: ``proposal`` is its number."""

    proposal: int
    approver_id: str


@record
class ConfigChanged:
    """An operator changed a routing row (``symbol`` set) or the risk config; ``approval`` is where two were needed."""

    ts: int
    operator_id: str
    symbol: str | None = None
    routing: RoutingConfig | None = None
    risk: RiskConfig | None = None
    reason: str = ""
    approval: Approval | None = None


@record
class ServiceLevelSet:
    """An operator degrades the service or restores it (§10).

    0: normal. 1: opening orders go to HYPERLIQUID. 2: users close, cancel, add margin and withdraw only. 3: no
    command of a user is taken. A switch with ``before`` is one from that level alone.
    """

    ts: int
    level: int
    operator_id: str
    reason: str
    before: int | None = None


@record
class BalanceAdjusted:
    """Two operators correct a user's cash by ``amount`` (+ from platform capital, − to it), for ``reason`` (§8).

    ``operator_id`` proposed it, and another one gave the ``approval``.
    """

    ts: int
    adjustment_id: str
    user: str
    amount: Decimal
    reason: str
    operator_id: str
    approval: Approval


Input = (
    MarketUpdated
    | ChannelReported
    | TimerFired
    | SnapshotRequested
    | DepositCredited
    | WithdrawalSubmitted
    | WithdrawalEnded
    | OrderSubmitted
    | CancelSubmitted
    | MarginAdjusted
    | FundingPublished
    | FundingBooked
    | FundingCorrected
    | VenueFilled
    | VenueOrderEnded
    | VenueAccountLiquidated
    | VenuePositionsReported
    | HlHaltLifted
    | RoutingModeSet
    | ConfigChanged
    | ServiceLevelSet
    | BalanceAdjusted
)
