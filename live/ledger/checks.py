"""Check the books in a database as they are at one instant, also while a process writes them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import tuple_row

from live.ledger.check_guards import check_guards
from live.ledger.check_kept import check_kept
from live.ledger.check_replay import check_replay
from live.ledger.check_sql import check_rules
from live.ledger.findings import Finding, Findings
from risk.errors import InvalidInput
from risk.numbers import install_context

_LAST_INPUT = """select coalesce((select seq from books_writer), (select max(seq) from input_journal), -1)"""


class Checked(NamedTuple):
    """What was checked, up to which input, and what was found: ``counts`` has all, ``findings`` the first ones."""

    seq: int
    rules: int
    inputs: int
    findings: list[Finding]
    counts: dict[str, int]


def check(
    connection: psycopg.Connection[Any],
    *,
    quick: bool = False,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Checked:
    """Check the rules between the tables, the database's guards, and every row against a replay of the inputs.

    ``quick`` replays from the latest snapshot only. ``progress`` is told (what, done, of how many). Writes
    nothing; ``connection`` must not be inside a transaction. Raises InvalidInput where no books were opened.
    """
    install_context()
    findings = Findings()
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read read only")
        seq = opened_books(connection)
        check_guards(connection, findings)
        rules = check_rules(connection, findings, progress)
        check_kept(connection, quick, findings)
        inputs = check_replay(connection, quick, findings, progress)
    return Checked(seq, rules, inputs, findings.kept, dict(findings.counts))


def opened_books(connection: psycopg.Connection[Any]) -> int:
    """Return the last input the books took; raise InvalidInput where there are none."""
    row = connection.cursor(row_factory=tuple_row).execute(_LAST_INPUT.encode()).fetchone()
    if row is None or row[0] < 0:
        raise InvalidInput("no books have been opened in this database yet")
    return int(row[0])
