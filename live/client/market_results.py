"""What the server tells at the marks of now: markets, the account, what an order would do."""

from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec

from live.client.results import MarginMode


class Tier(msgspec.Struct, frozen=True):
    """Be a step of a margin table: from ``from_notional`` on a position may have that leverage at most."""

    from_notional: Decimal
    max_leverage: int


class Market(msgspec.Struct, frozen=True):
    """Be a symbol with its rules and its market; prices are None before the first one came."""

    symbol: str
    mark: Decimal | None
    bid: Decimal | None
    ask: Decimal | None
    oracle: Decimal | None
    funding_rate: Decimal | None
    max_leverage: int
    tiers: tuple[Tier, ...]
    lot: Decimal
    size_decimals: int
    price_decimals: int
    min_notional: Decimal


class Markets(msgspec.Struct, frozen=True):
    """Be all symbols at a moment."""

    at: datetime
    symbols: tuple[Market, ...]


class AccountPosition(msgspec.Struct, frozen=True):
    """Be an open position at mark; ``equity`` and ``margin_ratio`` of a cross one are the account's."""

    position_id: int
    symbol: str
    direction: Literal["LONG", "SHORT"]
    size: Decimal
    entry_price: Decimal
    mark: Decimal
    notional: Decimal
    leverage: int
    margin_mode: MarginMode
    margin: Decimal
    maintenance: Decimal
    equity: Decimal
    margin_ratio: Decimal | None
    unrealised_pnl: Decimal
    funding_owed: Decimal
    liquidation_price: Decimal | None


class Account(msgspec.Struct, frozen=True):
    """Be an account at mark, USDC; ``margin_ratio`` is equity / maintenance: cross positions are liquidated at 1."""

    total_balance: Decimal
    cash: Decimal
    order_holds: Decimal
    isolated_margin: Decimal
    withdrawals_pending: Decimal
    account_value: Decimal
    equity: Decimal
    free: Decimal
    withdrawable: Decimal
    initial_margin: Decimal
    maintenance: Decimal
    margin_ratio: Decimal | None
    positions: tuple[AccountPosition, ...]
    at: datetime
    seq: int


class Preview(msgspec.Struct, frozen=True):
    """Be what an order would do now; estimates are of all of it that would trade, what rests at its limit."""

    accepted: bool
    code: str | None
    detail: str | None
    resting: bool
    size: Decimal
    price: Decimal | None
    fee: Decimal
    pnl: Decimal
    initial_margin: Decimal
    liquidation_price: Decimal | None
    free: Decimal
    at: datetime
    seq: int
