"""Sessions: a short-lived access token (JWT) and a refresh token that is changed at every use.

A refresh token that comes twice was stolen from one of the two that showed it: the session ends. But an answer may be
lost: shortly after it was used, from the same network, and while nobody has used what it was changed for, a token is
changed again, and what it was changed for before ends the session when it is shown.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg

from live.identity.access_tokens import AccessTokens
from live.identity.errors import NotAuthenticated, NotThere, wrong_credentials
from live.identity.events import Origin, SecurityEvents
from live.identity.guesses import Address
from live.identity.keyring import Keyring
from live.identity.moments import moment, seconds
from live.identity.names import new_id, new_token
from live.identity.principal import Principal, Scope
from live.identity.rules import AccessRules
from live.identity.standing import Standings

_ALL = frozenset(Scope)
_AGENT = 200

# Held until the session is there: who changes the password ends it, or was first.
_STILL = "select true from access.accounts where id = $1 and password_hash = $2 for share"
_NEAR = "network(set_masklen({0}, case family({0}) when 4 then 24 else 48 end)) >>= $2::inet"
# A place that was unusual is usual when its session has lasted, and nobody ended it for safety.
_UNUSUAL = f"""
select exists (select from access.sessions where account_id = $1) and not exists (
    select from access.sessions where account_id = $1 and (device_id = $3 or {_NEAR.format("ip")})
    and (not unusual or created_at <= $4 and coalesce(revoked_for, 'LOG_OUT') = 'LOG_OUT'))"""
# Held before the token is looked at: of two that come at once the second must see what the first did.
_HOLD = """
select from access.sessions where id = (select session_id from access.refresh_tokens where token_hash = $1)
for update"""
_REFRESHED = f"""
select tokens.used_at, coalesce({_NEAR.format("tokens.used_from")}, false) as from_there, sessions.*,
    exists (select from access.refresh_tokens as changed where changed.session_id = sessions.id
        and changed.follows = tokens.token_hash and changed.used_at is null) as not_followed
from access.refresh_tokens as tokens join access.sessions on sessions.id = session_id
where token_hash = $1"""


@dataclass(frozen=True)
class Tokens:
    """Hold what a session is used with; both tokens are shown once."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int
    session: str


@dataclass(frozen=True)
class SessionView:
    """Hold what a user sees of a session."""

    id: str
    method: str
    ip: Address
    user_agent: str
    unusual: bool
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


class Sessions:
    """Begin, refresh, know and end sessions."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        keyring: Keyring,
        clock: Callable[[], int],
        rules: AccessRules,
        standings: Standings,
        events: SecurityEvents,
    ) -> None:
        self._pool = pool
        self._keyring = keyring
        self._clock = clock
        self._rules = rules
        self._standings = standings
        self._events = events
        self._access = AccessTokens(keyring.signing, clock, rules)

    async def begin(
        self,
        account: str,
        method: str,
        origin: Origin,
        *,
        second_factor: bool,
        device: str | None = None,
        opened_by: str | None = None,
    ) -> tuple[Tokens, bool]:
        """Return the tokens of a new session, and whether it comes from an unusual place.

        ``opened_by`` is the password's hash that opened it; raises NotAuthenticated if that was changed meanwhile.
        """
        session, refresh, now = new_id("s"), new_token(), moment(self._clock())
        async with self._pool.acquire() as connection, connection.transaction():
            if opened_by is not None and not await connection.fetchval(_STILL, account, opened_by):
                raise wrong_credentials()
            settled = now - seconds(self._rules.settled_s)
            unusual = await connection.fetchval(_UNUSUAL, account, origin.ip, device, settled)
            await connection.execute(
                """insert into access.sessions (id, account_id, method, device_id, ip, user_agent, unusual,
                created_at, expires_at, last_used_at, second_factor_at)
                values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $8, $10)""",
                session,
                account,
                method,
                device,
                origin.ip,
                origin.user_agent[:_AGENT],
                unusual,
                now,
                now + seconds(self._rules.session_s),
                now if second_factor else None,
            )
            await self._add_refresh(connection, session, refresh, now)
            await self._events.add(account, "LOGGED_IN", origin, f"{method} {session}", connection)
        return self._tokens(account, session, refresh, now if second_factor else None), unusual

    async def refresh(self, token: str, origin: Origin) -> Tokens:
        """Return new tokens for a refresh token, which is used up; raises NotAuthenticated.

        One that was used before ends its session, unless the answer to that may have been lost.
        """
        now, fresh, shown = moment(self._clock()), new_token(), self._keyring.hash("refresh", token)
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_HOLD, shown)
            row = await connection.fetchrow(_REFRESHED, shown, origin.ip)
            if row is None or row["revoked_at"] is not None or self._is_over(row, now):
                raise _refused()
            if row["used_at"] is None or self._may_be_lost(row, now):
                await self._change_refresh(connection, row["id"], shown, fresh, now, origin)
                return self._tokens(row["account_id"], row["id"], fresh, row["second_factor_at"])
            await self._end(connection, row["account_id"], row["id"], "REUSE")
            await self._events.add(row["account_id"], "REFRESH_REUSED", origin, row["id"], connection)
        self._standings.forget()
        raise _refused()

    async def principal(self, access_token: str) -> Principal:
        """Return who an access token speaks for; raises NotAuthenticated if it is no good, late or revoked."""
        account, session, second_factor_at = self._access.read(access_token)
        standing = await self._standings.now()
        if session in standing.revoked:
            raise NotAuthenticated("session-ended", "the session was ended; log in again")
        return Principal(
            account,
            "session",
            session,
            _ALL,
            standing.roles.get(account),
            second_factor_at > 0,
            second_factor_at,
        )

    async def step_up(self, principal: Principal) -> tuple[str, int]:
        """Return a new access token of a session whose second factor was just given again, and its life in s."""
        now = moment(self._clock())
        await self._pool.execute(
            "update access.sessions set second_factor_at = $2 where id = $1 and revoked_at is null",
            principal.id,
            now,
        )
        return self._access.make(principal.user, principal.id, now), self._rules.access_s

    async def is_unusual(self, session: str) -> bool:
        """Tell whether a session began in a place its account was not used from before."""
        return bool(await self._pool.fetchval("select unusual from access.sessions where id = $1", session))

    async def list(self, account: str) -> list[SessionView]:
        """Return an account's sessions that are open, newest first."""
        now = moment(self._clock())
        rows = await self._pool.fetch(
            """select id, method, ip, user_agent, unusual, created_at, last_used_at, expires_at
            from access.sessions where account_id = $1 and revoked_at is null and expires_at > $2
            and last_used_at > $3 order by created_at desc, id""",
            account,
            now,
            now - seconds(self._rules.idle_s),
        )
        return [SessionView(**row) for row in rows]

    async def revoke(
        self, account: str, session: str, why: str = "REVOKED", origin: Origin | None = None
    ) -> None:
        """End a session; raises NotThere for one that is not the account's, or has ended."""
        async with self._pool.acquire() as connection, connection.transaction():
            if not await self._end(connection, account, session, why):
                raise NotThere("no-such-session", f"you have no open session {session}")
            await self._events.add(account, "SESSION_ENDED", origin, f"{why} {session}", connection)
        self._standings.forget()

    async def revoke_others(self, account: str, session: str, origin: Origin | None = None) -> None:
        """End all of an account's sessions but one."""
        async with self._pool.acquire() as connection, connection.transaction():
            await self.revoke_all(account, "REVOKED", connection, but=session)
            await self._events.add(account, "SESSIONS_ENDED", origin, f"all but {session}", connection)
        self._standings.forget()

    async def revoke_all(
        self, account: str, why: str, within: asyncpg.Connection, but: str | None = None
    ) -> None:
        """End an account's sessions, ``but`` one; call ``Standings.forget`` when that is committed."""
        await within.execute(
            """update access.sessions set revoked_at = $2, revoked_for = $3
            where account_id = $1 and revoked_at is null and id is distinct from $4""",
            account,
            moment(self._clock()),
            why,
            but,
        )

    async def _end(self, connection: asyncpg.Connection, account: str, session: str, why: str) -> bool:
        done = await connection.fetchval(
            """update access.sessions set revoked_at = $3, revoked_for = $4
            where id = $1 and account_id = $2 and revoked_at is null returning true""",
            session,
            account,
            moment(self._clock()),
            why,
        )
        return done is not None

    async def _change_refresh(
        self,
        connection: asyncpg.Connection,
        session: str,
        old: bytes,
        new: str,
        now: datetime,
        origin: Origin,
    ) -> None:
        """Use up ``old``, or else what it was changed for, and give ``new`` in its place."""
        await connection.execute(
            """update access.refresh_tokens set used_at = greatest($2, created_at),
            used_from = case when token_hash = $3 then $4::inet end
            where session_id = $1 and used_at is null""",
            *(session, now, old, origin.ip),
        )
        await self._add_refresh(connection, session, new, now, old)
        await connection.execute(
            "update access.sessions set last_used_at = greatest($2, last_used_at) where id = $1", session, now
        )

    async def _add_refresh(
        self,
        connection: asyncpg.Connection,
        session: str,
        token: str,
        now: datetime,
        follows: bytes | None = None,
    ) -> None:
        await connection.execute(
            """insert into access.refresh_tokens (token_hash, session_id, created_at, follows)
            values ($1, $2, $3, $4)""",
            *(self._keyring.hash("refresh", token), session, now, follows),
        )

    def _may_be_lost(self, row: Any, now: datetime) -> bool:
        """Tell whether the answer to a token that was used may never have come."""
        until = row["used_at"] + seconds(self._rules.refresh_grace_s)
        return row["not_followed"] and row["from_there"] and now < until

    def _is_over(self, row: Any, now: datetime) -> bool:
        return row["expires_at"] <= now or row["last_used_at"] + seconds(self._rules.idle_s) <= now

    def _tokens(self, account: str, session: str, refresh: str, factor_at: datetime | None) -> Tokens:
        return Tokens(self._access.make(account, session, factor_at), refresh, self._rules.access_s, session)


def _refused() -> NotAuthenticated:
    return NotAuthenticated("wrong-token", "refresh_token is unknown, expired, or was used before")
