"""What the house decided, as rows: routing, settings, its orders at Hyperliquid, alerts, reconciliation."""

from dataclasses import dataclass, field, fields
from decimal import Decimal

from live.ledger.batch import Batch
from live.ledger.codec import plain
from live.ledger.hashing import row_digest
from live.ledger.inputs import ReconciliationDone
from live.ledger.project_orders import SIDES
from live.ledger.project_trading import DIRECTIONS
from live.ledger.rows import BookEventRow, Moment
from live.ledger.rows_house import (
    AlertRow,
    ReconciliationRow,
    RiskConfigRow,
    RoutingConfigRow,
    RoutingModeLogRow,
    ServiceLevelRow,
    SymbolModeRow,
)
from live.ledger.rows_trading import DeviationRow, HedgePositionRow, RoutingRecordRow, VenueOrderRow
from risk.book import Book
from risk.events import Event, OrderRouted
from risk.house_events import (
    AlertLevel,
    AlertRaised,
    DeviationLogged,
    RoutingModeChanged,
    VenueCancelRequested,
    VenueOrderRequested,
)
from risk.inputs import RoutingModeSet, ServiceLevelSet
from risk.ledger import ZERO
from risk.settings import RiskConfig, RoutingConfig


@dataclass(slots=True)
class HouseState:
    """Hold the rows that can still change, and the last id of each table."""

    venue_orders: dict[str, VenueOrderRow] = field(default_factory=dict)
    hedges: dict[str, HedgePositionRow] = field(default_factory=dict)
    risk: RiskConfig | None = None
    routing: dict[str, RoutingConfig] = field(default_factory=dict)
    modes: dict[str, SymbolModeRow] = field(default_factory=dict)
    service_level: int = 0
    ids: dict[str, int] = field(default_factory=dict)

    def next_id(self, table: str) -> int:
        """Give a table's next id."""
        found = self.ids[table] = self.ids.get(table, 0) + 1
        return found


class HouseProjection:
    """Turn the house's events and settings into rows."""

    def __init__(self, state: HouseState, book: Book) -> None:
        self.state = state
        self._book = book

    # -- events

    def routed(self, batch: Batch, seq: int, event: OrderRouted, latency_ns: int) -> None:
        """Add the routing record of one decision, with its digest."""
        known = (
            self.state.next_id("routing_records"),
            event.order_id,
            event.user,
            event.symbol,
            SIDES[event.side],
            event.notional,
            event.mode,
            event.threshold,
            event.route,
            event.reason,
            latency_ns,
            seq,
            event.ts,
        )
        batch.append(RoutingRecordRow(*known, row_digest(known)))

    def mode_changed(self, batch: Batch, seq: int, event: RoutingModeChanged) -> None:
        """Add a row of routing_mode_logs, and set the symbol's mode."""
        change = event.from_mode, event.to_mode, event.trigger, event.operator_id
        self._log_mode(batch, seq, event.ts, event.symbol, *change, event.net_exposure_at_switch)

    def pin_set(self, batch: Batch, seq: int, given: RoutingModeSet) -> None:
        """Tell of a pin that is set or released while the mode stays; a mode that changes with it has its own row."""
        row = self.state.modes[given.symbol]
        if row.pinned if given.mode is None else not row.pinned and given.mode == row.mode:
            change = row.mode, row.mode, "MANUAL", given.operator_id
            exposure = self._book.mode(given.symbol)[2]
            self._log_mode(batch, seq, given.ts, given.symbol, *change, exposure)

    def _log_mode(
        self,
        batch: Batch,
        seq: int,
        ts: int,
        symbol: str,
        before: str,
        mode: str,
        trigger: str,
        operator: str,
        exposure: Decimal,
    ) -> None:
        number, pinned = self.state.next_id("routing_mode_logs"), self._book.mode(symbol)[1]
        now = Moment(ts)
        batch.append(
            RoutingModeLogRow(number, symbol, before, mode, trigger, operator, exposure, now, seq, pinned)
        )
        self._set_mode(batch, SymbolModeRow(symbol, mode, pinned, operator, seq, now))

    def mode_told(self, symbol: str) -> str:
        """Say which mode a symbol has."""
        row = self.state.modes[symbol]
        return f"{row.mode} pinned" if row.pinned else str(row.mode)

    def modes_opened(self, batch: Batch, ts: int, operator: str) -> None:
        """Set every symbol's mode as the books open."""
        for symbol in self._book.specs:
            mode, pinned, _ = self._book.mode(symbol)
            self._set_mode(batch, SymbolModeRow(symbol, mode, pinned, operator, 0, Moment(ts)))

    def _set_mode(self, batch: Batch, row: SymbolModeRow) -> None:
        self.state.modes[row.symbol] = row
        batch.replace(row)

    def service_level_set(self, batch: Batch, seq: int, given: ServiceLevelSet) -> int:
        """Add a row of service_levels; return the level before."""
        before, self.state.service_level = self.state.service_level, given.level
        who = given.operator_id, given.reason
        number = self.state.next_id("service_levels")
        batch.append(ServiceLevelRow(number, given.level, before, *who, seq, Moment(given.ts)))
        return before

    def deviated(self, batch: Batch, seq: int, event: DeviationLogged) -> None:
        """Add a row of deviation_logs."""
        batch.append(
            DeviationRow(
                self.state.next_id("deviation_logs"),
                event.position_id,
                event.xbit_pnl,
                event.hl_actual_pnl,
                event.deviation,
                event.deviation_rate,
                None,
                event.symbol,
                event.grade,
                seq,
                Moment(event.ts),
            )
        )

    def requested(self, batch: Batch, seq: int, event: VenueOrderRequested) -> None:
        """Put a request into the outbox."""
        row = VenueOrderRow(
            event.cloid,
            event.account,
            event.symbol,
            SIDES[event.side],
            event.size,
            event.limit_price,
            event.resting,
            event.order_id,
            event.mark,
            "REQUESTED",
            seq,
            Moment(event.ts),
            Moment(event.ts),
        )
        self.state.venue_orders[event.cloid] = row
        batch.replace(row)

    def cancel_requested(self, batch: Batch, event: VenueCancelRequested) -> None:
        """Note in the outbox that a cancel was asked for."""
        row = self.state.venue_orders[event.cloid]._replace(
            status="CANCEL_REQUESTED", updated_at=Moment(event.ts)
        )
        self.state.venue_orders[event.cloid] = row
        batch.replace(row)

    def venue_order_ended(self, batch: Batch, ts: int, cloid: str) -> str:
        """Take an order out of the outbox; return the id of the order it was for."""
        row = self.state.venue_orders.pop(cloid)
        batch.replace(row._replace(status="ENDED", updated_at=Moment(ts)))
        return row.order_id

    def hedged(self, batch: Batch, seq: int, ts: int, symbol: str, size: Decimal, cost: Decimal) -> None:
        """Set a symbol's hedge position from its signed size and cost; another direction is another position."""
        state, direction = self.state, DIRECTIONS[1 if size > 0 else -1]
        row = state.hedges.get(symbol)
        if row is not None and (not size or row.direction != direction):
            batch.replace(row._replace(size=ZERO, seq=seq, updated_at=Moment(ts)))
            del state.hedges[symbol]
            row = None
        if not size:
            return
        number = row.id if row is not None else state.next_id("hedge_positions")
        row = HedgePositionRow(
            number, symbol, direction, abs(size), cost / size, f"HEDGE:{symbol}", seq, Moment(ts)
        )
        state.hedges[symbol] = row
        batch.replace(row)

    def routing_set(self, batch: Batch, ts: int, symbol: str, row: RoutingConfig, operator: str) -> str:
        """Set a row of routing_config; say what changed of the one that counted before: at the least whose it is."""
        own, default = self.state.routing.get(symbol), self.state.routing.get("*")
        self.state.routing[symbol] = row
        batch.replace(
            RoutingConfigRow(
                symbol,
                row.routing_mode,
                row.normal_threshold,
                row.betting_threshold,
                row.hl_mode_exposure_threshold,
                row.betting_mode_exposure_threshold,
                row.auto_switch_enabled,
                Moment(ts),
                row.internal_whitelisted,
                operator,
            )
        )
        if own is None and row == default:
            return "own row, as the default one is now"
        return _told(own or default, row)

    def risk_set(self, batch: Batch, ts: int, risk: RiskConfig, operator: str) -> str:
        """Set the rows of risk_config that are new or other than before; say what changed."""
        before, self.state.risk = self.state.risk, risk
        for each in fields(risk):
            value = getattr(risk, each.name)
            if before is None or getattr(before, each.name) != value:
                batch.replace(RiskConfigRow(each.name, plain(value), operator, Moment(ts)))
        return _told(before, risk)

    def reconciled(self, batch: Batch, seq: int, given: ReconciliationDone) -> None:
        """Add a row of reconciliation_logs, and an alert unless all is well."""
        found = (given.dimension, given.expected, given.actual, given.deviation_rate, given.status)
        batch.append(
            ReconciliationRow(self.state.next_id("reconciliation_logs"), *found, seq, Moment(given.ts))
        )
        if given.status != "OK":
            level = AlertLevel.P0 if given.status == "CRITICAL" else AlertLevel.ALERT
            detail = f"{given.dimension}: expected {given.expected}, found {given.actual}"
            code, rate = "RECONCILIATION", given.deviation_rate
            self.alerted(batch, seq, AlertRaised(given.ts, level, code, "", rate, detail))

    def alerted(self, batch: Batch, seq: int, event: AlertRaised) -> None:
        """Add an alert."""
        batch.append(
            AlertRow(
                self.state.next_id("alerts"),
                event.level,
                event.code,
                event.symbol,
                event.value,
                event.detail,
                seq,
                Moment(event.ts),
            )
        )

    def other(self, batch: Batch, seq: int, ts: int, event: Event) -> None:
        """Keep an event that has no table of its own, whole."""
        kind = type(event).__name__
        batch.append(BookEventRow(self.state.next_id("book_events"), kind, plain(event), seq, ts))


def _told[Row: (RoutingConfig, RiskConfig)](before: Row | None, after: Row) -> str:
    """Say what is otherwise, for people: old and new value of each setting."""
    if before is None:
        return ""
    pairs = [(each.name, getattr(before, each.name), getattr(after, each.name)) for each in fields(after)]
    changes = [f"{name} {plain(old)} to {plain(new)}" for name, old, new in pairs if old != new]
    return ", ".join(changes).replace('"', "") or "nothing changed"
