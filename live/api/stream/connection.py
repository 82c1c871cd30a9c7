"""One connection: what its client says and what it is told, one message after the other, in order."""

import asyncio
import contextlib
import time
from collections import deque
from datetime import datetime
from typing import Any

import msgspec
from starlette.websockets import WebSocket

from live.api.services import Services
from live.api.stream.access import closing_of, reader_of
from live.api.stream.hub import StreamHub
from live.api.stream.observed import ObservedStream
from live.api.stream.protocol import (
    MARKS,
    PRIVATE,
    TOO_MANY,
    TOO_SLOW,
    UNSUPPORTED,
    Auth,
    Closing,
    Missed,
    Said,
    read,
    write,
)
from live.api.stream.updates import MarkItem, TooFar, Update
from live.api.stream.wire import CLOSING
from live.identity.principal import Principal
from risk.errors import InvalidInput

_MINUTE_S = 60.0
_LONGEST_REASON = 120  # bytes, of a close frame's 125


class Connection:
    """Serve one WebSocket until it ends; the hub calls ``push``, ``mark`` and ``drop``, which never wait.

    Two tasks work: one reads what the client says into the inbox, where updates come too; the other takes from
    there, one after the other, and is the only one to send. ``floors`` has of each channel subscribed to the
    last input it was told of when that began: what the hub tells of up to there was in the database already.
    """

    def __init__(self, websocket: WebSocket, using: Services, hub: StreamHub) -> None:
        self.principal: Principal | None = None
        self.key_changed_at: datetime | None = None
        self.address = websocket.client.host if websocket.client else ""
        self._websocket = websocket
        self._using = using
        self._hub = hub
        self._observed = ObservedStream(websocket, using.metrics)
        self._inbox: deque[Update | Missed | Said | InvalidInput] = deque()
        self._waiting = 0  # updates in the inbox
        self._wake = asyncio.Event()
        self._dropped: asyncio.Future[Closing] = asyncio.get_running_loop().create_future()
        self._began = time.monotonic()
        self._said_until, self._said = 0.0, 0
        self._floors: dict[str, int] = {}
        self._last = 0  # everything up to it was sent
        self._marks: dict[str, MarkItem] | None = None  # not yet sent; None where nobody wants them

    # -- from the hub

    @property
    def is_silent(self) -> bool:
        """Tell whether it has wanted nothing for too long."""
        return self._marks is None and time.monotonic() - self._began > self._hub.limits.silent_s

    def push(self, update: Update | Missed) -> None:
        """Have an update sent after those that wait; a client that lets too many wait is dropped."""
        self._waiting += 1
        if self._waiting > self._hub.limits.waiting:
            self._drop_slow()
            return
        self._inbox.append(update)
        self._wake.set()

    def mark(self, marks: dict[str, MarkItem]) -> None:
        """Have marks sent; of a symbol only the last waits."""
        if self._marks is not None:
            self._marks |= marks
            self._wake.set()

    def drop(self, closing: Closing) -> None:
        """End it."""
        if not self._dropped.done():
            self._dropped.set_result(closing)

    def _drop_slow(self) -> None:
        self.drop(Closing(TOO_SLOW, "too slow"))

    # -- its life

    async def run(self) -> None:
        """Serve it until its client leaves or it is dropped; then close it."""
        await self._websocket.accept()
        self._observed.opened()
        closing: Closing | None = None
        try:
            self._hub.join(self)
            closing = await self._serve()
        except Closing as early:
            closing = early
        finally:
            self._hub.leave(self)
            self._observed.closed(closing)
        if closing is not None:
            await self._close(closing)

    async def _serve(self) -> Closing | None:
        tasks = {asyncio.create_task(self._read()), asyncio.create_task(self._write())}
        ends: set[asyncio.Future[Any]] = {*tasks, self._dropped}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if self._dropped.done():
            return self._dropped.result()
        errors = [error for task in tasks if not task.cancelled() and (error := task.exception()) is not None]
        for error in errors:
            return closing_of(error)
        return None

    async def _close(self, closing: Closing) -> None:
        """Say why, and to a slow client up to where all was sent; what was on its way then may have come too."""
        reason = closing.reason
        if closing.code == TOO_SLOW:
            reason = msgspec.json.encode({"seq": self._last}).decode()
        with contextlib.suppress(RuntimeError, OSError):  # of one that has gone
            await self._websocket.close(closing.code, reason[:_LONGEST_REASON])

    # -- the client's side

    async def _read(self) -> None:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                if CLOSING in message:
                    raise message[CLOSING]
                return
            text = message.get("text")
            if text is None:
                raise Closing(UNSUPPORTED, "messages must be text")
            self._count()
            try:
                self._inbox.append(read(text))
            except InvalidInput as error:
                self._inbox.append(error)
            self._wake.set()

    def _count(self) -> None:
        now, limits = time.monotonic(), self._hub.limits
        if now >= self._said_until:
            self._said_until, self._said = now + _MINUTE_S, 0
        self._said += 1
        if self._said > limits.said_per_minute:
            raise Closing(TOO_MANY, f"a client may send {limits.said_per_minute} messages a minute")

    # -- our side

    async def _write(self) -> None:
        if "authorization" in self._websocket.headers or "hp-key" in self._websocket.headers:
            await self._identify(None)
        while True:
            try:
                async with asyncio.timeout(self._hub.limits.heartbeat_s):
                    await self._wake.wait()
            except TimeoutError:
                await self._send(write("heartbeat", seq=self._so_far()))
                continue
            self._wake.clear()
            while self._inbox:
                await self._take(self._inbox.popleft())
            if self._marks:
                marks, self._marks = self._marks, {}
                await self._send(write("marks", marks=marks))

    def _so_far(self) -> int:
        """Return up to where nothing was left unsent: with nothing waiting, up to where the hub is."""
        return max(self._last, self._hub.seq)

    async def _take(self, given: Update | Missed | Said | InvalidInput) -> None:
        match given:
            case Update():
                self._waiting -= 1
                await self._send_update(given)
            case Missed():
                self._waiting -= 1
                floors = {name: max(floor, given.after) for name, floor in self._floors.items()}
                await self._send_missed(floors)
            case InvalidInput():
                await self._send_error("invalid", str(given))
            case Said():
                try:
                    await self._answer(given)
                except InvalidInput as error:
                    await self._send_error("invalid", str(error))
                except TooFar as error:
                    await self._send_error("resume-too-far", str(error))

    async def _send_update(self, update: Update) -> None:
        text = update.text(frozenset(name for name, floor in self._floors.items() if floor < update.seq))
        if text is not None:
            await self._send(text)
        self._last = max(self._last, update.seq)

    async def _send_missed(self, after: dict[str, int]) -> None:
        """Send what the database has of channels that were told of inputs up to ``after`` those."""
        if not after:
            return
        assert self.principal is not None
        seq, messages = await self._hub.reader.missed(self.principal.user, after)
        if max(after.values()) > seq:
            raise InvalidInput(f"after was {max(after.values())}; the last input of the books is {seq}")
        for end, text in messages:
            await self._send(text)
            self._last = max(self._last, end)
        self._floors |= dict.fromkeys(after, seq)
        self._last = max(self._last, seq)

    # -- what it is asked

    async def _answer(self, said: Said) -> None:
        if said.ping is not None:
            await self._send(write("pong", ping=said.ping))
        elif said.auth is not None:
            await self._authenticate(said.auth)
        elif said.subscribe is not None:
            await self._subscribe(said.subscribe, said.after)
        elif said.unsubscribe is not None:
            for name in said.unsubscribe:
                self._floors.pop(name, None)
            if MARKS in said.unsubscribe:
                self._marks = None
            await self._send(write("unsubscribed", channels=said.unsubscribe))

    async def _authenticate(self, auth: Auth) -> None:
        if self.principal is not None:
            raise InvalidInput("auth came twice; a connection is one user's")
        await self._identify(auth)

    async def _identify(self, auth: Auth | None) -> None:
        principal = await reader_of(self._websocket, self._using, auth)
        if principal.via == "api_key":
            self.key_changed_at = await self._hub.endings.changed_at(principal.id)
        self._hub.identify(self, principal.user)
        self.principal = principal
        self._observed.identified(principal)
        await self._send(write("authenticated", user=principal.user))

    async def _subscribe(self, channels: tuple[str, ...], after: int | None) -> None:
        private = [name for name in channels if name in PRIVATE]
        if private and self.principal is None:
            await self._send_error("not-authenticated", "only marks are for everybody; authenticate first")
            return
        seq = None
        if private:
            if after is None:
                seq = await self._hub.reader.current()
                self._floors |= dict.fromkeys(private, seq)
                self._last = max(self._last, seq)
            else:
                await self._send_missed(dict.fromkeys(private, after))
                seq = self._floors[private[0]]
        if MARKS in channels:
            self._marks = dict(self._hub.marks)
            self._wake.set()
        await self._send(write("subscribed", channels=channels, seq=seq))

    # -- sending

    async def _send_error(self, code: str, detail: str) -> None:
        await self._send(write("error", code=code, detail=detail))

    async def _send(self, text: str) -> None:
        try:
            async with asyncio.timeout(self._hub.limits.send_s):
                await self._websocket.send_text(text)
        except TimeoutError:
            self._drop_slow()
            await asyncio.Event().wait()  # until that ends this task
