"""The answers commands got, from the database: for whoever must know before it asks whether it has asked before."""

import asyncpg

from live.books.commands import Answer, Command
from live.books.known_answers import reused


async def first_answer(pool: asyncpg.Pool, key: str) -> Answer | None:
    """Return the answer to the command of that key; None if there is none, or it is older than a day."""
    text = await pool.fetchval("select answer from idempotency_keys where key = $1", key)
    return None if text is None else Answer.from_json(text)


async def answer_before(pool: asyncpg.Pool, command: Command) -> Answer | None:
    """Return the answer to that very command as ``first_answer`` does; raises KeyReused where the key was another's.

    Who has one need not ask the books again: they forget a key after a day, and would do it twice.
    """
    row = await pool.fetchrow("select request, answer from idempotency_keys where key = $1", command.key)
    if row is None:
        return None
    if row["request"] != command.digest():
        raise reused(command.key)
    return Answer.from_json(row["answer"])
