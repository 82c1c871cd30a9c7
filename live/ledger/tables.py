"""Every table of the books by the row it is written with; writer and checks take columns and types from these."""

from live.ledger.rows import BookEventRow, IdempotencyRow, InputRow
from live.ledger.rows_house import (
    AlertRow,
    ReconciliationRow,
    RiskConfigRow,
    RoutingConfigRow,
    RoutingModeLogRow,
    ServiceLevelRow,
    SymbolModeRow,
)
from live.ledger.rows_money import BalanceLogRow, HouseAccountRow, JournalRow, WalletRow
from live.ledger.rows_trading import (
    DeviationRow,
    FillRow,
    FundingSettlementRow,
    HedgePositionRow,
    LiquidationRow,
    OrderRow,
    PositionRow,
    RoutingRecordRow,
    VenueOrderRow,
)
from live.ledger.rows_users import DepositRow, HotWalletRow, UserRow, WithdrawalRow

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
