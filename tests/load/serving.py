"""``hybrid-perps serve`` and ``books`` in processes of their own, and users who came in by the front door."""

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tests.load.http_client import Connection, connect, request, signed

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
_NO_LIMIT = "1000000000/minute"
NO_LIMITS = {f"RATE_LIMIT_{kind}": _NO_LIMIT for kind in ("ADDRESS", "USER", "KEY", "LOGIN", "LETTERS")}
PASSWORD = "correct horse battery staple"
_TOKEN = re.compile(r"token: (\S+)")
_FUNDS = b'{"amount": "100000"}'


@dataclass
class Service:
    """Be a process of ours that runs; ``said`` is what it wrote to its standard output so far."""

    process: Process
    said: list[str] = field(default_factory=list)
    _more: asyncio.Event = field(default_factory=asyncio.Event)
    _reading: "asyncio.Task[None] | None" = None

    @classmethod
    async def start(
        cls,
        environment: Mapping[str, str],
        *arguments: str,
        log: IO[bytes],
        program: tuple[str, ...] = ("hybrid_perps.py",),
    ) -> "Service":
        """Start ``hybrid-perps ARGUMENTS`` with these settings in its environment; ``log`` takes standard error."""
        settings = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        process = await asyncio.create_subprocess_exec(
            sys.executable, *program, *arguments, stdout=PIPE, stderr=log, cwd=ROOT, env=settings
        )
        made = cls(process)
        made._reading = asyncio.create_task(made._read())
        return made

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for text in self.process.stdout:
            self.said.append(text.decode())
            self._more.set()
        self._more.set()

    async def told(self, pattern: str) -> re.Match[str]:
        """Return the first match of ``pattern`` in what it said, which is waited for."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                self._more.clear()
                if found := re.search(pattern, "".join(self.said)):
                    return found
                assert self.process.returncode is None, "".join(self.said)
                await self._more.wait()

    async def port(self) -> int:
        """Return where it serves, once it does."""
        return int((await self.told(r"serving +http://127\.0\.0\.1:(\d+)"))[1])

    async def kill(self) -> None:
        """End it as a power cut would."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
        await self._ended()

    async def stop(self) -> None:
        """End it in order."""
        self.process.terminate()
        await self._ended()
        assert self.process.returncode == 0, f"exit code {self.process.returncode}: {self.said[-1]}"

    async def _ended(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.process.wait()
            if self._reading is not None:
                await self._reading


@dataclass(frozen=True)
class Caller:
    """Be a user with a session and an API key, who asks with either."""

    user: str
    token: str
    key: str
    secret: str

    def ask(
        self, method: str, path: str, body: bytes = b"", *, idempotency: str = "", by_key: bool = True
    ) -> bytes:
        """Write a request as it is sent now."""
        who = (
            signed(self.key, self.secret, method, path, body, idempotency)
            if by_key
            else f"Authorization: Bearer {self.token}\r\n"
        )
        once = f"Idempotency-Key: {idempotency}\r\n" if idempotency else ""
        return request(method, path, who + once, body)


async def new_caller(service: Service, name: str, funds: int = 1) -> Caller:
    """Register with a ``serve --dev``, read the letter, log in, make a key and take ``funds`` times test funds."""
    to_server = await connect(await service.port())
    address = f"{name}@example.org"
    await _posted(to_server, "/v1/auth/register", {"email": address})
    letter = await service.told(rf"(?s)--- mail to {address}: .*?token: (\S+)")
    token = _TOKEN.search(letter[0])
    assert token is not None
    made = await _posted(to_server, "/v1/auth/verify-email", {"token": token[1], "password": PASSWORD})
    session = await _posted(to_server, "/v1/auth/login", {"email": address, "password": PASSWORD})
    mine = f"Authorization: Bearer {session['access_token']}\r\n"
    key = await _posted(to_server, "/v1/keys", {"name": "load", "scopes": ["READ", "TRADE"]}, mine)
    caller = Caller(made["user"], session["access_token"], key["id"], key["secret"])
    for number in range(funds):
        asked = caller.ask("POST", "/v1/dev/faucet", _FUNDS, idempotency=f"funds-{number}")
        status, body = await to_server.exchange(asked)
        assert status == 200, body
    to_server.close()
    return caller


async def _posted(to_server: Connection, path: str, body: Any, headers: str = "") -> Any:
    status, answer = await to_server.exchange(request("POST", path, headers, json.dumps(body).encode()))
    assert status in (200, 201, 202), answer
    return json.loads(answer)
