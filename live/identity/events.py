"""What happened to an account's ways in: written with it, for ever."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from live.identity.guesses import Address
from live.identity.moments import moment

_MOST = 200


@dataclass(frozen=True)
class Origin:
    """Hold where a request comes from, as far as that can be known."""

    ip: Address
    user_agent: str = ""


@dataclass(frozen=True)
class SecurityEvent:
    """Be one thing that happened."""

    id: int
    kind: str
    detail: str
    ip: Address | None
    at: datetime


class SecurityEvents:
    """Write and read them."""

    def __init__(self, pool: asyncpg.Pool, clock: Callable[[], int]) -> None:
        self._pool = pool
        self._clock = clock

    async def add(
        self,
        account: str,
        kind: str,
        origin: Origin | None = None,
        detail: str = "",
        within: asyncpg.Connection | None = None,
    ) -> None:
        """Write one, on the connection of what it tells of where that is given."""
        await (within or self._pool).execute(
            "insert into access.security_events (account_id, kind, detail, ip, at) values ($1, $2, $3, $4, $5)",
            account,
            kind,
            detail[:_MOST],
            None if origin is None else origin.ip,
            moment(self._clock()),
        )

    async def latest(self, account: str, before: int | None = None, count: int = 50) -> list[SecurityEvent]:
        """Return an account's, newest first, those ``before`` an id."""
        rows = await self._pool.fetch(
            """select id, kind, detail, ip, at from access.security_events
            where account_id = $1 and ($2::bigint is null or id < $2) order by id desc limit $3""",
            account,
            before,
            count,
        )
        return [SecurityEvent(**row) for row in rows]
