"""Another password, another e-mail address: what ends with the old ones."""

from dataclasses import dataclass

import asyncpg

from live.identity import letters
from live.identity.accounts import Account, Accounts
from live.identity.devices import Devices
from live.identity.email_tokens import EmailTokens, Purpose
from live.identity.errors import Conflict, wrong_token
from live.identity.events import Origin, SecurityEvents
from live.identity.guesses import Guesses
from live.identity.keys import ApiKeys
from live.identity.log_in import LogIn
from live.identity.mail import Mailer
from live.identity.names import email_address
from live.identity.notices import Notices
from live.identity.passwords import Passwords
from live.identity.sessions import Sessions
from live.identity.standing import Standings
from live.wallets.addresses import as_written
from risk.errors import InvalidInput


@dataclass(frozen=True)
class Credentials:
    """Change what an account is opened with."""

    pool: asyncpg.Pool
    accounts: Accounts
    passwords: Passwords
    tokens: EmailTokens
    sessions: Sessions
    devices: Devices
    keys: ApiKeys
    standings: Standings
    guesses: Guesses
    log_in: LogIn
    events: SecurityEvents
    mailer: Mailer
    notices: Notices

    async def reset_password(self, token: str, password: str, origin: Origin) -> None:
        """Set the password that a letter's token allows; raises NotAuthenticated, InvalidInput.

        Sessions, trusted devices, API keys and a linked wallet end: whoever forgot the password may not be who made
        them. A first password takes no wallet away, as that is what made the account.
        """
        self.passwords.check_strength(password, "")
        async with self.pool.acquire() as connection, connection.transaction():
            taken = await self.tokens.take(Purpose.PASSWORD, token, connection)
            assert taken.account is not None
            self.passwords.check_strength(password, taken.email)
            kept = await self.passwords.hash(taken.account, password)
            # A letter to an address that the account has no more opens nothing.
            before = await connection.fetchrow(
                """select password_hash, wallet_address from access.accounts
                where id = $1 and email = $2 for update""",
                taken.account,
                taken.email,
            )
            if before is None:
                raise wrong_token()
            unlinked, wallet = None, before["wallet_address"]
            if before["password_hash"] is not None:
                unlinked, wallet = as_written(wallet) if wallet else None, None
            await connection.execute(
                "update access.accounts set password_hash = $2, wallet_address = $3 where id = $1",
                taken.account,
                kept,
                wallet,
            )
            await self._end_ways_in(taken.account, connection)
            await self.keys.revoke_all(taken.account, connection)
            await self.events.add(taken.account, "PASSWORD_RESET", origin, unlinked or "", connection)
        self.standings.forget()
        await self.guesses.forget("password", taken.email)
        await self.guesses.forget("account", taken.account)
        what = "Another password was set with a letter's token."
        if unlinked is not None:
            what += f" The wallet {unlinked} was unlinked and can log in no more."
        self.notices.write(taken.email, what)

    async def change_password(
        self, account: Account, old: str, new: str, code: str | None, origin: Origin, session: str
    ) -> None:
        """Set another password, which ends the other sessions, trusted devices and API keys.

        Raises NotAuthenticated for a wrong old one, Conflict where there is none, InvalidInput, also for the old one
        again, TooManyGuesses, and as ``SecondFactor.check`` does where the account has an authenticator.
        """
        if account.password_hash is None or account.email is None:
            raise Conflict("no-password", "the account has no password; give it an e-mail address first")
        self.passwords.check_strength(new, account.email)
        if self.passwords.are_same(old, new):
            raise InvalidInput("password was the old one; it must be another")
        await self.log_in.check_password(account, old, origin, session, "old_password")
        await self.log_in.second.check_if_enrolled(account, code, origin)
        kept = await self.passwords.hash(account.id, new)
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(
                "update access.accounts set password_hash = $2 where id = $1", account.id, kept
            )
            await self._end_ways_in(account.id, connection, but=session)
            await self.keys.revoke_all(account.id, connection)
            await self.events.add(account.id, "PASSWORD_CHANGED", origin, within=connection)
        self.standings.forget()
        self.notices.write(account.email, "The password was changed.")

    async def ask_for_email(self, account: Account, email: str) -> None:
        """Write to an address that an account is to have; of one that has an account, that one is told instead."""
        address = self.check_email(account, email)
        await self.guesses.charge("letters", address)
        token = await self.tokens.issue(Purpose.EMAIL, address, account.id)
        if await self.accounts.by_email(address) is None:
            self.mailer.post(letters.to_confirm_email(address, token))
        else:
            self.notices.write(address, "Another account asked to have this address; it cannot.")

    def check_email(self, account: Account, email: str) -> str:
        """Return a new address for an account in the one form it is kept in; raises InvalidInput for none."""
        address = email_address(email)
        if address == account.email:
            raise InvalidInput("email was the account's own; it must be another one")
        return address

    async def set_email(self, account: Account, token: str, origin: Origin) -> None:
        """Give an account the address its token was sent to; the old one is told. Raises NotAuthenticated."""
        async with self.pool.acquire() as connection, connection.transaction():
            taken = await self.tokens.take(Purpose.EMAIL, token, connection)
            if taken.account != account.id:
                raise wrong_token()
            try:
                await connection.execute(
                    "update access.accounts set email = $2 where id = $1", account.id, taken.email
                )
            except asyncpg.UniqueViolationError:
                raise wrong_token() from None
            await self.events.add(account.id, "EMAIL_CHANGED", origin, within=connection)
        self.notices.write(account.email, "The account has another e-mail address now.")

    async def _end_ways_in(self, account: str, within: asyncpg.Connection, but: str | None = None) -> None:
        """End what the old password opened: sessions, ``but`` one, trusted devices, and log-ins half done."""
        await self.sessions.revoke_all(account, "PASSWORD", within, but=but)
        await self.devices.revoke_all(account, within)
        await within.execute("delete from access.challenges where account_id = $1", account)
