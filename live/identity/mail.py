"""Letters: through SMTP where there is a server, else as files in an outbox.

They go out beside the requests that cause them: how long a letter takes, and whether it arrives, tells the one who
asked nothing.
"""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import aiosmtplib

from live.books.commands import Overloaded
from live.tasks import end

_WAITING = 1_000
_PAUSES_S = (0.0, 1.0, 5.0, 30.0)
_TIMEOUT_S = 20.0
_FAREWELL_S = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Letter:
    """Be one e-mail; its text may hold a token, so it is in no text form of this."""

    to: str
    subject: str
    text: str

    def __repr__(self) -> str:
        return f"Letter(subject={self.subject!r})"


Send = Callable[[EmailMessage], Any]


class Mailer:
    """Send letters in the order they are posted; ``told`` hears of each as it is posted."""

    def __init__(self, sender: str, send: Send, told: Callable[[Letter], None] | None) -> None:
        self._sender = sender
        self._send = send
        self._told = told
        self._queue: asyncio.Queue[Letter] = asyncio.Queue(_WAITING)

    def post(self, letter: Letter) -> None:
        """Take a letter to be sent; raises Overloaded when too many wait."""
        try:
            self._queue.put_nowait(letter)
        except asyncio.QueueFull:
            raise Overloaded("too many e-mails wait to be sent; try again later") from None
        if self._told is not None:
            self._told(letter)

    async def flush(self) -> None:
        """Wait until every letter was sent or given up."""
        await self._queue.join()

    async def run(self) -> None:
        """Send what is posted, for ever."""
        while True:
            letter = await self._queue.get()
            try:
                await self._deliver(self._message(letter), letter)
            finally:
                self._queue.task_done()

    async def _deliver(self, message: EmailMessage, letter: Letter) -> None:
        for pause_s in _PAUSES_S:
            await asyncio.sleep(pause_s)
            try:
                await self._send(message)
                return
            except (aiosmtplib.SMTPException, OSError) as error:
                reason = type(error).__name__  # its text may quote the address
        _log.error("an e-mail could not be sent and was given up (%s): %s", reason, letter.subject)

    def _message(self, letter: Letter) -> EmailMessage:
        message = EmailMessage(SMTP)
        message["From"] = self._sender
        message["To"] = letter.to
        message["Subject"] = letter.subject
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain="hybrid-perps.invalid")
        message.set_content(letter.text)
        return message


@asynccontextmanager
async def open_mailer(
    smtp_url: str | None, sender: str, outbox: Path, told: Callable[[Letter], None] | None = None
) -> AsyncIterator[Mailer]:
    """Give a mailer to the server at ``smtp_url``, smtp:// or smtps://, else into the folder ``outbox``.

    What still waits at the end has some seconds to go out.
    """
    mailer = Mailer(sender, _to_server(smtp_url) if smtp_url is not None else _to_folder(outbox), told)
    running = asyncio.create_task(mailer.run())
    try:
        yield mailer
    finally:
        try:
            async with asyncio.timeout(_FAREWELL_S):
                await mailer.flush()
        except TimeoutError:
            _log.error("e-mails that waited were not sent: the program ended")
        await end(running)


def _to_server(url: str) -> Send:
    parts = urlsplit(url)
    options: dict[str, Any] = {
        "hostname": parts.hostname,
        "port": parts.port,
        "username": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "use_tls": parts.scheme == "smtps",
        "timeout": _TIMEOUT_S,
    }

    async def send(message: EmailMessage) -> None:
        await aiosmtplib.send(message, **options)

    return send


def _to_folder(outbox: Path) -> Send:
    sent = 0

    async def send(message: EmailMessage) -> None:
        nonlocal sent
        sent += 1
        outbox.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = outbox / f"{time.time_ns()}-{sent}.eml"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(message.as_bytes())

    return send
