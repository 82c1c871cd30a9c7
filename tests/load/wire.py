"""How clients of the load harness talk to its books: JSON lines over a socket in a folder."""

from typing import Any

import msgspec

from live.books.commands import Answer, Command
from live.ledger.codec import decode, encode

LINE_BYTES = 1 << 20  # the longest line read


class Question(msgspec.Struct, frozen=True):
    """Carry a command; ``number`` comes back with its reply."""

    number: int
    key: str
    kind: str
    body: str

    @classmethod
    def of(cls, number: int, command: Command) -> "Question":
        return cls(number, command.key, type(command.asked).__name__, encode(command.asked))

    def command(self) -> Command:
        asked: Any = decode(self.kind, self.body)[0]
        return Command(self.key, asked)


class Reply(msgspec.Struct, frozen=True):
    """Carry an answer, or the name of the error that was raised in its place."""

    number: int
    answer: Answer | None = None
    error: str = ""


class Standing(msgspec.Struct, frozen=True):
    """Say where the books stand: after input ``seq`` with that digest of the ``Book``."""

    what: str
    seq: int
    digest: str


_encode = msgspec.json.Encoder().encode
read_question = msgspec.json.Decoder(Question).decode
read_reply = msgspec.json.Decoder(Reply).decode
read_standing = msgspec.json.Decoder(Standing).decode


def line(message: Question | Reply | Standing) -> bytes:
    """Write a message as a line."""
    return _encode(message) + b"\n"
