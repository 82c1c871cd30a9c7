"""Check the hash chains of the books from outside: nothing of what wrote them is trusted but the formats.

Every link is computed anew here, in one snapshot: books that go on being written are checked as they were at the
start.
"""

import re
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import tuple_row

from live.ledger.hashing import GENESIS, link, row_digest
from live.ledger.liabilities import PUBLISHED, describe
from risk.errors import InvalidInput

type Progress = Callable[[str, int], None]  # what is checked, and how many rows of it are

_FETCHED_ROWS = 5_000


class Head(NamedTuple):
    """A chain's last row: its number and its link in hex. Kept elsewhere it shows a chain that was rewritten."""

    number: int
    link: str


class Break(NamedTuple):
    """The first thing wrong in a table: at which row, what belongs there, and what is there."""

    table: str
    row: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.table}, {self.row}: expected {self.expected}, found {self.found}"


@dataclass
class Report:
    """What was seen: rows checked of each table, the first break of each, and where the chains end.

    The heads are the last rows whose links held: of an unbroken chain, what to keep for the next verification.
    """

    checked: dict[str, int] = field(default_factory=dict)
    audit_head: Head = Head(0, GENESIS.hex())
    journal_head: Head = Head(-1, GENESIS.hex())
    breaks: list[Break] = field(default_factory=list)

    @property
    def first(self) -> Break | None:
        """Return the first broken link: audit log before journal before routing records before roots."""
        return self.breaks[0] if self.breaks else None


class _Chain(NamedTuple):
    """Where a chain is: a query of number, link and linked fields, the first number, and where its head is kept."""

    table: str
    column: str
    first: int
    rows: str
    head_table: str
    head: str


_AUDIT_LOG = _Chain(
    "audit_log",
    "id",
    1,
    "select id, link, id, actor, action, subject, detail, seq, ts from audit_log order by id",
    "audit_head",
    "select id, link from audit_head",
)
_JOURNAL = _Chain(
    "input_journal",
    "seq",
    0,
    "select seq, link, seq, ts, kind, idempotency_key, body from input_journal order by seq, ts",
    "books_writer",
    "select seq, link from books_writer",
)
_ROUTING_RECORDS = (
    "select digest, id, order_id, user_id, symbol, side, notional, mode, threshold, route, reason, latency_ns, seq, ts"
    " from routing_records order by id, ts"
)
_ROUTING_DECIDED = "select id, detail from audit_log where action = 'ROUTING_DECIDED' order by id"
_PUBLICATIONS = (
    "select entry.id, entry.subject, entry.detail, entry.seq, entry.ts, root.id, root.root, root.total, root.users,"
    " root.seq, (extract(epoch from root.created_at) * 1000000)::bigint * 1000"
    f" from (select * from audit_log where action = '{PUBLISHED}') as entry"
    " full join liability_roots as root on entry.subject = root.id::text order by entry.id, root.id"
)


class _Broken(Exception):
    """End the check of a table; the argument is its Break."""


def verify(
    connection: psycopg.Connection[Any],
    progress: Progress,
    head: tuple[int, str] | None = None,
    journal_head: tuple[int, str] | None = None,
) -> Report:
    """Check audit log, input journal, routing records and roots of liabilities; each up to its first break.

    ``head`` and ``journal_head`` are those of an earlier report, kept out of the database's reach: only they show a
    chain that was cut or rewritten together with the head stored beside it. ``connection`` must not be inside a
    transaction. Raises InvalidInput for an impossible head.
    """
    kept = _checked_head(_AUDIT_LOG, head), _checked_head(_JOURNAL, journal_head)
    report = Report()

    def check_audit_log() -> None:
        for report.audit_head in _follow(reader, _AUDIT_LOG, kept[0]):
            pass

    def check_journal() -> None:
        for report.journal_head in _follow(reader, _JOURNAL, kept[1]):
            pass

    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read read only")
        reader = _Reader(connection, progress, report.checked)
        for check in (
            check_audit_log,
            check_journal,
            lambda: _check_routing(reader),
            lambda: _check_publications(reader),
        ):
            try:
                check()
            except _Broken as broken:
                report.breaks.append(broken.args[0])
    return report


class _Reader:
    """Stream rows through cursors that live in the server, and count them."""

    def __init__(
        self, connection: psycopg.Connection[Any], progress: Progress, checked: dict[str, int]
    ) -> None:
        self._connection = connection
        self._progress = progress
        self._checked = checked

    def stream(self, name: str, query: str) -> Generator[tuple[Any, ...]]:
        """Give the rows of a query, counted under ``name``."""
        self._checked[name] = 0
        with self._connection.cursor(f"audit_{name}", row_factory=tuple_row) as cursor:
            cursor.execute(query.encode())
            while rows := cursor.fetchmany(_FETCHED_ROWS):
                for row in rows:
                    self._checked[name] += 1
                    yield row
                self._progress(name, self._checked[name])

    def single(self, query: str) -> tuple[Any, ...] | None:
        """Give the only row of a query, or None."""
        return self._connection.cursor(row_factory=tuple_row).execute(query.encode()).fetchone()


def _checked_head(chain: _Chain, head: tuple[int, str] | None) -> Head | None:
    if head is None:
        return None
    number, text = head
    if number < chain.first - 1 or not re.fullmatch("[0-9a-fA-F]{64}", text):
        raise InvalidInput(
            f"the head of {chain.table} was {number} {text!r}; it must be the {chain.column} of a row and its link,"
            " 64 hexadecimal digits"
        )
    return Head(number, text.lower())


def _follow(reader: _Reader, chain: _Chain, kept: Head | None) -> Iterator[Head]:
    """Give the head after each row whose link holds; raises _Broken at the first that does not, or at the end."""
    table, column = chain.table, chain.column
    last, previous = chain.first - 1, GENESIS

    def check_kept() -> None:
        if kept is not None and kept.number == last and kept.link != previous.hex():
            raise _Broken(
                Break(table, f"{column} {last}", f"link {kept.link}, kept earlier", f"link {previous.hex()}")
            )

    check_kept()
    with closing(reader.stream(table, chain.rows)) as rows:
        for number, stored, *fields in rows:
            if number != last + 1:
                raise _Broken(
                    Break(table, f"{column} {last + 1}", f"{column} {last + 1}", f"{column} {number}")
                )
            computed = link(previous, *fields)
            if stored != computed:
                raise _Broken(
                    Break(table, f"{column} {number}", f"link {computed.hex()}", f"link {stored.hex()}")
                )
            last, previous = number, stored
            check_kept()
            yield Head(last, previous.hex())
    if kept is not None and kept.number > last:
        there = f"the end of the table after {column} {last}"
        raise _Broken(
            Break(table, f"{column} {last + 1}", f"rows up to {column} {kept.number}, kept earlier", there)
        )
    _check_stored_head(reader, chain, last, previous)


def _check_stored_head(reader: _Reader, chain: _Chain, last: int, previous: bytes) -> None:
    stored = reader.single(chain.head)
    if stored != (last, previous):
        found = f"{chain.column} {stored[0]} with link {stored[1].hex()}" if stored else "no row"
        expected = f"{chain.column} {last} with link {previous.hex()}, where {chain.table} ends"
        raise _Broken(Break(chain.head_table, "its row", expected, found))


def _check_routing(reader: _Reader) -> None:
    """Check that routing records have their digests, and that the audit log covers each of them just once."""
    covered = 0
    with (
        closing(_sound_records(reader)) as records,
        closing(reader.stream("routing_batches", _ROUTING_DECIDED)) as batches,
    ):
        for number, detail in batches:
            first, last, whole = _read_batch(number, detail, covered + 1)
            digests = list(islice(records, last - covered))
            if len(digests) < last - covered:
                where = f"id {covered + len(digests) + 1}"
                expected = f"records {first} to {last}, as in audit_log, id {number}"
                raise _Broken(Break("routing_records", where, expected, "the end of the table"))
            computed = sha256(b"".join(digests)).hexdigest()
            if computed != whole:
                expected = f"digest {whole}, as in audit_log, id {number}"
                raise _Broken(
                    Break("routing_records", f"ids {first} to {last}", expected, f"digest {computed}")
                )
            covered = last
        if next(records, None) is not None:
            expected = "a ROUTING_DECIDED row in audit_log that covers it"
            raise _Broken(Break("routing_records", f"id {covered + 1}", expected, "none"))


def _read_batch(number: int, detail: str, wanted: int) -> tuple[int, int, str]:
    found = re.fullmatch("([0-9]{1,18}) ([0-9]{1,18}) ([0-9a-f]{64})", detail)
    if not found or int(found[1]) != wanted or int(found[2]) < wanted:
        expected = f"routing records from id {wanted}, as first id, last id and digest"
        raise _Broken(Break("audit_log", f"id {number}", expected, repr(detail)))
    return int(found[1]), int(found[2]), found[3]


def _sound_records(reader: _Reader) -> Generator[bytes]:
    """Give the digest of each routing record; raises _Broken at the first gap or wrong digest."""
    with closing(reader.stream("routing_records", _ROUTING_RECORDS)) as rows:
        for wanted, (stored, number, *fields) in enumerate(rows, start=1):
            if number != wanted:
                raise _Broken(Break("routing_records", f"id {wanted}", f"id {wanted}", f"id {number}"))
            computed = row_digest((number, *fields))
            if stored != computed:
                expected = f"digest {computed.hex()}"
                raise _Broken(Break("routing_records", f"id {number}", expected, f"digest {stored.hex()}"))
            yield stored


def _check_publications(reader: _Reader) -> None:
    """Check that the audit log and the published roots say the same; leaves are checked when a proof is given."""
    with closing(reader.stream("liability_roots", _PUBLICATIONS)) as rows:
        for entry, subject, detail, seq, ts, number, root, total, users, root_seq, root_ts in rows:
            if entry is None:
                raise _Broken(
                    Break("liability_roots", f"id {number}", f"a {PUBLISHED} row in audit_log", "none")
                )
            expected = f"{detail} after input {seq} at {ts}, as in audit_log, id {entry}"
            if number is None:
                raise _Broken(Break("liability_roots", f"id {subject}", expected, "no row"))
            found = describe(root, total, users)
            if (seq, ts) != (root_seq, root_ts) or not re.match(re.escape(found) + "(;|$)", detail):
                found += f" after input {root_seq} at {root_ts}"
                raise _Broken(Break("liability_roots", f"id {number}", expected, found))
