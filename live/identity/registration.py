"""How an address becomes an account.

Whoever asks learns nothing of an address: the letter alone says whether it has an account. The password is chosen by
the one who has the letter, so that nobody can prepare an account for somebody else's address.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import asyncpg

from live.books.commands import NotAnswered, Overloaded
from live.identity import letters
from live.identity.accounts import Account, Accounts
from live.identity.email_tokens import EmailTokens, Purpose
from live.identity.errors import Conflict, TooManyGuesses, wrong_token
from live.identity.events import Origin, SecurityEvents
from live.identity.guesses import Guesses
from live.identity.mail import Letter, Mailer
from live.identity.names import email_address, new_id
from live.identity.passwords import Passwords

Write = Callable[[str, str], Letter]


@dataclass(frozen=True)
class Registration:
    """Make accounts of addresses, and let those who have one set another password."""

    pool: asyncpg.Pool
    accounts: Accounts
    tokens: EmailTokens
    passwords: Passwords
    guesses: Guesses
    events: SecurityEvents
    mailer: Mailer

    async def register(self, email: str) -> None:
        """Write to an address that wants an account; raises InvalidInput for what is no address."""
        await self._write(email_address(email), letters.to_register, letters.to_have_account)

    async def forgot(self, email: str) -> None:
        """Write to an address whose password was forgotten; raises InvalidInput for what is no address."""
        await self._write(email_address(email), letters.to_have_none, letters.to_reset)

    async def verify(self, token: str, password: str, origin: Origin) -> Account:
        """Return the new account of the address a token was sent to; raises NotAuthenticated, InvalidInput.

        The books may hear of it later: at its first log-in at the latest.
        """
        account = new_id("u")
        self.passwords.check_strength(password, "")
        async with self.pool.acquire() as connection, connection.transaction():
            taken = await self.tokens.take(Purpose.REGISTER, token, connection)
            self.passwords.check_strength(password, taken.email)
            kept = await self.passwords.hash(account, password)
            try:
                await self.accounts.add(account, email=taken.email, password_hash=kept, within=connection)
            except Conflict:
                raise wrong_token() from None
            await self.events.add(account, "REGISTERED", origin, within=connection)
        made = await self.accounts.by_id(account)
        with suppress(NotAnswered, Overloaded):
            await self.accounts.bring_into_books(made)
        return made

    async def _write(self, email: str, to_stranger: Write, to_owner: Write) -> None:
        """Send one of two letters, with the same work; too many to one address are not sent, and nobody is told."""
        try:
            await self.guesses.charge("letters", email)
        except TooManyGuesses:
            return
        account = await self.accounts.by_email(email)
        if account is None:
            token = await self.tokens.issue(Purpose.REGISTER, email)
            self.mailer.post(to_stranger(email, token))
        else:
            token = await self.tokens.issue(Purpose.PASSWORD, email, account.id)
            self.mailer.post(to_owner(email, token))
