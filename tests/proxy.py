"""A TCP proxy before an HTTP server or PostgreSQL, which can cut connections, lose answers, fall silent, or be slow."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

_CHUNK = 1 << 16


class Proxy:
    """Pass bytes both ways; ``url`` leads through it. ``losing`` answers, it breaks off in their place."""

    def __init__(self, url: str) -> None:
        self._to = urlsplit(url)
        self._open = asyncio.Event()
        self._open.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server
        self.delay_s = 0.0  # of everything the server says
        self.losing = 0
        self.lost = 0

    @property
    def url(self) -> str:
        """Return the address that leads through it."""
        at = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        if self._to.scheme == "postgresql":
            return f"postgresql://postgres@{at}{self._to.path}?sslmode=disable"
        return f"{self._to.scheme}://{at}"

    async def serve(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", 0)

    def cut(self) -> None:
        """Break every connection off."""
        for writer in list(self._writers):
            writer.transport.abort()

    def fall_silent(self) -> None:
        """Keep every connection, and pass nothing on."""
        self._open.clear()

    def speak_again(self) -> None:
        """Pass on what was kept back."""
        self._open.set()

    async def close(self) -> None:
        """Stop, and break every connection off."""
        self._server.close()
        self._open.set()
        self.cut()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await self._reach()
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, to_server}
        await asyncio.gather(self._pass(reader, to_server, False), self._pass(from_server, writer, True))
        self._writers -= {writer, to_server}

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._to.scheme == "postgresql":  # whose host is the folder of its socket
            at = parse_qs(self._to.query)
            return await asyncio.open_unix_connection(f"{at['host'][0]}/.s.PGSQL.{at['port'][0]}")
        return await asyncio.open_connection(self._to.hostname, self._to.port)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: bool) -> None:
        try:
            while data := await reader.read(_CHUNK):
                if answers:
                    if self.losing:
                        self.losing -= 1
                        self.lost += 1
                        writer.transport.abort()
                        return
                    await asyncio.sleep(self.delay_s)
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[Proxy]:
    """Give a proxy before the server at ``url``; a PostgreSQL's names a socket's folder as its host."""
    proxy = Proxy(url)
    await proxy.serve()
    try:
        yield proxy
    finally:
        await proxy.close()
