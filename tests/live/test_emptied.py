"""The database that tests share one after the other is, to each of them, a new one."""

from typing import LiteralString

import psycopg
import pytest

from tests.emptied import Emptied
from tests.live.eventful import fill_books
from tests.postgres import Postgres, postgres

__all__ = ["postgres"]

_ROWS = """select table_schema, table_name, query_to_xml(format('select * from %I.%I', table_schema, table_name),
    true, false, '')::text from information_schema.tables where table_schema in ('public', 'access') order by 1, 2"""


def rows(dsn: str) -> list[tuple[str, str, str]]:
    """Return every table and partition with its rows, but for when the first rows were made."""
    with psycopg.connect(dsn) as connection:
        found = connection.execute(_ROWS).fetchall()
    return [each for each in found if each[1] != "books_writer"]


def test_after_others_it_is_as_at_first(postgres: Postgres) -> None:
    dsn = postgres.empty_database()
    new = rows(postgres.migrated_database("new"))
    fill_books(dsn)
    with psycopg.connect(dsn) as connection:
        connection.execute("select nextval('access.proposals_id_seq')")
    assert rows(dsn) != new
    assert postgres.empty_database() == dsn
    assert rows(dsn) == new
    with psycopg.connect(dsn) as connection:
        assert connection.execute("select nextval('access.proposals_id_seq')").fetchone() == (1,)
        assert connection.execute("select seq, holder from books_writer").fetchall() == [(-1, "nobody")]


@pytest.mark.parametrize(
    "change",
    [
        "alter table fills disable trigger append_only",
        "drop trigger forward on orders",
        "alter table wallets drop constraint wallets_check",
        "alter table fills alter column fee drop not null",
        "create or replace function refuse_change() returns trigger language plpgsql as 'begin return null; end'",
        "grant select on fills to public",
    ],
)
def test_changed_guards_are_noticed(postgres: Postgres, change: LiteralString) -> None:
    shared = Emptied(postgres.empty_database())
    assert shared.has_its_schema()
    with psycopg.connect(shared.dsn) as connection:
        connection.execute(change)
    assert not shared.has_its_schema()
    assert postgres.empty_database() == shared.dsn
    assert shared.has_its_schema()
    with psycopg.connect(shared.dsn) as connection:
        connection.execute("select ensure_partitions(0, 0)")
    assert shared.has_its_schema()
