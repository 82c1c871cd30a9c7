"""The address book: withdrawals go where a user said before, and not at once."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from live.identity.errors import Conflict, NotThere
from live.identity.events import Origin, SecurityEvents
from live.identity.moments import moment
from live.identity.names import label as checked_label
from live.wallets.addresses import checksummed
from live.wallets.rules import WithdrawalRules

_COLUMNS = "id, chain, address, label, created_at, usable_at"


@dataclass(frozen=True)
class BookedAddress:
    """Hold an address of a user's; money may go there from ``usable_at`` on."""

    id: int
    chain: str
    address: str
    label: str
    created_at: datetime
    usable_at: datetime


class AddressBook:
    """Keep users' addresses."""

    def __init__(self, pool: asyncpg.Pool, clock: Callable[[], int], rules: WithdrawalRules) -> None:
        self._pool = pool
        self._clock = clock
        self._rules = rules
        self._events = SecurityEvents(pool, clock)

    async def add(
        self, account: str, chain: str, address: str, label: str, origin: Origin | None = None
    ) -> tuple[BookedAddress, bool]:
        """Take an address in, which can be used after the lock; return it and whether it is new.

        Raises InvalidInput, and Conflict for an address of ours, one known under another label, or one too many.
        """
        address, label = await self._checked(chain, address, label)
        now = moment(self._clock())
        usable = now + timedelta(microseconds=self._rules.address_lock_ns // 1000)
        async with self._pool.acquire() as connection, connection.transaction():
            # Additions of one account follow each other, so that the count holds.
            await connection.execute("select from access.accounts where id = $1 for update", account)
            known = await self._booked(connection, account, chain, address, label)
            if known is not None:
                return known, False
            row = await connection.fetchrow(
                f"""insert into access.address_book (account_id, chain, address, label, created_at, usable_at)
                values ($1, $2, $3, $4, $5, $6) returning {_COLUMNS}""",
                *(account, chain, address, label, now, usable),
            )
            await self._events.add(account, "ADDRESS_ADDED", origin, f"{chain} {address}", connection)
        return BookedAddress(**row), True

    async def check_addable(self, account: str, chain: str, address: str, label: str) -> tuple[str, str]:
        """Return address and label as the book has them; raises as ``add`` would now."""
        address, label = await self._checked(chain, address, label)
        async with self._pool.acquire() as connection:
            await self._booked(connection, account, chain, address, label)
        return address, label

    async def _booked(
        self, connection: asyncpg.Connection, account: str, chain: str, address: str, label: str
    ) -> BookedAddress | None:
        """Return the address where it is in the book; raises Conflict where it has another label, or none fits."""
        known = await connection.fetch(
            f"select {_COLUMNS} from access.address_book where account_id = $1 and removed_at is null",
            account,
        )
        for row in known:
            if (row["chain"], row["address"]) == (chain, address):
                if row["label"] != label:
                    raise Conflict("address-known", f"{address} is in the book as {row['label']!r}")
                return BookedAddress(**row)
        if len(known) >= self._rules.addresses_most:
            raise Conflict("too-many-addresses", f"{len(known)} addresses are in the book, no more fit")
        return None

    async def _checked(self, chain: str, address: str, label: str) -> tuple[str, str]:
        """Return address and label as the book has them; raises InvalidInput, and Conflict for an address of ours."""
        self._rules.check_chain(chain)
        address, label = checksummed(address), checked_label("label", label)
        if await self._pool.fetchval("select exists (select from hot_wallets where address = $1)", address):
            raise Conflict("own-address", f"{address} is the platform's own")
        return address, label

    async def all(self, account: str) -> list[BookedAddress]:
        """Return an account's addresses, oldest first."""
        rows = await self._pool.fetch(
            f"""select {_COLUMNS} from access.address_book
            where account_id = $1 and removed_at is null order by id""",
            account,
        )
        return [BookedAddress(**row) for row in rows]

    async def remove(self, account: str, address_id: int, origin: Origin | None = None) -> None:
        """Take an address out; raises NotThere for one that is not the account's."""
        async with self._pool.acquire() as connection, connection.transaction():
            removed = await connection.fetchval(
                """update access.address_book set removed_at = coalesce(removed_at, $3)
                where id = $1 and account_id = $2 and removed_at is null returning true""",
                address_id,
                account,
                moment(self._clock()),
            )
            if removed is None:
                raise _unknown(address_id)
            await self._events.add(account, "ADDRESS_REMOVED", origin, str(address_id), connection)

    async def find(self, account: str, address_id: int) -> BookedAddress:
        """Return an address, also one that was removed; raises NotThere for one that is not the account's."""
        row = await self._pool.fetchrow(
            f"select {_COLUMNS} from access.address_book where id = $1 and account_id = $2",
            address_id,
            account,
        )
        if row is None:
            raise _unknown(address_id)
        return BookedAddress(**row)

    async def check_usable(self, account: str, address_id: int) -> None:
        """Raise NotThere for an address that was removed, and Conflict while it is locked."""
        row = await self._pool.fetchrow(
            "select usable_at, removed_at from access.address_book where id = $1 and account_id = $2",
            address_id,
            account,
        )
        if row is None or row["removed_at"] is not None:
            raise _unknown(address_id)
        if moment(self._clock()) < row["usable_at"]:
            raise Conflict(
                "address-locked", f"the address can be used from {row['usable_at']:%Y-%m-%d %H:%M:%S} UTC on"
            )


def _unknown(address_id: int) -> NotThere:
    return NotThere("unknown-address", f"address_id was {address_id}; no such address is in your book")
