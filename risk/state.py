"""The book's mutable state: positions, users, waiting orders, orders at the venue, and one record per symbol."""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from risk.errors import InvalidInput
from risk.events import Source
from risk.guards import PriceGuard, RangeGuard
from risk.inputs import HlAccount, MarginMode, OrderSubmitted
from risk.ledger import ZERO, order_holds, user_cash
from risk.market import SymbolSpec, SymbolView
from risk.settings import RoutingMode

SPLIT_SUFFIX = "/hl"  # of an order's id, for the part of it beyond the threshold


class Purpose(StrEnum):
    """Say what an order at the venue is for."""

    OPEN = "OPEN"
    CLOSE = "CLOSE"
    LIQUIDATION = "LIQUIDATION"
    HEDGE = "HEDGE"
    TAKEOVER = "TAKEOVER"  # Hyperliquid closes our own liquidated account


@dataclass(slots=True)
class Position:
    """One opening fill (or one receipt) and what is left of it; ``cost`` is Σ price × size of the rest."""

    position_id: int
    user: str
    symbol: str
    side: int
    size: Decimal
    cost: Decimal
    leverage: int
    margin_mode: MarginMode
    source: Source
    margin: Decimal  # posted on the isolated position, funding included; zero for cross
    funding_index: Decimal
    closing: Decimal = ZERO  # size on its way out at the venue
    partly_liquidated_ns: int | None = None
    retry_ns: int | None = None  # when a liquidation that Hyperliquid did not take is sent again

    @property
    def isolated(self) -> bool:
        """Tell whether the position stands on its own margin."""
        return self.margin_mode is MarginMode.ISOLATED

    @property
    def busy(self) -> bool:
        """Tell whether a close is at the venue, or waits to be sent there again."""
        return bool(self.closing) or self.retry_ns is not None

    def unrealised(self, mark: Decimal) -> Decimal:
        """Return price PnL at ``mark``, without funding."""
        return self.side * (mark * self.size - self.cost)

    def accrued(self, index: Decimal) -> Decimal:
        """Return the funding not yet settled at the symbol's ``index`` (+ the user owes it)."""
        return self.side * self.size * (index - self.funding_index)


@dataclass(slots=True)
class Order:
    """A user's order that waits: resting limit, take-profit or stop-loss (here or at the venue)."""

    seq: int  # order of arrival
    command: OrderSubmitted
    left: Decimal
    expires_ns: int
    hold: Decimal = ZERO
    cloid: str | None = None  # of the order at the venue, when it rests there


@dataclass(slots=True)
class VenueOrder:
    """An order of ours at Hyperliquid until it has ended; ``mark`` is the mark it was decided at."""

    cloid: str
    account: HlAccount
    purpose: Purpose
    symbol: str
    side: int
    size: Decimal
    mark: Decimal
    order_id: str
    user: str = ""
    position_id: int | None = None
    leverage: int = 1
    margin_mode: MarginMode = MarginMode.ISOLATED
    hold: Decimal = ZERO
    filled: Decimal = ZERO
    notional: Decimal = ZERO
    cost_closed: Decimal = ZERO
    bad_debt: Decimal = ZERO
    margin_zeroed: Decimal = ZERO
    cap_share: Decimal = ZERO
    keeps_margin: bool = False  # liquidates a first part only; what margin is left stays with the position
    triggered_ns: int = 0
    resting: bool = False
    cancel_sent: bool = False
    legs: list["VenueOrder"] = field(
        default_factory=list
    )  # of a close of several positions, in order of fill

    @property
    def left(self) -> Decimal:
        """Return the size not filled yet."""
        return self.size - self.filled

    @property
    def command_id(self) -> str:
        """Return the id of the user's order it is for: the second part of a split one has a suffix of its own."""
        return self.order_id.removesuffix(SPLIT_SUFFIX)


@dataclass(slots=True)
class CrossLeg:
    """Sum up a user's cross positions of one symbol: Σ side × (size, cost), Σ size, Σ side × size × index at entry.

    With them the scan learns an account's slack in a few operations per symbol, however many positions there are.
    """

    net_size: Decimal = ZERO
    gross_size: Decimal = ZERO
    net_cost: Decimal = ZERO
    net_indexed: Decimal = ZERO


@dataclass(slots=True)
class User:
    """One user's positions, by margin mode and by symbol, each in order of their ids, and waiting orders."""

    name: str
    cash_account: str
    holds_account: str
    isolated: dict[int, Position] = field(default_factory=dict)
    cross: dict[int, Position] = field(default_factory=dict)
    legs: dict[str, CrossLeg] = field(default_factory=dict)  # of the cross positions, by symbol
    by_symbol: dict[str, dict[int, Position]] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    in_flight: dict[str, VenueOrder] = field(default_factory=dict)
    liquidating: bool = False  # a cross liquidation has begun and the account is not healthy again
    cross_losses: list[tuple[Source, Decimal]] = field(default_factory=list)

    @classmethod
    def named(cls, name: str) -> "User":
        """Make an empty user."""
        return cls(name, user_cash(name), order_holds(name))

    def position(self, position_id: int) -> Position | None:
        """Find one of the user's positions."""
        return self.isolated.get(position_id) or self.cross.get(position_id)

    def open_on(self, symbol: str) -> list[Position]:
        """List the user's positions of a symbol, oldest first."""
        return list(self.by_symbol.get(symbol, {}).values())

    def enter(self, position: Position) -> None:
        """Add a new position."""
        (self.isolated if position.isolated else self.cross)[position.position_id] = position
        self.by_symbol.setdefault(position.symbol, {})[position.position_id] = position

    def add_to_leg(self, position: Position, size: Decimal, cost: Decimal) -> None:
        """Add ``size`` and ``cost`` (negative on a close) of a cross position to its symbol's sums."""
        leg = self.legs.get(position.symbol)
        if leg is None:
            leg = self.legs[position.symbol] = CrossLeg()
        signed = position.side * size
        leg.net_size += signed
        leg.gross_size += size
        leg.net_cost += position.side * cost
        leg.net_indexed += signed * position.funding_index
        if not leg.gross_size:
            del self.legs[position.symbol]

    def leave(self, position: Position) -> None:
        """Take out a closed position."""
        del (self.isolated if position.isolated else self.cross)[position.position_id]
        del self.by_symbol[position.symbol][position.position_id]


@dataclass(slots=True)
class SymbolState:
    """One symbol: its last valid view, guards, mode, sums over users' positions, and our hedge.

    ``net_size`` and ``net_cost`` are Σ side × (size, cost) of INTERNAL positions, ``hl_size`` and ``hl_cost``
    of HYPERLIQUID ones; ``*_indexed`` are Σ side × size × funding index at entry, so that funding not yet
    settled is one multiplication. ``house_size`` is kept apart, as the mirror the invariant compares with.
    """

    spec: SymbolSpec
    guard: PriceGuard
    range_guard: RangeGuard
    mode: RoutingMode
    view: SymbolView | None = None
    mark: Decimal = ZERO  # last valid
    mark_float: float = 0.0  # the same, for filters
    mark_seq: int = -1
    seen_ns: int = 0
    pinned: bool = False
    hedge_forced: bool = False  # the hedger sent it to HL_MODE
    edge: int = 0  # between which exposure edges it stands
    reviewed: int | None = None  # between which it stood when its mode was looked at; None: look again
    recommended: RoutingMode | None = None
    funding_index: Decimal = ZERO
    funding_pending: Decimal = ZERO  # published, and due at the end of the funding interval
    net_size: Decimal = ZERO
    net_cost: Decimal = ZERO
    net_indexed: Decimal = ZERO
    house_size: Decimal = ZERO
    hl_size: Decimal = ZERO
    hl_cost: Decimal = ZERO
    hl_indexed: Decimal = ZERO
    hl_funding_expected: Decimal = ZERO  # what Hyperliquid should book on the trading account next
    hedge_size: Decimal = ZERO
    hedge_cost: Decimal = ZERO  # signed, at decision marks
    hl_halted: bool = False  # a deviation over 5 % stopped new HL opens here
    exposure: Decimal = ZERO  # net_size × mark, signed
    exposure_float: float = 0.0  # the same, for filters
    unrealised: Decimal = ZERO  # users' INTERNAL

    def ready(self) -> SymbolView:
        """Return the last valid view; raise InvalidInput before the first."""
        if self.view is None:
            raise InvalidInput(f"{self.spec.symbol} has no price yet; wait for its first quote and mark")
        return self.view
