"""Clients that ask, wait, and ask again with the same key until they are answered; each answer is written down."""

import asyncio
import os
import random
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from live.books.commands import Answer, Asked, Command
from live.ledger.codec import encode
from risk.inputs import OrderSubmitted
from tests.load.traffic import Traffic
from tests.load.wire import LINE_BYTES, Question, line, read_reply

_PAUSE_S = 0.02
_REPLY_S = 60.0  # longer than any fault lasts
_GROUP = 4  # commands sent at once
_DOUBLED, _AGAIN, _REUSED = (
    0.1,
    0.05,
    0.02,
)  # of groups: a command sent twice, an old one, a key with another one


class Acknowledged(msgspec.Struct, frozen=True):
    """Keep one answer a client got, with what it had asked."""

    key: str
    kind: str
    body: str
    answer: Answer


@dataclass
class Record:
    """Hold what all clients were told: in the file first, then here.

    ``violations`` are answers that cannot be: a second one to a key that differs from the first.
    """

    file: int
    acknowledged: dict[str, Acknowledged] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    asked_again: int = 0
    errors: dict[str, int] = field(default_factory=dict)

    @classmethod
    def at(cls, path: Path) -> "Record":
        return cls(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT))

    def note(self, command: Command, answer: Answer) -> None:
        """Write an answer down, or hold it against the one its key got before."""
        known = self.acknowledged.get(command.key)
        if known is not None:
            if known.answer != answer:
                self.violations.append(f"key {command.key} was answered {known.answer}, then {answer}")
            return
        kind, body = type(command.asked).__name__, encode(command.asked)
        noted = Acknowledged(command.key, kind, body, answer)
        os.write(self.file, msgspec.json.encode(noted) + b"\n")
        self.acknowledged[command.key] = noted


class Client:
    """Ask in groups of a few commands at once, over one connection after another."""

    def __init__(self, name: str, socket: Path, record: Record, seed: str) -> None:
        self._name = name
        self.socket = socket
        self._record = record
        self._rng = random.Random(f"{seed} {name}")
        self._traffic = Traffic(name, self._rng)
        self._number = 0
        self._past: list[Command] = []
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Ask until told to stop; whatever was asked by then is answered first."""
        try:
            while not stop.is_set():
                await self._group()
        finally:
            self.hang_up()

    async def _group(self) -> None:
        rng = self._rng
        fresh = [self._command(self._traffic.draw()) for _ in range(rng.randint(1, _GROUP))]
        sent = list(fresh)
        if rng.random() < _DOUBLED:
            sent.append(rng.choice(fresh))
        if self._past and rng.random() < _AGAIN:
            sent.append(rng.choice(self._past))
        rng.shuffle(sent)
        await self.ask(sent)
        for command in fresh:
            self._traffic.answered(command.asked, self._record.acknowledged[command.key].answer)
        self._past = [*self._past[-50:], *fresh]
        if rng.random() < _REUSED:
            await self._reuse(rng.choice(self._past))

    def _command(self, asked: Asked) -> Command:
        self._number += 1
        return Command(f"{self._name}-{self._number}", asked)

    async def ask(self, commands: list[Command]) -> None:
        """Ask until each is answered."""
        while commands:
            errors = await self._exchange(commands)
            commands = [command for command, error in zip(commands, errors, strict=True) if error]
            for error in filter(None, errors):
                self._record.errors[error] = self._record.errors.get(error, 0) + 1
            if commands:
                self._record.asked_again += len(commands)
                await asyncio.sleep(_PAUSE_S)

    async def _reuse(self, command: Command) -> None:
        """Send another request under an old key, which must be refused and change nothing."""
        other = Command(command.key, OrderSubmitted(0, "", "nobody", "BTC", 1, None, position_id=-1))
        while (error := (await self._exchange([other]))[0]) != "KeyReused":
            if not error:
                self._record.violations.append(f"key {command.key} was taken for another request")
                return
            await asyncio.sleep(_PAUSE_S)

    async def _exchange(self, commands: list[Command]) -> list[str]:
        """Send commands and note their answers; return an error's name, or nothing, for each."""
        errors = ["lost"] * len(commands)
        try:
            async with asyncio.timeout(_REPLY_S):
                reader, writer = await self._connected()
                for number, command in enumerate(commands):
                    writer.write(line(Question.of(number, command)))
                for _ in commands:
                    text = await reader.readline()
                    if not text.endswith(b"\n"):  # cut off: what it says of an answer counts for nothing
                        raise ConnectionResetError
                    reply = read_reply(text)
                    errors[reply.number] = reply.error
                    if reply.answer is not None:
                        self._record.note(commands[reply.number], reply.answer)
        except (OSError, TimeoutError):
            self.hang_up()
        return errors

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._connection is None:
            self._connection = await asyncio.open_unix_connection(self.socket, limit=LINE_BYTES)
        return self._connection

    def hang_up(self) -> None:
        """Leave the connection; the next command is sent over another."""
        if self._connection is not None:
            self._connection[1].transport.abort()
            self._connection = None
