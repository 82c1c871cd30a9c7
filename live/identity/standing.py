"""What was revoked lately, known to every request within half a second at the cost of two queries a second.

An access token lives five minutes and says all else itself, so that only sessions revoked since then matter; the
same with API keys, which are read anew after that time. Roles are few and read whole.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from live.identity.moments import moment, seconds
from live.identity.principal import Role

FRESH_S = 0.5
WINDOW_S = 900.0  # how far back is looked: beyond any token's life and any difference of clocks

_QUERY = """
select 'session' as kind, id, null as role, revoked_at as at from access.sessions where revoked_at > $1
union all select 'key', id, null, changed_at from access.api_keys where changed_at > $1
union all select 'operator', account_id, role, null from access.operators"""


@dataclass(frozen=True)
class Standing:
    """Hold ids of revoked sessions, when API keys were changed, and operators' roles."""

    revoked: frozenset[str]
    changed: dict[str, datetime]
    roles: dict[str, Role]


class Standings:
    """Give the standing, at most ``FRESH_S`` old; the requests that meet an old one wait for the same query."""

    def __init__(self, pool: asyncpg.Pool, clock: Callable[[], int]) -> None:
        self._pool = pool
        self._clock = clock
        self._known = Standing(frozenset(), {}, {})
        self._known_s = float("-inf")
        self._loading: asyncio.Task[Standing] | None = None

    async def now(self) -> Standing:
        """Return it; raises what the database does when it cannot be read."""
        if time.monotonic() - self._known_s < FRESH_S:
            return self._known
        if self._loading is None:
            self._loading = asyncio.create_task(self._load())
        return await asyncio.shield(self._loading)

    def forget(self) -> None:
        """Have it read anew: something was just changed here."""
        self._known_s, self._loading = float("-inf"), None

    async def _load(self) -> Standing:
        began, mine = time.monotonic(), asyncio.current_task()
        try:
            rows = await self._pool.fetch(_QUERY, moment(self._clock()) - seconds(WINDOW_S))
            found = Standing(
                frozenset(row["id"] for row in rows if row["kind"] == "session"),
                {row["id"]: row["at"] for row in rows if row["kind"] == "key"},
                {row["id"]: Role(row["role"]) for row in rows if row["kind"] == "operator"},
            )
            if self._loading is mine:  # not begun before the latest change
                self._known, self._known_s = found, began
            return found
        finally:
            if self._loading is mine:
                self._loading = None
