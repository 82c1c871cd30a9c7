"""Lists over all users, for operators: newest first, in pages."""

from collections.abc import Sequence
from typing import Any

import asyncpg

from live.api.reads.listing import Column, Condition, Item, Page


class Overview:
    """Read rows of ``source``, a table or a join, whoever they are of; pages are cut by ``key``, which grows."""

    def __init__(self, source: str, key: str, columns: Sequence[Column]) -> None:
        self._key = key
        self._names = tuple(column.name for column in columns)
        values = ", ".join(column.form.sql.format(column.column) for column in columns)
        self._select = f"select {key}, {values} from {source}"

    async def page(
        self, pool: asyncpg.Pool, before: int | None, limit: int, conditions: Sequence[Condition] = ()
    ) -> Page:
        """Return the newest rows that ``conditions`` let through, of those before key ``before``."""
        if before is not None:
            conditions = (*conditions, Condition(f"{self._key} < {{}}", before))
        rows = await pool.fetch(
            f"{self._select}{_where(conditions)} order by {self._key} desc limit ${len(conditions) + 1}",
            *(condition.value for condition in conditions),
            limit + 1,
        )
        more = len(rows) > limit
        return Page([self._item(row) for row in rows[:limit]], rows[limit - 1][0] if more else None)

    async def one(self, pool: asyncpg.Pool, condition: Condition) -> Item | None:
        """Return the row that ``condition`` names; None if there is none."""
        row = await pool.fetchrow(self._select + _where([condition]), condition.value)
        return None if row is None else self._item(row)

    def _item(self, row: asyncpg.Record) -> dict[str, Any]:
        return dict(zip(self._names, row[1:], strict=True))


def _where(conditions: Sequence[Condition]) -> str:
    found = [condition.sql.format(f"${number}") for number, condition in enumerate(conditions, 1)]
    return " where " + " and ".join(found) if found else ""
