"""Log-in: a password or a wallet's signature, then the second factor where there is one."""

from collections.abc import Callable
from dataclasses import dataclass, field

import asyncpg

from live.identity.accounts import Account, Accounts
from live.identity.devices import Devices
from live.identity.errors import NotAuthenticated, NotPermitted, wrong_credentials, wrong_password
from live.identity.events import Origin, SecurityEvents
from live.identity.guesses import Guesses, network_of
from live.identity.keyring import Keyring
from live.identity.moments import moment, seconds
from live.identity.names import email_address, label, new_token
from live.identity.notices import Notices
from live.identity.passwords import Passwords
from live.identity.rules import AccessRules
from live.identity.second_factor import SecondFactor
from live.identity.sessions import Sessions, Tokens
from risk.errors import InvalidInput

_NOBODY = "u" + "a" * 20


@dataclass(frozen=True)
class Challenge:
    """Ask for the second factor: ``challenge`` is to be shown with it."""

    challenge: str = field(repr=False)
    expires_in: int


@dataclass(frozen=True)
class LoggedIn:
    """Hold a new session's tokens, and that of a device that is trusted from now on."""

    tokens: Tokens
    device_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class LogIn:
    """Let people in."""

    pool: asyncpg.Pool
    keyring: Keyring
    clock: Callable[[], int]
    rules: AccessRules
    accounts: Accounts
    passwords: Passwords
    sessions: Sessions
    devices: Devices
    second: SecondFactor
    guesses: Guesses
    events: SecurityEvents
    notices: Notices

    async def with_password(
        self, email: str, password: str, origin: Origin, device_token: str | None = None
    ) -> LoggedIn | Challenge:
        """Return a session, or what to show with the second factor.

        Raises NotAuthenticated, the same after the same work whether the account or the password is wrong, and
        TooManyGuesses.
        """
        try:
            address = email_address(email)
        except InvalidInput:
            address = ""  # nobody's, and answered as such
        account = await self.accounts.by_email(address)
        who, kept = (account.id, account.password_hash) if account else (_NOBODY, None)
        device = await self.devices.known(who, device_token) if device_token else None
        guessed = ("password", address) if device is None else ("device", device)
        async with self.guesses.attempt(guessed, network_of(origin.ip)):
            if not await self.passwords.matches(who, password, kept) or account is None or kept is None:
                raise wrong_credentials()  # and nothing is written that would take longer for a known address
        if self.passwords.is_outdated(kept):
            await self._renew_hash(account, password, kept)
            account = await self.accounts.by_id(account.id)
        return await self.after_first(account, "PASSWORD", origin, device_token)

    async def check_password(
        self,
        account: Account,
        password: str | None,
        origin: Origin,
        session: str,
        field: str = "password",
    ) -> None:
        """Have a session's owner show the password again, in ``field``; raises NotAuthenticated, TooManyGuesses.

        Who guesses here is locked out of this, and who guesses at the log-in is not: strangers lock out no session.
        Raises InvalidInput where none is shown. Where the account has none the session must have begun by wallet
        just now, else raises NotPermitted.
        """
        if account.password_hash is None:
            await self._check_fresh(account, session)
            return
        if password is None:
            raise InvalidInput(f"{field} must be given, as the account has one")
        try:
            async with self.guesses.attempt(("session", session), ("account", account.id)):
                if not await self.passwords.matches(account.id, password, account.password_hash):
                    raise wrong_password(field)
        except NotAuthenticated:  # which is counted by now, whatever becomes of this
            await self.events.add(account.id, "WRONG_PASSWORD", origin)
            raise

    async def _check_fresh(self, account: Account, session: str) -> None:
        fresh = await self.pool.fetchval(
            """select true from access.sessions
            where id = $1 and account_id = $2 and method = 'WALLET' and created_at > $3""",
            session,
            account.id,
            moment(self.clock()) - seconds(self.rules.fresh_log_in_s),
        )
        if not fresh:
            raise NotPermitted(
                "wallet-log-in-needed",
                f"the account has no password: log in by wallet, and do this within {self.rules.fresh_log_in_s} s",
            )

    async def after_first(
        self, account: Account, method: str, origin: Origin, device_token: str | None = None
    ) -> LoggedIn | Challenge:
        """Go on after a right first factor: the second is left out where there is none, or the device is trusted."""
        device = await self.devices.known(account.id, device_token) if device_token else None
        if account.has_totp and device is None:
            return await self._challenge(account, method)
        return LoggedIn(await self._begin(account, method, origin, False, device))

    async def with_code(
        self, challenge: str, code: str, origin: Origin, trust_as: str | None = None
    ) -> LoggedIn:
        """Return the session of a challenge and its second factor; the device is trusted under that name.

        Raises NotAuthenticated, TooManyGuesses, and InvalidInput for a name that is none.
        """
        if trust_as is not None:
            trust_as = label("trust_device_as", trust_as)  # before the code and the challenge are used up
        hashed, now = self.keyring.hash("challenge", challenge), moment(self.clock())
        row = await self.pool.fetchrow(
            """select account_id, method from access.challenges
            where token_hash = $1 and used_at is null and expires_at > $2""",
            hashed,
            now,
        )
        if row is None:
            raise _wrong_challenge()
        account = await self.accounts.by_id(row["account_id"])
        await self.second.check(account.id, code, origin)
        used = await self.pool.fetchval(
            "update access.challenges set used_at = $2 where token_hash = $1 and used_at is null returning true",
            hashed,
            now,
        )
        if not used:
            raise _wrong_challenge()
        device, token = (None, None)
        if trust_as is not None:
            device, token = await self.devices.trust(account.id, trust_as)
            await self.events.add(account.id, "DEVICE_TRUSTED", origin, f"{device} {trust_as}")
        return LoggedIn(await self._begin(account, row["method"], origin, True, device), token)

    async def _challenge(self, account: Account, method: str) -> Challenge:
        token, now = new_token(), moment(self.clock())
        await self.pool.execute(
            """insert into access.challenges (token_hash, account_id, method, created_at, expires_at)
            values ($1, $2, $3, $4, $5)""",
            self.keyring.hash("challenge", token),
            account.id,
            method,
            now,
            now + seconds(self.rules.challenge_s),
        )
        return Challenge(token, self.rules.challenge_s)

    async def _begin(
        self, account: Account, method: str, origin: Origin, second_factor: bool, device: str | None
    ) -> Tokens:
        await self.accounts.bring_into_books(account)
        tokens, unusual = await self.sessions.begin(
            account.id,
            method,
            origin,
            second_factor=second_factor,
            device=device,
            opened_by=account.password_hash if method == "PASSWORD" else None,
        )
        if unusual:
            self.notices.write(account.email, f"Somebody logged in from a new place: {origin.ip}.")
        return tokens

    async def _renew_hash(self, account: Account, password: str, kept: str) -> None:
        await self.pool.execute(
            "update access.accounts set password_hash = $2 where id = $1 and password_hash = $3",
            account.id,
            await self.passwords.hash(account.id, password),
            kept,
        )


def _wrong_challenge() -> NotAuthenticated:
    return NotAuthenticated("wrong-challenge", "challenge is unknown, expired, or was used; log in again")
