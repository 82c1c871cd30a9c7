"""Verification of the chains: whatever a superuser changes behind the triggers' back is found and named."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from hashlib import sha256
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.ledger.audit import Break, Head, Report, verify
from live.ledger.hashing import link, netstrings, plain, row_digest
from live.ledger.liabilities import publish
from risk.errors import InvalidInput

from ..postgres import Postgres, postgres  # noqa: F401

type Connection = psycopg.Connection[Any]
type Tamper = Callable[[str], Connection]

TS = 1_795_000_000_000_000_000  # November 2026
NEXT_MONTH = TS + 20 * 86_400 * 10**9
BATCHES = ((1, 3), (4, 4), (5, 9))  # routing records by first and last id
AUDIT_ROWS, INPUTS, RECORDS = 8, 10, 9


# -- the formats once more, as the documentation has them


def slow_netstrings(*texts: str) -> bytes:
    return b"".join(str(len(text.encode())).encode() + b":" + text.encode() for text in texts)


def slow_journal() -> list[tuple[Any, ...]]:
    rows, before = [], bytes(32)
    for seq in range(INPUTS):
        ts = TS if seq < 6 else NEXT_MONTH  # two partitions
        key = f"key-{seq}" if seq % 2 else None
        body = f'{{"note": "é{seq}:\\n"}}'
        texts = (str(seq), str(ts), "Deposit", key or "", body)
        before = sha256(before + slow_netstrings(*texts)).digest()
        rows.append((seq, ts, "Deposit", key, body, before))
    return rows


def slow_records() -> list[tuple[Any, ...]]:
    rows = []
    for number in range(1, RECORDS + 1):
        notional = Decimal(number) * Decimal("1000.50") * (10 if number % 3 else 0)
        shown = {0: "0"}.get(notional, str(notional).rstrip("0").rstrip("."))
        threshold, limit = (None, "") if number == 4 else (Decimal("1E+4"), "10000")
        texts = [
            f"{number}",
            f"o-{number}",
            "ann",
            "BTC",
            "BUY",
            shown,
            "NORMAL_MODE",
            limit,
            "INTERNAL",
            "BELOW",
        ]
        digest = sha256(slow_netstrings(*texts, "1234", "7", str(TS))).digest()
        fixed = (number, f"o-{number}", "ann", "BTC", "BUY", notional, "NORMAL_MODE", threshold)
        rows.append((*fixed, "INTERNAL", "BELOW", 1234, digest, 7, TS))
    return rows


def fill(connection: Connection) -> None:
    connection.execute("insert into audit_head (id, link) values (0, %s)", (bytes(32),))
    with connection.cursor() as cursor:
        journal, records = slow_journal(), slow_records()
        cursor.executemany("insert into input_journal values (%s, %s, %s, %s, %s, %s)", journal)
        writer = "insert into books_writer (epoch, holder, seq, link) values (1, 'us', %s, %s)"
        cursor.execute(writer, (INPUTS - 1, journal[-1][-1]))
        cursor.executemany(f"insert into routing_records values ({', '.join(['%s'] * 14)})", records)
    for first, last in BATCHES:
        append_audit(connection, "LOGIN", "é ünïcode: 3:abc")
        whole = sha256(b"".join(record[11] for record in records[first - 1 : last])).hexdigest()
        append_audit(connection, "ROUTING_DECIDED", f"{first} {last} {whole}")
    append_audit(connection, "LOGIN", "")
    append_audit(connection, "LOGOUT", "x")


def append_audit(connection: Connection, action: str, detail: str) -> None:
    connection.execute("select append_audit('eve', %s, 'books', %s, 7, %s)", (action, detail, TS))


# -- databases

FILLED = (
    "audit_log",
    "audit_head",
    "input_journal",
    "books_writer",
    "routing_records",
    "liability_leaves",
    "liability_roots",
)


@pytest.fixture(scope="module")
def dsn(postgres: Postgres) -> str:  # noqa: F811
    dsn = postgres.migrated_database("audited")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("select ensure_partitions(%s, %s)", (TS, NEXT_MONTH))
    return dsn


@pytest.fixture
def tamper(dsn: str) -> Iterator[Tamper]:
    """Give a function that fills the books and then runs SQL on them as a superuser without triggers."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")

        def run(sql: str) -> Connection:
            with connection.transaction():
                for table in FILLED:
                    connection.execute(f"delete from {table}")
                fill(connection)
            connection.execute(sql.encode())
            return connection

        yield run


def check(connection: Connection, head: Any = None, journal_head: Any = None) -> Report:
    return verify(connection, lambda table, rows: None, head, journal_head)


def only(report: Report) -> tuple[str, str]:
    """Return table and row of a report's only break."""
    (found,) = report.breaks
    assert report.first == found
    assert str(found) == f"{found.table}, {found.row}: expected {found.expected}, found {found.found}"
    return found.table, found.row


@pytest.fixture
def kept(tamper: Tamper) -> Report:
    """Give the report of the whole books, whose heads somebody kept."""
    return check(tamper("select 1"))


# -- whole books


def test_whole_books_have_no_break(kept: Report, tamper: Tamper) -> None:
    connection = tamper("select 1")
    seen: list[tuple[str, int]] = []
    report = verify(connection, lambda *step: seen.append(step), kept.audit_head, kept.journal_head)
    assert (report.breaks, report.first) == ([], None)
    assert report.checked == {
        "audit_log": AUDIT_ROWS,
        "input_journal": INPUTS,
        "routing_records": RECORDS,
        "routing_batches": len(BATCHES),
        "liability_roots": 0,
    }
    assert set(seen) | {("liability_roots", 0)} == set(report.checked.items())
    assert report.journal_head == Head(INPUTS - 1, slow_journal()[-1][-1].hex())
    assert (
        connection.execute("select id, encode(link, 'hex') from audit_head").fetchone() == report.audit_head
    )


def test_empty_books_have_no_break(tamper: Tamper) -> None:
    connection = tamper(
        "delete from audit_log; delete from input_journal; delete from routing_records;"
        "update audit_head set id = 0, link = decode(repeat('00', 32), 'hex');"
        "update books_writer set seq = -1, link = decode(repeat('00', 32), 'hex')"
    )
    report = check(connection, (0, "00" * 32), (-1, "00" * 32))
    assert report.breaks == []
    assert (report.audit_head.number, report.journal_head.number) == (0, -1)


def test_books_that_grew_still_contain_the_kept_heads(kept: Report, tamper: Tamper) -> None:
    connection = tamper("set session_replication_role = origin")
    append_audit(connection, "LOGIN", "later")
    report = check(connection, kept.audit_head, kept.journal_head)
    assert report.breaks == []
    assert report.audit_head.number == kept.audit_head.number + 1


def test_writing_while_verifying_is_no_break(tamper: Tamper) -> None:
    connection = tamper("select 1")
    with psycopg.connect(connection.info.dsn, autocommit=True) as other:
        report = verify(connection, lambda *_: append_audit(other, "LOGIN", "meanwhile"))
    assert report.breaks == []
    assert check(connection).audit_head.number > report.audit_head.number


# -- changed, deleted, inserted, swapped


# In two steps, as a primary key is checked row by row.
SWAPPED = "update {0} set {1} = -{1} where {1} in ({2}, {3}); update {0} set {1} = {4} + {1} where {1} < 0"

CHAINED = [
    ("audit_log", f"{column} = {value}", "id = 5", "id 5")
    for column, value in (
        ("actor", "'bob'"),
        ("action", "'LOGOUT'"),
        ("subject", "'book'"),
        ("detail", "detail || ' '"),
        ("seq", "8"),
        ("ts", "ts + 1"),
        ("link", "sha256('')"),
    )
] + [
    ("input_journal", f"{column} = {value}", "seq = 7", "seq 7")
    for column, value in (
        ("ts", "ts + 1"),
        ("kind", "'Withdrawal'"),
        ("idempotency_key", "null"),
        ("body", "replace(body, '7', '8')"),
        ("link", "sha256('')"),
    )
]


@pytest.mark.parametrize(("table", "change", "which", "row"), CHAINED)
def test_a_changed_row_is_named(tamper: Tamper, table: str, change: str, which: str, row: str) -> None:
    report = check(tamper(f"update {table} set {change} where {which}"))
    assert only(report) == (table, row)
    assert report.breaks[0].expected.startswith("link ")
    stopped = report.audit_head if table == "audit_log" else report.journal_head
    assert stopped.number == int(row.split()[1]) - 1


def test_what_was_expected_and_found_is_told(tamper: Tamper) -> None:
    report = check(tamper("update input_journal set body = 'x' where seq = 0"))
    texts = ("0", str(TS), "Deposit", "", "x")
    expected = sha256(bytes(32) + slow_netstrings(*texts)).hexdigest()
    found = slow_journal()[0][-1].hex()
    assert report.first == Break("input_journal", "seq 0", f"link {expected}", f"link {found}")


@pytest.mark.parametrize(
    ("sql", "table", "row"),
    [
        ("delete from audit_log where id = 3", "audit_log", "id 3"),
        ("delete from audit_log where id = 1", "audit_log", "id 1"),
        ("delete from input_journal where seq = 0", "input_journal", "seq 0"),
        ("delete from input_journal where seq = 6", "input_journal", "seq 6"),
        ("delete from audit_log where id = 8", "audit_head", "its row"),
        ("delete from input_journal where seq > 7", "books_writer", "its row"),
        ("delete from input_journal", "books_writer", "its row"),
        ("delete from audit_head", "audit_head", "its row"),
        ("delete from books_writer", "books_writer", "its row"),
        ("update audit_head set link = sha256('')", "audit_head", "its row"),
        ("update books_writer set seq = 8", "books_writer", "its row"),
        ("insert into audit_log values (9, 'a', 'b', 'c', 'd', 0, 0, sha256(''))", "audit_log", "id 9"),
        ("insert into audit_log values (0, 'a', 'b', 'c', 'd', 0, 0, sha256(''))", "audit_log", "id 1"),
        (
            f"insert into input_journal values (4, {TS + 5}, 'k', null, '', sha256(''))",
            "input_journal",
            "seq 5",
        ),
        (SWAPPED.format("audit_log", "id", 5, 6, 11), "audit_log", "id 5"),
        (SWAPPED.format("input_journal", "seq", 2, 3, 5), "input_journal", "seq 2"),
    ],
)
def test_rows_deleted_inserted_and_swapped_are_named(tamper: Tamper, sql: str, table: str, row: str) -> None:
    found = check(tamper(sql))
    assert (found.breaks[0].table, found.breaks[0].row) == (table, row)


def forge(connection: Connection, sql: str) -> None:
    """Run SQL on the audit log, then give it links and a head that agree, as a patient forger would."""
    connection.execute(sql.encode())
    before, number = bytes(32), 0
    fields = "actor, action, subject, detail, seq, ts"
    for old, *row in connection.execute(f"select id, {fields} from audit_log order by id").fetchall():
        number += 1
        before = sha256(before + slow_netstrings(str(number), *map(str, row))).digest()
        connection.execute("update audit_log set id = %s, link = %s where id = %s", (number, before, old))
    connection.execute("update audit_head set id = %s, link = %s", (number, before))


@pytest.mark.parametrize(
    ("sql", "row"),
    [
        ("delete from audit_log where id = 8", "id 8"),
        ("delete from audit_log where id > 6", "id 7"),
        ("update audit_log set detail = 'other' where id = 1", "id 8"),
        ("insert into audit_log values (0, 'a', 'b', 'c', 'd', 0, 0, sha256(''))", "id 8"),
    ],
)
def test_a_forged_log_shows_beside_a_kept_head_alone(
    tamper: Tamper, kept: Report, sql: str, row: str
) -> None:
    connection = tamper("select 1")
    if "(0, 'a'" in sql:
        connection.execute("update audit_log set id = id + 100")
    forge(connection, sql)
    assert check(connection).breaks == []
    report = check(connection, kept.audit_head)
    assert only(report) == ("audit_log", row)
    assert "kept earlier" in report.breaks[0].expected


def test_a_journal_cut_with_its_head_shows_beside_a_kept_head_alone(tamper: Tamper, kept: Report) -> None:
    connection = tamper(
        "delete from input_journal where seq > 6;"
        "update books_writer set seq = 6, link = (select link from input_journal where seq = 6)"
    )
    assert check(connection).breaks == []
    report = check(connection, journal_head=kept.journal_head)
    assert only(report) == ("input_journal", "seq 7")
    assert report.breaks[0].found == "the end of the table after seq 6"


# -- routing records


@pytest.mark.parametrize(
    "change",
    [
        "order_id = 'o-66'",
        "user_id = 'bob'",
        "symbol = 'ETH'",
        "side = 'SELL'",
        "notional = notional + 0.000000001",
        "mode = 'HL_MODE'",
        "threshold = null",
        "threshold = threshold + 1",
        "route = 'HYPERLIQUID'",
        "reason = 'ABOVE'",
        "latency_ns = 1",
        "digest = sha256('')",
        "seq = 8",
        "ts = ts + 1",
    ],
)
def test_a_changed_routing_record_is_named(tamper: Tamper, change: str) -> None:
    report = check(tamper(f"update routing_records set {change} where id = 6"))
    assert only(report) == ("routing_records", "id 6")


def test_the_scale_of_a_number_is_no_change(tamper: Tamper) -> None:
    report = check(
        tamper("update routing_records set notional = notional + 0.00000, threshold = threshold + 0.000")
    )
    assert report.breaks == []


@pytest.mark.parametrize(
    ("sql", "row"),
    [
        ("delete from routing_records where id = 2", "id 2"),
        ("delete from routing_records where id = 9", "id 9"),
        ("delete from routing_records", "id 1"),
        ("update routing_records set id = 20 where id = 9", "id 9"),
    ],
)
def test_a_deleted_routing_record_is_named(tamper: Tamper, sql: str, row: str) -> None:
    assert only(check(tamper(sql))) == ("routing_records", row)


def with_digest(number: int, route: str) -> bytes:
    row = list(slow_records()[number - 1])
    row[8] = route
    return row_digest([*row[:11], *row[12:]])


def test_a_routing_record_with_a_digest_to_match_disagrees_with_the_audit_log(tamper: Tamper) -> None:
    digest = with_digest(4, "HYPERLIQUID").hex()
    sql = f"update routing_records set route = 'HYPERLIQUID', digest = '\\x{digest}' where id = 4"
    report = check(tamper(sql))
    assert only(report) == ("routing_records", "ids 4 to 4")
    assert report.breaks[0].expected.endswith("as in audit_log, id 4")


def test_a_routing_record_no_batch_covers_is_named(tamper: Tamper) -> None:
    row = list(slow_records()[-1])
    row[0] = 10
    row[11] = row_digest([*row[:11], *row[12:]])
    connection = tamper("select 1")
    connection.execute(f"insert into routing_records values ({', '.join(['%s'] * 14)})", row)
    assert only(check(connection)) == ("routing_records", "id 10")


@pytest.mark.parametrize("detail", ["5 8 " + "0" * 64, "6 9 " + "0" * 64, "5 4 " + "0" * 64, "", "5 9 é"])
def test_a_forged_batch_is_named(tamper: Tamper, detail: str) -> None:
    connection = tamper("select 1")
    forge(connection, f"update audit_log set detail = '{detail}' where id = 6")
    table, row = only(check(connection))
    assert (table, row) == (
        ("routing_records", "ids 5 to 8") if detail.startswith("5 8") else ("audit_log", "id 6")
    )


@pytest.mark.parametrize(
    ("sql", "row"),
    [
        ("update liability_roots set root = sha256('') where id = 2", "id 2"),
        ("update liability_roots set total = total - 0.000001 where id = 2", "id 2"),
        ("update liability_roots set users = 30 where id = 2", "id 2"),
        ("update liability_roots set seq = seq + 1 where id = 2", "id 2"),
        (
            "update liability_roots set created_at = created_at + interval '1 microsecond' where id = 2",
            "id 2",
        ),
        ("delete from liability_roots where id = 1", "id 1"),
        (
            "insert into liability_roots select 3, root, total, users, seq, created_at from liability_roots limit 1",
            "id 3",
        ),
    ],
)
def test_a_root_that_differs_from_the_audit_log_is_named(tamper: Tamper, sql: str, row: str) -> None:
    connection = tamper("delete from wallets; insert into wallets values ('ann', 1, 1, 0, 1, 0, 0, 0, 0)")
    publish(connection)
    connection.execute(
        "insert into wallets values ('bob', -1, -1, 0, -1, 0, 0, 0, 0), ('cat', 2, 2, 0, 2, 0, 0, 0, 0)"
    )
    publish(connection)
    report = check(connection)
    assert (report.breaks, report.checked["liability_roots"]) == ([], 2)
    connection.execute(sql.encode())
    assert only(check(connection)) == ("liability_roots", row)


def test_each_table_tells_its_first_break(tamper: Tamper) -> None:
    connection = tamper(
        "update routing_records set seq = 8 where id in (3, 7);"
        "update input_journal set kind = 'x' where seq in (2, 4);"
        "update audit_log set actor = 'x' where id in (1, 7)"
    )
    found = [(broken.table, broken.row) for broken in check(connection).breaks]
    assert found == [("audit_log", "id 1"), ("input_journal", "seq 2"), ("routing_records", "id 3")]


@pytest.mark.parametrize("head", [(-1, "00" * 32), (3, "xyz"), (3, "00" * 31)])
def test_an_impossible_head_is_refused(tamper: Tamper, head: tuple[int, str]) -> None:
    with pytest.raises(InvalidInput, match="the head of audit_log was"):
        check(tamper("select 1"), head)


# -- hashing


@given(st.lists(st.text(st.characters(codec="utf-8"))), st.lists(st.text(st.characters(codec="utf-8"))))
def test_no_two_lists_of_fields_are_written_alike(one: list[str], other: list[str]) -> None:
    assert netstrings(*one) == slow_netstrings(*one)
    assert (netstrings(*one) == netstrings(*other)) == (one == other)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=9), st.integers(0, 6))
def test_a_number_has_one_text(value: Decimal, zeros: int) -> None:
    text = plain(value)
    assert Decimal(text) == value
    assert (
        plain(Decimal(f"{value:f}" + "0" * zeros if value.as_tuple().exponent < 0 else f"{value:f}")) == text
    )
    assert text == "0" or not (text.endswith(".") or "E" in text)


@pytest.mark.parametrize(
    ("value", "text"),
    [("-0", "0"), ("0E-9", "0"), ("1.50", "1.5"), ("15E+3", "15000"), ("100", "100"), ("-0.10", "-0.1")],
)
def test_texts_of_numbers(value: str, text: str) -> None:
    assert plain(Decimal(value)) == text


def test_a_number_longer_than_any_context_keeps_its_digits() -> None:
    text = "1" * 60 + "." + "1" * 60
    assert plain(Decimal(text)) == text


def test_none_integers_and_numbers_are_written_as_text() -> None:
    assert netstrings(None, 12, Decimal("1.0"), "é") == b"0:2:121:12:\xc3\xa9"
    assert link(bytes(32), "a") == sha256(bytes(32) + b"1:a").digest()
