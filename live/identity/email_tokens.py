"""The tokens that letters carry: each works once, for one purpose, for a while."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import asyncpg

from live.identity.errors import wrong_token
from live.identity.keyring import Keyring
from live.identity.moments import moment, seconds
from live.identity.names import new_token
from live.identity.rules import AccessRules

# All that end together, in one order: requests that show different ones never wait for each other in a circle.
_LOCK = """
select from access.email_tokens as others join access.email_tokens as shown using (purpose, email, subject)
where shown.token_hash = $1 and shown.purpose = $2 and others.used_at is null
order by others.token_hash for update of others"""


class Purpose(StrEnum):
    """Be what a token is for."""

    REGISTER = "REGISTER"
    PASSWORD = "PASSWORD"
    EMAIL = "EMAIL"
    WITHDRAWAL = "WITHDRAWAL"
    ADDRESS = "ADDRESS"


@dataclass(frozen=True)
class Taken:
    """Hold what a token was issued for."""

    email: str
    account: str | None
    subject: str


class EmailTokens:
    """Issue tokens and take them."""

    def __init__(
        self, pool: asyncpg.Pool, keyring: Keyring, clock: Callable[[], int], rules: AccessRules
    ) -> None:
        self._pool = pool
        self._keyring = keyring
        self._clock = clock
        self._rules = rules

    async def issue(
        self,
        purpose: Purpose,
        email: str,
        account: str | None = None,
        subject: str = "",
        lasts_s: int | None = None,
        within: asyncpg.Connection | None = None,
    ) -> str:
        """Return a new token; ``subject`` is what it confirms, such as a withdrawal's id."""
        token, now = new_token(), self._clock()
        await (within or self._pool).execute(
            """insert into access.email_tokens
            (token_hash, purpose, email, account_id, subject, created_at, expires_at)
            values ($1, $2, $3, $4, $5, $6, $7)""",
            self._keyring.hash(purpose, token),
            purpose,
            email,
            account,
            subject,
            moment(now),
            moment(now) + seconds(lasts_s or self._rules.email_token_s),
        )
        return token

    async def look(self, purpose: Purpose, token: str, using: asyncpg.Connection) -> Taken:
        """Return what a token is for that could be used now, and leave it; raises NotAuthenticated."""
        row = await using.fetchrow(
            """select email, account_id, subject from access.email_tokens
            where token_hash = $1 and purpose = $3 and used_at is null and expires_at > $2 and created_at <= $2""",
            self._keyring.hash(purpose, token),
            moment(self._clock()),
            purpose,
        )
        if row is None:
            raise wrong_token()
        return Taken(row["email"], row["account_id"], row["subject"])

    async def take(self, purpose: Purpose, token: str, within: asyncpg.Connection | None = None) -> Taken:
        """Use a token up and return what it was for; the others of its purpose, address and subject end with it.

        ``within`` is the connection of the transaction that does what it is for. Raises NotAuthenticated.
        """
        if within is not None:
            return await self._take(within, purpose, token)
        async with self._pool.acquire() as connection, connection.transaction():
            return await self._take(connection, purpose, token)

    async def _take(self, connection: asyncpg.Connection, purpose: Purpose, token: str) -> Taken:
        hashed = self._keyring.hash(purpose, token)
        await connection.execute(_LOCK, hashed, purpose)
        row = await connection.fetchrow(
            """update access.email_tokens set used_at = $2
            where token_hash = $1 and used_at is null and expires_at > $2 and created_at <= $2
            returning email, account_id, subject""",
            hashed,
            moment(self._clock()),
        )
        if row is None:
            raise wrong_token()
        await connection.execute(
            """delete from access.email_tokens
            where purpose = $1 and email = $2 and subject = $3 and used_at is null""",
            purpose,
            row["email"],
            row["subject"],
        )
        return Taken(row["email"], row["account_id"], row["subject"])
