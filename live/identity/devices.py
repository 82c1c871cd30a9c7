"""Trusted devices: where a second factor was given once and is not asked for again for a while."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from live.identity.errors import NotThere
from live.identity.keyring import Keyring
from live.identity.moments import moment, seconds
from live.identity.names import label, new_id, new_token
from live.identity.rules import AccessRules


@dataclass(frozen=True)
class Device:
    """Hold one trusted device."""

    id: str
    name: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None


class Devices:
    """Trust devices, know them again, and stop."""

    def __init__(
        self, pool: asyncpg.Pool, keyring: Keyring, clock: Callable[[], int], rules: AccessRules
    ) -> None:
        self._pool = pool
        self._keyring = keyring
        self._clock = clock
        self._rules = rules

    async def trust(self, account: str, name: str) -> tuple[str, str]:
        """Return a new device's id, and the token it shows from now on: nowhere else kept."""
        device, token, now = new_id("d"), new_token(), moment(self._clock())
        await self._pool.execute(
            """insert into access.trusted_devices (id, account_id, token_hash, name, created_at, expires_at)
            values ($1, $2, $3, $4, $5, $6)""",
            device,
            account,
            self._keyring.hash("device", token),
            label("device_name", name),
            now,
            now + seconds(self._rules.device_s),
        )
        return device, token

    async def known(self, account: str, token: str) -> str | None:
        """Return the id of an account's device that shows ``token``, while it is trusted."""
        found: str | None = await self._pool.fetchval(
            """update access.trusted_devices set last_used_at = $3
            where token_hash = $1 and account_id = $2 and revoked_at is null and expires_at > $3 returning id""",
            self._keyring.hash("device", token),
            account,
            moment(self._clock()),
        )
        return found

    async def list(self, account: str) -> list[Device]:
        """Return those an account trusts, newest first."""
        rows = await self._pool.fetch(
            """select id, name, created_at, expires_at, last_used_at from access.trusted_devices
            where account_id = $1 and revoked_at is null and expires_at > $2 order by created_at desc, id""",
            account,
            moment(self._clock()),
        )
        return [Device(**row) for row in rows]

    async def revoke(self, account: str, device: str) -> None:
        """Trust a device no more; raises NotThere for one that is not the account's."""
        done = await self._pool.fetchval(
            """update access.trusted_devices set revoked_at = $3
            where id = $1 and account_id = $2 and revoked_at is null returning true""",
            device,
            account,
            moment(self._clock()),
        )
        if not done:
            raise NotThere("no-such-device", f"you trust no device {device}")

    async def revoke_all(self, account: str, within: asyncpg.Connection) -> None:
        """Trust no device of an account any more."""
        await within.execute(
            "update access.trusted_devices set revoked_at = $2 where account_id = $1 and revoked_at is null",
            account,
            moment(self._clock()),
        )
