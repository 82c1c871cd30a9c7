"""Which orders of a user waited at an input."""

import asyncpg

from live.api.reads.orders import OPEN


async def open_at(pool: asyncpg.Pool, user: str, seq: int, symbol: str | None = None) -> list[str]:
    """Return the ids of the orders of ``user`` that waited right after input ``seq``, oldest first.

    Those are the ones that still wait and the ones that a later input has touched: an order that ends is never
    touched again. ``seq`` must be committed.
    """
    rows = await pool.fetch(
        f"""select id from orders where user_id = $1 and seq <= $2 and ($3::text is null or symbol = $3)
            and (status in {OPEN} or updated_seq > $2) order by seq""",
        user,
        seq,
        symbol,
    )
    return [row["id"] for row in rows]
