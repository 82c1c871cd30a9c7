"""Rows of later days in SQL, made of those of two days in a row: what grew from one to the next grows on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
from _moved import Text

type Pair = tuple[tuple[int, int], tuple[int, int]]  # of each day its first and its last input

ORDERED_BY = {
    "journal": "id",
    "balance_logs": "id",
    "orders": "seq",
    "positions": "id",
    "fills": "id",
    "funding_settlements": "id",
    "book_events": "id",
}


@dataclass
class _Column:
    """How a column goes on: ``stages`` are the columns of a staging table, ``later`` is what is made of them."""

    stages: list[tuple[str, str]]
    values: list[list[Any]]
    later: str


async def staged(connection: asyncpg.Connection, days: Pair, table: str) -> str:
    """Stage a table's rows of the two days; return the SQL of a later day's rows, the parameter says which."""
    types = await _types(connection, table)
    texts = ", ".join(f"{name}::text as {name}" if kind in _AS_TEXT else name for name, kind in types.items())
    rows = []
    for day in days:
        sql = f"select {texts} from {table} where seq between $1 and $2 order by {ORDERED_BY[table]}"
        rows.append(await connection.fetch(sql, *day))
    columns = [
        _column(name, kind, [row[name] for row in rows[0]], [row[name] for row in rows[1]])
        for name, kind in types.items()
    ]
    stages = [("place", "integer"), *(stage for column in columns for stage in column.stages)]
    described = ", ".join(f"{name} {kind}" for name, kind in stages)
    await connection.execute(f"create temp table staged_{table} ({described})")
    values = [range(len(rows[1])), *(held for column in columns for held in column.values)]
    await connection.copy_records_to_table(f"staged_{table}", records=zip(*values, strict=True))
    made = ", ".join(column.later for column in columns)
    return f"select {made} from staged_{table} order by place"


_AS_TEXT = ("text[]", "numeric[]")


async def _types(connection: asyncpg.Connection, table: str) -> dict[str, str]:
    rows = await connection.fetch(
        """select attname, format_type(atttypid, null) as kind from pg_attribute
        where attrelid = $1::regclass and attnum > 0 and not attisdropped order by attnum""",
        table,
    )
    return {row["attname"]: row["kind"] for row in rows}


def _column(name: str, kind: str, before: list[Any], held: list[Any]) -> _Column:
    cast = f"::{kind}" if kind in _AS_TEXT else ""
    staged = "text" if cast else kind
    if before == held:
        return _Column([(name, staged)], [held], f"{name}{cast}")
    if staged == "text":
        texts = [Text.of(old or "", new or "") for old, new in zip(before, held, strict=True)]
        return _text_column(name, cast, texts, [new is None for new in held])
    steps = [None if new is None else new - old for old, new in zip(before, held, strict=True)]
    step = "interval" if kind.startswith("timestamp") else kind
    return _Column([(name, kind), (f"{name}_d", step)], [held, steps], f"{name} + $1 * {name}_d")


def _text_column(name: str, cast: str, texts: list[Text], absent: list[bool]) -> _Column:
    """Stage texts as pieces with numbers between them, as many as the text with most of them has."""
    count = max(len(text.numbers) for text in texts)
    pieces = [[piece.replace("%%", "%") for piece in text.template.split("%d")] for text in texts]
    stages, values, made = [(f"{name}_0", "text")], [list[Any]()], f"{name}_0"
    values[0] = [None if none else each[0] for each, none in zip(pieces, absent, strict=True)]
    for place in range(count):
        stages += [
            (f"{name}_n{place}", "bigint"),
            (f"{name}_d{place}", "bigint"),
            (f"{name}_{place + 1}", "text"),
        ]
        values.append([_at(text.numbers, place, None) for text in texts])
        values.append([_at(text.steps, place, None) for text in texts])
        values.append([_at(each, place + 1, "") for each in pieces])
        made += f" || coalesce(({name}_n{place} + $1 * {name}_d{place})::text, '') || {name}_{place + 1}"
    return _Column(stages, values, f"({made}){cast}")


def _at(values: Sequence[Any], place: int, otherwise: Any) -> Any:
    return values[place] if place < len(values) else otherwise


async def insert_later(dsn: str, days: Pair, tables: Iterable[str], later: Iterable[int]) -> None:
    """Insert the rows of later days into some tables, counted in days after the second one."""
    connection = await asyncpg.connect(dsn)
    for table in tables:
        rows = await staged(connection, days, table)
        insert = await connection.prepare(f"insert into {table} {rows.replace('$1', '$1::integer')}")
        for number in later:
            await insert.fetch(number)
    await connection.close()
