"""One database for many tests: emptied between them, which takes a fraction of making another."""

from typing import Any

import psycopg
from psycopg import sql

_END_OTHERS = """select pg_terminate_backend(pid, 5000) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()"""
_TABLES = """select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('public', 'access') and c.relkind in ('r', 'p') and not c.relispartition
    and c.relname <> 'alembic_version'"""


class Emptied:
    """A migrated database that ``empty`` brings back to how it was at first, past the guards that keep every row."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        with psycopg.connect(dsn) as connection:
            self._tables = [sql.Identifier(*names) for names in connection.execute(_TABLES).fetchall()]
            self._seeds = [(table, rows) for table in self._tables if (rows := _rows(connection, table))]
        delete = [sql.SQL("delete from {}").format(table) for table in self._tables]
        self._delete = sql.SQL("; ").join(delete)

    def empty(self) -> str:
        """End whoever is connected, and drop all rows; return the address."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(_END_OTHERS)
            with connection.transaction():
                connection.execute("set local session_replication_role = replica")
                connection.execute(self._delete)
                for table, rows in self._seeds:
                    _insert(connection, table, rows)
        return self.dsn


def _rows(connection: psycopg.Connection[Any], table: sql.Identifier) -> list[tuple[Any, ...]]:
    return connection.execute(sql.SQL("select * from {}").format(table)).fetchall()


def _insert(connection: psycopg.Connection[Any], table: sql.Identifier, rows: list[tuple[Any, ...]]) -> None:
    values = sql.SQL(", ").join([sql.Placeholder()] * len(rows[0]))
    with connection.cursor() as cursor:
        cursor.executemany(sql.SQL("insert into {} values ({})").format(table, values), rows)
