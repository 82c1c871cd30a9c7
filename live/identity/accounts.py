"""Accounts: who they are, and that each is a user of the books."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg

from live.books.bus import Bus
from live.books.commands import Command
from live.identity.errors import Conflict, NotThere
from live.identity.moments import moment
from live.ledger.inputs import UserRegistered
from risk.errors import InvariantBroken

_COLUMNS = """id, email, wallet_address, password_hash, totp_confirmed_at is not null as has_totp, created_at,
    in_books_at is not null as in_books"""


@dataclass(frozen=True)
class Account:
    """Hold one account."""

    id: str
    email: str | None
    wallet_address: str | None
    password_hash: str | None = field(repr=False)
    has_totp: bool
    created_at: datetime
    in_books: bool


class Accounts:
    """Find and make accounts."""

    def __init__(self, pool: asyncpg.Pool, bus: Bus, clock: Callable[[], int]) -> None:
        self._pool = pool
        self._bus = bus
        self._clock = clock

    async def by_email(self, email: str) -> Account | None:
        """Return the account of an address as ``email_address`` writes it."""
        return await self._find("email", email)

    async def by_wallet(self, address: str) -> Account | None:
        """Return the account of a wallet, by its address in lower case."""
        return await self._find("wallet_address", address)

    async def by_id(self, account: str) -> Account:
        """Return an account; raises NotThere."""
        found = await self._find("id", account)
        if found is None:
            raise NotThere("no-such-account", f"there is no account {account}")
        return found

    async def add(
        self,
        account: str,
        *,
        email: str | None = None,
        wallet: str | None = None,
        password_hash: str | None = None,
        within: asyncpg.Connection | None = None,
    ) -> None:
        """Add an account; raises Conflict if its address or wallet is another's."""
        try:
            await (within or self._pool).execute(
                """insert into access.accounts (id, email, wallet_address, password_hash, created_at)
                values ($1, $2, $3, $4, $5)""",
                account,
                email,
                wallet,
                password_hash,
                moment(self._clock()),
            )
        except asyncpg.UniqueViolationError:
            raise Conflict("taken", "another account has this e-mail address or wallet") from None

    async def bring_into_books(self, account: Account) -> None:
        """Make an account a user of the books if it is none; raises what the bus does, then ask again.

        They are told the id alone: addresses change and pass on to others, the books' journal never does.
        """
        if account.in_books:
            return
        known = await self._pool.fetchval("select true from users where id = $1", account.id)
        if not known:
            answer = await self._bus.submit(Command(f"register:{account.id}", UserRegistered(0, account.id)))
            if answer.status != "DONE":
                raise InvariantBroken(f"the books refuse the account {account.id}: {answer.detail}")
        await self._pool.execute(
            "update access.accounts set in_books_at = $2 where id = $1 and in_books_at is null",
            account.id,
            moment(self._clock()),
        )

    async def kyc_status(self, account: str) -> str:
        """Return how far a user's identity was checked: NONE, PENDING, APPROVED or REJECTED."""
        status: str | None = await self._pool.fetchval("select kyc_status from users where id = $1", account)
        return status or "NONE"

    async def _find(self, column: str, value: str) -> Account | None:
        row = await self._pool.fetchrow(f"select {_COLUMNS} from access.accounts where {column} = $1", value)
        return None if row is None else Account(**row)
