"""What every request goes through: ids, headers, bodies, rates, the log and the measures."""

import asyncio
import io
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from live.api import logs
from live.api.problems import Problem
from live.api.rates import Rates, address_of
from live.api.settings import ApiSettings
from live.api.shared_state import InMemory, SharedState, open_shared_state
from live.identity.principal import Scope as KeyScope
from tests.api.people import letters
from tests.api.served import Api, served_api
from tests.api.traders import ORIGIN, signature, trader

LARGEST = 2_000


@pytest.fixture
def log() -> Iterator[io.BytesIO]:
    """Give what is logged."""
    kept, out = logging.getLogger().handlers, io.BytesIO()
    logs.configure("info", out)
    yield out
    logging.getLogger().handlers = kept
    structlog.reset_defaults()


def lines(log: io.BytesIO) -> list[dict]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def echoing(api: Api) -> None:
    @api.app.post("/echo/{token}")
    async def echo(request: Request, token: str) -> int:
        return len(await request.body())

    @api.app.get("/fail")
    async def fail() -> None:
        raise RuntimeError("refused: password=hunter2 at postgresql://books:s3cret@db/books")


def test_refreshing_is_no_attempt_to_log_in(database: str) -> None:
    async def body() -> None:
        async with served_api(database, settings={"rate_limit_login": "2/day"}) as api:
            for path, last in (("refresh", 401), ("login/totp", 429)):
                given = (
                    {"refresh_token": "x" * 43}
                    if path == "refresh"
                    else {"challenge": "x" * 43, "code": "123456"}
                )
                for _ in range(3):
                    answer = await api.client.post(f"/v1/auth/{path}", json=given)
                assert answer.status_code == last

    asyncio.run(body())


def test_letters_to_however_many_addresses_are_counted_by_who_asks(database: str) -> None:
    async def body() -> None:
        async with served_api(database, settings={"rate_limit_letters": "4/day"}) as api:
            asked = [(path, f"{n}@example.org") for n in range(3) for path in ("register", "password/forgot")]
            answers = [
                await api.client.post(f"/v1/auth/{path}", json={"email": email}) for path, email in asked
            ]
            assert [answer.status_code for answer in answers] == [202] * 4 + [429] * 2
            assert len(await letters(api)) == 4

    asyncio.run(body())


def test_ids_and_headers(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            answer = await api.client.get("/health")
            assert answer.json() == {"status": "alive"}
            made = answer.headers["x-request-id"]
            assert len(made) == 20
            for given_id, kept in (
                ("abc-12345", True),
                ("short", False),
                ("with space 12", False),
                ("x" * 65, False),
            ):
                answer = await api.client.get("/health", headers={"X-Request-ID": given_id})
                assert (answer.headers["x-request-id"] == given_id) == kept
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["content-security-policy"].startswith("default-src 'none'")
            assert "strict-transport-security" not in answer.headers
            docs = await api.client.get("/docs")
            assert docs.headers["content-security-policy"].count("sha256-") == 1
            assert len(docs.headers.get_list("content-security-policy")) == 1

    asyncio.run(body())


def test_bodies_that_are_too_large_or_no_json_are_refused(database: str) -> None:
    async def chunks(size: int) -> AsyncIterator[bytes]:
        for _ in range(size // 100):
            yield b"x" * 100

    async def body() -> None:
        async with served_api(database, settings={"max_body_bytes": LARGEST}) as api:
            echoing(api)
            kind = {"Content-Type": "application/json; charset=utf-8"}
            for size, status in ((LARGEST, 200), (LARGEST + 100, 413)):
                for content in (b"x" * size, chunks(size)):  # the second does not tell its length
                    answer = await api.client.post("/echo/1", content=content, headers=kind)
                    assert answer.status_code == status, size
                    assert answer.json() == size if status == 200 else answer.json()["code"] == "too-large"
            answer = await api.client.post(
                "/echo/1", content=chunks(100), headers={"Content-Type": "text/plain"}
            )
            assert (answer.status_code, answer.json()["code"]) == (415, "unsupported-media-type")
            assert (await api.client.post("/echo/1", content=b"x")).status_code == 415
            assert (await api.client.post("/echo/1")).json() == 0

    asyncio.run(body())


def test_a_rate_that_is_exceeded_is_refused_with_when_to_come_back(database: str) -> None:
    async def body() -> None:
        async with served_api(database, settings={"rate_limit_address": "5/day"}) as api:
            for left in (4, 3, 2, 1, 0):
                answer = await api.client.get("/nothing")
                assert answer.status_code == 404
                assert answer.headers["ratelimit"].startswith(f'"address";r={left};t=')
                assert answer.headers["ratelimit-policy"] == '"address";q=5;w=86400'
            answer = await api.client.get("/nothing")
            assert (answer.status_code, answer.json()["code"]) == (429, "too-many-requests")
            assert 0 < int(answer.headers["retry-after"]) <= 86_400
            assert answer.headers["ratelimit"].startswith('"address";r=0')
            assert (await api.client.get("/health")).status_code == 200

    asyncio.run(body())


@pytest.mark.parametrize(("proxies", "own"), [("", 1), ("127.0.0.1", 2), ("127.0.0.0/8, 10.0.0.0/8", 3)])
def test_only_a_trusted_proxy_says_who_asks(database: str, proxies: str, own: int) -> None:
    """With no trusted proxy all are one address; with one the last it names; with two what that one names."""
    forwarded = ("1.1.1.1, 10.0.0.5", "2.2.2.2, 10.0.0.5", "3.3.3.3, 10.0.0.5")

    async def body() -> None:
        given = {"rate_limit_address": "100/day", "trusted_proxies": proxies}
        async with served_api(database, settings=given) as api:
            left = []
            for value in forwarded:
                answer = await api.client.get("/nothing", headers={"X-Forwarded-For": value})
                left.append(answer.headers["ratelimit"].split(";")[1])
            expected = ["r=99", "r=98", "r=97"] if own < 3 else ["r=99"] * 3
            assert left == expected
            direct = await api.client.get("/nothing")
            assert direct.headers["ratelimit"].split(";")[1] == ("r=96" if own == 1 else "r=99")

    asyncio.run(body())


def test_addresses_of_one_customer_are_one() -> None:
    assert address_of("1.2.3.4") == "1.2.3.4"
    assert (
        address_of("2001:db8:1:2:3:4:5:6") == address_of("2001:db8:1:2::9") != address_of("2001:db8:1:3::9")
    )
    assert address_of("::ffff:1.2.3.4") == "1.2.3.4"
    assert address_of("a socket") == "a socket"


@given(st.lists(st.tuples(st.floats(0, 40), st.sampled_from("ab")), max_size=40), st.integers(1, 4))
def test_of_each_window_exactly_the_amount_passes(steps: list[tuple[float, str]], amount: int) -> None:
    now = 1_000.0
    state = InMemory(lambda: now)
    rates = Rates(ApiSettings(rate_limit_user=f"{amount}/30 seconds"), state, lambda: now)
    passed: dict[tuple[str, int], int] = {}
    after: list[float] = []

    async def take(who: str) -> bool:
        try:
            await rates.charge({}, "user", who)
        except Problem as problem:
            after.append(now + int(problem.headers["Retry-After"]))
            return False
        return True

    for pause, who in steps:
        now += pause
        window = who, int(now // 30)
        taken = asyncio.run(take(who))
        assert taken == (passed.get(window, 0) < amount)
        passed[window] = passed.get(window, 0) + taken
        assert taken or after[-1] // 30 == window[1] + 1


@given(st.lists(st.tuples(st.floats(0, 5), st.sampled_from("abc"), st.floats(0.1, 9)), max_size=60))
def test_a_mark_holds_for_its_time(steps: list[tuple[float, str, float]]) -> None:
    now = 0.0
    state = InMemory(lambda: now)
    until: dict[str, float] = {}
    for pause, key, ttl in steps:
        now += pause
        first = now >= until.get(key, 0.0)
        assert asyncio.run(state.once(key, ttl)) == first
        if first:
            until[key] = now + ttl


def test_state_in_redis_is_that_of_all_processes(redis_url: str) -> None:
    async def body() -> None:
        async with open_shared_state(redis_url) as one, open_shared_state(redis_url) as other:
            states: list[SharedState] = [one, other, one]
            counts = [await state.count("k", 86_400) for state in states]
            assert counts == [1, 2, 3]
            assert await one.once("mark", 0.2)
            assert not await other.once("mark", 0.2)
            await asyncio.sleep(0.25)
            assert await other.once("mark", 0.2)

    asyncio.run(body())


def test_every_request_is_one_line_and_no_line_has_a_secret(database: str, log: io.BytesIO) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            echoing(api)
            headers = {"Authorization": "Bearer abc.def.ghi", "X-Request-ID": "request-18"}
            await api.client.post("/echo/s3cret?token=s3cret", headers=headers)
            assert (await api.client.get("/fail")).status_code == 500

    asyncio.run(body())
    first, failed, last = lines(log)
    assert {name: first[name] for name in ("method", "route", "status", "request_id", "address")} == {
        "method": "POST",
        "route": "/echo/{token}",
        "status": 200,
        "request_id": "request-18",
        "address": "127.0.0.1",
    }
    assert failed["event"] == "unexpected"
    assert "RuntimeError" in failed["exception"]
    assert failed["request_id"] == last["request_id"]
    assert last["status"] == 500
    for secret in (b"s3cret", b"hunter2", b"abc.def"):
        assert secret not in log.getvalue()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("0123abcd-trace", True),
        ("secret-token.18", True),
        ("eyJhbGciOi.eyJzdWIi.c2ln", False),  # what the log would hide
        ("trace-eyJhbGciOi.eyJzdWIi.c2ln", False),
        ("short", False),
    ],
)
def test_the_log_has_the_id_that_was_answered(given: str, kept: bool, database: str, log: io.BytesIO) -> None:
    async def body() -> str:
        async with served_api(database) as api:
            answer = await api.client.get("/v1/orders", headers={"X-Request-ID": given})
            assert answer.json()["instance"] == answer.headers["x-request-id"]
            return str(answer.headers["x-request-id"])

    answered = asyncio.run(body())
    assert (answered == given) == kept
    assert [line["request_id"] for line in lines(log)] == [answered]
    assert kept or b"c2ln" not in log.getvalue()


def test_the_line_of_a_request_says_whose_it_was(database: str, log: io.BytesIO) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann = await trader(api)
            made = await api.services.identity.keys.create(ann.user, "k", [KeyScope.READ], [], ORIGIN)
            key, stamp = made.key.id, str(time.time_ns() // 1_000_000)
            signed = signature(key, made.secret, stamp, "GET", "/v1/orders")
            await api.client.get("/v1/orders", headers=ann.headers)  # served lean
            await api.client.get("/v1/keys", headers=ann.headers)  # and by the framework
            await api.client.get("/v1/orders", headers=signed)
            refused = await api.client.post("/v1/orders", headers={**signed, "HP-TIMESTAMP": "1"})
            assert refused.status_code == 401
        told = [line for line in lines(log) if line["event"] == "request"]
        assert [{name: line.get(name) for name in ("user", "session", "key")} for line in told] == [
            {"user": ann.user, "session": ann.session, "key": None},
            {"user": ann.user, "session": ann.session, "key": None},
            {"user": ann.user, "session": None, "key": key},
            {"user": None, "session": None, "key": None},
        ]

    asyncio.run(body())


SECRET = "Zm9vYmFy"


@pytest.mark.parametrize(
    "field",
    ["password", "new_password", "token", "refreshToken", "hp-signature", "client_secret", "Authorization"],
)
def test_secrets_are_hidden_wherever_they_stand(field: str, log: io.BytesIO) -> None:
    own = structlog.get_logger("test")
    own.info("by field", **{field: SECRET})
    own.info("deep", given={"list": [{field: SECRET}], "kept": "kept"})
    own.info(f"in a text: {field}={SECRET}&next=1")
    own.info("in bytes", body=f'{{"{field}": "{SECRET}"}}'.encode())
    logging.getLogger("a.library").warning("%s: %s", field, SECRET)
    logging.getLogger("a.library").warning("eyJhbGciOi.%s.sig and Bearer %s", SECRET, SECRET)
    try:
        raise ValueError(f"{field}='{SECRET}'")
    except ValueError:
        own.exception("in an exception")
        logging.getLogger("a.library").exception("in a library's")
    assert SECRET.encode() not in log.getvalue()
    assert len(lines(log)) == 8
    assert lines(log)[1]["given"]["kept"] == "kept"
    assert lines(log)[2]["event"] == f"in a text: {field}=***&next=1"


def test_measures_are_for_those_who_may_read_them(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            echoing(api)
            await api.client.post("/echo/1")
            text = (await api.client.get("/metrics")).text
            assert 'hybrid_perps_requests_total{method="POST",route="/echo/{token}",status="200"} 1.0' in text
            assert 'hybrid_perps_request_seconds_count{method="POST",route="/echo/{token}"} 1.0' in text
            await api.user("ann")
            await api.client.get("/ready")
            await api.client.get("/v1/orders/o12")
            await api.client.post("/v1/operator/halts/BTC/lift")
            await api.client.get("/v1/nothing/o12")
            text = (await api.client.get("/metrics")).text
            routes = set(re.findall(r'requests_total{method="\w+",route="([^"]+)",status="4', text))
            assert routes == {"/v1/orders/{order_id}", "/v1/operator/halts/{symbol}/lift", "unmatched"}
            assert 'hybrid_perps_commands_total{kind="DepositArrived",outcome="DONE"} 1.0' in text
            assert 'hybrid_perps_command_seconds_count{kind="HouseQuery"} 1.0' in text
            assert "hybrid_perps_books_waiting 0.0" in text
            hidden = await api.client.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"})
            assert hidden.status_code == 404
        async with served_api(database, settings={"metrics_from": "10.0.0.0/8"}) as api:
            assert (await api.client.get("/metrics")).status_code == 404

    asyncio.run(body())
