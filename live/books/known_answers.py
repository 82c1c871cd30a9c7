"""What became of a command before: the answers of this process in memory, those of earlier ones in the database."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import asyncpg

from live.books.commands import Answer, Command, KeyReused, NotAnswered
from live.books.stored_keys import StoredKeys
from live.ledger.writer import reaching_database

Stored = tuple[bytes, str]  # the hash of the request, and the answer as JSON
_SQL = "select key, request, answer from idempotency_keys where key = any($1)"


@dataclass(slots=True)
class Asked:
    """Hold a command until it is answered."""

    command: Command
    answered: "asyncio.Future[Answer]"


@dataclass(slots=True)
class _Known:
    request: bytes
    answer: Answer
    committed: "asyncio.Future[None]"


class KnownAnswers:
    """Answer keys that came before; ``remembered`` is how many committed answers are kept in memory.

    ``reader`` looks the others up, where ``keys`` does not rule them out; a database that takes longer than
    ``patience_s`` counts as lost.
    """

    def __init__(
        self, reader: asyncpg.Connection, keys: StoredKeys, remembered: int, patience_s: float
    ) -> None:
        self.reader = reader
        self._keys = keys
        self._remembered = remembered
        self._patience_s = patience_s
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def stored(self, keys: list[str]) -> dict[str, Stored]:
        """Look up which keys the database knows, of those it may and that are not known here; raises DatabaseLost."""
        unknown = [key for key in keys if key not in self._known and self._keys.may_hold(key)]
        if not unknown:
            return {}
        with reaching_database():
            rows = await self.reader.fetch(_SQL, unknown, timeout=self._patience_s)
        return {row["key"]: (row["request"], row["answer"]) for row in rows}

    def repeat(self, asked: Asked, request: bytes, stored: Stored | None) -> bool:
        """Answer a command whose key came before, but not before that answer's own commit; else return False."""
        known = self._known.get(asked.command.key)
        if known is not None:
            _repeat(asked, request, known)
        elif stored is None:
            return False
        elif stored[0] == request:
            settle(asked.answered, Answer.from_json(stored[1]))
        else:
            settle(asked.answered, reused(asked.command.key))
        return True

    def remember(self, key: str, request: bytes, answer: Answer, committed: "asyncio.Future[None]") -> None:
        """Keep the answer of a key that is new; ``committed`` is done, or cancelled, with its commit."""
        self._known[key] = _Known(request, answer, committed)
        self._keys.add(key)
        while (
            len(self._known) > self._remembered and next(iter(self._known.values())).committed.done()
        ):  # else the database does not know it yet
            self._known.popitem(last=False)


def settle(answered: "asyncio.Future[Any]", outcome: object) -> None:
    """Give a result or an error to whoever still waits for it."""
    if answered.done():
        return
    if isinstance(outcome, Exception):
        answered.set_exception(outcome)
    else:
        answered.set_result(outcome)


def _repeat(asked: Asked, request: bytes, known: _Known) -> None:
    if known.request != request:
        settle(asked.answered, reused(asked.command.key))
    elif known.committed.done():
        settle(asked.answered, _outcome(known))
    else:
        known.committed.add_done_callback(lambda _: settle(asked.answered, _outcome(known)))


def _outcome(known: _Known) -> Answer | NotAnswered:
    if known.committed.cancelled():
        return NotAnswered("the books stopped; ask again with the same key")
    return known.answer


def reused(key: str) -> KeyReused:
    """Return what a key gets that came with another request before."""
    return KeyReused(f"idempotency key {key!r} came with another request before; use a new one")
