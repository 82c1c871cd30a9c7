"""Every cell of every table changed, one after the other: no change gets past ``ledger check`` and ``verify``."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from live.ledger.audit import verify
from live.ledger.check_kept import check_kept
from live.ledger.check_replay import check_replay
from live.ledger.check_sql import check_rules
from live.ledger.checks import check
from live.ledger.findings import Findings
from tests.live.eventful import fill_books
from tests.live.tampering import Tamperer
from tests.postgres import Postgres, postgres

__all__ = ["postgres"]

# What the tables' constraints refuse whoever asks: other single values than these do not fit the row's others.
REFUSED = {
    *("change audit_head.singleton", "insert into audit_head", "change books_writer.singleton"),
    *("insert into books_writer", "change balance_logs.amount", "change balance_logs.before"),
    *("change balance_logs.after", "insert into hedge_positions", "change positions.margin_mode"),
    *("change positions.status", "change wallets.total_balance", "change wallets.available_balance"),
    *("change wallets.frozen_margin", "change wallets.cash", "change wallets.order_holds"),
    *("change wallets.isolated_margin", "change hot_wallets.id", "change hot_wallets.chain"),
    *("change hot_wallets.address", "insert into hot_wallets", "change withdrawals.status"),
    *("change withdrawals.approved_at", "change withdrawals.approvals_given"),
}


@pytest.fixture(scope="module")
def dsn(postgres: Postgres) -> str:
    dsn = postgres.migrated_database("every_cell")
    fill_books(dsn)
    return dsn


@pytest.fixture
def books(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


def test_everything_has_rows_to_tamper_with(books: psycopg.Connection[Any]) -> None:
    tables = Tamperer(books).tables()
    empty = [
        name for name in tables if not books.execute(f"select 1 from {name} limit 1".encode()).fetchone()
    ]
    assert empty == ["aggregations"]


def test_no_change_of_any_cell_gets_past_check_and_verify(dsn: str, books: psycopg.Connection[Any]) -> None:
    tamperer = Tamperer(books)
    unseen, refused, seen_by = [], set(), {"check": 0, "verify": 0}
    with psycopg.connect(dsn) as reader:
        for table in tamperer.tables():
            tamperer.keep(table)
            for act, statements in list(tamperer.acts(table)):
                if not tamperer.do(statements):
                    refused.add(act)
                    continue
                by = "check" if _is_found(reader) else "verify" if _is_broken(reader) else None
                if by is None:
                    unseen.append(act)
                else:
                    seen_by[by] += 1
                    print(f"{act}: found by {by}")
                tamperer.undo(table)
    assert unseen == []
    assert sorted(refused ^ REFUSED) == []
    assert seen_by["check"] > 250
    with psycopg.connect(dsn) as connection:
        assert check(connection).findings == []


def _is_found(reader: psycopg.Connection[Any]) -> bool:
    """Say whether ``check`` finds something: its parts, first the one that finds most, and no more once one did."""
    findings, quiet = Findings(), lambda *_: None
    parts = (
        lambda: check_replay(reader, False, findings, quiet),
        lambda: check_rules(reader, findings, quiet),
        lambda: check_kept(reader, False, findings),
    )
    reader.rollback()
    with reader.transaction():
        for part in parts:
            part()
            if findings.kept:
                return True
    return False


def _is_broken(reader: psycopg.Connection[Any]) -> bool:
    reader.rollback()
    return bool(verify(reader, lambda *_: None).breaks)
