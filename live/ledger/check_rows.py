"""Hold the rows a replay makes against those of a table, both read in the order they were made in."""

from collections.abc import Callable, Generator, Iterable
from decimal import Decimal
from functools import cache
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple, get_type_hints

import psycopg
from psycopg.rows import tuple_row

from live.ledger.findings import Findings
from live.ledger.rows import AuditRow, IdempotencyRow, InputRow, Moment
from live.ledger.rows_trading import HedgePositionRow, OrderRow, PositionRow, RoutingRecordRow, VenueOrderRow
from live.ledger.rows_users import DepositRow, WithdrawalRow
from live.ledger.tables import APPENDED, TABLES

FETCHED_ROWS = 2_000
Row = tuple[Any, ...]

# Rows that can change until they have ended: the columns that order them as they began, and when they have.
CHANGING: dict[type, tuple[tuple[str, ...], Callable[[Any], bool]]] = {
    OrderRow: (("seq", "id"), lambda row: row.status not in ("PENDING", "RESTING", "PARTIALLY_FILLED")),
    PositionRow: (("id",), lambda row: row.status != "OPEN"),
    HedgePositionRow: (("id",), lambda row: not row.size),
    VenueOrderRow: (("seq", "cloid"), lambda row: row.status == "ENDED"),
    DepositRow: (("seq", "id"), lambda row: row.status != "PENDING"),
    WithdrawalRow: (("seq", "id"), lambda row: row.status in ("SENT", "REFUSED")),
}
# Rows that never change. The links of input_journal tell more than a comparison.
LASTING: dict[type, tuple[str, ...]] = {kind: ("id",) for kind in APPENDED if kind is not InputRow}
LASTING |= {IdempotencyRow: ("seq", "key"), AuditRow: ("seq",)}

# How long a decision took cannot be replayed; the digest, which covers it, is for `audit verify`.
_NOT_MADE: dict[type, set[str]] = {RoutingRecordRow: {"latency_ns", "digest"}}


class Shape(NamedTuple):
    """How rows of a kind are compared: the columns, what reads each in SQL, and which are made otherwise."""

    columns: tuple[str, ...]
    expressions: str
    pick: Callable[[Any], Row]
    conversions: tuple[tuple[int, Callable[[Any], Any]], ...]

    def of(self, row: Any) -> Row:
        """Return a made row as the database gives it."""
        values = list(self.pick(row))
        for place, convert in self.conversions:
            if values[place] is not None:
                values[place] = convert(values[place])
        return tuple(values)


@cache
def shape_of(kind: type) -> Shape:
    """Return how rows of a kind are compared: times in microseconds, as the database keeps them."""
    hints = {
        name: hint for name, hint in get_type_hints(kind).items() if name not in _NOT_MADE.get(kind, set())
    }
    expressions = list(hints)
    conversions: list[tuple[int, Callable[[Any], Any]]] = []
    for place, (name, hint) in enumerate(hints.items()):
        if hint in (Moment, Moment | None):
            expressions[place] = f"extract(epoch from {name}) * 1000000"
            conversions.append((place, _micros))
        elif hint in (tuple[str, ...], tuple[Decimal, ...]):
            conversions.append((place, list))
    return Shape(tuple(hints), ", ".join(expressions), attrgetter(*hints), tuple(conversions))


def _micros(nanos: int) -> int:
    return nanos // 1_000


class Ordered:
    """Compare one table with the rows made for it, holding no more than what has not ended yet.

    ``made`` takes them in pieces, each with all rows of some inputs. In a check that starts at a snapshot, rows
    that began after it are those ``where``, and of the others only ``begun`` are looked at.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        kind: type,
        findings: Findings,
        where: str | None = None,
        begun: Iterable[Any] = (),
    ) -> None:
        self._table = TABLES.get(kind, "audit_log")
        self._findings = findings
        self._shape = shape_of(kind)
        if kind in CHANGING:
            self._order, self._has_ended = CHANGING[kind]
        else:
            self._order, self._has_ended = LASTING[kind], lambda _: True
        self._key = self._shape.columns.index("seq") if kind is AuditRow else 0
        self._made_place = attrgetter(*self._order)
        self._stored_place = itemgetter(*map(self._shape.columns.index, self._order))
        self._open: dict[Any, tuple[Row | None, Any]] = {}  # by key: as stored, as last made
        self._stored = self._stream(connection, where)
        self._next = next(self._stored, None)
        self._take_begun(connection, begun)

    def made(self, rows: Iterable[Any]) -> None:
        """Take the rows that some inputs made; those of a later call come after them."""
        new = []
        for row in rows:
            known = self._open.get(row[0])
            if known is None:
                new.append((self._made_place(row), row))
            else:
                self._settle(known[0], row)
        new.sort(key=itemgetter(0))
        for place, row in new:
            self._settle(self._take(place, row), row)

    def finish(self) -> None:
        """Compare what has not ended, and report what is left in the table."""
        for stored, row in self._open.values():
            self._compare(stored, row)
        while self._next is not None:
            self._surplus()

    def close(self) -> None:
        """Leave the rest of the table unread."""
        self._stored.close()

    def _stream(self, connection: psycopg.Connection[Any], where: str | None) -> Generator[Row]:
        first, *others = self._order
        order = ", ".join([first, *(f'{name} collate "C"' for name in others)])  # as Python sorts
        condition = "" if where is None else f"where {where}"
        if self._table == "audit_log":
            order += ", id"
        sql = f"select {self._shape.expressions} from {self._table} {condition} order by {order}"
        return stream(connection, f"check_{self._table}", sql)

    def _take_begun(self, connection: psycopg.Connection[Any], begun: Iterable[Any]) -> None:
        rows = {row[0]: row for row in begun}
        if not rows:
            return
        key = self._shape.columns[0]
        sql = f"select {self._shape.expressions} from {self._table} where {key} = any(%s)"
        found = connection.cursor(row_factory=tuple_row).execute(sql.encode(), [list(rows)])
        stored = {row[0]: row for row in found}
        for name, row in rows.items():
            if name not in stored:
                self._absent(row)
            self._open[name] = stored.get(name), row

    def _take(self, place: Row, row: Any) -> Row | None:
        """Return the stored row at a place, reporting what stands before it; None if there is none."""
        while self._next is not None and (found := self._stored_place(self._next)) < place:
            self._surplus()
        if self._next is None or found != place:
            self._absent(row)
            return None
        stored, self._next = self._next, next(self._stored, None)
        return stored

    def _absent(self, row: Any) -> None:
        self._findings.add(self._table, row[self._key], f"is missing; it must be {row}")

    def _surplus(self) -> None:
        assert self._next is not None
        self._findings.add(self._table, self._next[self._key], "is in the table, but no input made it")
        self._next = next(self._stored, None)

    def _settle(self, stored: Row | None, row: Any) -> None:
        if self._has_ended(row):
            self._open.pop(row[0], None)
            self._compare(stored, row)
        else:
            self._open[row[0]] = stored, row

    def _compare(self, stored: Row | None, row: Any) -> None:
        if stored is not None:
            compare(self._findings, self._table, self._shape, stored, row, row[self._key])


class Answers(Ordered):
    """Compare the answers to commands; those from before ``kept_since_ns`` may be gone."""

    def __init__(
        self, connection: psycopg.Connection[Any], findings: Findings, where: str | None, kept_since_ns: int
    ) -> None:
        super().__init__(connection, IdempotencyRow, findings, where)
        self._kept_since_ns = kept_since_ns

    def _absent(self, row: Any) -> None:
        if row.created_at >= self._kept_since_ns:
            super()._absent(row)


def compare(findings: Findings, table: str, shape: Shape, stored: Row, row: Any, key: Any) -> None:
    """Report every column in which a stored row is not the one made."""
    made = shape.of(row)
    if stored != made:
        for name, has, must in zip(shape.columns, stored, made, strict=True):
            if has != must:
                findings.add(table, key, f"{name} is {has}; the inputs make it {must}")


def compare_whole(
    connection: psycopg.Connection[Any],
    kind: type,
    made: dict[Any, Any],
    findings: Findings,
    *,
    is_all: bool = True,
) -> None:
    """Compare a table that has a row for each of ``made``, and unless ``is_all`` is false no others."""
    table, shape = TABLES[kind], shape_of(kind)
    missing = dict(made)
    for stored in stream(connection, f"check_{table}", f"select {shape.expressions} from {table}"):
        row = missing.pop(stored[0], None)
        if row is not None:
            compare(findings, table, shape, stored, row, row[0])
        elif is_all:
            findings.add(table, stored[0], "is in the table, but no input made it")
    for key, row in missing.items():
        findings.add(table, key, f"is missing; it must be {row}")


def stream(connection: psycopg.Connection[Any], name: str, sql: str) -> Generator[Row]:
    """Give the rows of a query through a cursor that lives in the server."""
    with connection.cursor(name, row_factory=tuple_row) as cursor:
        cursor.execute(sql.encode())
        while rows := cursor.fetchmany(FETCHED_ROWS):
            yield from rows
