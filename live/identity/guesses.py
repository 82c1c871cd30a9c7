"""Guessing is slowed: attempts that fail are counted, and lock out for longer and longer.

An attempt counts as failed before it is looked at, so that many at once are no way around it. Addresses are locked
whether an account has them or not, and a right attempt takes back itself alone, so that a lock tells nothing.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_network

import asyncpg

from live.identity.errors import TooManyGuesses
from live.identity.keyring import Keyring
from live.identity.moments import moment, seconds
from live.identity.rules import AccessRules

Address = IPv4Address | IPv6Address

_FAIL = """
insert into access.guesses as known (subject, failures, last_at) values ($1, 1, $2)
on conflict (subject) do update set
    failures = case when known.last_at < $3 then 1 else known.failures + 1 end,
    last_at = greatest(known.last_at, $2)
where known.locked_until is null or known.locked_until <= $2
returning failures, (select last_at from access.guesses where subject = $1) as before"""
_TAKE_BACK = """
update access.guesses set failures = greatest(failures - 1, 0), locked_until = null,
    last_at = case when last_at = $2 then coalesce($3, last_at) else last_at end
where subject = $1"""


@dataclass(frozen=True)
class _Counted:
    """Be one attempt on one subject, made ``at`` a time; the one ``before`` it was None if it is the first."""

    subject: bytes
    at: datetime
    before: datetime | None


@dataclass(frozen=True)
class Attempt:
    """Be one attempt, which counts as failed until it ``succeeded``."""

    pool: asyncpg.Pool
    counted: tuple[_Counted, ...]

    async def succeeded(self) -> None:
        """Take this one back, as if it had not been: others may still be guessing."""
        for each in self.counted:
            await self.pool.execute(_TAKE_BACK, each.subject, each.at, each.before)


class Guesses:
    """Count failed attempts by what was guessed at, and lock it out."""

    def __init__(
        self, pool: asyncpg.Pool, keyring: Keyring, clock: Callable[[], int], rules: AccessRules
    ) -> None:
        self._pool = pool
        self._keyring = keyring
        self._clock = clock
        self._rules = rules

    async def attempt(self, *subjects: tuple[str, str]) -> Attempt:
        """Count one attempt on each (kind, name) of ``subjects``; raises TooManyGuesses while one is locked."""
        hashed = sorted((kind, self._keyring.hash(kind, name)) for kind, name in subjects)
        async with self._pool.acquire() as connection, connection.transaction():
            # In one order, so that two attempts never wait for each other.
            counted = [await self._count(connection, kind, subject) for kind, subject in hashed]
        return Attempt(self._pool, tuple(counted))

    async def forget(self, kind: str, name: str) -> None:
        """Forget all attempts on a subject, and its lock."""
        await self._pool.execute(
            "delete from access.guesses where subject = $1", self._keyring.hash(kind, name)
        )

    async def _count(self, connection: asyncpg.Connection, kind: str, subject: bytes) -> _Counted:
        now = moment(self._clock())
        forgotten = now - seconds(self._rules.forget_guesses_s)
        row = await connection.fetchrow(_FAIL, subject, now, forgotten)
        if row is None:
            until = await connection.fetchval(
                "select locked_until from access.guesses where subject = $1", subject
            )
            wait_s = max(1, math.ceil((until - now).total_seconds()))
            raise TooManyGuesses("too-many-attempts", f"too many attempts; try again in {wait_s} s", wait_s)
        limit, failures = self._rules.limits[kind], row["failures"]
        if failures >= limit.free:
            lock_s = min(limit.most_s, limit.first_s * 2 ** min(failures - limit.free, 30))
            await connection.execute(
                "update access.guesses set locked_until = $2 where subject = $1",
                subject,
                now + seconds(lock_s),
            )
        return _Counted(subject, now, row["before"])


def network_of(ip: Address) -> tuple[str, str]:
    """Return what an address's guesses are counted for: itself, or its /64, which is one customer's."""
    return "network", str(ip if ip.version == 4 else ip_network((ip, 64), strict=False))
