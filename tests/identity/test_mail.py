"""Letters arrive at a real mail server, or in the outbox, whatever the server does meanwhile."""

import asyncio
import logging
import socket
import stat
import warnings
from email import message_from_bytes
from email.policy import default

import pytest
from aiosmtpd.smtp import SMTP, AuthResult

from live.books.commands import Overloaded
from live.identity import mail
from live.identity.letters import to_register
from live.identity.mail import Letter, open_mailer

LETTER = Letter("ann@example.org", "Grüße", "Your token: abc\n" + "long " * 300 + "\n.\nend\n")


class Inbox:
    """Be what the server hands mail to; ``refuse`` first with a temporary error."""

    def __init__(self, refuse: int = 0) -> None:
        self.refuse = refuse
        self.taken: list[tuple[str, list[str], bytes]] = []

    async def handle_DATA(self, server, session, envelope) -> str:  # noqa: N802
        if self.refuse:
            self.refuse -= 1
            return "451 try again later"
        self.taken.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return "250 OK"


def served(inbox: Inbox, test, **options):
    """Run ``test(port)`` beside a mail server."""

    async def scenario():
        loop = asyncio.get_running_loop()

        def connection() -> SMTP:
            with warnings.catch_warnings(action="ignore"):  # it warns of passwords without TLS
                return SMTP(inbox, enable_SMTPUTF8=True, loop=loop, **options)

        server = await loop.create_server(connection, "127.0.0.1", 0)
        async with server:
            await test(server.sockets[0].getsockname()[1])

    asyncio.run(scenario())


def test_letter_arrives_as_it_was_written(tmp_path):
    inbox, told = Inbox(), []

    async def test(port):
        async with open_mailer(
            f"smtp://127.0.0.1:{port}", "Perps <no-reply@x.org>", tmp_path, told.append
        ) as mailer:
            mailer.post(LETTER)

    served(inbox, test)
    ((sender, recipients, content),) = inbox.taken
    assert (sender, recipients) == ("no-reply@x.org", ["ann@example.org"])
    letter = message_from_bytes(content, policy=default)
    assert (letter["From"], letter["To"], letter["Subject"]) == (
        "Perps <no-reply@x.org>",
        LETTER.to,
        LETTER.subject,
    )
    assert letter.get_content().replace("\r\n", "\n") == LETTER.text
    assert letter["Message-ID"]
    assert letter["Date"]
    assert told == [LETTER]
    assert list(tmp_path.iterdir()) == []


def test_user_and_password_of_the_url_are_shown(tmp_path):
    inbox, shown = Inbox(), []

    def authenticate(server, session, envelope, mechanism, data):
        shown.append((data.login, data.password))
        return AuthResult(success=True)

    async def test(port):
        async with open_mailer(f"smtp://us%40er:p%2Fw@127.0.0.1:{port}", "a@b.c", tmp_path) as mailer:
            mailer.post(LETTER)
            await mailer.flush()

    served(inbox, test, authenticator=authenticate, auth_required=True, auth_require_tls=False)
    assert shown == [(b"us@er", b"p/w")]
    assert len(inbox.taken) == 1


def test_letter_is_sent_again_after_a_temporary_refusal(tmp_path, monkeypatch):
    monkeypatch.setattr(mail, "_PAUSES_S", (0, 0.01, 0.01))
    inbox = Inbox(refuse=2)

    async def test(port):
        async with open_mailer(f"smtp://127.0.0.1:{port}", "a@b.c", tmp_path) as mailer:
            for number in range(3):
                mailer.post(Letter("ann@example.org", str(number), "text"))
            await mailer.flush()

    served(inbox, test)
    assert [message_from_bytes(content)["Subject"] for _, _, content in inbox.taken] == ["0", "1", "2"]


def test_letter_is_given_up_without_its_text_in_the_log(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(mail, "_PAUSES_S", (0, 0.01))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async def scenario():
        async with open_mailer(f"smtp://127.0.0.1:{port}", "a@b.c", tmp_path) as mailer:
            mailer.post(to_register("ann@example.org", "the-secret-token"))
            await mailer.flush()

    with caplog.at_level(logging.DEBUG):
        asyncio.run(scenario())
    assert "could not be sent" in caplog.text
    assert "the-secret-token" not in caplog.text
    assert "ann@example.org" not in caplog.text


def test_without_a_server_letters_are_files_for_their_owner_alone(tmp_path):
    outbox = tmp_path / "outbox"

    async def scenario():
        async with open_mailer(None, "a@b.c", outbox) as mailer:
            for number in range(3):
                mailer.post(Letter("ann@example.org", str(number), "text"))

    asyncio.run(scenario())
    assert stat.S_IMODE(outbox.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in outbox.iterdir()} == {0o600}
    letters = [message_from_bytes(path.read_bytes()) for path in sorted(outbox.glob("*.eml"))]
    assert [letter["Subject"] for letter in letters] == ["0", "1", "2"]


def test_too_many_waiting_letters_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(mail, "_WAITING", 3)

    async def scenario():
        async with open_mailer(None, "a@b.c", tmp_path) as mailer:
            for _ in range(3):
                mailer.post(LETTER)
            with pytest.raises(Overloaded):
                mailer.post(LETTER)

    asyncio.run(scenario())


def test_text_of_a_letter_is_in_no_text_form():
    assert "secret" not in repr(to_register("ann@example.org", "the-secret-token"))
