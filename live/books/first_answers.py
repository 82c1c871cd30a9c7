"""The answers commands got, from the database: for whoever must know before it asks whether it has asked before."""

import asyncpg

from live.books.commands import Answer


async def first_answer(pool: asyncpg.Pool, key: str) -> Answer | None:
    """Return the answer to the command of that key; None if there is none, or it is older than a day."""
    text = await pool.fetchval("select answer from idempotency_keys where key = $1", key)
    return None if text is None else Answer.from_json(text)
