"""The rows of the books, a NamedTuple per table: its fields are the table's columns, in any order but these names.

The writer and the checks take column names and types from here. ``Moment`` is UTC nanoseconds in a column
of microseconds; arrays are tuples.
"""

from decimal import Decimal
from typing import NamedTuple, NewType

Moment = NewType("Moment", int)


class InputRow(NamedTuple):
    seq: int
    ts: int
    kind: str
    idempotency_key: str | None
    body: str
    link: bytes


class IdempotencyRow(NamedTuple):
    key: str
    request: bytes
    answer: str
    seq: int
    created_at: Moment


class JournalRow(NamedTuple):
    id: int
    kind: str
    ref_id: str
    accounts: tuple[str, ...]
    amounts: tuple[Decimal, ...]
    seq: int
    ts: int


class HouseAccountRow(NamedTuple):
    account: str
    balance: Decimal


class UserRow(NamedTuple):
    id: str
    email: str | None
    wallet_address: str | None
    kyc_status: str
    seq: int
    created_at: Moment


class WalletRow(NamedTuple):
    user_id: str
    total_balance: Decimal
    available_balance: Decimal
    frozen_margin: Decimal
    cash: Decimal
    order_holds: Decimal
    isolated_margin: Decimal
    withdrawals_pending: Decimal
    updated_seq: int


class BalanceLogRow(NamedTuple):
    id: int
    user_id: str
    type: str
    amount: Decimal
    before: Decimal
    after: Decimal
    ref_id: str
    journal_id: int
    seq: int
    ts: int


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


class DepositRow(NamedTuple):
    id: str
    user_id: str
    chain: str
    asset: str
    amount: Decimal
    tx_hash: str
    status: str
    confirmations: int
    seq: int
    created_at: Moment
    updated_at: Moment
    reason: str | None


class WithdrawalRow(NamedTuple):
    id: str
    user_id: str
    chain: str
    asset: str
    amount: Decimal
    address: str
    status: str
    tx_hash: str | None
    processed_at: Moment | None
    fee: Decimal
    reason: str | None
    seq: int
    created_at: Moment
    updated_seq: int
    tier: str | None = None
    approvals_needed: tuple[str, ...] = ()
    approvals_given: tuple[str, ...] = ()
    review_reasons: tuple[str, ...] = ()
    confirmed_at: Moment | None = None
    approved_at: Moment | None = None
    queued_at: Moment | None = None
    sending_at: Moment | None = None
    refused_by: str | None = None
    passed: tuple[str, ...] = ()  # STATUS:ns of every state so far


class HotWalletRow(NamedTuple):
    id: str
    chain: str
    address: str
    balance: Decimal
    last_updated: Moment
    seq: int


class ServiceLevelRow(NamedTuple):
    id: int
    level: int
    previous: int
    operator_id: str
    reason: str
    seq: int
    created_at: Moment


class SymbolModeRow(NamedTuple):
    symbol: str
    mode: str
    pinned: bool
    updated_by: str
    seq: int
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


class RoutingConfigRow(NamedTuple):
    symbol: str
    routing_mode: str
    normal_threshold: Decimal
    betting_threshold: Decimal
    hl_mode_exposure_threshold: Decimal
    betting_mode_exposure_threshold: Decimal
    auto_switch_enabled: bool
    updated_at: Moment
    internal_whitelisted: bool
    updated_by: str


class RoutingModeLogRow(NamedTuple):
    id: int
    symbol: str
    from_mode: str
    to_mode: str
    trigger: str
    operator_id: str
    net_exposure_at_switch: Decimal
    created_at: Moment
    seq: int
    pinned: bool


class RiskConfigRow(NamedTuple):
    key: str
    value: str
    updated_by: str
    updated_at: Moment


class ReconciliationRow(NamedTuple):
    id: int
    dimension: str
    expected: Decimal
    actual: Decimal
    deviation_rate: Decimal
    status: str
    seq: int
    created_at: Moment


class AlertRow(NamedTuple):
    id: int
    level: str
    code: str
    symbol: str
    value: Decimal
    detail: str
    seq: int
    created_at: Moment


class BookEventRow(NamedTuple):
    id: int
    kind: str
    body: str
    seq: int
    ts: int


class AuditRow(NamedTuple):
    """What ``append_audit`` is called with; the database gives the id and the link."""

    actor: str
    action: str
    subject: str
    detail: str
    seq: int
    ts: int


# Append-only tables by row; every row of the others replaces the one of its key.
APPENDED: dict[type, str] = {
    InputRow: "input_journal",
    IdempotencyRow: "idempotency_keys",
    JournalRow: "journal",
    BalanceLogRow: "balance_logs",
    FillRow: "fills",
    LiquidationRow: "liquidations",
    FundingSettlementRow: "funding_settlements",
    DeviationRow: "deviation_logs",
    RoutingRecordRow: "routing_records",
    RoutingModeLogRow: "routing_mode_logs",
    ServiceLevelRow: "service_levels",
    ReconciliationRow: "reconciliation_logs",
    AlertRow: "alerts",
    BookEventRow: "book_events",
}
REPLACED: dict[type, str] = {
    HouseAccountRow: "house_accounts",
    UserRow: "users",
    WalletRow: "wallets",
    OrderRow: "orders",
    PositionRow: "positions",
    HedgePositionRow: "hedge_positions",
    VenueOrderRow: "venue_orders",
    DepositRow: "deposits",
    WithdrawalRow: "withdrawals",
    HotWalletRow: "hot_wallets",
    SymbolModeRow: "symbol_modes",
    RoutingConfigRow: "routing_config",
    RiskConfigRow: "risk_config",
}
TABLES = APPENDED | REPLACED
