"""A name twice in one object of a body is refused and named, wherever the body is read, and nothing is done."""

import asyncio
import json
import tracemalloc
from time import process_time

import pytest
from fastapi.exceptions import RequestValidationError
from hypothesis import given
from hypothesis import strategies as st

from live.api.problems import problem_of
from live.api.stream.protocol import read
from live.api.unique_names import check_names
from live.identity.principal import Role
from risk.errors import InvalidInput
from tests.api.operators import operator
from tests.api.people import sign_up
from tests.api.served import served_api
from tests.api.traders import trader

ORDER = '{"symbol": "BTC", "side": "BUY", "size": "0.01", "leverage": 10, %s}'
NAMES = st.sampled_from(["a", "b", "a:b", 'a"', "ä", ":"])
PLAIN = st.none() | st.integers() | st.sampled_from(["", "x", '"a": 1', "{", "a:b"])


class Pairs(list[tuple[str, object]]):
    """Be an object as it is written."""


def written(value: object) -> str:
    match value:
        case Pairs():
            return "{" + ", ".join(f"{json.dumps(name)}: {written(each)}" for name, each in value) + "}"
        case list():
            return "[" + ", ".join(map(written, value)) + "]"
        case _:
            return json.dumps(value)


def has_twice(value: object) -> bool:
    """Tell whether a name stands twice in any object: by looking at each pair of them."""
    match value:
        case Pairs():
            names = [name for name, _ in value]
            return any(names.count(name) > 1 for name in names) or any(has_twice(each) for _, each in value)
        case list():
            return any(map(has_twice, value))
        case _:
            return False


VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(NAMES, inner), max_size=4).map(Pairs),
)


@given(VALUES)
def test_a_body_is_refused_where_a_name_stands_twice_and_nowhere_else(value: object) -> None:
    try:
        check_names(written(value).encode())
        refused = False
    except RequestValidationError:
        refused = True
    assert refused == has_twice(value)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ('{"size": "1", "size": "1"}', ["body.size"]),
        ('{"size": "1", "si\\u007ae": "2"}', ["body.size"]),
        ('{"changes": {"a": 1, "b": 2, "a": 3}, "reason": "r"}', ["body.changes.a"]),
        ('{"list": [{}, {"a": 1, "a": 1}], "b": 1, "b": 2, "b": 3}', ["body.b", "body.list.1.a"]),
        ('{"\\ud800": 1, "\\ud800": 2}', ["body.?"]),
        ('{"a": ' * 90 + '{"b": 1, "b": 2}' + "}" * 90, ["body" + ".a" * 90 + ".b"]),
        ('{"a": ' * 300 + '{"b": 1, "b": 2}' + "}" * 300, ["body" + ".a" * 97 + ".…"]),
        ('{"%s": {"b": 1, "b": 2, "c": 1, "c": 2}}' % ("a" * 60_000), ["body." + "a" * 194 + "…"] * 2),
    ],
)
def test_where_it_stands_is_told(body: str, fields: list[str]) -> None:
    with pytest.raises(RequestValidationError) as caught:
        check_names(body.encode())
    problem = problem_of(caught.value)
    assert (problem.status, problem.code) == (422, "invalid")
    assert [each.field for each in problem.errors] == fields
    assert all("more than once" in each.detail for each in problem.errors)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"ping": 1, "ping": 1}', "message.ping"),
        ('{"subscribe": ["marks"], "subscri\\u0062e": ["marks"]}', "message.subscribe"),
        ('{"auth": {"token": "x", "token": "y"}}', "message.auth.token"),
    ],
)
def test_a_message_of_the_stream_is_refused_too(text: str, place: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{place} was given more than once"):
        read(text)


def test_a_header_that_stands_twice_is_refused_wherever_a_request_is_served(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann = await trader(api)
            own = [*ann.headers.items(), ("Idempotency-Key", "a")]
            for path in ("/v1/orders", "/v1/keys"):  # served lean, and by the framework
                for field, more in (("Authorization", "Bearer x"), ("Idempotency-Key", "b")):
                    answer = await api.client.post(path, json={}, headers=[*own, (field, more)])
                    told = answer.json()
                    assert (answer.status_code, told["code"]) == (400, "malformed"), told
                    assert [each["field"] for each in told["errors"]] == [f"header.{field}"]
                    assert answer.headers["x-request-id"] == told["instance"]

    asyncio.run(body())


def test_a_body_made_to_be_dear_to_look_at_is_looked_at_in_no_time() -> None:
    leaves = b",".join(b'{"b":1,"b":2}' for _ in range(3_000))
    began = process_time()
    tracemalloc.start()
    with pytest.raises(RequestValidationError) as caught:
        check_names(b"[" * 5_000 + leaves + b"]" * 5_000)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(caught.value.errors()) == 10
    assert most < 20e6
    assert process_time() - began < 2


def test_a_name_twice_is_refused_by_every_kind_of_route(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann, boss = await trader(api), await operator(api, Role.SUPER_ADMIN)
            bob = await sign_up(api)
            posted = [
                ("/orders", ORDER % '"size": "0.02"', "size"),
                ("/orders", ORDER % '"size": "0.01"', "size"),  # also the same again
                ("/orders", ORDER % '"type": "MARKET", "s\\u0069ze": "0.02"', "size"),
                ("/orders/preview", ORDER % '"side": "SELL"', "side"),
                ("/positions/1/close", '{"size": "1", "size": "2"}', "size"),
                ("/positions/1/margin", '{"action": "ADD", "amount": "1", "action": "REMOVE"}', "action"),
                (
                    "/withdrawals",
                    '{"address_id": 1, "amount": "1", "amount": "9", "code": "123456"}',
                    "amount",
                ),
            ]
            sent = [("/v1" + path, ann.headers, content, field) for path, content, field in posted]
            sent += [
                ("/v1/operator/risk-config", boss.headers, CHANGES, "changes.reserve_floor"),
                ("/v1/keys", bob.headers, '{"name": "a", "scopes": ["READ"], "scopes": ["TRADE"]}', "scopes"),
                (
                    "/v1/auth/login",
                    {},
                    f'{{"email": "{bob.email}", "email": "x@y", "password": "p"}}',
                    "email",
                ),
            ]
            for number, (path, headers, content, field) in enumerate(sent):
                given = headers | {"Content-Type": "application/json", "Idempotency-Key": f"k{number}"}
                answer = await api.client.post(path, content=content, headers=given)
                told = answer.json()
                assert (answer.status_code, told["code"]) == (422, "invalid"), (path, told)
                assert [each["field"] for each in told["errors"]] == [f"body.{field}"], (path, told)
            given = ann.headers | {"Idempotency-Key": "all"}
            answer = await api.client.delete("/v1/orders?symbol=BTC&symbol=ETH", headers=given)
            assert [each["field"] for each in answer.json()["errors"]] == ["query.symbol"], answer.text
            assert (await api.client.delete("/v1/orders?symbol=BTC", headers=given)).status_code == 200
            assert (await ann.get("/orders"))["items"] == []
            assert (await bob.get("/v1/keys")).json() == []
            # A colon in a value alone is nothing.
            content = ORDER.replace("BTC", "xyz:BTC") % '"type": "MARKET"'
            given = ann.headers | {"Content-Type": "application/json", "Idempotency-Key": "k"}
            answer = await api.client.post("/v1/orders", content=content, headers=given)
            assert answer.json()["errors"][0]["field"] == "body.symbol", answer.text
            assert "once" not in answer.text

    asyncio.run(body())


CHANGES = '{"reason": "r", "changes": {"reserve_floor": "200000", "reserve_floor": "1"}}'
