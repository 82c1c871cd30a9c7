"""Which of many sessions and API keys have ended: for connections that outlive the request that opened them."""

from collections.abc import Callable, Iterable
from datetime import datetime

import asyncpg

from live.identity.moments import moment, seconds
from live.identity.rules import AccessRules

_ENDED = """
select id from unnest($1::text[]) as given (id) where not exists (
    select from access.sessions
    where sessions.id = given.id and revoked_at is null and expires_at > $2 and last_used_at > $3)
union all select id from unnest($4::text[], $5::timestamptz[]) as given (id, changed_at) where not exists (
    select from access.api_keys
    where api_keys.id = given.id and revoked_at is null and api_keys.changed_at = given.changed_at)"""


class Endings:
    """Tell of them with one query for all."""

    def __init__(self, pool: asyncpg.Pool, clock: Callable[[], int], rules: AccessRules) -> None:
        self._pool = pool
        self._clock = clock
        self._idle_s = rules.idle_s

    async def changed_at(self, key: str) -> datetime | None:
        """Return when an API key was last changed: what ``ended`` compares."""
        found: datetime | None = await self._pool.fetchval(
            "select changed_at from access.api_keys where id = $1", key
        )
        return found

    async def ended(
        self, sessions: Iterable[str], keys: Iterable[tuple[str, datetime | None]]
    ) -> frozenset[str]:
        """Return those of ``sessions`` that ended and of ``keys`` (id, changed_at) that were changed or revoked."""
        now, keys = moment(self._clock()), list(keys)
        rows = await self._pool.fetch(
            _ENDED,
            list(sessions),
            now,
            now - seconds(self._idle_s),
            [key for key, _ in keys],
            [changed_at for _, changed_at in keys],
        )
        return frozenset(row["id"] for row in rows)
