"""What the replay cannot make: who writes, snapshots, what published liabilities consist of."""

from typing import Any

import psycopg
from psycopg.rows import tuple_row

from live.ledger.findings import Findings
from live.ledger.liabilities import load
from live.ledger.snapshots import KEPT, STORED
from live.ledger.writer import CLAIMED
from risk.errors import InvariantBroken

_NOT_WRITTEN_YET = ("aggregations",)  # no input of the books concerns these


def check_kept(connection: psycopg.Connection[Any], quick: bool, findings: Findings) -> None:
    """Add what is otherwise than audit log or root say; of published liabilities ``quick`` looks at the last."""
    _check_writer(connection, findings)
    _check_snapshots(connection, findings)
    _check_liabilities(connection, quick, findings)
    for table in _NOT_WRITTEN_YET:
        for row in _rows(connection, f"select * from {table}"):
            findings.add(table, row[0], "is in the table, but no input made it")


def _rows(connection: psycopg.Connection[Any], query: str, *values: object) -> list[tuple[Any, ...]]:
    return connection.cursor(row_factory=tuple_row).execute(query.encode(), values).fetchall()


def _check_writer(connection: psycopg.Connection[Any], findings: Findings) -> None:
    claims = _rows(
        connection,
        "select detail, actor, ts / 1000 from audit_log where action = %s order by id desc",
        CLAIMED,
    )
    writer = _rows(
        connection, "select epoch::text, holder, extract(epoch from since) * 1000000 from books_writer"
    )
    epoch, holder, since_us = writer[0] if writer else ("0", "nobody", None)
    if not claims or claims[0] != (epoch, holder, since_us) or len(claims) != int(epoch):
        last = f"{len(claims)} times, last by {claims[0][1]} as epoch {claims[0][0]}" if claims else "never"
        findings.add("books_writer", "its row", f"epoch {epoch} of {holder}; audit_log has it claimed {last}")
    head = _rows(connection, "select id, link from audit_head")
    if head != _rows(connection, "select id, link from audit_log order by id desc limit 1"):
        findings.add("audit_head", "its row", "is not the last row of audit_log")


def _check_snapshots(connection: psycopg.Connection[Any], findings: Findings) -> None:
    kept = _rows(
        connection,
        "select seq, version || ' ' || encode(sha256(state), 'hex') from book_snapshots order by seq desc",
    )
    stored = dict(_rows(connection, "select seq, detail from audit_log where action = %s", STORED))
    for seq, detail in kept:
        if stored.get(seq) != detail:
            findings.add("book_snapshots", seq, "is not what audit_log has been told of it")
    for seq in set(sorted(stored)[-min(KEPT, len(stored)) :]) - {seq for seq, _ in kept}:
        findings.add("book_snapshots", seq, "is missing; audit_log tells of it")


def _check_liabilities(connection: psycopg.Connection[Any], quick: bool, findings: Findings) -> None:
    roots = _rows(connection, "select id from liability_roots order by id")
    for (number,) in roots[-1:] if quick else roots:
        try:
            load(connection, number)
        except (InvariantBroken, ValueError) as error:
            findings.add("liability_leaves", f"of root {number}", str(error))
    for number, place in _rows(
        connection,
        """select root_id, place from (
            select root_id, place, row_number() over (partition by root_id order by place) - 1 as wanted
            from liability_leaves
        ) as placed left join liability_roots on id = root_id where place <> wanted or id is null limit 100""",
    ):
        findings.add("liability_leaves", f"{number}, place {place}", "does not belong there")
