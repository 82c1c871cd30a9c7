"""One database for many tests: emptied between them, which takes a fraction of making another."""

from typing import Any

import psycopg
from psycopg import sql

_END_OTHERS = """select pg_terminate_backend(pid, 5000) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()"""
_TABLES = """select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('public', 'access') and c.relkind in ('r', 'p') and not c.relispartition"""
_PARTITIONS = "select oid::regclass::text from pg_class where relispartition and relkind = 'r'"
_SEQUENCES = """select setval(format('%I.%I', schemaname, sequencename), start_value, false) from pg_sequences
    where last_value is not null"""
# Changed by a test, any of this could let the next one pass.
_SCHEMA = """select md5(string_agg(each::text, ' ' order by each::text)) from (
    select c.relname || c.relkind::text || coalesce(c.relacl::text, '') from pg_class c
        where c.relnamespace::regnamespace::text in ('public', 'access') and not c.relispartition
        and not exists (select from pg_inherits where inhrelid = c.oid)
    union all select t.tgrelid::regclass || t.tgname || t.tgenabled::text || pg_get_triggerdef(t.oid) from pg_trigger t
        join pg_class c on c.oid = t.tgrelid where not c.relispartition and not t.tgisinternal
    union all select conrelid::regclass || conname || pg_get_constraintdef(o.oid) from pg_constraint o
        join pg_class c on c.oid = conrelid where not c.relispartition and contype <> 'n'
    union all select a.attrelid::regclass || a.attname || a.atttypid || a.attnotnull from pg_attribute a
        join pg_class c on c.oid = a.attrelid where not c.relispartition and a.attnum > 0
        and c.relnamespace::regnamespace::text in ('public', 'access')
    union all select concat(proname, prosrc, prosecdef, proconfig, proacl) from pg_proc
        where pronamespace::regnamespace::text in ('public', 'access')
    union all select setconfig::text from pg_db_role_setting
) each"""


class Emptied:
    """A migrated database that ``empty`` brings back to how it was at first, past the guards that keep every row."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        with psycopg.connect(dsn) as connection:
            self._tables = [sql.Identifier(*names) for names in connection.execute(_TABLES).fetchall()]
            self._seeds = [(table, rows) for table in self._tables if (rows := _rows(connection, table))]
            self._partitions = set(connection.execute(_PARTITIONS).fetchall())
            self._schema = connection.execute(_SCHEMA).fetchone()
        delete = [sql.SQL("delete from {}").format(table) for table in self._tables]
        self._delete = sql.SQL("; ").join(delete)

    def has_its_schema(self) -> bool:
        """Say whether tables, guards and functions are as at first: a test may have changed them."""
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(_SCHEMA).fetchone() == self._schema

    def empty(self) -> str:
        """End whoever is connected, and drop all rows and new partitions; return the address."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(_END_OTHERS)
            with connection.transaction():
                connection.execute("set local session_replication_role = replica")
                made = set(connection.execute(_PARTITIONS).fetchall()) - self._partitions
                if made:
                    connection.execute(f"drop table {', '.join(name for (name,) in made)}".encode())
                connection.execute(self._delete)
                connection.execute(_SEQUENCES)
                for table, rows in self._seeds:
                    _insert(connection, table, rows)
        return self.dsn


def _rows(connection: psycopg.Connection[Any], table: sql.Identifier) -> list[tuple[Any, ...]]:
    return connection.execute(sql.SQL("select * from {}").format(table)).fetchall()


def _insert(connection: psycopg.Connection[Any], table: sql.Identifier, rows: list[tuple[Any, ...]]) -> None:
    values = sql.SQL(", ").join([sql.Placeholder()] * len(rows[0]))
    with connection.cursor() as cursor:
        cursor.executemany(sql.SQL("insert into {} values ({})").format(table, values), rows)
