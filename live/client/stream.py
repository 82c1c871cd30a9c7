"""The stream: what changes for a user, told once and in order, whatever connection breaks off meanwhile."""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from live.client.calls import API, Calls
from live.client.errors import ApiProblem, NoAnswer, StreamClosed
from live.client.stream_messages import (
    AnyMessage,
    Authenticated,
    Channel,
    Heartbeat,
    Marks,
    Refused,
    Subscribed,
    Update,
    read,
)

_PATH = f"{API}/stream"
_NOT_AUTHENTICATED, _NOT_PERMITTED = 4401, 4403
_ANSWER_S = 15.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_encode = msgspec.json.Encoder().encode


class Stream:
    """Listen: ``async with client.stream("orders") as stream: async for message in stream: …``.

    Gives ``Update`` and ``Marks``. A connection that is lost is opened again, and all updates after the last that
    was given come first: none is lost, none comes twice. ``seq`` says up to which input of the books everything
    was given; a later stream begins there with ``after``.
    """

    def __init__(
        self, calls: Calls, channels: Sequence[Channel], after: int | None, patience_s: float
    ) -> None:
        self.seq = after
        self.connections = 0
        self._calls = calls
        self._channels = channels
        self._is_private = any(channel != "marks" for channel in channels)
        self._patience_s = patience_s
        self._connection: ClientConnection | None = None
        self._missed: deque[Update | Marks] = deque()

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._connection is not None:
            await self._connection.close()

    def __aiter__(self) -> AsyncIterator[Update | Marks]:
        return self

    async def __anext__(self) -> Update | Marks:
        """Wait for the next message.

        Raises StreamClosed where the server will not have this client, NoAnswer where it cannot be reached for
        too long, and ApiProblem ``resume-too-far`` where more was missed than is told again.
        """
        while True:
            if self._missed:
                return self._given(self._missed.popleft())
            assert self._connection is not None, "use it as: async with client.stream(…) as stream"
            try:
                message = await self._hear(self._connection)
            except ConnectionClosed as error:
                _check_may_return(error)
                await self._open()
                continue
            match message:
                case Update() | Marks():
                    return self._given(message)
                case Heartbeat() if self._is_private:
                    self.seq = message.seq
                case Refused():
                    raise _problem(message)

    def _given(self, message: Update | Marks) -> Update | Marks:
        if isinstance(message, Update):
            self.seq = message.seq
        return message

    # -- connecting

    async def _open(self) -> None:
        """Connect and subscribe, as often as it takes."""
        until = time.monotonic() + self._patience_s
        pause_s, anew = _FIRST_PAUSE_S, False
        while True:
            try:
                return await self._try_open()
            except ConnectionClosed as error:
                if _code(error) == _NOT_AUTHENTICATED and not anew and self._calls.session is not None:
                    anew = True  # the access token ended on the way
                    await self._calls.renew_session()
                    continue
                _check_may_return(error)
                why = str(error)
            except (OSError, InvalidHandshake, TimeoutError) as error:
                why = f"{type(error).__name__} {error}"
            if time.monotonic() + pause_s > until:
                raise NoAnswer("the stream", None, why)
            await asyncio.sleep(pause_s * (0.5 + random.random() / 2))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _try_open(self) -> None:
        url = self._calls.base_url.replace("http", "ws", 1) + _PATH
        connection = await connect(url, open_timeout=_ANSWER_S, max_size=None)
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._subscribe(connection)
        except BaseException:
            await connection.close()
            raise
        self._connection = connection
        self.connections += 1

    async def _subscribe(self, connection: ClientConnection) -> None:
        self._missed.clear()  # those that were not given yet come again
        if self._is_private:
            await self._say(connection, auth=await self._auth())
            while not isinstance(await self._hear(connection), Authenticated):
                pass
        after = {} if self.seq is None or not self._is_private else {"after": self.seq}
        await self._say(connection, subscribe=self._channels, **after)
        while True:
            match message := await self._hear(connection):
                case Update() | Marks():
                    self._missed.append(message)
                case Refused():
                    raise _problem(message)
                case Subscribed():
                    if self.seq is None:
                        self.seq = message.seq
                    return

    async def _auth(self) -> dict[str, str]:
        if self._calls.signer is None or self._calls.session is not None:
            return {"token": await self._calls.access_token()}
        path = urlsplit(self._calls.base_url).path + _PATH
        timestamp, signature = self._calls.signer.sign("GET", path)
        return {"key": self._calls.signer.key, "timestamp": timestamp, "signature": signature}

    async def _hear(self, connection: ClientConnection) -> AnyMessage:
        return read(await connection.recv())

    async def _say(self, connection: ClientConnection, **message: Any) -> None:
        await connection.send(_encode(message).decode())


def _problem(message: Refused) -> ApiProblem:
    return ApiProblem(0, message.code, message.detail)


def _code(error: ConnectionClosed) -> int:
    return 1006 if error.rcvd is None else error.rcvd.code


def _check_may_return(error: ConnectionClosed) -> None:
    """Raise where the server will not have this client again."""
    if error.rcvd is not None and error.rcvd.code in (_NOT_AUTHENTICATED, _NOT_PERMITTED):
        raise StreamClosed(error.rcvd.code, error.rcvd.reason) from None
