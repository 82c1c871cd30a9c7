"""Operators who are logged in, for tests."""

from typing import Any

from live.identity.moments import moment
from live.identity.principal import Role
from tests.api.served import Api
from tests.api.traders import Trader, trader


async def operator(api: Api, role: Role | None, amount: object = 0) -> Trader:
    """Make a user with a role who is logged in with a second factor."""
    found = await trader(api, amount)
    if role is not None:
        await appoint(api, found.user, role)
    return found


async def appoint(api: Api, account: str, role: Role) -> None:
    """Give an account a role, past the API."""
    now = moment(api.services.clock())
    await api.services.pool.execute(
        """insert into access.operators (account_id, role, added_by, added_at, changed_by, changed_at)
        values ($1, $2, 'test', $3, 'test', $3)""",
        *(account, role, now),
    )
    api.services.identity.standings.forget()


async def done(asking: Any, status: int = 200) -> Any:
    """Return what a request was answered with, which must have that status."""
    answer = await asking
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


async def refused(asking: Any, code: str, status: int = 409) -> Any:
    """Return the problem that a request was answered with, which must have that code."""
    answer = await asking
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    return answer.json()
