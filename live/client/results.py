"""What the server tells of trading: decimals with every digit, times in UTC; ``seq`` counts the books' inputs."""

from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec

Side = Literal["BUY", "SELL"]
OrderType = Literal["MARKET", "LIMIT", "TAKE_PROFIT", "STOP_LOSS"]
OrderStatus = Literal["PENDING", "RESTING", "PARTIALLY_FILLED", "FILLED", "CANCELLED", "EXPIRED", "REFUSED"]
MarginMode = Literal["ISOLATED", "CROSS"]
Source = Literal["INTERNAL", "HYPERLIQUID"]


class NewFill(msgspec.Struct, frozen=True):
    """Be a fill that an order had at once; ``hl_reference_price`` is what Hyperliquid's price was."""

    fill_id: int
    position_id: int
    price: Decimal
    size: Decimal
    fee: Decimal
    pnl: Decimal
    source: Source
    hl_reference_price: Decimal


class Placed(msgspec.Struct, frozen=True):
    """Say what became of an order at once; ``code`` and ``detail`` tell why a part of it was refused or ended."""

    order_id: str
    seq: int
    resting: bool
    code: str | None
    detail: str | None
    fills: tuple[NewFill, ...]


class Cancelled(msgspec.Struct, frozen=True):
    """Say that an order was cancelled, or that Hyperliquid was asked to."""

    order_id: str
    seq: int


class CancelledOne(msgspec.Struct, frozen=True):
    """Say of one of several orders whether it was cancelled; ``code`` why not."""

    order_id: str
    done: bool
    code: str | None


class CancelledAll(msgspec.Struct, frozen=True):
    """Say what became of the orders that waited at input ``seq``."""

    seq: int
    orders: tuple[CancelledOne, ...]


class MarginMoved(msgspec.Struct, frozen=True):
    """Say that margin was moved."""

    position_id: int
    seq: int


class Fill(msgspec.Struct, frozen=True):
    """Be one fill; ``fee`` is all that was paid for it, ``pnl`` what a close realised before fees."""

    fill_id: int
    order_id: str
    position_id: int
    symbol: str
    side: Side
    action: Literal["OPEN", "CLOSE", "LIQUIDATION"]
    price: Decimal
    size: Decimal
    fee: Decimal
    pnl: Decimal
    maker: bool
    source: Source
    hl_reference_price: Decimal
    mark: Decimal
    created_at: datetime
    seq: int


class Order(msgspec.Struct, frozen=True):
    """Be an order as it stands; ``price`` is its limit or its trigger."""

    order_id: str
    symbol: str
    side: Side
    type: OrderType
    size: Decimal | None
    price: Decimal | None
    leverage: int
    margin_mode: MarginMode
    reduce_only: bool
    position_id: int | None
    filled_size: Decimal
    status: OrderStatus
    reason: str | None
    created_at: datetime
    updated_at: datetime
    seq: int


class OrderWithFills(Order, frozen=True):
    """Be an order and its fills, newest first."""

    fills: tuple[Fill, ...]


class Position(msgspec.Struct, frozen=True):
    """Be a position as the books have it; what it is worth at mark stands in the account."""

    position_id: int
    symbol: str
    direction: Literal["LONG", "SHORT"]
    size: Decimal
    entry_price: Decimal
    cost: Decimal
    leverage: int
    margin_mode: MarginMode
    margin: Decimal
    source: Source
    status: Literal["OPEN", "CLOSED", "LIQUIDATED"]
    order_id: str
    opened_at: datetime
    updated_at: datetime
    seq: int


class Funding(msgspec.Struct, frozen=True):
    """Be one payment of funding; above 0 the user paid."""

    id: int
    position_id: int
    symbol: str
    rate: Decimal
    payment: Decimal
    uncollected: Decimal
    source: Source
    settled_at: datetime
    seq: int


class Liquidation(msgspec.Struct, frozen=True):
    """Be one liquidation: triggered at a mark, closed at a price."""

    liquidation_id: int
    position_id: int
    symbol: str
    size: Decimal
    margin_mode: MarginMode
    source: Source
    trigger_price: Decimal
    close_price: Decimal
    margin_zeroed: Decimal
    pnl: Decimal
    triggered_at: datetime
    created_at: datetime
    seq: int


class BalanceChange(msgspec.Struct, frozen=True):
    """Be one change of the total balance: ``before`` + ``amount`` = ``after``."""

    id: int
    type: str
    amount: Decimal
    before: Decimal
    after: Decimal
    ref: str
    at: datetime
    seq: int


class Balance(msgspec.Struct, frozen=True):
    """Be a balance, free of marks: total_balance = cash + isolated_margin + order_holds."""

    total_balance: Decimal
    available_balance: Decimal
    frozen_margin: Decimal
    cash: Decimal
    order_holds: Decimal
    isolated_margin: Decimal
    withdrawals_pending: Decimal
    seq: int
