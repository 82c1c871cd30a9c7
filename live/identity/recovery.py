"""Recovery codes, for who lost the authenticator: each works once in the place of its code."""

import base64
import re
import secrets
from collections.abc import Callable

import asyncpg

from live.identity.keyring import Keyring
from live.identity.moments import moment, seconds
from live.identity.rules import AccessRules

_FORM = re.compile(r"[a-z2-7]{16}")


class RecoveryCodes:
    """Make codes and take them."""

    def __init__(
        self, pool: asyncpg.Pool, keyring: Keyring, clock: Callable[[], int], rules: AccessRules
    ) -> None:
        self._pool = pool
        self._keyring = keyring
        self._clock = clock
        self._rules = rules

    async def renew(self, account: str, within: asyncpg.Connection) -> list[str]:
        """Return new codes, of 80 bits each, in the place of all earlier ones."""
        codes = [
            base64.b32encode(secrets.token_bytes(10)).decode().lower()
            for _ in range(self._rules.recovery_codes)
        ]
        now = moment(self._clock())
        await self.forget(account, within)
        await within.executemany(
            "insert into access.recovery_codes (code_hash, account_id, created_at) values ($1, $2, $3)",
            [(self._hash(account, code), account, now) for code in codes],
        )
        return ["-".join(code[at : at + 4] for at in range(0, 16, 4)) for code in codes]

    async def take(
        self, account: str, code: str, use: str = "", within: asyncpg.Connection | None = None
    ) -> bool | None:
        """Use a code up; tell whether it was unused, not just used for the same ``use``; None if it is no good."""
        plain = _plain(code)
        if plain is None:
            return None
        now = moment(self._clock())
        unused: bool | None = await (within or self._pool).fetchval(
            """with before as (select code_hash, used_at from access.recovery_codes where code_hash = $1 for update)
            update access.recovery_codes as codes set used_at = coalesce(codes.used_at, $2), used_for = $3
            from before where codes.code_hash = before.code_hash
            and (codes.used_at is null or used_for = $3 and codes.used_at > $4) returning before.used_at is null""",
            self._hash(account, plain),
            now,
            self._keyring.hash("use", use) if use else None,
            now - seconds(self._rules.same_use_s),
        )
        return unused

    async def knows(self, account: str, code: str) -> bool:
        """Tell whether a code is one of the latest that were made, used or not."""
        plain = _plain(code)
        return plain is not None and bool(
            await self._pool.fetchval(
                "select true from access.recovery_codes where code_hash = $1", self._hash(account, plain)
            )
        )

    async def left(self, account: str, within: asyncpg.Connection | None = None) -> int:
        """Return how many are unused."""
        count: int = await (within or self._pool).fetchval(
            "select count(*) from access.recovery_codes where account_id = $1 and used_at is null", account
        )
        return count

    async def forget(self, account: str, within: asyncpg.Connection) -> None:
        """Drop all of an account's."""
        await within.execute("delete from access.recovery_codes where account_id = $1", account)

    def _hash(self, account: str, code: str) -> bytes:
        return self._keyring.hash("recovery", f"{account} {code}")


def _plain(code: str) -> str | None:
    """Return a code as it is kept; None for what is none."""
    plain = code.replace("-", "").replace(" ", "").lower()
    return plain if _FORM.fullmatch(plain) else None
