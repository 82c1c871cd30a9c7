"""What the books are asked without anything being done, and what they tell then.

Decimals go over the wire as text with every digit; times are UTC nanoseconds.
"""

from decimal import Decimal
from typing import Any, Protocol

import msgspec

from risk.inputs import OrderSubmitted


class View(msgspec.Struct, frozen=True, omit_defaults=True):
    """Be what the books tell; ``seq`` is the last input it follows from."""

    seq: int
    at: int


class PositionView(msgspec.Struct, frozen=True):
    """Show a position at mark; ``equity`` and ``margin_ratio`` of a cross one are the account's.

    At ``liquidation_price`` it is liquidated, other marks unchanged; None where no mark does that.
    """

    id: int
    symbol: str
    side: int
    size: Decimal
    entry_price: Decimal
    mark: Decimal
    notional: Decimal
    leverage: int
    margin_mode: str
    margin: Decimal
    maintenance: Decimal
    equity: Decimal
    margin_ratio: Decimal | None
    unrealised: Decimal
    funding_owed: Decimal
    liquidation_price: Decimal | None


class AccountView(View, frozen=True):
    """Show an account at the marks of now, in USDC; ``margin_ratio`` is cross equity / maintenance: liquidated at 1."""

    user: str
    cash: Decimal
    order_holds: Decimal
    withdrawals_pending: Decimal
    isolated_margin: Decimal
    total_balance: Decimal
    account_value: Decimal
    equity: Decimal
    free: Decimal
    withdrawable: Decimal
    initial_margin: Decimal
    maintenance: Decimal
    margin_ratio: Decimal | None
    positions: tuple[PositionView, ...]


class PreviewView(View, frozen=True):
    """Show what an order would do now.

    ``status``, ``code`` and ``detail`` are those of the answer it would get. The estimates are of all of it
    that would trade, what rests at its limit: ``size``, the mean ``price``, ``fee`` (of what it opens where that
    costs most, lest it tells the route), ``pnl`` of what it closes, ``initial_margin`` of what it opens, then
    the account's ``free`` and the ``liquidation_price`` that comes first of the positions it opened.
    """

    status: str
    code: str
    detail: str
    resting: bool
    size: Decimal
    price: Decimal | None
    fee: Decimal
    pnl: Decimal
    initial_margin: Decimal
    liquidation_price: Decimal | None
    free: Decimal


class SymbolMarket(msgspec.Struct, frozen=True):
    """Show a symbol and its market; prices are None before the first, the rate is of the last funding.

    ``tiers`` are (lower bound of notional, highest leverage).
    """

    symbol: str
    mark: Decimal | None
    bid: Decimal | None
    ask: Decimal | None
    oracle: Decimal | None
    funding_rate: Decimal | None
    max_leverage: int
    tiers: tuple[tuple[Decimal, int], ...]
    lot: Decimal
    size_decimals: int
    price_decimals: int
    min_notional: Decimal


class MarketView(View, frozen=True):
    """Show the market of the symbols asked for."""

    symbols: tuple[SymbolMarket, ...]


class SymbolHouse(msgspec.Struct, frozen=True):
    """Show where the house stands in a symbol: ``net_exposure`` is the users' INTERNAL one in USDC, signed."""

    symbol: str
    mode: str
    pinned: bool
    whitelisted: bool
    auto_switch: bool
    normal_threshold: Decimal
    betting_threshold: Decimal
    hl_mode_exposure_threshold: Decimal
    betting_mode_exposure_threshold: Decimal
    mark: Decimal
    net_size: Decimal
    net_exposure: Decimal
    hl_size: Decimal
    hedge_size: Decimal
    hedge_cost: Decimal
    hl_halted: bool
    quarantined: bool


class HouseView(View, frozen=True):
    """Show the house at the marks its rules last took: what would be left of it, its reserve, and what is stopped."""

    reserve: Decimal
    reserve_level: str
    solvency: Decimal
    users_open: Decimal
    total_exposure: Decimal
    daily_loss: Decimal
    breaker_open: bool
    hl_halted: bool
    halted: str | None
    service_level: int
    symbols: tuple[SymbolHouse, ...]


class Query[V](Protocol):
    """Ask the books for a view of one kind."""

    def _gives(self) -> V: ...


class AccountQuery(msgspec.Struct, frozen=True):
    """Ask for a user's account."""

    user: str

    def _gives(self) -> AccountView: ...  # type: ignore[empty-body]


class PreviewQuery(msgspec.Struct, frozen=True):
    """Ask what an order would do; its time and id are not looked at."""

    order: OrderSubmitted

    def _gives(self) -> PreviewView: ...  # type: ignore[empty-body]


class MarketQuery(msgspec.Struct, frozen=True):
    """Ask for the market of ``symbols``, of all without any."""

    symbols: tuple[str, ...] = ()

    def _gives(self) -> MarketView: ...  # type: ignore[empty-body]


class HouseQuery(msgspec.Struct, frozen=True):
    """Ask where the house stands."""

    def _gives(self) -> HouseView: ...  # type: ignore[empty-body]


AnyQuery = AccountQuery | PreviewQuery | MarketQuery | HouseQuery
VIEWS: dict[type, type[View]] = {
    AccountQuery: AccountView,
    PreviewQuery: PreviewView,
    MarketQuery: MarketView,
    HouseQuery: HouseView,
}
QUERIES: dict[str, Any] = {kind.__name__: kind for kind in VIEWS}
