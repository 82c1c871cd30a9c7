"""A TCP proxy before PostgreSQL's socket, which can cut connections, fall silent, or be slow."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

_CHUNK = 1 << 16


class Proxy:
    """Pass bytes both ways; ``dsn`` leads through it, to the database of the one it stands before."""

    def __init__(self, dsn: str) -> None:
        parts = urlsplit(dsn)
        at = parse_qs(parts.query)
        self._socket = f"{at['host'][0]}/.s.PGSQL.{at['port'][0]}"
        self._database = parts.path
        self._open = asyncio.Event()
        self._open.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server
        self.delay_s = 0.0  # of everything the server says

    @property
    def dsn(self) -> str:
        """Return the address that leads through it."""
        port = self._server.sockets[0].getsockname()[1]
        return f"postgresql://postgres@127.0.0.1:{port}{self._database}?sslmode=disable"

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
            from_server, to_server = await asyncio.open_unix_connection(self._socket)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, to_server}
        await asyncio.gather(self._pass(reader, to_server, 0), self._pass(from_server, writer, 1))
        self._writers -= {writer, to_server}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, late: int) -> None:
        try:
            while data := await reader.read(_CHUNK):
                await asyncio.sleep(late * self.delay_s)
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def proxied(dsn: str) -> AsyncIterator[Proxy]:
    """Give a proxy before the server at ``dsn``, an address with a socket's folder as its host."""
    proxy = Proxy(dsn)
    await proxy.serve()
    try:
        yield proxy
    finally:
        await proxy.close()
