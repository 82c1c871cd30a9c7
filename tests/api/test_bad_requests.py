"""Commands that come again, late, wrongly signed, cut off, too large or twice at once: done once, or not at all."""

import asyncio
import json
from typing import Any

import httpx

from live.client.credentials import Signer
from live.identity.principal import Scope
from tests.api.served import Api, over_http, served_api
from tests.api.traders import ORIGIN, Trader, trader

ORDER = {"symbol": "BTC", "side": "BUY", "size": "0.01", "leverage": 10}
BODY = json.dumps(ORDER).encode()
PATH = "/v1/orders"
JSON = {"Content-Type": "application/json"}


async def signer(api: Api, ann: Trader, clock: Any = None) -> Signer:
    """Give an API key that may trade."""
    made = await api.services.identity.keys.create(ann.user, "k", [Scope.READ, Scope.TRADE], [], ORIGIN)
    return Signer(made.key.id, made.secret, clock or api.services.clock)


async def orders(ann: Trader) -> int:
    return len((await ann.get("/orders"))["items"])


def refusal(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


def signing(key: Signer, method: str, target: str, content: bytes, once: str) -> dict[str, str]:
    return key.headers(method, target, content, once) | {"Idempotency-Key": once}


def test_a_signed_order_is_taken_once_and_never_changed(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann = await trader(api)
            key = await signer(api, ann)

            async def send(
                headers: dict[str, str], content: bytes = BODY, path: str = PATH
            ) -> httpx.Response:
                return await api.client.post(path, content=content, headers=JSON | headers)

            named = signing(key, "POST", PATH, BODY, once="mine")
            first = await send(named)
            assert first.status_code == 201, first.text
            assert refusal(await send(named)) == (401, "replayed")
            assert refusal(await send(named | {"Idempotency-Key": "other"})) == (401, "wrong-signature")
            again = await send(signing(key, "POST", PATH, BODY, once="mine"))
            assert (again.status_code, again.content) == (201, first.content)
            more = BODY.replace(b"0.01", b"0.09")
            assert refusal(await send(signing(key, "POST", PATH, BODY, once="n"), more)) == (
                401,
                "wrong-signature",
            )
            signed = signing(key, "POST", PATH, more, once="mine")
            assert refusal(await send(signed, more)) == (409, "key-reused")
            for method, target in (
                ("GET", PATH),
                ("DELETE", PATH),
                ("POST", PATH + "?a=1"),
                ("POST", "/v1/order"),
            ):
                signed = signing(key, method, target, BODY, once="n")
                assert refusal(await send(signed)) == (401, "wrong-signature")
            for offset_s, code in ((-6, "late"), (6, "early")):
                other = Signer(
                    key.key, "s", lambda offset_s=offset_s: api.services.clock() + offset_s * 10**9
                )
                signed = signing(other, "POST", PATH, BODY, once="n")
                assert refusal(await send(signed)) == (401, code)
            assert await orders(ann) == 1

    asyncio.run(body())


def test_one_order_sent_many_times_at_once_is_one(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann = await trader(api)
            key = await signer(api, ann)
            sending = [ann.ask("POST", "/orders", ORDER, "same") for _ in range(12)]
            sending += [
                api.client.post(
                    PATH,
                    content=BODY,
                    headers=JSON | signing(key, "POST", PATH, BODY, once="same"),
                )
                for _ in range(12)
            ]
            answers = await asyncio.gather(*sending)
            assert {(answer.status_code, answer.content) for answer in answers} == {(201, answers[0].content)}
            assert await orders(ann) == 1

    asyncio.run(body())


WRONG_BODIES: list[tuple[bytes, int, str]] = [
    (b"", 422, "invalid"),
    (BODY[:-1], 400, "malformed"),
    (BODY + b"}", 400, "malformed"),
    (b"\xff\xfe" + BODY, 400, "malformed"),
    (b"null", 422, "invalid"),
    (b"[]", 422, "invalid"),
    (b"[" + BODY + b"]", 422, "invalid"),
    (json.dumps(BODY.decode()).encode(), 422, "invalid"),
    (b"[" * 20_000, 400, "malformed"),
    (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 422, "invalid"),
    (BODY.replace(b'"0.01"', b"1" * 5_000), 422, "invalid"),
    (BODY.replace(b'"0.01"', b"1e999999999"), 422, "invalid"),
    (BODY.replace(b'"0.01"', b"NaN"), 422, "invalid"),
    (BODY.replace(b"BTC", b"\\ud800"), 422, "invalid"),
    (BODY + b" " * 65_536, 413, "too-large"),
]


def test_bodies_that_are_no_order_are_refused(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann = await trader(api)
            headers = ann.headers | {"Idempotency-Key": "k"}
            for content, status, code in WRONG_BODIES:
                kind = JSON if content else {}
                answer = await api.client.post(PATH, content=content, headers=headers | kind)
                told = refusal(answer)
                # of a body that is no JSON and of one that is too deep a parser may tell either
                wanted = {(status, code)} | ({(400, "malformed")} if status == 422 else set())
                assert told in wanted, (content[:60], answer.text)
            for given, field, words in UNSUPPORTED:
                answer = await api.client.post(PATH, content=BODY, headers=headers | given)
                assert refusal(answer) == (415, "unsupported-media-type")
                [error] = answer.json()["errors"]
                assert error["field"] == f"header.{field}"
                assert words in error["detail"]
                assert (answer.headers.get("accept-encoding") == "identity") == (field == "Content-Encoding")
            assert await orders(ann) == 0

    asyncio.run(body())


TYPE, ENCODING = "Content-Type", "Content-Encoding"
UNSUPPORTED: list[tuple[dict[str, str], str, str]] = [
    ({}, TYPE, "was not given; it must be application/json"),
    ({TYPE: "text/plain"}, TYPE, "was 'text/plain'; it must be application/json"),
    ({TYPE: "application/x-www-form-urlencoded"}, TYPE, "must be application/json"),
    ({TYPE: "application/json; Charset=Latin1"}, TYPE, "in UTF-8"),
    ({TYPE: 'application/json; a=b; charset="utf-16"'}, TYPE, "in UTF-8"),
    (JSON | {ENCODING: "gzip"}, ENCODING, "was 'gzip'; it must be identity"),
    (JSON | {ENCODING: "identity, br"}, ENCODING, "must be identity"),
]
TAKEN: list[dict[str, str]] = [
    {TYPE: 'Application/JSON; charset="UTF-8"; a=b'},
    {TYPE: "application/json ;charset=utf-8"},
    JSON | {ENCODING: "Identity"},
]


def test_json_in_utf_8_as_it_is_is_taken_however_that_is_said(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann = await trader(api)
            for number, given in enumerate(TAKEN):
                headers = ann.headers | given | {"Idempotency-Key": f"k{number}"}
                answer = await api.client.post(PATH, content=BODY, headers=headers)
                assert answer.status_code == 201, (given, answer.text)

    asyncio.run(body())


ROOTS = ("/v1/orders", "/v1/keys")  # served lean, and by the framework
NO_JSON: list[tuple[bytes, str]] = [
    (b'{"a" 1}', "was no valid JSON: expected `:` at line 1, character 6"),
    ('{\n  "ä": "ö" x'.encode(), "at line 2, character 12"),
    (b'{"a": 1', "it broke off at line 1, character 7"),
    (b'{"a": 1}}', "trailing characters at line 1, character 9"),
    (b'{"a": %s}' % (b"1" * 5_000), "had a number of too many digits at line 1"),
    (b"[" * 20_000 + b"]" * 20_000, "was nested too deep at line 1"),
    (b'{"a": "\xff"}', "had text that is no Unicode"),
]


def test_of_what_is_no_json_the_place_is_told(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            headers = (await trader(api)).headers | JSON | {"Idempotency-Key": "k"}
            for path in ROOTS:
                for content, words in NO_JSON:
                    answer = await api.client.post(path, content=content, headers=headers)
                    assert refusal(answer) == (400, "malformed"), (content[:20], answer.text)
                    [error] = answer.json()["errors"]
                    assert error["field"] == "body"
                    assert words in error["detail"], (path, error)
                    assert answer.json()["detail"] == f"the body {error['detail']}"
                half = BODY.replace(b"BTC", b"\\ud800")
                answer = await api.client.post(path, content=half, headers=headers)
                assert answer.status_code in (400, 422)
            answer = await api.client.post(PATH, content=half, headers=headers)
            assert "had text that is no Unicode" in answer.json()["detail"]

    asyncio.run(body())


CUT_OFF: list[tuple[list[str], bytes, str | None]] = [
    (["Content-Length: 500"], BODY, None),  # the rest never comes: nobody is left to answer
    ([f"Content-Length: {len(BODY)}", f"Content-Length: {len(BODY) + 1}"], BODY, "400"),
    ([f"Content-Length: {len(BODY)}", "Transfer-Encoding: chunked"], BODY, "400"),
    (["Content-Length: -1"], BODY, "400"),
    (["Content-Length: 99999999999"], BODY, "413"),
    (["Transfer-Encoding: chunked"], b"%x\r\n%s" % (len(BODY) + 50, BODY), None),
    (["Transfer-Encoding: chunked"], b"zz\r\n" + BODY, "400"),
]


def test_what_is_cut_off_or_says_two_lengths_does_nothing(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api, over_http(api) as url:
            ann = await trader(api)
            host, port = url.removeprefix("http://").split(":")
            for head, content, status in CUT_OFF:
                reader, writer = await asyncio.open_connection(host, int(port))
                lines = [f"POST {PATH} HTTP/1.1", f"Host: {host}", "Content-Type: application/json"]
                lines += ["Idempotency-Key: k", f"Authorization: Bearer {ann.token}", *head]
                writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
                writer.write_eof()
                async with asyncio.timeout(20):
                    told = (await reader.readline()).decode().split()[1:2]
                writer.close()
                if status is None:
                    assert told != ["201"], head
                else:
                    assert told == [status], head
            assert await orders(ann) == 0
            measured = (await api.client.get("/metrics")).text
            assert 'status="201"' not in measured
            assert 'status="500"' not in measured

    asyncio.run(body())
