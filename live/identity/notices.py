"""Telling accounts' owners what happened to their ways in: that it was told is no condition of what was done."""

import logging

import asyncpg

from live.books.commands import Overloaded
from live.identity.letters import notice
from live.identity.mail import Mailer

_log = logging.getLogger(__name__)


class Notices:
    """Write to owners; accounts without an e-mail address are not told."""

    def __init__(self, pool: asyncpg.Pool, mailer: Mailer) -> None:
        self._pool = pool
        self._mailer = mailer

    async def tell(self, account: str, what: str) -> None:
        """Tell the owner of an account."""
        self.write(
            await self._pool.fetchval("select email from access.accounts where id = $1", account), what
        )

    def write(self, email: str | None, what: str) -> None:
        """Tell who has an address, if there is one."""
        if email is None:
            return
        try:
            self._mailer.post(notice(email, what))
        except Overloaded:
            _log.error("an owner was not told of a change: too many e-mails wait")
