"""How streams end: whoever reads at all is told why, nobody stays for ever, and each is in the log and the measures."""

import asyncio
import io
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from httpx import AsyncClient
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from live.api.stream.hub import StreamLimits
from live.identity.principal import Scope
from tests.api.served import Api, over_http, served_api
from tests.api.test_middleware import lines, log
from tests.api.test_stream import (
    PRIVATE,
    closed,
    hear,
    rest,
    say,
    signed_in,
    socket_url,
    streaming,
    subscribe,
)
from tests.api.traders import ORIGIN, trader

__all__ = ["log"]


@asynccontextmanager
async def one_too_slow(api: Api, url: str) -> AsyncIterator[ClientConnection]:
    """Give a connection that was dropped while its client did not read, its buffers full."""
    api.services.stream.limits = StreamLimits(waiting=20)
    ann = await trader(api)
    for _ in range(50):
        await ann.order(size="0.001")
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    narrow.setblocking(False)
    await asyncio.get_running_loop().sock_connect(narrow, (urlsplit(url).hostname, urlsplit(url).port))
    async with connect(socket_url(url), sock=narrow) as slow:
        await say(slow, auth={"token": ann.token})
        assert (await hear(slow))["type"] == "authenticated"
        slow.transport.pause_reading()
        for _ in range(200):  # more than any buffer on the way takes
            await say(slow, subscribe=PRIVATE, after=0)
        (connection,) = api.services.stream._of_user[ann.user]
        left = 0
        while not left or len(connection._inbox) != left:  # until nothing more can be sent
            left = len(connection._inbox)
            await asyncio.sleep(0.5)
        while api.services.stream._of_user[ann.user]:
            await ann.order(size="0.001")
        yield slow


def test_who_reads_on_after_a_while_is_told_to_have_been_too_slow(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api, over_http(api) as url, one_too_slow(api, url) as slow:
            await asyncio.sleep(4)
            slow.transport.resume_reading()
            heard = [message["seq"] for message in await rest(slow)]
            assert slow.close_code == 4408
            assert json.loads(slow.close_reason)["seq"] in heard

    asyncio.run(body())


def test_who_never_reads_on_is_cut_off(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("live.api.stream.wire.LINGER_S", 0.5)

    async def body() -> None:
        async with served_api(database) as api, over_http(api) as url, one_too_slow(api, url) as slow:
            await asyncio.sleep(1)
            slow.transport.resume_reading()
            assert (await closed(slow))[0] == 1006

    asyncio.run(body())


def test_who_does_not_answer_a_ping_is_told_to_have_been_too_slow(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann = await trader(api)
            async with (
                over_http(api, ws_ping_interval=0.2, ws_ping_timeout=1.5) as url,
                streaming(url, ann) as silent,
            ):
                await subscribe(silent, PRIVATE)
                silent.transport.pause_reading()
                placed = await ann.order()
                while api.services.stream._of_user[ann.user]:
                    await asyncio.sleep(0.05)
                silent.transport.resume_reading()
                assert await closed(silent) == (
                    4408,
                    json.dumps({"seq": placed["seq"]}, separators=(",", ":")),
                )

    asyncio.run(body())


def test_the_server_says_that_it_goes_away(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            async with over_http(api) as url:
                stream = await connect(socket_url(url), proxy=None)
            assert await closed(stream) == (1001, "the server stops; come back and subscribe with after")

    asyncio.run(body())


def test_no_stream_is_anywhere_else(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api, over_http(api) as url:
            with pytest.raises(InvalidStatus) as refused:
                await connect(socket_url(url) + "s", proxy=None)
            response = refused.value.response
            problem = json.loads(response.body)
            assert (response.status_code, problem["code"]) == (404, "not-found")
            assert response.headers["content-type"] == "application/problem+json"
            assert response.headers["x-request-id"] == problem["instance"]
            assert response.headers["x-content-type-options"] == "nosniff"

    asyncio.run(body())


HANDSHAKE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
KEY = {"Sec-WebSocket-Key": "A" * 22 + "=="}


@pytest.mark.parametrize(
    ("headers", "status", "detail"),
    [
        ({}, 400, "missing Sec-WebSocket-Key header"),
        ({"Sec-WebSocket-Key": "AAAA"}, 400, "invalid Sec-WebSocket-Key header: AAAA"),
        ({"Sec-WebSocket-Key": b"\xff"}, 400, "a header is not ASCII"),
        (KEY | {"Sec-WebSocket-Version": b"\xff"}, 400, "invalid Sec-WebSocket-Version header: ?"),
        (KEY | {"Sec-WebSocket-Version": "8"}, 400, "invalid Sec-WebSocket-Version header: 8"),
        (
            KEY | {"Upgrade": "h2c", "upgrade": "websocket"},
            426,
            "invalid Upgrade header: h2c, websocket",
        ),
    ],
)
def test_handshakes_that_will_not_do_are_refused_as_other_requests_are(
    database: str, log: io.BytesIO, headers: dict[str, str | bytes], status: int, detail: str
) -> None:
    async def body() -> None:
        async with served_api(database) as api, over_http(api) as url, AsyncClient() as client:
            path = urlsplit(socket_url(url)).path
            given = [*{"X-Request-ID": "handshake-1", **HANDSHAKE, **headers}.items()]
            answer = await client.get(url + path, headers=given)  # type: ignore[arg-type]
            problem = answer.json()
            assert (answer.status_code, problem["detail"]) == (status, detail)
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["x-request-id"] == problem["instance"] == "handshake-1"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "no-store"
            assert "ratelimit" in answer.headers
            if status == 426:
                assert answer.headers["upgrade"] == "websocket"
            else:
                assert answer.headers["sec-websocket-version"] == "13"
            measured = api.services.metrics.text().decode()
            counted = f'hybrid_perps_requests_total{{method="GET",route="unmatched",status="{status}"}} 1.0'
            assert counted in measured, measured

    asyncio.run(body())
    (line,) = [line for line in lines(log) if line.get("request_id") == "handshake-1"]
    assert (line["event"], line["method"], line["status"]) == ("request", "GET", status)


def test_streams_are_in_the_log_and_the_measures(database: str, log: io.BytesIO) -> None:
    async def body() -> tuple[str, str, str]:
        async with served_api(database) as api, over_http(api) as url:
            ann = await trader(api)
            key = await api.services.identity.keys.create(ann.user, "k", [Scope.READ], [], ORIGIN)
            async with streaming(url, ann), signed_in(url, key) as by_key:
                await hear(by_key)
                assert "hybrid_perps_streams 2.0\n" in api.services.metrics.text().decode()
            async with streaming(url) as stream:
                await stream.send(b"not text")
                await closed(stream)
            text = api.services.metrics.text().decode()
            assert "hybrid_perps_streams 0.0\n" in text
            assert "hybrid_perps_streams_opened_total 3.0\n" in text
            assert 'hybrid_perps_streams_closed_total{code="left"} 2.0\n' in text
            assert 'hybrid_perps_streams_closed_total{code="1003"} 1.0\n' in text
            return ann.user, ann.session, key.key.id

    user, session, key = asyncio.run(body())
    told = [line for line in lines(log) if line["event"].startswith("stream")]
    assert [line["event"] for line in told].count("stream opened") == 3
    assert all(re.fullmatch("[0-9a-f]{20}", line["request_id"]) for line in told)
    by_session, by_key = [line for line in told if line["event"] == "stream identified"]
    assert (by_session["user"], by_session["session"], by_key["user"], by_key["key"]) == (
        user,
        session,
        user,
        key,
    )
    ends = [line for line in told if line["event"] == "stream closed"]
    assert sorted((line.get("user", ""), line["code"]) for line in ends) == [
        ("", "1003"),
        *[(user, "left")] * 2,
    ]
    assert all(line["seconds"] > 0 for line in ends)
