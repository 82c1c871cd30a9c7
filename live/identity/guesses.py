"""Guessing is slowed: attempts that fail are counted, and lock out for longer and longer.

An attempt counts as failed before it is looked at, so that many at once are no way around it. Addresses are locked
whether an account has them or not, so that a lock tells nothing.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
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
returning failures"""
_FORGIVE = """
update access.guesses set failures = case when $2 then 0 else greatest(failures - 1, 0) end, locked_until = null
where subject = $1"""


@dataclass(frozen=True)
class Attempt:
    """Be one attempt, which counts as failed until it ``succeeded``."""

    pool: asyncpg.Pool
    subjects: tuple[tuple[str, bytes], ...]

    async def succeeded(self) -> None:
        """Forget the account's failures, and this one of the network: others on it may still be guessing."""
        for kind, subject in self.subjects:
            await self.pool.execute(_FORGIVE, subject, kind != "network")


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
        hashed = tuple((kind, self._keyring.hash(kind, name)) for kind, name in subjects)
        async with self._pool.acquire() as connection, connection.transaction():
            for kind, subject in sorted(
                hashed
            ):  # in one order, so that two attempts never wait for each other
                await self._count(connection, kind, subject)
        return Attempt(self._pool, hashed)

    async def _count(self, connection: asyncpg.Connection, kind: str, subject: bytes) -> None:
        now = moment(self._clock())
        forgotten = now - seconds(self._rules.forget_guesses_s)
        failures = await connection.fetchval(_FAIL, subject, now, forgotten)
        if failures is None:
            until = await connection.fetchval(
                "select locked_until from access.guesses where subject = $1", subject
            )
            wait_s = max(1, math.ceil((until - now).total_seconds()))
            raise TooManyGuesses("too-many-attempts", f"too many attempts; try again in {wait_s} s", wait_s)
        limit = self._rules.limits[kind]
        if failures >= limit.free:
            lock_s = min(limit.most_s, limit.first_s * 2 ** min(failures - limit.free, 30))
            await connection.execute(
                "update access.guesses set locked_until = $2 where subject = $1",
                subject,
                now + seconds(lock_s),
            )


def network_of(ip: Address) -> tuple[str, str]:
    """Return what an address's guesses are counted for: itself, or its /64, which is one customer's."""
    return "network", str(ip if ip.version == 4 else ip_network((ip, 64), strict=False))
