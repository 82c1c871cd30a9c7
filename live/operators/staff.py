"""Who the operators are, and how they come and go."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from live.identity.errors import Conflict, NotThere
from live.identity.moments import moment
from live.identity.names import email_address
from live.identity.principal import Role
from live.ledger.acts import approved
from live.operators import audit, requests
from risk.errors import InvalidInput
from risk.inputs import Approval

_OPERATORS = """select o.account_id, a.email, o.role, o.added_by, o.added_at, o.changed_by, o.changed_at
    from access.operators o join access.accounts a on a.id = o.account_id"""


@dataclass(frozen=True)
class Operator:
    """Hold one operator."""

    account_id: str
    email: str | None
    role: Role
    added_by: str
    added_at: datetime
    changed_by: str
    changed_at: datetime


class Staff:
    """Keep the operators; ``told`` hears when their roles have changed."""

    def __init__(
        self, pool: asyncpg.Pool, clock: Callable[[], int], told: Callable[[], None] = lambda: None
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._told = told

    async def all(self) -> list[Operator]:
        """Return the operators, by when they were added."""
        return [
            _operator(row)
            for row in await self._pool.fetch(f"{_OPERATORS} order by o.added_at, o.account_id")
        ]

    async def role_of(self, account: str) -> Role | None:
        """Return an operator's role; None for everybody else."""
        role = await self._pool.fetchval("select role from access.operators where account_id = $1", account)
        return None if role is None else Role(role)

    async def check_account(self, account: str) -> None:
        """Raise InvalidInput for an account that is not there."""
        if not await self._pool.fetchval(
            "select exists (select from access.accounts where id = $1)", account
        ):
            raise InvalidInput(f"account was {account!r}; there is no such account")

    async def needs_two(self) -> bool:
        """Tell whether a change needs a second super admin: as soon as there is one."""
        count = await self._pool.fetchval(
            "select count(*) from access.operators where role = $1", Role.SUPER_ADMIN
        )
        return bool(count > 1)

    async def account_of(self, email: str) -> str:
        """Return the account of an e-mail address; raises InvalidInput, also if there is none."""
        address = email_address(email)
        found = await self._pool.fetchval("select id from access.accounts where email = $1", address)
        if found is None:
            raise InvalidInput(f"email was {address!r}; it must be that of an account: register first")
        return str(found)

    async def add_first(self, email: str, by: str) -> str:
        """Make the account of ``email`` the first super admin; return its id. Raises Conflict if there is one."""
        account = await self.account_of(email)
        async with self._pool.acquire() as connection, connection.transaction():
            await _alone(connection)
            if await connection.fetchval(
                "select exists (select from access.operators where role = $1)", Role.SUPER_ADMIN
            ):
                raise Conflict("super-admin-there", "there is a super admin, who adds the others")
            await self.change(connection, account, Role.SUPER_ADMIN, by, "the first super admin")
        self._told()
        return account

    async def change_alone(
        self, account: str, role: Role | None, by: str, reason: str, key: str, request: bytes
    ) -> None:
        """Give an account a role, or none, by the only super admin, once for each ``key``.

        Raises Conflict if there is another super admin, and KeyReused.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            await _alone(connection)
            admins = await connection.fetch(
                "select account_id from access.operators where role = $1", Role.SUPER_ADMIN
            )
            if [row["account_id"] for row in admins] != [by]:
                raise Conflict("four-eyes", "there are several super admins: another one must approve that")
            if not await requests.keep(connection, key, request, self._clock()):
                return
            await self.change(connection, account, role, by, reason)
        self._told()

    async def change(
        self,
        connection: asyncpg.Connection,
        account: str,
        role: Role | None,
        by: str,
        reason: str,
        approval: Approval | None = None,
    ) -> None:
        """Give an account a role, or none, within a transaction, of which it must be the last statement.

        Raises NotThere for an unknown account, and Conflict for the role it has and where no super admin would be
        left.
        """
        before = await connection.fetchval("select role from access.operators where account_id = $1", account)
        if before == role:
            raise already(role)
        try:
            if role is None:
                await connection.execute("delete from access.operators where account_id = $1", account)
            else:
                await connection.execute(
                    """insert into access.operators (account_id, role, added_by, added_at, changed_by, changed_at)
                    values ($1, $2, $3, $4, $3, $4) on conflict (account_id)
                    do update set role = $2, changed_by = $3, changed_at = $4""",
                    *(account, role, by, moment(self._clock())),
                )
        except asyncpg.RestrictViolationError:
            raise Conflict("last-super-admin", "there must be a super admin: add another one first") from None
        except asyncpg.ForeignKeyViolationError:
            raise NotThere("unknown-account", f"account was {account!r}; there is no such account") from None
        action = (
            "OPERATOR_ADDED" if before is None else "OPERATOR_REMOVED" if role is None else "OPERATOR_CHANGED"
        )
        detail = approved(approval, f"{before} to {role}: {reason}")
        await audit.append(connection, by, action, account, detail, self._clock())

    def changed(self) -> None:
        """Tell that a change was committed."""
        self._told()


def already(role: str | None) -> Conflict:
    """Return what a change of a role gets that would change nothing."""
    return Conflict("already-so", f"role was {role or 'null'}; that is the account's role already")


def checked_role(text: str) -> Role:
    """Return a role as it is written on a command line; raises InvalidInput."""
    try:
        return Role(text.upper())
    except ValueError:
        wanted = ", ".join(role.lower() for role in Role)
        raise InvalidInput(f"role was {text!r}; it must be one of {wanted}") from None


async def _alone(connection: asyncpg.Connection) -> None:
    """Let no other change of operators happen until the transaction ends."""
    await connection.execute("select pg_advisory_xact_lock(hashtext('access.operators'))")


def _operator(row: asyncpg.Record) -> Operator:
    return Operator(**{**row, "role": Role(row["role"])})
