"""What goes over Redis: commands in one stream, answers in one stream for each client.

An entry of the commands' stream is there until its command was answered, so the stream's length is what waits.
"""

from collections.abc import Sequence
from typing import get_args

import msgspec
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from live.books.commands import Answer, Asked, Command, KeyReused, NotAnswered, Overloaded
from live.books.queries import QUERIES, VIEWS, Query, View
from live.ledger.codec import decode, encode
from live.settings import without_password
from risk.errors import HybridPerpsError, InvalidInput

COMMANDS = "hybrid-perps:commands"
GROUP = CONSUMER = "books"  # one at a time; what a dead one left is still its successor's
COMMAND_FIELD = b"command"
REPLIES_FIELD = b"replies"
REPLIES_KEPT_S = 60
BLOCK_MS = 1_000
LOST = (redis.RedisError, OSError)  # what a Redis that restarts, fails over or cannot be reached causes

_SOCKET_S = 5.0  # more than BLOCK_MS
_KINDS = frozenset(kind.__name__ for kind in get_args(Asked))
_ERRORS: dict[str, type[HybridPerpsError]] = {
    kind.__name__: kind for kind in (InvalidInput, KeyReused, NotAnswered, Overloaded)
}

Outcome = Answer | View | HybridPerpsError


class Envelope(msgspec.Struct, frozen=True):
    """Carry a command, or a query, which has no key.

    ``number`` is the client's own, and after ``patience_ms`` it waits no more.
    """

    client: str
    number: int
    patience_ms: int
    key: str
    kind: str
    body: msgspec.Raw

    def query(self) -> Query[View] | None:
        """Read a query, if it is one; raises InvalidInput for one with a wrong shape."""
        kind = QUERIES.get(self.kind)
        if kind is None:
            return None
        try:
            found: Query[View] = msgspec.json.decode(self.body, type=kind)
        except msgspec.MsgspecError as error:
            raise InvalidInput(f"a query could not be read: {error}") from None
        return found

    def command(self) -> Command:
        """Read the command; raises InvalidInput for one that nobody may send, or with a wrong shape."""
        if self.kind not in _KINDS:
            raise InvalidInput(f"kind was {self.kind!r}; a command is one of {', '.join(sorted(_KINDS))}")
        asked, _ = decode(self.kind, bytes(self.body).decode())
        return Command(self.key, asked)  # type: ignore[arg-type]


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """Carry an answer to the command of that number, the view asked for, or the error it raised."""

    number: int
    answer: Answer | None = None
    error: str = ""
    detail: str = ""
    view: msgspec.Raw = msgspec.Raw()

    @classmethod
    def of(cls, number: int, outcome: Outcome) -> "Reply":
        """Take what ``submit`` or ``ask`` returned or raised."""
        if isinstance(outcome, Answer):
            return cls(number, outcome)
        if isinstance(outcome, View):
            return cls(number, view=msgspec.Raw(msgspec.json.encode(outcome)))
        return cls(number, None, type(outcome).__name__, str(outcome))

    def outcome(self, asked: "Command | Query[View]") -> Outcome:
        """Return what ``submit`` or ``ask`` is to return or raise."""
        kind = VIEWS.get(type(asked))
        if kind is not None and self.view:
            return msgspec.json.decode(self.view, type=kind)
        if self.answer is not None:
            return self.answer
        return _ERRORS.get(self.error, NotAnswered)(self.detail)


_replies = msgspec.json.Decoder(list[Reply])
_envelope = msgspec.json.Decoder(Envelope)


def write_command(client: str, number: int, patience_s: float, command: "Command | Query[View]") -> bytes:
    """Return a command or a query as JSON."""
    if not isinstance(command, Command):
        query = msgspec.Raw(msgspec.json.encode(command))
        kind = type(command).__name__
        return msgspec.json.encode(Envelope(client, number, int(patience_s * 1000), "", kind, query))
    body = msgspec.Raw(encode(command.asked).encode())
    kind = type(command.asked).__name__
    return msgspec.json.encode(Envelope(client, number, int(patience_s * 1000), command.key, kind, body))


def read_envelope(text: bytes) -> Envelope:
    """Read who sent a command, and what for; raises InvalidInput."""
    try:
        return _envelope.decode(text)
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"a command could not be read: {error}") from None


def write_replies(replies: Sequence[Reply]) -> bytes:
    """Return replies as JSON."""
    return msgspec.json.encode(replies)


def read_replies(text: bytes) -> list[Reply]:
    """Read what ``write_replies`` wrote."""
    return _replies.decode(text)


def replies_to(client: str) -> str:
    """Name the stream of the answers to a client."""
    return f"hybrid-perps:replies:{client}"


def connect(url: str) -> redis.Redis:
    """Return a client that tells of a lost connection at once: what is sent again is decided here."""
    return redis.Redis.from_url(
        url,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=_SOCKET_S,
        socket_connect_timeout=_SOCKET_S,
    )


async def reach(client: redis.Redis, url: str) -> None:
    """Raise InvalidInput unless something answers at BUS_URL."""
    try:
        await client.ping()
    except LOST as error:
        reason = str(error) or type(error).__name__
        raise InvalidInput(
            f"BUS_URL was {without_password(url)!r}, where no Redis can be used: {reason}"
        ) from None
