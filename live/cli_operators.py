"""The commands ``operators``: make the first one, who adds the others through the API, and list them all."""

import asyncio
import getpass
import json as json_module
import time
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from live.database import open_database
from live.identity.principal import Role
from live.operators.staff import Operator, Staff, checked_role
from live.settings import read_settings
from risk.errors import InvalidInput


def add_command(email: str, role: str) -> None:
    """Make an account an operator: only the first super admin comes to be this way."""
    if checked_role(role) is not Role.SUPER_ADMIN:
        raise InvalidInput(
            f"role was {role!r}; here it must be super_admin, who adds the others through the API"
        )
    by = f"{getpass.getuser()} on the command line"
    account = asyncio.run(_with_staff(lambda staff: staff.add_first(email, by)))
    typer.echo(f"{email} ({account}) is a super admin; it takes effect within a second")


def list_command(json: bool) -> None:
    """Print the operators."""
    found: list[Operator] = asyncio.run(_with_staff(lambda staff: staff.all()))
    if json:
        rows = [
            {"account": each.account_id, "email": each.email, "role": each.role, "added_by": each.added_by}
            for each in found
        ]
        typer.echo(json_module.dumps(rows, indent=2))
        return
    table = Table(title="Operators", title_justify="left", box=SIMPLE)
    for name in ("account", "email", "role", "since"):
        table.add_column(name, no_wrap=name != "email", overflow="fold")
    for each in found:
        table.add_row(each.account_id, each.email or "–", each.role, f"{each.changed_at:%Y-%m-%d %H:%M}")
    Console().print(table)


async def _with_staff(work: Callable[[Staff], Awaitable[Any]]) -> Any:
    with open_database(read_settings()) as dsn:
        async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool:
            return await work(Staff(pool, time.time_ns))
