"""A field that is wrong is named, whoever found it wrong; and people are told in words what it must be."""

import asyncio
import time
from typing import Any

from live.identity.principal import Role
from tests.api.operators import operator
from tests.api.people import PASSWORD, sign_up
from tests.api.served import served_api
from tests.api.test_bad_requests import signer
from tests.api.traders import trader

ORDER = {"symbol": "BTC", "side": "BUY", "size": "0.01"}
TOKEN = "x" * 42
CODE = "a recovery code"
# What is sent, and of which field the answer says what.
OF_USERS: list[tuple[str, Any, str, str]] = [
    ("/auth/register", {"email": "nobody at all"}, "body.email", "it must be like name@example.org"),
    (
        "/auth/verify-email",
        {"token": TOKEN, "password": "p"},
        "body.token",
        "must be a token as it was given",
    ),
    ("/auth/login/totp", {"challenge": TOKEN + "x", "code": "12"}, "body.code", "must be six digits"),
    (
        "/account/password",
        {"old_password": PASSWORD, "new_password": "short", "code": CODE},
        "body.new_password",
        "it must be ",
    ),
    (
        "/keys",
        {"name": "a", "scopes": ["WITHDRAW"], "code": CODE},
        "body.networks",
        "must name the addresses",
    ),
    (
        "/keys",
        {"name": "a", "scopes": ["READ"], "networks": ["x"], "code": CODE},
        "body.networks",
        "a network such as",
    ),
    (
        "/keys",
        {"name": " ", "scopes": ["READ"], "code": CODE},
        "body.name",
        "it must be 1 to 100 printable characters",
    ),
    ("/orders", ORDER | {"symbol": "DOGE"}, "body.symbol", "was 'DOGE'"),
    ("/orders", ORDER | {"symbol": "?"}, "body.symbol", "must be a symbol such as BTC"),
    (
        "/orders",
        ORDER | {"size": "0.000000001"},
        "body.size",
        "size was 0.000000001; BTC trades in steps of 0.00001",
    ),
    ("/orders", ORDER | {"leverage": 900}, "body.leverage", "was 900"),
    ("/orders", ORDER | {"limit_price": "1"}, "body.limit_price", "belongs to LIMIT orders"),
    (
        "/orders/preview",
        ORDER | {"size": "0.000000001"},
        "body.size",
        "size was 0.000000001; BTC trades in steps of 0.00001",
    ),
    (
        "/addresses",
        {"chain": "moon", "address": "0x" + "1" * 40, "label": "l", "code": "123456"},
        "body.chain",
        "moon",
    ),
    (
        "/addresses",
        {"chain": "arbitrum", "address": "0x", "label": "l", "code": "123456"},
        "body.address",
        "0x and 40",
    ),
]
WHY = {"reason": "to see"}
OF_OPERATORS: list[tuple[str, Any, str, str]] = [
    ("/risk-config", WHY | {"changes": {"reserve_floor": "-1"}}, "body.changes.reserve_floor", "was -1"),
    ("/risk-config", WHY | {"changes": {"nonsense": "1"}}, "body.changes", "named 'nonsense'"),
    (
        "/risk-config",
        WHY | {"changes": {"reserve_floor": []}},
        "body.changes.reserve_floor",
        "must be a decimal as text",
    ),
    (
        "/routing-config",
        WHY | {"symbol": "DOGE", "changes": {"normal_threshold": "1"}},
        "body.symbol",
        "DOGE",
    ),
    ("/routing-config", WHY | {"symbol": "", "changes": {"normal_threshold": "1"}}, "body.symbol", "or *"),
    ("/service-level", {"level": 2, "reason": " "}, "body.reason", "must be text that is not blank"),
    ("/service-level", {"level": 2, "reason": "a\0"}, "body.reason", "without NUL"),
    ("/users/{user}/adjustments", WHY | {"amount": "0"}, "body.amount", "must be an amount other than 0"),
    ("/operators", WHY | {"account": "u" + 20 * "a", "role": None}, "body.account", "no such account"),
]


def test_whatever_is_wrong_the_field_is_named_in_words(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann, boss = await sign_up(api, totp=True), await operator(api, Role.SUPER_ADMIN)
            sent = [("/v1" + path, ann.headers, *rest) for path, *rest in OF_USERS]
            sent += [("/v1/operator" + path, boss.headers, *rest) for path, *rest in OF_OPERATORS]
            for number, (path, headers, content, field, words) in enumerate(sent):
                if content.get("code") == CODE:
                    content = content | {"code": ann.codes.pop()}
                answer = await api.client.post(
                    path.format(user=ann.user),
                    json=content,
                    headers=headers | {"Idempotency-Key": f"k-{number}"},
                )
                told = answer.json()
                assert (answer.status_code, told["code"]) == (422, "invalid"), (path, content, told)
                assert [each["field"] for each in told["errors"]] == [field], (path, content, told)
                assert words in told["errors"][0]["detail"], told
                assert words in told["detail"]
                for inner in ("Value error", "^", "pydantic", "http"):
                    assert inner not in answer.text, told

    asyncio.run(body())


def test_a_key_that_came_with_another_request_is_told_without_the_books_name_for_it(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann = await sign_up(api)
            for size, status in (("0.01", 409), ("0.02", 409)):
                answer = await ann.post(
                    "/v1/orders", ORDER | {"size": size}, headers={"Idempotency-Key": "mine"}
                )
                assert answer.status_code == status
            told = answer.json()
            assert told["code"] == "key-reused"
            assert told["errors"] == [{"field": "header.Idempotency-Key", "detail": told["detail"]}]
            assert ann.user not in answer.text

    asyncio.run(body())


NOW_MS = time.time_ns() // 10**6 + 600_000  # after the server began
# Of the headers of a signed request: what is changed, the code, the header that is named, and what is said of it.
OF_HEADERS: list[tuple[dict[str, str], str, str, str]] = [
    ({"HP-TIMESTAMP": ""}, "wrong-timestamp", "HP-TIMESTAMP", "must be given: the time in ms since 1970"),
    ({"HP-TIMESTAMP": "now"}, "wrong-timestamp", "HP-TIMESTAMP", "in ms"),
    ({"HP-TIMESTAMP": str(NOW_MS // 1000)}, "wrong-timestamp", "HP-TIMESTAMP", "it must be in ms since 1970"),
    (
        {"HP-TIMESTAMP": str(NOW_MS - 6_000)},
        "late",
        "HP-TIMESTAMP",
        "was 6000 ms ago, and the receive window is 5000",
    ),
    (
        {"HP-TIMESTAMP": str(NOW_MS + 6_000)},
        "early",
        "HP-TIMESTAMP",
        "was 6000 ms ahead of our clock, 1000 may be",
    ),
    ({"HP-RECV-WINDOW": "0"}, "wrong-window", "HP-RECV-WINDOW", "must be 1 to 60000 ms"),
]


def test_a_header_that_is_wrong_is_named(database: str) -> None:
    async def body() -> None:
        async with served_api(database, clock=lambda: NOW_MS * 10**6) as api:
            key = await signer(api, await trader(api))
            for path in ("/v1/orders", "/v1/orders/preview"):  # served lean, and by the framework
                for change, code, header, words in OF_HEADERS:
                    headers = key.headers("POST", path, b"") | change | {"Idempotency-Key": "k"}
                    answer = await api.client.post(path, headers=headers)
                    told = answer.json()
                    assert (answer.status_code, told["code"]) == (401, code), (change, told)
                    [error] = told["errors"]
                    assert error == {"field": f"header.{header}", "detail": told["detail"]}
                    assert words in told["detail"]
            answer = await api.client.get("/v1/orders", headers={"Authorization": "Basic eDp5"})
            assert [each["field"] for each in answer.json()["errors"]] == ["header.Authorization"]

    asyncio.run(body())


OF_STRANGERS: list[tuple[str, Any, str, str]] = [
    ("/verify-email", {"token": TOKEN + "x", "password": PASSWORD}, "wrong-token", "body.token"),
    ("/password/reset", {"token": TOKEN + "x", "password": PASSWORD}, "wrong-token", "body.token"),
    ("/refresh", {"refresh_token": TOKEN + "x"}, "wrong-token", "body.refresh_token"),
    ("/login/totp", {"challenge": TOKEN + "x", "code": "123456"}, "wrong-challenge", "body.challenge"),
    (
        "/wallet/login",
        {"message": "hello", "signature": "0x" + "5c" * 65},
        "wrong-wallet-message",
        "body.message",
    ),
]


def test_a_token_or_a_message_that_is_wrong_is_named(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            for path, content, code, field in OF_STRANGERS:
                answer = await api.client.post(f"/v1/auth{path}", json=content)
                told = answer.json()
                assert (answer.status_code, told["code"]) == (401, code), (path, told)
                assert told["errors"] == [{"field": field, "detail": told["detail"]}]

    asyncio.run(body())
