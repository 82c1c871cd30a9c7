"""Lists of a user's rows: newest first, in pages that stay what they are while rows are added."""

from collections.abc import AsyncIterator, Callable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import asyncpg
import msgspec

from live.api.reads.forms import Form
from live.ledger.tables import APPENDED

MOST = 500
LARGEST_ID = 2**63 - 1
_EXPORTED_AT_ONCE = 1_000
_READ_AT_ONCE = 500
Item = dict[str, Any]


class Column(NamedTuple):
    """Name a value of an item, the column it comes from, and how it is written."""

    name: str
    column: str
    form: Form


class Condition(NamedTuple):
    """Narrow a list: ``sql`` has ``{}`` where ``value`` goes."""

    sql: str
    value: Any


class Page(NamedTuple):
    """Hold some items, and what to pass as ``before`` for the following ones: None at the end.

    The items are dicts, or records that are written as JSON just as those dicts would be.
    """

    items: list[Any]
    next: int | None


class Listing:
    """Read one table for one user at a time: whoever asks sees the rows of that user and no others.

    ``key`` is a column of integers that grows with every row added, by which pages are cut. ``changed`` is the
    column that tells which input wrote a row last.

    The user is told as a list of one, and rows are sorted by user as well: else the database takes the index of keys
    alone for a way to the newest rows, and goes through those of everybody on it.
    """

    def __init__(self, table: str, row: type, key: str, changed: str, columns: Sequence[Column]) -> None:
        self.table = table
        self.row = row
        self.key = key
        self.changed = changed
        self.columns = tuple(columns)
        self.names = tuple(column.name for column in columns)
        self._written = tuple(column.form.python for column in columns)
        self._values: Callable[[Any], tuple[Any, ...]] = attrgetter(*(column.column for column in columns))
        values = ", ".join(column.form.sql.format(column.column) for column in columns)
        self._select = f"select {changed}, {key}, {values} from {table} where user_id = any($1)"
        self._newest = f"order by user_id desc, {key} desc"
        self._record = msgspec.defstruct(table, self.names, gc=False)

    async def page(
        self,
        pool: asyncpg.Pool,
        user: str,
        before: int | None = None,
        limit: int = MOST,
        conditions: Sequence[Condition] = (),
    ) -> Page:
        """Return the newest rows of ``user`` that ``conditions`` let through, of those before key ``before``."""
        rows, following = await self._rows(pool, user, before, limit, conditions)
        record = self._record
        return Page([record(*row[2:]) for row in rows], following)

    async def all(
        self, pool: asyncpg.Pool, user: str, conditions: Sequence[Condition] = ()
    ) -> AsyncIterator[list[Item]]:
        """Give the whole list part by part, without a connection or a transaction between two of them."""
        before: int | None = None
        while True:
            rows, before = await self._rows(pool, user, before, _EXPORTED_AT_ONCE, conditions)
            yield list(map(self._item, rows))
            if before is None:
                return

    async def _rows(
        self,
        pool: asyncpg.Pool,
        user: str,
        before: int | None,
        limit: int,
        conditions: Sequence[Condition],
    ) -> tuple[list[asyncpg.Record], int | None]:
        """Return the rows of a page, and the key before which the following ones are."""
        if before is not None:
            conditions = (*conditions, Condition(f"{self.key} < {{}}", before))
        text, values = self._select, [[user]]
        for number, condition in enumerate(conditions, 2):
            text += " and " + condition.sql.format(f"${number}")
            values.append(condition.value)
        rows = await pool.fetch(f"{text} {self._newest} limit ${len(values) + 1}", *values, limit + 1)
        if len(rows) <= limit:
            return rows, None
        del rows[limit:]
        return rows, rows[-1][1]

    async def one(self, pool: asyncpg.Pool, user: str, column: str, value: Any) -> Item | None:
        """Return the row of ``user`` whose ``column`` is ``value``; None where there is none of that user's."""
        row = await pool.fetchrow(f"{self._select} and {column} = $2", [user], value)
        return None if row is None else self._item(row)

    async def since(
        self, connection: asyncpg.Connection, user: str, seq: int, limit: int
    ) -> list[tuple[int, Item]]:
        """Return the rows of ``user`` that inputs after ``seq`` wrote, each with its input; at most ``limit``."""
        if self.row not in APPENDED:
            rows = await connection.fetch(
                f"{self._select} and {self.changed} > $2 limit $3", [user], seq, limit
            )
            return [(row[0], self._item(row)) for row in rows]
        found: list[tuple[int, Item]] = []
        key = LARGEST_ID
        while len(found) < limit:  # from the newest back: the index knows keys, not inputs
            rows = await connection.fetch(
                f"{self._select} and {self.key} < $2 {self._newest} limit $3",
                [user],
                key,
                _READ_AT_ONCE,
            )
            newer = [row for row in rows if row[0] > seq]
            found += [(row[0], self._item(row)) for row in newer]
            if len(newer) < _READ_AT_ONCE:
                break
            key = rows[-1][1]
        return found[:limit][::-1]

    def item(self, row: Any) -> Item:
        """Return what a page has for a row, from the row as the books wrote it."""
        values = self._values(row)
        return {
            name: write(value) for name, write, value in zip(self.names, self._written, values, strict=True)
        }

    def _item(self, row: asyncpg.Record) -> Item:
        return dict(zip(self.names, row[2:], strict=True))
