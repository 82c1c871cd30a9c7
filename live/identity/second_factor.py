"""The second factor: an authenticator's code, or a recovery code in its place. Guessing it locks it."""

from dataclasses import dataclass

import asyncpg

from live.identity.accounts import Account
from live.identity.devices import Devices
from live.identity.errors import NotAuthenticated, NotPermitted, used_code, wrong_code
from live.identity.events import Origin, SecurityEvents
from live.identity.guesses import Guesses
from live.identity.notices import Notices
from live.identity.recovery import RecoveryCodes
from live.identity.totp import Enrolment, Totp


class _Used(Exception):
    """Say that a code was used up before: no guess, and no proof."""


class _Again(Exception):
    """Say that a code was shown again for the same: it opens that again, and ends no count of guesses in between."""


@dataclass(frozen=True)
class SecondFactor:
    """Take codes of accounts, and enrol what makes them."""

    pool: asyncpg.Pool
    totp: Totp
    recovery: RecoveryCodes
    devices: Devices
    guesses: Guesses
    events: SecurityEvents
    notices: Notices

    async def check(self, account: str, code: str | None, origin: Origin, use: str = "") -> None:
        """Use a code up; raises NotPermitted without one or an authenticator, NotAuthenticated for a wrong one.

        ``use`` says what for, to the last detail: for the same it may be shown again. For anything else it raises
        NotAuthenticated too, and that counts as no guess: whoever shows it knew it, and it opens nothing more. Raises
        TooManyGuesses after too many wrong ones.
        """
        if not await self.totp.is_enrolled(account):
            raise NotPermitted("second-factor-needed", "this needs an authenticator; enrol one first")
        if code is None:
            raise NotPermitted("second-factor-needed", "this needs a code of your authenticator")
        try:
            async with self.guesses.attempt(("second-factor", account)):
                await self._take(account, code, origin, use)
        except _Again:
            return
        except _Used:
            await self.events.add(account, "WRONG_CODE", origin, "used before")
            raise used_code() from None
        except NotAuthenticated:  # which is counted by now, whatever becomes of this
            await self.events.add(account, "WRONG_CODE", origin)
            raise

    async def _take(self, account: str, code: str, origin: Origin, use: str) -> None:
        unused = await self.totp.take(account, code, use)
        if unused is None:
            unused = await self._take_recovery_code(account, code, origin, use)
        if unused:
            return
        if unused is not None:
            raise _Again
        if await self.totp.knows(account, code) or await self.recovery.knows(account, code):
            raise _Used
        raise wrong_code()

    async def _take_recovery_code(self, account: str, code: str, origin: Origin, use: str) -> bool | None:
        async with self.pool.acquire() as connection, connection.transaction():
            unused = await self.recovery.take(account, code, use, connection)
            if not unused:
                return unused
            await self.events.add(account, "RECOVERY_CODE_USED", origin, within=connection)
            left = await self.recovery.left(account, connection)
            owner = await self.notices.owner(account, connection)
        self.notices.write(owner, f"A recovery code was used; {left} are left.")
        return True

    async def check_if_enrolled(self, account: Account, code: str | None, origin: Origin) -> None:
        """Do the same where the account has an authenticator, else nothing."""
        if account.has_totp:
            await self.check(account.id, code, origin)

    async def enrol(self, account: Account) -> Enrolment:
        """Give a new secret, which counts once ``confirm`` has had a code of it; raises Conflict."""
        return await self.totp.enrol(account.id, account.email or account.wallet_address or account.id)

    async def confirm(self, account: str, code: str, origin: Origin) -> list[str]:
        """Let the new secret count and return the recovery codes; raises as ``check`` does, or Conflict."""
        async with (
            self.guesses.attempt(("second-factor", account)),
            self.pool.acquire() as connection,
            connection.transaction(),
        ):
            await self.totp.confirm(account, code, connection)
            await self.events.add(account, "TOTP_ENROLLED", origin, within=connection)
            codes = await self.recovery.renew(account, connection)
            owner = await self.notices.owner(account, connection)
        self.notices.write(owner, "An authenticator was enrolled, and recovery codes made.")
        return codes

    async def disable(self, account: str, code: str, origin: Origin) -> None:
        """Forget the authenticator, its recovery codes and trusted devices; needs a code of it."""
        await self.check(account, code, origin)
        async with self.pool.acquire() as connection, connection.transaction():
            await self.totp.disable(account, connection)
            await self.recovery.forget(account, connection)
            await self.devices.revoke_all(account, connection)
            await self.events.add(account, "TOTP_DISABLED", origin, within=connection)
            owner = await self.notices.owner(account, connection)
        self.notices.write(owner, "The authenticator was disabled: log-ins need no second factor.")

    async def renew_codes(self, account: str, code: str, origin: Origin) -> list[str]:
        """Return new recovery codes in the place of the old; needs a code of the authenticator."""
        await self.check(account, code, origin)
        async with self.pool.acquire() as connection, connection.transaction():
            codes = await self.recovery.renew(account, connection)
            await self.events.add(account, "RECOVERY_CODES_RENEWED", origin, within=connection)
            owner = await self.notices.owner(account, connection)
        self.notices.write(owner, "New recovery codes were made; the old ones work no more.")
        return codes
