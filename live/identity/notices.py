"""Telling accounts' owners what happened to their ways in: that it was told is no condition of what was done.

An owner's address is read with the change, so that nothing can fail between what was done and its answer.
"""

import logging

import asyncpg

from live.books.commands import Overloaded
from live.identity.letters import notice
from live.identity.mail import Mailer

_log = logging.getLogger(__name__)


class Notices:
    """Write to owners; accounts without an e-mail address are not told."""

    def __init__(self, mailer: Mailer) -> None:
        self._mailer = mailer

    async def owner(self, account: str, within: asyncpg.Connection | asyncpg.Pool) -> str | None:
        """Return the address to ``write`` to when the change is committed that is made on that connection."""
        email: str | None = await within.fetchval("select email from access.accounts where id = $1", account)
        return email

    def write(self, email: str | None, what: str) -> None:
        """Tell who has an address, if there is one."""
        if email is None:
            return
        try:
            self._mailer.post(notice(email, what))
        except Overloaded:
            _log.error("an owner was not told of a change: too many e-mails wait")
