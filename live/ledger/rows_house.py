"""How the house stands and what it watches: modes, settings, service levels, reconciliations, alerts."""

from decimal import Decimal
from typing import NamedTuple

from live.ledger.rows import Moment


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
