"""Orders, positions, fills and what became of them, here and at Hyperliquid."""

from decimal import Decimal
from typing import NamedTuple

from live.ledger.rows import Moment


class OrderRow(NamedTuple):
    id: str
    user_id: str
    symbol: str
    side: str
    size: Decimal | None
    price: Decimal | None
    route: str | None
    status: str
    type: str
    leverage: int
    margin_mode: str
    reduce_only: bool
    position_id: int | None
    filled_size: Decimal
    reason: str | None
    seq: int
    created_at: Moment
    updated_at: Moment
    updated_seq: int


class PositionRow(NamedTuple):
    id: int
    user_id: str
    symbol: str
    direction: str
    size: Decimal
    entry_price: Decimal
    margin_mode: str
    position_source: str
    status: str
    leverage: int
    margin: Decimal
    cost: Decimal
    funding_index: Decimal
    order_id: str
    seq: int
    opened_at: Moment
    updated_at: Moment
    updated_seq: int


class FillRow(NamedTuple):
    id: int
    order_id: str
    price: Decimal
    size: Decimal
    fee: Decimal
    source: str
    hl_fill_price: Decimal
    position_id: int
    user_id: str
    symbol: str
    side: str
    action: str
    maker: bool
    pnl: Decimal
    mark: Decimal
    seq: int
    created_at: Moment


class LiquidationRow(NamedTuple):
    id: int
    position_id: int
    user_id: str
    trigger_price: Decimal
    close_price: Decimal
    margin_zeroed: Decimal
    symbol: str
    size: Decimal
    source: str
    margin_mode: str
    pnl: Decimal
    bad_debt: Decimal
    seq: int
    triggered_at: Moment
    created_at: Moment


class FundingSettlementRow(NamedTuple):
    id: int
    position_id: int
    rate: Decimal
    payment: Decimal
    settled_at: Moment
    user_id: str
    symbol: str
    uncollected: Decimal
    source: str
    seq: int


class DeviationRow(NamedTuple):
    id: int
    position_id: int
    xbit_pnl: Decimal
    hl_actual_pnl: Decimal
    deviation: Decimal
    deviation_rate: Decimal
    resolved_at: Moment | None
    symbol: str
    grade: str
    seq: int
    created_at: Moment


class HedgePositionRow(NamedTuple):
    id: int
    symbol: str
    direction: str
    size: Decimal
    entry_price: Decimal
    hl_position_id: str
    seq: int
    updated_at: Moment


class VenueOrderRow(NamedTuple):
    cloid: str
    account: str
    symbol: str
    side: str
    size: Decimal
    limit_price: Decimal
    resting: bool
    order_id: str
    mark: Decimal
    status: str
    seq: int
    requested_at: Moment
    updated_at: Moment


class RoutingRecordRow(NamedTuple):
    id: int
    order_id: str
    user_id: str
    symbol: str
    side: str
    notional: Decimal
    mode: str
    threshold: Decimal | None
    route: str
    reason: str
    latency_ns: int
    seq: int
    ts: int
    digest: bytes
