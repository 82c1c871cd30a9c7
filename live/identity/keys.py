"""API keys: made, listed, rotated and revoked. A secret is shown once and kept sealed."""

import builtins
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_network

import asyncpg

from live.identity.errors import Conflict, NotThere
from live.identity.events import Origin, SecurityEvents
from live.identity.keyring import Keyring
from live.identity.moments import moment, seconds
from live.identity.names import label, new_id, new_token
from live.identity.notices import Notices
from live.identity.principal import Scope
from live.identity.rules import AccessRules
from live.identity.standing import Standings
from risk.errors import InvalidInput

Network = IPv4Network | IPv6Network
_MOST_NETWORKS = 50
_LATER = "changed_at + interval '1 microsecond'"  # so that every change shows, whatever the clock says


@dataclass(frozen=True)
class ApiKey:
    """Hold what a user sees of a key; no networks: it works from anywhere."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    networks: tuple[Network, ...]
    created_at: datetime
    previous_until: datetime | None


@dataclass(frozen=True)
class NewKey:
    """Hold a key with its secret, which is shown now and never again."""

    key: ApiKey
    secret: str = field(repr=False)


class ApiKeys:
    """Make keys and end them."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        keyring: Keyring,
        clock: Callable[[], int],
        rules: AccessRules,
        standings: Standings,
        events: SecurityEvents,
        notices: Notices,
    ) -> None:
        self._pool = pool
        self._keyring = keyring
        self._clock = clock
        self._rules = rules
        self._standings = standings
        self._events = events
        self._notices = notices

    async def create(
        self, account: str, name: str, scopes: Iterable[Scope], networks: Sequence[str], origin: Origin
    ) -> NewKey:
        """Return a new key; raises InvalidInput, or Conflict when the account has as many as it may.

        One that may withdraw works from named networks only.
        """
        name, wanted, allowed = self._checked(name, scopes, networks)
        key, secret, now = new_id("k"), new_token(), moment(self._clock())
        async with self._pool.acquire() as connection, connection.transaction():
            await self._check_room(connection, account)
            await connection.execute(
                """insert into access.api_keys
                (id, account_id, name, scopes, networks, secret, created_at, changed_at)
                values ($1, $2, $3, $4, $5, $6, $7, $7)""",
                key,
                account,
                name,
                wanted,
                allowed,
                self._keyring.seal(secret.encode(), row_of(key)),
                now,
            )
            await self._events.add(account, "KEY_CREATED", origin, f"{key} {' '.join(wanted)}", connection)
            owner = await self._notices.owner(account, connection)
        self._notices.write(owner, f"The API key {key} was made. It may: {', '.join(wanted)}.")
        return NewKey(ApiKey(key, name, tuple(wanted), allowed, now, None), secret)

    async def check_new(
        self, account: str, name: str, scopes: Iterable[Scope], networks: Sequence[str]
    ) -> None:
        """Raise as ``create`` would now: to be asked before a code, which is used up by it."""
        self._checked(name, scopes, networks)
        async with self._pool.acquire() as connection:
            await self._check_room(connection, account)

    async def list(self, account: str) -> list[ApiKey]:
        """Return an account's keys that work, newest first."""
        rows = await self._pool.fetch(
            """select id, name, scopes, networks, created_at, previous_until from access.api_keys
            where account_id = $1 and revoked_at is null order by created_at desc, id""",
            account,
        )
        return [_view(row) for row in rows]

    async def rotate(self, account: str, key: str, grace_s: int, origin: Origin) -> NewKey:
        """Return a key with another secret; the one before works for ``grace_s`` more, the one before that no more.

        Raises NotThere, InvalidInput, and Conflict for one that may withdraw from wider networks than are allowed now.
        """
        self._check_grace(grace_s)
        secret, now = new_token(), moment(self._clock())
        async with self._pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(
                f"""update access.api_keys set secret = $3, changed_at = greatest($4, {_LATER}),
                previous_secret = case when $5 then secret end,
                previous_until = case when $5 then $6::timestamptz end
                where id = $1 and account_id = $2 and revoked_at is null
                returning id, name, scopes, networks, created_at, previous_until""",
                key,
                account,
                self._keyring.seal(secret.encode(), row_of(key)),
                now,
                grace_s > 0,
                now + seconds(grace_s),
            )
            if row is None:
                raise _not_there(key)
            self._check_rotatable(_view(row))
            await self._events.add(account, "KEY_ROTATED", origin, key, connection)
            owner = await self._notices.owner(account, connection)
        self._standings.forget()
        self._notices.write(owner, f"The API key {key} was given another secret.")
        return NewKey(_view(row), secret)

    async def check_rotation(self, account: str, key: str, grace_s: int) -> None:
        """Raise as ``rotate`` would now: to be asked before a code, which is used up by it."""
        self._check_grace(grace_s)
        row = await self._pool.fetchrow(
            """select id, name, scopes, networks, created_at, previous_until from access.api_keys
            where id = $1 and account_id = $2 and revoked_at is null""",
            key,
            account,
        )
        if row is None:
            raise _not_there(key)
        self._check_rotatable(_view(row))

    async def revoke(self, account: str, key: str, origin: Origin) -> None:
        """End a key; raises NotThere."""
        now = moment(self._clock())
        async with self._pool.acquire() as connection, connection.transaction():
            done = await connection.fetchval(
                f"""update access.api_keys set revoked_at = $3, changed_at = greatest($3, {_LATER}),
                previous_secret = null, previous_until = null
                where id = $1 and account_id = $2 and revoked_at is null returning true""",
                key,
                account,
                now,
            )
            if not done:
                raise _not_there(key)
            await self._events.add(account, "KEY_REVOKED", origin, key, connection)
            owner = await self._notices.owner(account, connection)
        self._standings.forget()
        self._notices.write(owner, f"The API key {key} was revoked.")

    async def revoke_all(self, account: str, within: asyncpg.Connection) -> None:
        """End an account's keys; call ``Standings.forget`` when that is committed."""
        await within.execute(
            f"""update access.api_keys set revoked_at = $2, changed_at = greatest($2, {_LATER}),
            previous_secret = null, previous_until = null where account_id = $1 and revoked_at is null""",
            account,
            moment(self._clock()),
        )

    def _checked(
        self, name: str, scopes: Iterable[Scope], networks: Sequence[str]
    ) -> tuple[str, builtins.list[Scope], tuple[Network, ...]]:
        """Return what a new key is to be; raises InvalidInput."""
        name, wanted, allowed = label("name", name), _scopes(scopes), _networks(networks)
        if Scope.WITHDRAW in wanted:
            self._check_narrow(allowed)
        return name, wanted, allowed

    def _check_grace(self, grace_s: int) -> None:
        if not 0 <= grace_s <= self._rules.longest_grace_s:
            raise InvalidInput(f"grace_s was {grace_s}; it must be 0 to {self._rules.longest_grace_s}")

    def _check_rotatable(self, key: ApiKey) -> None:
        """Raise Conflict for a key that could not be made today: with another secret it would live on for ever."""
        if Scope.WITHDRAW not in key.scopes:
            return
        try:
            self._check_narrow(key.networks)
        except InvalidInput as error:
            raise Conflict(
                "key-too-wide", f"the API key {key.id} cannot be rotated, make another and revoke it: {error}"
            ) from None

    def _check_narrow(self, networks: Sequence[Network]) -> None:
        """Raise InvalidInput unless networks are such as a key that may withdraw must name."""
        widest = {4: self._rules.widest_ipv4, 6: self._rules.widest_ipv6}
        if not networks:
            raise InvalidInput(
                "networks was empty; a key that may withdraw must name the addresses it is used from"
            )
        for network in networks:
            if network.prefixlen < widest[network.version]:
                raise InvalidInput(
                    f"networks named {network}; those of a key that may withdraw must be "
                    f"/{widest[network.version]} or smaller"
                )

    async def _check_room(self, connection: asyncpg.Connection, account: str) -> None:
        """Raise when an account has all the keys it may have; its row is held, so that two do not both fit."""
        await connection.execute("select from access.accounts where id = $1 for update", account)
        count = await connection.fetchval(
            "select count(*) from access.api_keys where account_id = $1 and revoked_at is null", account
        )
        if count >= self._rules.api_keys:
            raise Conflict("too-many-keys", f"the account has {count} API keys, the most there may be")


def row_of(key: str) -> str:
    """Return what a key's secret is sealed to."""
    return f"api-key:{key}"


def _view(row: asyncpg.Record) -> ApiKey:
    scopes = tuple(Scope(scope) for scope in row["scopes"])
    return ApiKey(
        row["id"], row["name"], scopes, tuple(row["networks"]), row["created_at"], row["previous_until"]
    )


def _scopes(scopes: Iterable[Scope]) -> list[Scope]:
    wanted = sorted(set(scopes))
    if not wanted or Scope.ACCOUNT in wanted:
        raise InvalidInput("scopes must be some of READ, TRADE and WITHDRAW; an API key changes no account")
    return wanted


def _networks(networks: Sequence[str]) -> tuple[Network, ...]:
    if len(networks) > _MOST_NETWORKS:
        raise InvalidInput(f"networks were {len(networks)}; there may be {_MOST_NETWORKS}")
    found = []
    for text in networks:
        try:
            found.append(ip_network(text.strip()))
        except ValueError:
            raise InvalidInput(
                f"networks named {text[:50]!r}; each must be an address or a network such as 192.0.2.0/24"
            ) from None
    return tuple(found)


def _not_there(key: str) -> NotThere:
    return NotThere("no-such-key", f"you have no API key {key}")
