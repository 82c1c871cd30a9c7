"""Guessing is slowed: attempts that fail are counted, and lock out for longer and longer.

An attempt takes up room while it is looked at, and waits while there is none: so many at once are no way around the
count, and right ones side by side are no failures. A right one ends the count of what its owner alone can prove.
Addresses are locked whether an account has them or not, and there it takes back itself alone, so that a lock tells
nothing.
"""

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from ipaddress import IPv4Address, IPv6Address, ip_network

import asyncpg

from live.identity.errors import NotAuthenticated, TooManyGuesses
from live.identity.keyring import Keyring
from live.identity.moments import moment, seconds
from live.identity.rules import AccessRules, Limit

Address = IPv4Address | IPv6Address

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 0.25
# Also where there was no row: it is locked from here to the end of the transaction.
_READ = """
insert into access.guesses as known (subject, failures, last_at) values ($1, 0, $2)
on conflict (subject) do update set subject = known.subject
returning failures, last_at, locked_until, in_flight"""
_WRITE = """
update access.guesses set failures = $2, last_at = $3, locked_until = $4, in_flight = $5 where subject = $1"""
_NO_MORE = "too many attempts; try again in {} s"


class _Outcome(Enum):
    """Be what became of an attempt; of one that was broken off nothing is known."""

    RIGHT = auto()
    WRONG = auto()
    BROKEN_OFF = auto()


class _Full(Exception):
    """Say that there is no room until an attempt that is being looked at has ended."""


@dataclass
class _Count:
    """Hold what is counted of one subject."""

    failures: int
    last_at: datetime
    locked_until: datetime | None
    in_flight: list[datetime]

    def fail(self, now: datetime, limit: Limit) -> None:
        """Count a failure, which locks when it is one too many."""
        self.failures += 1
        self.last_at = max(self.last_at, now)
        if self.failures >= limit.free:
            lock_s = min(limit.most_s, limit.first_s * 2 ** min(self.failures - limit.free, 30))
            self.locked_until = now + seconds(lock_s)

    def clear(self) -> None:
        """Forget the failures, and with them the lock."""
        self.failures, self.locked_until = 0, None

    def wait_s(self, now: datetime) -> int:
        """Return for how many seconds it is locked; 0 if it is not."""
        if self.locked_until is None or self.locked_until <= now:
            return 0
        return max(1, math.ceil((self.locked_until - now).total_seconds()))


class Guesses:
    """Count failed attempts by what was guessed at, and lock it out."""

    def __init__(
        self, pool: asyncpg.Pool, keyring: Keyring, clock: Callable[[], int], rules: AccessRules
    ) -> None:
        self._pool = pool
        self._keyring = keyring
        self._clock = clock
        self._rules = rules

    @asynccontextmanager
    async def attempt(self, *subjects: tuple[str, str]) -> AsyncIterator[None]:
        """Have a block be one attempt on each (kind, name) of ``subjects``: it fails if it raises NotAuthenticated.

        Where it raises nothing the guess was right, which ends the counts whose limits say so. What else it raises
        says nothing of the guess: we broke it off. Nobody else can, as the server goes on with a request whose client
        has left. It waits while attempts in flight leave no room. Raises TooManyGuesses while a subject is locked, or
        when it waited too long.
        """
        # In one order, so that two attempts never wait for each other.
        hashed = sorted((self._keyring.hash(kind, name), kind) for kind, name in subjects)
        began = await self._begin(hashed)
        try:
            yield
        except NotAuthenticated:
            await self._end(hashed, began, _Outcome.WRONG)
            raise
        except BaseException:
            await self._end(hashed, began, _Outcome.BROKEN_OFF)
            raise
        await self._end(hashed, began, _Outcome.RIGHT)

    async def charge(self, kind: str, name: str) -> None:
        """Count something that is limited as failures are; raises TooManyGuesses."""
        hashed = [(self._keyring.hash(kind, name), kind)]
        await self._end(hashed, await self._begin(hashed), _Outcome.WRONG)

    async def forget(self, kind: str, name: str) -> None:
        """Forget all attempts on a subject, and its lock."""
        await self._pool.execute(
            "delete from access.guesses where subject = $1", self._keyring.hash(kind, name)
        )

    async def _begin(self, subjects: list[tuple[bytes, str]]) -> datetime:
        until, pause_s = time.monotonic() + self._rules.longest_wait_s, _FIRST_PAUSE_S
        while True:
            now = moment(self._clock())
            try:
                async with self._pool.acquire() as connection, connection.transaction():
                    for subject, kind in subjects:
                        await self._enter(connection, subject, kind, now)
                return now
            except _Full:
                if time.monotonic() >= until:
                    raise TooManyGuesses("too-many-attempts", _NO_MORE.format(1), 1) from None
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _enter(self, connection: asyncpg.Connection, subject: bytes, kind: str, now: datetime) -> None:
        limit = self._rules.limits[kind]
        count = await self._read(connection, subject, limit, now)
        if wait_s := count.wait_s(now):
            raise TooManyGuesses("too-many-attempts", _NO_MORE.format(wait_s), wait_s)
        if len(count.in_flight) >= max(1, limit.free - count.failures):
            raise _Full
        count.in_flight.append(now)
        await _write(connection, subject, count)

    async def _end(self, subjects: list[tuple[bytes, str]], began: datetime, outcome: _Outcome) -> None:
        now = moment(self._clock())
        async with self._pool.acquire() as connection, connection.transaction():
            for subject, kind in subjects:
                limit = self._rules.limits[kind]
                count = await self._read(connection, subject, limit, now)
                if began in count.in_flight:  # else it took so long that it was counted as failed
                    count.in_flight.remove(began)
                    if outcome is _Outcome.WRONG:
                        count.fail(now, limit)
                    elif outcome is _Outcome.RIGHT and limit.right_clears:
                        count.clear()
                await _write(connection, subject, count)

    async def _read(
        self, connection: asyncpg.Connection, subject: bytes, limit: Limit, now: datetime
    ) -> _Count:
        """Return the count as it is now: without what is forgotten, and with what nobody ended as failed."""
        count = _Count(**await connection.fetchrow(_READ, subject, now))
        if count.last_at < now - seconds(self._rules.forget_guesses_s):
            count.clear()
        given_up = now - seconds(self._rules.longest_attempt_s)
        for began in [each for each in count.in_flight if each < given_up]:
            count.in_flight.remove(began)
            count.fail(now, limit)
        return count


async def _write(connection: asyncpg.Connection, subject: bytes, count: _Count) -> None:
    await connection.execute(
        _WRITE, subject, count.failures, count.last_at, count.locked_until, count.in_flight
    )


def network_of(ip: Address) -> tuple[str, str]:
    """Return what an address's guesses are counted for: itself, or its /64, which is one customer's."""
    return "network", str(ip if ip.version == 4 else ip_network((ip, 64), strict=False))
