"""The events of a run as columns: one table per kind of event, its fields the columns.

Decimals become ``decimal128(38, 12)``, which holds money, sizes and prices exactly; averages and ratios
with more places are rounded half-even. Money in the journal may never need that.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import cache
from itertools import chain
from operator import attrgetter
from types import NoneType
from typing import Any, get_args, get_type_hints

import numpy as np
import pyarrow as pa

from risk import events, house_events
from risk.errors import InvariantBroken
from risk.events import Event, Transferred

PLACES = 12
DECIMAL = pa.decimal128(38, PLACES)
JOURNAL = "journal"

# Names of the tables in a result. Those of the platform's own database are the same there.
TABLES: Mapping[type, str] = {
    events.OrderRouted: "routing_records",
    events.OrderRefused: "orders_refused",
    events.OrderRested: "orders_rested",
    events.OrderCancelled: "orders_cancelled",
    events.OrderFilled: "fills",
    events.PositionOpened: "positions_opened",
    events.PositionClosed: "positions_closed",
    events.PositionLiquidated: "liquidations",
    events.MarginChanged: "margin_changes",
    events.FundingAccrued: "funding_rates",
    events.FundingSettled: "funding_settlements",
    house_events.RoutingModeChanged: "routing_mode_logs",
    house_events.RoutingModeRecommended: "routing_mode_recommendations",
    house_events.GuardChanged: "guards",
    house_events.AlertRaised: "alerts",
    house_events.VenueOrderRequested: "venue_orders",
    house_events.VenueCancelRequested: "venue_cancels",
    house_events.VenueFillBooked: "venue_fills",
    house_events.HedgeTargetSet: "hedge_targets",
    house_events.DeviationLogged: "deviation_logs",
    house_events.VenueAccountAudited: "venue_account_audits",
    house_events.HouseSnapshot: "house",
    house_events.ExposureSnapshot: "exposure",
}
_JOURNAL_SCHEMA = pa.schema(
    [
        ("seq", pa.int64()),
        ("ts", pa.int64()),
        ("kind", pa.string()),
        ("ref", pa.string()),
        ("account", pa.string()),
        ("amount", DECIMAL),
    ]
)
_JOURNAL_HEAD = [_JOURNAL_SCHEMA.field(i) for i in range(4)]  # of a transaction, the rest of each entry
_PENDING_LIMIT = 200_000  # events kept as objects before they become columns: bounds memory
_QUANTUM = Decimal(1).scaleb(-PLACES)
_CONTEXT = Context(prec=38, rounding=ROUND_HALF_EVEN)


class Recorder:
    """Collect the events of one run, in the order they happened."""

    def __init__(self) -> None:
        self._pending: dict[type, list[Any]] = {kind: [] for kind in (Transferred, *TABLES)}
        self._batches: dict[type, list[pa.RecordBatch]] = {kind: [] for kind in self._pending}
        self._since_flush = 0
        self._others: dict[str, pa.Table] = {}

    def record(self, happened: Sequence[Event]) -> None:
        """Take what one ``Book.handle`` returned."""
        for event in happened:
            self._pending[type(event)].append(event)
        self._since_flush += len(happened)
        if self._since_flush >= _PENDING_LIMIT:
            self._flush()

    def add_table(self, name: str, table: pa.Table) -> None:
        """Put a table of the engine's own beside the events (``marks``, ``source_fills``)."""
        self._others[name] = table

    def tables(self) -> dict[str, pa.Table]:
        """Return every table by name, sorted; those without a row are there too."""
        self._flush()
        schemas = {JOURNAL: _JOURNAL_SCHEMA} | {name: schema_of(kind) for kind, name in TABLES.items()}
        batches = {TABLES.get(kind, JOURNAL): parts for kind, parts in self._batches.items()}
        found = {name: pa.Table.from_batches(batches[name], schemas[name]) for name in schemas}
        return dict(sorted((found | self._others).items()))

    def _flush(self) -> None:
        for kind, rows in self._pending.items():
            if rows:
                batch = _journal(rows) if kind is Transferred else _batch(rows, schema_of(kind))
                self._batches[kind].append(batch)
                rows.clear()
        self._since_flush = 0


@cache
def schema_of(kind: type) -> pa.Schema:
    """Return the columns of an event class, from its field types."""
    hints = get_type_hints(kind)
    return pa.schema([(field.name, _arrow_type(hints[field.name])) for field in fields(kind)])


def digest_of(tables: Mapping[str, pa.Table], *others: str) -> str:
    """Return the SHA-256 of the tables' names, columns and values, and of ``others``, in hex.

    It depends on nothing else: not on chunks, processes or the order in which tables were added.
    """
    sha = hashlib.sha256()
    for name, table in sorted(tables.items()):
        sha.update(f"{name}:{table.num_rows}\n".encode())
        sink = _HashSink(sha)
        with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), table.schema.remove_metadata()) as stream:
            stream.write_table(table.combine_chunks().replace_schema_metadata(None))
    for other in others:
        sha.update(f"{other}\n".encode())
    return sha.hexdigest()


class _HashSink:
    """Be a file whose content is hashed rather than kept."""

    closed = False

    def __init__(self, sha: Any) -> None:
        self.write = sha.update

    def flush(self) -> None:
        pass


def _arrow_type(hint: Any) -> pa.DataType:
    given = [part for part in get_args(hint) or (hint,) if part is not NoneType]
    (kind,) = given
    if kind is bool:
        return pa.bool_()
    if kind is int:
        return pa.int64()
    return DECIMAL if kind is Decimal else pa.string()


def _batch(rows: Sequence[Any], schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [_column(map(attrgetter(field.name), rows), field.type) for field in schema], schema=schema
    )


def _column(values: Iterable[Any], kind: pa.DataType) -> pa.Array:
    found = list(values)
    try:
        return pa.array(found, kind)
    except pa.ArrowInvalid:
        if kind != DECIMAL:
            raise
    return pa.array([x if x is None else x.quantize(_QUANTUM, context=_CONTEXT) for x in found], kind)


def _journal(rows: Sequence[Transferred]) -> pa.RecordBatch:
    owners = np.repeat(np.arange(len(rows)), [len(row.entries) for row in rows])
    heads = [_column(map(attrgetter(field.name), rows), field.type).take(owners) for field in _JOURNAL_HEAD]
    accounts, amounts = zip(*chain.from_iterable(row.entries for row in rows), strict=True)
    try:
        money = pa.array(amounts, DECIMAL)
    except pa.ArrowInvalid as error:
        raise InvariantBroken(f"a journal entry has more than {PLACES} places: {error}") from error
    return pa.RecordBatch.from_arrays(
        [*heads, pa.array(accounts, pa.string()), money], schema=_JOURNAL_SCHEMA
    )
