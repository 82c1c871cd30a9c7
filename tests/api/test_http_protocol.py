"""Clients that dawdle, leave, or speak no HTTP: each is refused with a problem document, and none holds us up."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect

from live.api import problems
from live.api.app import Application
from live.api.lean import LeanRoutes
from live.api.metrics import Metrics
from live.api.middleware.entrance import Entrance
from live.api.middleware.errors import Errors
from live.api.rates import Rates
from live.api.settings import ApiSettings
from live.api.shared_state import InMemory
from live.cli_serve import serve_app

LARGEST_BODY = 65_536
LIMITS = {"HEAD_S": 0.5, "BODY_S": 1.0, "STOPPING_S": 0.4, "TAKE_S": 1.0}
POST = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\n"
CHUNKED = POST[: POST.rindex(b"Content-L")] + b"Transfer-Encoding: chunked\r\n\r\n"
GET = b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n"
WEBSOCKET = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
WEBSOCKET_KEY = b"Sec-WebSocket-Key: " + b"A" * 22 + b"==\r\n"
CLOSE = b"Connection: close\r\n\r\n"
EXPECTING = b"Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"


@pytest.fixture(autouse=True)
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in LIMITS.items():
        monkeypatch.setattr(f"live.api.bounded_http.{name}", seconds)


@dataclass
class Site:
    """A small application behind the protocol; ``/slow`` answers once ``go_on`` is set."""

    port: int
    stop: asyncio.Event
    serving: "asyncio.Task[None]"
    go_on: asyncio.Event
    ended: list[int] = field(default_factory=list)


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    app = Application()
    problems.install(app)
    app.add_middleware(Errors)
    rates = Rates(ApiSettings(), InMemory())
    app.entrance = Entrance(app.framework, LeanRoutes(()), rates, Metrics(), largest_body=LARGEST_BODY)
    go_on = asyncio.Event()

    @app.api_route("/echo", methods=["GET", "POST"])
    async def echo(request: Request) -> int:
        return len(await request.body())

    @app.post("/headers")
    async def headers(request: Request) -> list[str]:
        await request.body()
        return [name.decode() for name, _ in request.scope["headers"]]

    @app.websocket("/echo")
    async def echo_all(websocket: WebSocket) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    @app.websocket("/slow")
    async def slow_to_begin(websocket: WebSocket) -> None:
        await go_on.wait()
        await websocket.accept()

    @app.get("/endless")
    async def endless() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            try:
                while True:
                    await asyncio.sleep(0)
                    yield b"x" * 65_536
            finally:
                go_on.set()

        return StreamingResponse(parts())

    @app.api_route("/slow", methods=["GET", "POST"])
    async def slow(request: Request) -> int:
        await go_on.wait()
        return len(await request.body())

    stop = asyncio.Event()
    listening = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(serve_app(app, listening, stop))
    try:
        yield Site(listening.getsockname()[1], stop, serving, go_on)
    finally:
        stop.set()
        go_on.set()
        async with asyncio.timeout(20):
            await serving


async def exchange(at: Site, *parts: bytes, pause_s: float = 0.0) -> bytes:
    """Say these one after the other; return all that is said until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", at.port)

    async def say() -> None:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause_s)

    saying = asyncio.create_task(say())
    heard = b""
    try:
        async with asyncio.timeout(15):
            while more := await reader.read(1 << 16):
                heard += more
    except ConnectionError:
        pass  # what was said after the end was answered so
    finally:
        saying.cancel()
        writer.close()
    return heard


def told(answer: bytes) -> tuple[int, str]:
    """Return the status and code of the only answer, a whole problem document on a connection that closes."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    problem: dict[str, Any] = json.loads(body)
    assert headers["content-type"] == problems.MEDIA_TYPE
    assert headers["connection"] == "close"
    assert int(headers["content-length"]) == len(body)
    assert headers["x-request-id"] == problem["instance"]
    status = int(first.split()[1])
    assert status == problem["status"]
    return status, problem["code"]


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([b"GET /echo HT"], (408, "too-slow")),
        ([b"GET /echo HTTP/1.1\r\nHost: x\r\n"], (408, "too-slow")),
        ([POST + b"\r\n12345"], (408, "too-slow")),
        ([POST + b"\r\n", b"12345"], (408, "too-slow")),
        ([CHUNKED + b"5\r\n12"], (408, "too-slow")),
        ([b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"], (400, "malformed")),
        ([b"GET /echo HTTP/1.1\r\nHost x\r\n\r\n"], (400, "malformed")),
        ([CHUNKED + b"zz\r\n"], (400, "malformed")),
        ([POST + b"Content-Length: 11\r\n\r\n"], (400, "malformed")),
        ([b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n"], (400, "malformed")),
        ([POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", b"1234567890"], (400, "malformed")),
        ([GET[:-2] + WEBSOCKET + b"Content-Length: 1\r\n\r\nx"], (400, "malformed")),
        ([GET[:-2].replace(b"GET", b"POST") + WEBSOCKET + b"\r\n"], (400, "malformed")),
        ([GET[:-2] + WEBSOCKET + b"X-Long: " + b"x" * 20_000 + b"\r\n\r\n"], (400, "malformed")),
        ([b"GET /echo HTTP/1.1\r\n\r\n"], (400, "malformed")),
        ([b"GET http://x/echo HTTP/1.1\r\n\r\n"], (400, "malformed")),
        ([GET[:-2] + b"host: x\r\n\r\n"], (400, "malformed")),
        ([GET[:-2].replace(b"1.1", b"1.0") + b"Host: y\r\n\r\n"], (400, "malformed")),
        ([GET.replace(b"Host: x", b"Host: x/y")], (400, "malformed")),
        ([GET.replace(b"Host: x", b"Host: x y")], (400, "malformed")),
        ([GET.replace(b"Host: x", b"Host: ann@x")], (400, "malformed")),
        ([GET.replace(b"Host: x", b"Host: x:port")], (400, "malformed")),
        ([GET.replace(b"Host: x", b"Host: [::1")], (400, "malformed")),
        ([GET[:-2] + b"X-Request-ID: 12345678\r\nx-request-id: 12345678\r\n" + CLOSE], (400, "malformed")),
        ([GET[:-2] + b"Idempotency-Key: a\r\nX: y\r\nidempotency-key: b\r\n" + CLOSE], (400, "malformed")),
        ([GET[:-2] + b"Authorization: Bearer a\r\n" * 2 + CLOSE], (400, "malformed")),
        ([GET[:-2] + WEBSOCKET + WEBSOCKET_KEY + b"HP-KEY: a\r\nhp-key: b\r\n\r\n"], (400, "malformed")),
        ([GET[:-2].replace(b"Host: x\r\n", b"") + WEBSOCKET + WEBSOCKET_KEY + b"\r\n"], (400, "malformed")),
    ],
)
def test_what_is_no_request_is_refused(parts: list[bytes], code: tuple[int, str]) -> None:
    async def body() -> None:
        async with site() as at:
            assert told(await exchange(at, *parts, pause_s=0.02)) == code

    asyncio.run(body())


@pytest.mark.parametrize(
    "head",
    [
        *[
            GET[:-2].replace(b"Host: x", b"Host: " + host)
            for host in (b"", b"x:", b"api.x:8000", b"[::1]:80")
        ],
        b"GET /echo HTTP/1.0\r\n",
        GET[:-2].replace(b"1.1", b"1.0"),
    ],
)
def test_a_host_of_any_right_form_is_taken(head: bytes) -> None:
    async def body() -> None:
        async with site() as at:
            answer = await exchange(at, head + b"Connection: close\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200")

    asyncio.run(body())


@pytest.mark.parametrize("pause_s", [0.0, 0.01])
@pytest.mark.parametrize("path", [b"/echo", b"/nowhere"])
@pytest.mark.parametrize(
    "said",
    [
        [b"0\r\n", *[b"Name: " + b"x" * 1_000 + b"\r\n"] * 100],
        [b"0\r\nName: ", *[b"x" * 5_000] * 20],
        [b"0\r\n", *[b"x" * 5_000] * 20],
        [b"1;", *[b"x" * 5_000] * 20],
        [b"1;" + b"x" * 5_000 + b"\r\n1\r\n"] * 20,
    ],
    ids=["trailers", "a trailer's value", "its name", "an extension", "extensions"],
)
def test_what_comes_beside_a_body_is_bounded(
    said: list[bytes], path: bytes, pause_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("live.api.bounded_http.BODY_S", 8.0)

    async def body() -> None:
        async with site() as at:
            began = time.monotonic()
            answer = await exchange(at, CHUNKED.replace(b"/echo", path), *said, pause_s=pause_s)
            assert time.monotonic() - began < 6  # it was cut off before it was too slow
            if path == b"/echo":
                assert told(answer) == (400, "malformed")
                assert b"beside the body" in answer

    asyncio.run(body())


def test_trailers_are_no_headers() -> None:
    """Who asks, and for whom, is said in the head alone: a proxy in front of us may not look at trailers."""

    async def body() -> None:
        async with site() as at:
            request = CHUNKED.replace(b"/echo", b"/headers") + (
                b"2;a=b\r\n{}\r\n0\r\nAuthorization: Bearer x\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"
            )
            answer = await exchange(at, request + GET[:-2] + b"Connection: close\r\n\r\n")
            assert answer.count(b"HTTP/1.1 200") == 2
            assert b'["host","content-type","transfer-encoding"]' in answer

    asyncio.run(body())


def test_many_requests_and_large_bodies_in_one_piece_are_taken() -> None:
    """What is bounded is what no request needs: not how many come at once, and in how small chunks."""

    async def body() -> None:
        async with site() as at:
            large = POST[: POST.rindex(b"10\r\n")] + b"60000\r\n\r\n" + b"x" * 60_000
            chunks = CHUNKED + b"1\r\nx\r\n" * 30_000 + b"0\r\n\r\n"
            answer = await exchange(
                at, (large + chunks) * 2 + GET * 200 + GET[:-2], b"Connection: close\r\n\r\n", pause_s=0.2
            )
            assert answer.count(b"HTTP/1.1 200") == 205

    asyncio.run(body())


def test_a_stream_goes_on_however_long_nothing_is_said() -> None:
    async def body() -> None:
        async with site() as at, connect(f"ws://127.0.0.1:{at.port}/echo") as stream:
            await asyncio.sleep(2 * LIMITS["HEAD_S"] + LIMITS["BODY_S"])
            await stream.send("still here")
            assert await stream.recv() == "still here"

    asyncio.run(body())


@pytest.mark.parametrize("said", [b"", b"\r\n", b"\r\n\r\n"])
def test_who_says_nothing_is_closed(said: bytes) -> None:
    async def body() -> None:
        async with site() as at:
            assert await exchange(at, said) == b""
            reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
            writer.write(GET)
            assert (await reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200")
            writer.write(b"\r\n")  # after a request too
            async with asyncio.timeout(4):  # less than it would be kept for a next request
                assert await reader.read() == b""
            writer.close()

    asyncio.run(body())


def test_a_drop_now_and_then_is_not_enough() -> None:
    """The limit holds for the whole of a head, and of a body: not from one piece to the next."""

    async def body() -> None:
        async with site() as at:
            for whole in (GET[:-2] + b"X-Slow: ", POST + b"X-Slow: 1\r\n\r\n"):
                began = time.monotonic()
                answer = await exchange(at, whole, *([b"x"] * 9 + [b""]) * 12, pause_s=0.1)
                assert told(answer) == (408, "too-slow")
                assert time.monotonic() - began < 8  # what is dropped takes twelve seconds

    asyncio.run(body())


def test_in_time_and_slowly_is_in_time() -> None:
    async def body() -> None:
        async with site() as at:
            last = POST[30:] + b"Connection: close\r\n\r\n12"
            answer = await exchange(at, GET[:20], GET[20:], POST[:30], last, b"345678", b"90", pause_s=0.06)
            assert answer.count(b"HTTP/1.1 200") == 2
            assert answer.endswith(b"10")

    asyncio.run(body())


def test_our_own_time_does_not_count() -> None:
    """While a request is answered slowly, what its client sent of the next one waits for us."""

    async def body() -> None:
        async with site() as at:
            slow = GET.replace(b"/echo", b"/slow")
            asking = asyncio.create_task(exchange(at, slow + GET[:10]))
            waiting = asyncio.create_task(exchange(at, slow.replace(b"GET", b"POST")[:-2] + EXPECTING))
            await asyncio.sleep(1.0)
            assert not asking.done()
            at.go_on.set()
            answer = await asking
            assert answer.startswith(b"HTTP/1.1 200")
            assert told(answer[answer.index(b"HTTP/1.1 408") :]) == (408, "too-slow")
            answer = await waiting
            assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 408")

    asyncio.run(body())


def test_who_does_not_take_an_answer_is_cut_off() -> None:
    async def body() -> None:
        async with site() as at:
            narrow = socket.socket()
            narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
            narrow.connect(("127.0.0.1", at.port))
            reader, writer = await asyncio.open_connection(sock=narrow, limit=1_024)
            writer.write(GET.replace(b"/echo", b"/endless"))
            for _ in range(30):  # slowly, but on and on
                await asyncio.sleep(0.05)
                await reader.readexactly(200_000)
            assert not at.go_on.is_set()
            async with asyncio.timeout(10):
                await at.go_on.wait()
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1 << 26)
            writer.close()

    asyncio.run(body())


def test_nonsense_after_a_request_is_not_taken_for_its_answer() -> None:
    async def body() -> None:
        async with site() as at:
            asking = asyncio.create_task(exchange(at, GET.replace(b"/echo", b"/slow"), b"no request\r\n\r\n"))
            await asyncio.sleep(0.2)
            assert not asking.done()
            at.go_on.set()
            answer = await asking
            assert answer.startswith(b"HTTP/1.1 200")
            assert answer.count(b"HTTP/1.1") == 1

    asyncio.run(body())


def test_half_a_request_does_not_hold_up_the_end() -> None:
    async def body() -> None:
        async with site() as at:
            halves = [
                asyncio.create_task(exchange(at, part)) for part in (POST + b"\r\n12345", GET[:-2], b"")
            ]
            await asyncio.sleep(0.1)
            at.stop.set()
            began = time.monotonic()
            body, head, nothing = await asyncio.gather(*halves)
            assert told(body) == (503, "stopping")
            assert head == nothing == b""
            await at.serving
            assert time.monotonic() - began < 8  # less than requests are given to end

    asyncio.run(body())


def test_a_handshake_that_was_not_answered_before_the_end_is_told_so() -> None:
    async def body() -> None:
        async with site() as at:
            slow = GET[:-2].replace(b"/echo", b"/slow") + WEBSOCKET + WEBSOCKET_KEY + b"\r\n"
            asking = asyncio.create_task(exchange(at, slow))
            await asyncio.sleep(0.1)
            at.stop.set()
            assert told(await asking) == (503, "stopping")

    asyncio.run(body())


@pytest.mark.parametrize(
    ("request_line", "code"), [(b"GET", (503, "stopping")), (b"POST", (504, "outcome-unknown"))]
)
def test_what_does_not_end_before_the_server_is_told_so(
    request_line: bytes, code: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("live.cli_serve._FINISH_S", 0.5)

    async def body() -> None:
        async with site() as at:
            slow = GET.replace(b"/echo", b"/slow").replace(b"GET", request_line)
            asking = asyncio.create_task(exchange(at, slow))
            await asyncio.sleep(0.1)
            at.stop.set()
            assert told(await asking) == code

    asyncio.run(body())
