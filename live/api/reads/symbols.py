"""Which symbols can be asked about."""

import asyncpg

from risk.errors import InvalidInput


async def check_symbol(pool: asyncpg.Pool, symbol: str) -> None:
    """Raise InvalidInput for a symbol that the books never knew: a typo must not look like nothing to tell."""
    rows = await pool.fetch("select symbol from symbol_modes order by symbol")  # never deleted
    known = [row["symbol"] for row in rows]
    if symbol not in known:
        raise InvalidInput(f"symbol was {symbol!r}; it must be one of {', '.join(known)}")
