"""Codes of an authenticator (TOTP, RFC 6238): SHA-1, 6 digits, 30 s. Each step counts once."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

import asyncpg
import pyotp

from live.identity.errors import Conflict, wrong_code
from live.identity.keyring import Keyring
from live.identity.moments import moment
from live.identity.rules import AccessRules
from risk.settings import SECOND_NS

_ISSUER = "Hybrid Perps"
_STEP_S = 30


@dataclass(frozen=True)
class Enrolment:
    """Hold what an authenticator must be told, once."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


class Totp:
    """Enrol authenticators and take their codes."""

    def __init__(
        self, pool: asyncpg.Pool, keyring: Keyring, clock: Callable[[], int], rules: AccessRules
    ) -> None:
        self._pool = pool
        self._keyring = keyring
        self._clock = clock
        self._drift = rules.totp_drift_steps

    async def enrol(self, account: str, name: str) -> Enrolment:
        """Give an account a new secret, which counts once it is confirmed; raises Conflict if one counts already."""
        secret = pyotp.random_base32()
        sealed = self._keyring.seal(secret.encode(), _row(account))
        done = await self._pool.fetchval(
            """update access.accounts set totp_secret = $2 where id = $1 and totp_confirmed_at is null
            returning true""",
            account,
            sealed,
        )
        if not done:
            raise Conflict("totp-enrolled", "an authenticator is enrolled already; disable it first")
        return Enrolment(secret, pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=_ISSUER))

    async def confirm(self, account: str, code: str, within: asyncpg.Connection) -> None:
        """Let the new secret count, with a code of it; raises NotAuthenticated for a wrong one, or Conflict."""
        row = await within.fetchrow(
            "select totp_secret, totp_confirmed_at from access.accounts where id = $1", account
        )
        if row["totp_confirmed_at"] is not None:
            raise Conflict("totp-enrolled", "an authenticator is enrolled already; disable it first")
        if row["totp_secret"] is None:
            raise Conflict("totp-not-begun", "no authenticator is being enrolled; begin with its secret")
        step = self._step_of(self._secret(account, row["totp_secret"]), code)
        if step is None:
            raise wrong_code()
        done = await within.fetchval(
            """update access.accounts set totp_confirmed_at = $3, totp_last_step = $4
            where id = $1 and totp_secret = $2 and totp_confirmed_at is null returning true""",
            account,
            row["totp_secret"],
            moment(self._clock()),
            step,
        )
        if not done:
            raise wrong_code()

    async def is_enrolled(self, account: str) -> bool:
        """Tell whether an account has an authenticator that counts."""
        return bool(
            await self._pool.fetchval(
                "select totp_confirmed_at is not null from access.accounts where id = $1", account
            )
        )

    async def take(self, account: str, code: str, use: str = "") -> bool | None:
        """Use a code up that is right now, within the drift, and of a later step than any that was taken.

        Tell whether it was unused, not just the last one taken, for the same ``use``; None if it is no good.
        """
        sealed, step = await self._sealed_and_step(account, code)
        if step is None:
            return None
        unused: bool | None = await self._pool.fetchval(
            """with before as (select totp_last_step as step from access.accounts where id = $1 for update)
            update access.accounts set totp_last_step = $2, totp_last_use = $4
            from before where id = $1 and totp_secret = $3
            and (totp_last_step < $2 or totp_last_step = $2 and totp_last_use = $4) returning before.step < $2""",
            account,
            step,
            sealed,
            self._keyring.hash("use", use) if use else None,
        )
        return unused

    async def knows(self, account: str, code: str) -> bool:
        """Tell whether a code is of about now, whether it was taken or not."""
        return (await self._sealed_and_step(account, code))[1] is not None

    async def disable(self, account: str, within: asyncpg.Connection) -> None:
        """Forget an account's authenticator."""
        await within.execute(
            """update access.accounts set totp_secret = null, totp_confirmed_at = null, totp_last_step = null,
            totp_last_use = null where id = $1""",
            account,
        )

    async def _sealed_and_step(self, account: str, code: str) -> tuple[bytes | None, int | None]:
        """Return an account's sealed secret, and the step that a code of it is of."""
        sealed = await self._pool.fetchval(
            "select totp_secret from access.accounts where id = $1 and totp_confirmed_at is not null", account
        )
        return sealed, None if sealed is None else self._step_of(self._secret(account, sealed), code)

    def _step_of(self, secret: str, code: str) -> int | None:
        """Return the step a code is of; all are compared, however many are wrong."""
        now = self._clock() // SECOND_NS // _STEP_S
        codes = pyotp.TOTP(secret, interval=_STEP_S)
        found = None
        for step in range(now - self._drift, now + self._drift + 1):
            if hmac.compare_digest(codes.generate_otp(step).encode(), code.encode()):
                found = step
        return found

    def _secret(self, account: str, sealed: bytes) -> str:
        return self._keyring.unseal(sealed, _row(account)).decode()


def _row(account: str) -> str:
    return f"totp:{account}"
