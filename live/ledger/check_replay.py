"""Replay the input journal through a fresh machine, and hold every row it makes against the tables, both ways."""

from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any

import psycopg
from psycopg.rows import dict_row, tuple_row

from live.books.commands import answer_to, invalid, refused, request_digest
from live.ledger.acts import Act
from live.ledger.check_rows import CHANGING, FETCHED_ROWS, LASTING, Answers, Ordered, compare_whole
from live.ledger.findings import Findings
from live.ledger.inputs import CommandInvalid, CommandRefused
from live.ledger.machine import Machine
from live.ledger.recovery import BooksBroken, open_again, state_rows, take
from live.ledger.rows import AuditRow, IdempotencyRow, Moment
from live.ledger.rows_house import RiskConfigRow, RoutingConfigRow, SymbolModeRow
from live.ledger.rows_money import HouseAccountRow, WalletRow
from live.ledger.rows_users import HotWalletRow, UserRow
from live.ledger.snapshots import Snapshot, version
from live.ledger.tables import TABLES
from risk.errors import InvalidInput
from risk.events import Event
from risk.inputs import MarketUpdated
from risk.settings import DAY_NS, MINUTE_NS, SECOND_NS

Progress = Callable[[str, int, int], None]  # what is being checked, how much of it is, of how much

_PARTITIONED = ("journal", "balance_logs", "routing_records", "book_events")
_INPUTS = """select seq, ts, kind, idempotency_key, body, link from input_journal
    where seq > %s and ts >= %s order by seq"""


def check_replay(
    connection: psycopg.Connection[Any], quick: bool, findings: Findings, progress: Progress
) -> int:
    """Add what the tables hold otherwise than the inputs make it; return how many inputs were replayed.

    ``quick`` starts from the latest snapshot that this code can read, and looks at the rows made since. Of
    rows that never change a table is read once, in order; only what can still change is kept in memory.
    """
    try:
        machine = _from_snapshot(connection) if quick else None
    except InvalidInput as error:
        findings.add("book_snapshots", "the latest", str(error))
        machine = None
    try:
        replay = _Replay(
            connection, machine or _from_the_beginning(connection), findings, is_whole=machine is None
        )
    except BooksBroken as error:
        findings.add("input_journal", "input 0", str(error))
        return 0
    return replay.run(progress)


def _from_snapshot(connection: psycopg.Connection[Any]) -> Machine | None:
    cursor = connection.cursor(row_factory=dict_row)
    cursor.execute(
        "select seq, ts, version, digest, link, state from book_snapshots where version = %s order by seq desc limit 1",
        (version(),),
    )
    row = cursor.fetchone()
    return None if row is None else Snapshot(**row).machine()


def _from_the_beginning(connection: psycopg.Connection[Any]) -> Machine:
    row = (
        connection.cursor(row_factory=dict_row)
        .execute("select * from input_journal where seq = 0")
        .fetchone()
    )
    if row is None:
        raise BooksBroken("the journal has no input 0, which opened the books")
    return open_again(row)


class _Replay:
    """Replay the journal after ``machine``, in pieces of some thousand inputs.

    The machine of a whole replay comes with the rows that opened the books, that of a snapshot without any.
    """

    def __init__(
        self, connection: psycopg.Connection[Any], machine: Machine, findings: Findings, *, is_whole: bool
    ) -> None:
        self._connection = connection
        self._machine = machine
        self._findings = findings
        self._is_whole = is_whole
        self._inputs_before = 0 if is_whole else machine.seq + 1
        self._config: dict[type, dict[Any, Any]] = {
            HouseAccountRow: {},
            RoutingConfigRow: {},
            RiskConfigRow: {},
        }
        self._snapshots = _snapshots(connection)
        begun: dict[str, dict[Any, Any]] = (
            {} if is_whole else {table: rows for table, _, rows in state_rows(machine)}
        )
        self._tables = {
            kind: Ordered(
                connection, kind, findings, self._after(TABLES[kind]), begun.get(TABLES[kind], {}).values()
            )
            for kind in (*LASTING, *CHANGING)
            if kind not in (IdempotencyRow, AuditRow)
        }
        since = "seq > -1" if is_whole else f"seq > {machine.seq}"
        self._tables[IdempotencyRow] = Answers(connection, findings, since, _kept_since_ns(connection))
        actions = ", ".join(f"'{action}'" for action in Act)  # others append to it, too
        self._tables[AuditRow] = Ordered(connection, AuditRow, findings, f"{since} and action in ({actions})")

    def _after(self, table: str) -> str | None:
        """Return the condition for rows that began after the snapshot."""
        if self._is_whole:
            return None
        if table == "hedge_positions":
            return f"id > {self._machine.house.state.ids.get(table, 0)}"  # seq is that of the last change
        month = f" and ts >= {self._machine.now}" if table in _PARTITIONED else ""
        return f"seq > {self._machine.seq}{month}"

    def run(self, progress: Progress) -> int:
        """Replay to the end; return the number of inputs."""
        machine, first = self._machine, self._machine.seq
        writer = self._connection.cursor(row_factory=tuple_row).execute("select seq, link from books_writer")
        last, link = writer.fetchone() or (machine.seq, b"")
        try:
            with closing(self._inputs()) as inputs:
                for row in inputs:
                    self._take(row)
                    if machine.seq % FETCHED_ROWS == 0:
                        self._compare_made()
                        progress("inputs replayed", machine.seq - first, last - first)
            self._compare_made()
        except BooksBroken as error:
            self._findings.add(
                "input_journal", f"input {machine.seq + 1}", f"{error}; the rest was not replayed"
            )
            self._close()
            return machine.seq + 1 - self._inputs_before
        if (machine.seq, machine.link) != (last, link):
            self._findings.add(
                "books_writer", "its row", f"is at input {last} with link {link.hex()}; the journal ends with "
                f"input {machine.seq} and {machine.link.hex()}"
            )  # fmt: skip
        self._finish()
        return machine.seq + 1 - self._inputs_before

    def _inputs(self) -> Generator[Any]:
        with self._connection.cursor("check_inputs", row_factory=dict_row) as cursor:
            cursor.execute(_INPUTS, (self._machine.seq, self._machine.now))
            while rows := cursor.fetchmany(FETCHED_ROWS):
                yield from rows

    def _take(self, row: Any) -> None:
        machine = self._machine
        given, events = take(machine, row)
        key = row["idempotency_key"]
        if key is not None and events is not None:
            answer = _answer(key, machine.seq, given, events)
            if answer is not None:
                machine.batch.append(answer)
        if machine.seq in self._snapshots:
            self._compare_snapshot(self._snapshots.pop(machine.seq))

    def _compare_snapshot(self, stored: Any) -> None:
        machine = self._machine
        made: dict[str, Any] = {"ts": machine.now, "link": machine.link}
        if stored["version"] == version():
            made["digest"] = machine.book.digest()
        for name, must in made.items():
            if stored[name] != must:
                wrong = f"{name} is {stored[name]}; the inputs make it {must}"
                self._findings.add("book_snapshots", machine.seq, wrong)

    def _compare_made(self) -> None:
        batch = self._machine.batch
        for kind, table in self._tables.items():
            if kind is AuditRow:
                table.made(batch.audit)
            else:
                table.made(batch.appended[kind] if kind in LASTING else batch.replaced[kind].values())
        for kind, rows in self._config.items():
            rows.update(batch.replaced[kind])
        batch.clear()

    def _finish(self) -> None:
        for table in self._tables.values():
            table.finish()
        state = {table: rows for table, _, rows in state_rows(self._machine)}
        for whole in (UserRow, WalletRow, HotWalletRow, SymbolModeRow):
            compare_whole(self._connection, whole, state[TABLES[whole]], self._findings)
        for kind, rows in self._config.items():
            compare_whole(self._connection, kind, rows, self._findings, is_all=self._is_whole)
        for seq in self._snapshots:
            if seq > self._machine.seq or self._is_whole:
                self._findings.add("book_snapshots", seq, "is of an input that the journal does not have")

    def _close(self) -> None:
        for table in self._tables.values():
            table.close()


def _answer(key: str, seq: int, given: Any, events: tuple[Event, ...]) -> IdempotencyRow | None:
    """Return the answer that was kept for a command; None of the market that moved before an invalid one."""
    if isinstance(given, MarketUpdated):
        return None
    if isinstance(given, CommandInvalid):
        request, answer = bytes.fromhex(given.request), invalid(given.detail)
    elif isinstance(given, CommandRefused):
        request, answer = bytes.fromhex(given.request), refused(given.code, given.detail)
    else:
        request, answer = request_digest(given), answer_to(given, seq, events)
    return IdempotencyRow(key, request, answer.to_json(), seq, Moment(given.ts))


def _kept_since_ns(connection: psycopg.Connection[Any]) -> int:
    """Return from when on the answers to commands must be there; a minute is left for clocks to differ."""
    row = (
        connection.cursor(row_factory=tuple_row)
        .execute("select extract(epoch from now())::bigint")
        .fetchone()
    )
    assert row is not None
    return row[0] * SECOND_NS - DAY_NS + MINUTE_NS


def _snapshots(connection: psycopg.Connection[Any]) -> dict[int, Any]:
    rows = connection.cursor(row_factory=dict_row).execute(
        "select seq, ts, version, link, digest from book_snapshots"
    )
    return {row["seq"]: row for row in rows}
