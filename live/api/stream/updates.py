"""Updates: what a commit changed for one user, and what of it was missed, from the database."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any, TypedDict

import asyncpg

from live.api.reads.forms import decimal_text
from live.api.reads.listing import Item
from live.api.stream.protocol import PRIVATE, write
from live.books.events import Mark
from risk.errors import HybridPerpsError

MOST_MISSED = 10_000  # rows of a channel
_ROWS_AT_ONCE = 500
_READERS = 3  # connections to the database that may be at this together
_CHANNEL_OF = {listing.row: name for name, listing in PRIVATE.items()}


class MarkItem(TypedDict):
    """Be a symbol's mark and best prices."""

    mark: str | None
    bid: str | None
    ask: str | None


def mark_item(told: Mark) -> MarkItem:
    """Write what the books tell of a symbol's market."""
    return {"mark": decimal_text(told.mark), "bid": decimal_text(told.bid), "ask": decimal_text(told.ask)}


class TooFar(HybridPerpsError):
    """Say that more was missed than is told again."""


class Update:
    """Hold the rows that the commit up to input ``seq`` wrote for one user; written once for all who listen."""

    __slots__ = ("_rows", "_texts", "seq")

    def __init__(self, seq: int, rows: Iterable[Any]) -> None:
        self.seq = seq
        self._rows: dict[str, list[Any]] = {}
        self._texts: dict[frozenset[str], str | None] = {}
        for row in rows:
            channel = _CHANNEL_OF.get(type(row))
            if channel is not None:
                self._rows.setdefault(channel, []).append(row)

    def text(self, channels: frozenset[str]) -> str | None:
        """Return the message for whoever listens to ``channels``; None if it has nothing for them."""
        if channels not in self._texts:
            found = {
                name: [PRIVATE[name].item(row) for row in rows]
                for name, rows in self._rows.items()
                if name in channels
            }
            self._texts[channels] = write("update", seq=self.seq, **found) if found else None
        return self._texts[channels]


class MissedReader:
    """Read from the database what a connection was not told of."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._readers = asyncio.Semaphore(_READERS)  # who comes back in crowds must leave some for others

    async def current(self) -> int:
        """Return the last committed input."""
        seq: int = await self._pool.fetchval("select seq from books_writer")
        return seq

    async def missed(self, user: str, after: Mapping[str, int]) -> tuple[int, list[tuple[int, str]]]:
        """Return the last committed input, and (seq, message) for what channels were not told of up to it.

        ``after`` maps each channel to the last input it was told of. A row that changed several times is told
        as it is last. Raises TooFar where a channel missed more than ``MOST_MISSED`` rows.
        """
        rows: list[tuple[int, str, Item]] = []
        async with (
            self._readers,
            self._pool.acquire() as connection,
            # One snapshot: all channels are told of the same inputs, and of whole commits.
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            seq: int = await connection.fetchval("select seq from books_writer")
            for name, since in after.items():
                if since >= seq:
                    continue
                found = await PRIVATE[name].since(connection, user, since, MOST_MISSED + 1)
                if len(found) > MOST_MISSED:
                    raise TooFar(
                        f"after was {since}; more than {MOST_MISSED} {name} have changed since: read them "
                        f"over HTTP and subscribe without after"
                    )
                rows += [(of_row, name, item) for of_row, item in found]
        rows.sort(key=itemgetter(0))
        return seq, [(end, write("update", seq=end, **items)) for end, items in _cut(rows)]


def _cut(rows: Iterable[tuple[int, str, Item]]) -> Iterator[tuple[int, dict[str, list[Item]]]]:
    """Cut rows into messages, never within an input: whoever has one message has all up to its seq."""
    items: dict[str, list[Item]] = {}
    count = last = 0
    for seq, of_input in groupby(rows, key=itemgetter(0)):
        if count >= _ROWS_AT_ONCE:
            yield last, items
            items, count = {}, 0
        for _, name, item in of_input:
            items.setdefault(name, []).append(item)
            count += 1
        last = seq
    if items:
        yield last, items
