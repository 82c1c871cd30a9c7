"""Change any cell of any table behind the database's back: as a superuser whose session skips triggers."""

import re
from collections.abc import Iterator
from typing import Any

import psycopg

# What a column's value can be changed to, the first that the table's constraints let through.
_CHANGES = {
    "numeric": ("{0} + 1", "{0} + 0.000001", "{0} - 1", "{0} * 2", "0"),
    "bigint": ("{0} + 1", "{0} + 1000", "{0} - 1"),
    "integer": ("{0} + 1", "{0} + 1000", "{0} - 1"),
    "text": ("{0} || 'x'", "'x' || {0}"),
    "boolean": ("not {0}",),
    "timestamp with time zone": ("{0} + interval '1 microsecond'",),
    "bytea": ("set_byte({0}, octet_length({0}) / 2, get_byte({0}, octet_length({0}) / 2) # 1)",),
    "text[]": ("{0}[2:] || {0}[:1]", "array_append({0}[2:], {0}[1] || 'x')"),
    "numeric[]": (
        "(select array_agg(amount * 2 order by place) from unnest({0}) with ordinality as each (amount, place))",
    ),
}
_INSTEAD_OF_NULL = {"numeric": "1", "bigint": "1", "text": "'x'", "timestamp with time zone": "now()"}


class Tamperer:
    """Change, delete and insert rows; each act is committed, and undone after it was looked at."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        connection.execute("set session_replication_role = replica")

    def tables(self) -> list[str]:
        rows = self.connection.execute(
            """select relname from pg_class where relkind in ('r', 'p') and not relispartition
            and relnamespace = 'public'::regnamespace and relname <> 'alembic_version' order by relname"""
        )
        return [name for (name,) in rows]

    def columns(self, table: str) -> dict[str, str]:
        rows = self.connection.execute(
            """select attname, format_type(atttypid, null) from pg_attribute
            where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum""",
            [table],
        )
        return dict(rows.fetchall())

    def acts(self, table: str) -> Iterator[tuple[str, list[str]]]:
        """Give (what is done, the statements that would do it, of which the first possible one is to be taken)."""
        ((count,),) = self.connection.execute(f"select count(*) from {table}".encode()).fetchall()
        columns = self.columns(table)
        middle = f"select tableoid, ctid from {table} order by {next(iter(columns))} desc offset {count // 2} limit 1"
        where = f"where (tableoid, ctid) = ({middle})"
        if count:
            for column, kind in columns.items():
                yield f"change {table}.{column}", list(self._updates(table, column, kind, where))
            yield f"delete from {table}", [f"delete from {table} {where}"]
        yield f"insert into {table}", list(self._inserts(table, count > 0))

    def _updates(self, table: str, column: str, kind: str, where: str) -> Iterator[str]:
        changes = [*_CHANGES[kind], *(f"'{word}'" for word in self._words(table, column))]
        empty = _INSTEAD_OF_NULL.get(kind, "null")
        for change in changes:
            changed = f"coalesce({change.format(column)}, {empty})"
            yield f"update {table} set {column} = {changed} {where} and {changed} is distinct from {column}"

    def _words(self, table: str, column: str) -> list[str]:
        """Return the words a column's constraint lists."""
        rows = self.connection.execute(
            """select pg_get_constraintdef(pg_constraint.oid) from pg_constraint
            join pg_attribute on attrelid = conrelid and attnum = any(conkey)
            where conrelid = %s::regclass and contype = 'c' and attname = %s""",
            [table, column],
        )
        return [word for (text,) in rows.fetchall() for word in re.findall(r"'(\w+)'::text", text)]

    def _inserts(self, table: str, has_rows: bool) -> Iterator[str]:
        columns = self.columns(table)
        if not has_rows:
            values = {"numeric": "1", "text": "'x'", "timestamp with time zone": "now()"}
            statuses = (
                [f"'{word}'" for word in self._words(table, "status")[:1]] if "status" in columns else []
            )
            given = [statuses[0] if name == "status" else values[kind] for name, kind in columns.items()]
            yield f"insert into {table} values ({', '.join(given)})"
            return
        keys = self.connection.execute(
            """select attname, format_type(atttypid, null) from pg_index
            join pg_attribute on attrelid = indrelid and attnum = any(indkey)
            where indrelid = %s::regclass and indisprimary and attname <> 'ts'""",
            [table],
        ).fetchall()
        uniques = {"email", "wallet_address"}
        for key, kind in reversed(keys):
            changed = {
                name: "null" if name in uniques
                else (f"(select max({key}) from {table}) + 1" if kind in ("bigint", "integer") else f"{key} || 'x'")
                if name == key else name
                for name in columns
            }  # fmt: skip
            if kind != "boolean":
                yield (
                    f"insert into {table} ({', '.join(columns)}) select {', '.join(changed.values())} "
                    f"from {table} limit 1"
                )

    def do(self, statements: list[str]) -> bool:
        """Carry out the first statement that the database does not refuse and that changes something."""
        for statement in statements:
            try:
                if self.connection.execute(statement.encode()).rowcount:
                    return True
            except psycopg.Error:
                continue
        return False

    def keep(self, table: str) -> None:
        """Remember a table's rows for ``undo``."""
        self.connection.execute(f"create temp table kept_{table} as select * from {table}".encode())

    def undo(self, table: str) -> None:
        with self.connection.transaction():
            self.connection.execute(f"delete from {table}".encode())
            self.connection.execute(f"insert into {table} select * from kept_{table}".encode())
