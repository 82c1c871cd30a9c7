"""Who may use which route: every route of the application's own table, for nobody, for keys, and for another user."""

import asyncio
import json
import re
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from live.identity.principal import Scope
from live.ledger.inputs import WithdrawalRequested
from tests.api.served import Api, served_api
from tests.api.traders import ORIGIN, Trader, signed, trader
from tests.risk.book_builder import D

TOKEN = "x" * 43
CODE = {"code": "123456"}
# Routes for everybody. Those of log-in take a password, a letter's token or a wallet's signature in the body.
PUBLIC = {
    "GET /health",
    "GET /ready",
    "GET /metrics",
    "GET /docs",
    "GET /docs/swagger-ui-bundle.js",
    "GET /docs/swagger-ui.css",
    "GET /openapi.json",
    "GET /v1/markets",
    "GET /v1/markets/{symbol}",
    "POST /v1/auth/register",
    "POST /v1/auth/verify-email",
    "POST /v1/auth/login",
    "POST /v1/auth/login/totp",
    "POST /v1/auth/wallet/nonce",
    "POST /v1/auth/wallet/login",
    "POST /v1/auth/refresh",
    "POST /v1/auth/password/forgot",
    "POST /v1/auth/password/reset",
    "GET /v1/stream",  # tells that it is a WebSocket
    "WEBSOCKET /v1/stream",  # marks are for everybody; who may hear more, tests/api/test_stream.py tries
}
# Who may use the others, written down a second time: the scope of an API key; ACCOUNT and OPERATOR take a session.
SCOPES = {
    "READ": {
        "GET /v1/account/summary",
        "GET /v1/addresses",
        "GET /v1/balance-changes",
        "GET /v1/chains",
        "GET /v1/deposits",
        "GET /v1/exports/{subject}",
        "GET /v1/fills",
        "GET /v1/funding",
        "GET /v1/liquidations",
        "GET /v1/orders",
        "GET /v1/orders/{order_id}",
        "GET /v1/positions",
        "GET /v1/positions/{position_id}",
        "GET /v1/wallet",
        "GET /v1/withdrawals",
        "GET /v1/withdrawals/{withdrawal_id}",
        "POST /v1/orders/preview",
    },
    "TRADE": {
        "DELETE /v1/orders",
        "DELETE /v1/orders/{order_id}",
        "POST /v1/dev/faucet",
        "POST /v1/dev/market",
        "POST /v1/orders",
        "POST /v1/positions/{position_id}/close",
        "POST /v1/positions/{position_id}/margin",
    },
    "WITHDRAW": {
        "POST /v1/withdrawals",
        "POST /v1/withdrawals/{withdrawal_id}/cancel",
        "POST /v1/withdrawals/{withdrawal_id}/confirm",
    },
    "ACCOUNT": {
        "DELETE /v1/account/devices/{device}",
        "DELETE /v1/account/sessions",
        "DELETE /v1/account/sessions/{session}",
        "DELETE /v1/addresses/{address_id}",
        "DELETE /v1/keys/{key}",
        "GET /v1/account/devices",
        "GET /v1/account/kyc",
        "GET /v1/account/profile",
        "GET /v1/account/recovery-codes",
        "GET /v1/account/security-events",
        "GET /v1/account/sessions",
        "GET /v1/keys",
        "POST /v1/account/email",
        "POST /v1/account/email/confirm",
        "POST /v1/account/password",
        "POST /v1/account/recovery-codes",
        "POST /v1/account/totp",
        "POST /v1/account/totp/confirm",
        "POST /v1/account/totp/disable",
        "POST /v1/account/wallet",
        "POST /v1/account/wallet/unlink",
        "POST /v1/addresses",
        "POST /v1/auth/logout",
        "POST /v1/auth/second-factor",
        "POST /v1/keys",
        "POST /v1/keys/{key}/rotate",
    },
}
OPERATORS = "/v1/operator/"  # roles: tests/operators/test_permissions.py
# What routes with an id of somebody's are called with, so that nothing but the id can be wrong.
BODIES: dict[str, Any] = {
    "POST /v1/positions/{position_id}/close": {},
    "POST /v1/positions/{position_id}/margin": {"action": "ADD", "amount": "1"},
    "POST /v1/withdrawals/{withdrawal_id}/confirm": {"token": TOKEN},
    "POST /v1/keys/{key}/rotate": {},
}
NOBODY_S = {
    "order_id": "o900001",
    "position_id": "900002",
    "withdrawal_id": "w900003",
    "address_id": "900004",
    "session": "s" + 20 * "a",
    "device": "d" + 20 * "a",
    "key": "k" + 20 * "a",
}
OF_ALL = {"symbol": "BTC", "subject": "orders"}


def routes_of(app: FastAPI) -> set[str]:
    """Return every route that the application has, as METHOD and path."""
    found = set()
    for route in iter_route_contexts(app.routes):
        methods = route.methods or {"WEBSOCKET"}
        found |= {f"{method} {route.path}" for method in methods if method != "HEAD"}
    return found


def scope_of(route: str) -> str:
    """Return who a route is for."""
    if route.split(" ")[1].startswith(OPERATORS):
        return "OPERATOR"
    return next(scope for scope, routes in SCOPES.items() if route in routes)


def guarded(app: FastAPI) -> list[str]:
    """Return all routes but the public ones."""
    return sorted(routes_of(app) - PUBLIC)


def path_of(route: str, ids: dict[str, str]) -> str:
    names = {"user": "nobody", "address": "0x" + 40 * "1", "proposal_id": "999"} | OF_ALL | ids
    return re.sub(r"{(\w+)}", lambda found: names[found[1]], route.split(" ")[1])


def test_the_table_of_this_test_names_every_route(database: str) -> None:
    async def body() -> None:
        async with served_api(database, dev=True) as api:
            here = routes_of(api.app)
            named = PUBLIC.union(*SCOPES.values())
            assert {route for route in here if not route.split(" ")[1].startswith(OPERATORS)} == named
            assert sum(map(len, SCOPES.values())) + len(PUBLIC) == len(named)
            # what openapi.json tells is what is there, but for what is for programs of ours
            told = {
                f"{method.upper()} {path}"
                for path, methods in api.app.openapi()["paths"].items()
                for method in methods
            }
            assert here - told == {
                "GET /metrics",
                "GET /docs",
                "GET /docs/swagger-ui-bundle.js",
                "GET /docs/swagger-ui.css",
                "GET /openapi.json",
                "WEBSOCKET /v1/stream",
            }

    asyncio.run(body())


def test_nobody_gets_past_any_route_but_the_public_ones(database: str) -> None:
    async def body() -> None:
        async with served_api(database, dev=True, settings={"rate_limit_login": "9999/minute"}) as api:
            ann = await trader(api)
            ended = await trader(api)
            assert (await ended.ask("POST", "/auth/logout")).status_code == 204
            strangers = {
                "not-authenticated": {},
                "wrong-token": {"Authorization": f"Bearer {ann.token[:-2]}"},
                "session-ended": ended.headers,
                "wrong-signature": {
                    "HP-KEY": "k" + 20 * "a",
                    "HP-SIGNATURE": 64 * "0",
                },
            }
            before = await acts(api)
            for route in guarded(api.app):
                method, path = route.split(" ")[0], path_of(route, NOBODY_S)
                for code, headers in strangers.items():
                    now = str(api.services.clock() // 10**6)
                    headers = headers | {"Idempotency-Key": "k", "HP-TIMESTAMP": now}
                    for content in ({}, {"json": {"wrong": "body"}}):
                        answer = await api.client.request(method, path, headers=headers, **content)
                        assert (answer.status_code, answer.json()["code"]) == (401, code), route
                        assert answer.headers["www-authenticate"] == "Bearer", route
            assert await acts(api) == before
            for route in PUBLIC - {"WEBSOCKET /v1/stream"}:
                method, path = route.split(" ")[0], path_of(route, NOBODY_S)
                answer = await api.client.request(method, path)
                usual = (200, 422) if method == "POST" else (200,)
                assert answer.status_code in ((426,) if route == "GET /v1/stream" else usual), route

    asyncio.run(body())


@pytest.mark.parametrize("scope", [Scope.READ, Scope.TRADE, Scope.WITHDRAW])
def test_a_key_of_one_scope_passes_the_routes_of_that_scope_alone(database: str, scope: Scope) -> None:
    async def body() -> None:
        async with served_api(database, dev=True) as api:
            ann = await trader(api)
            networks = [] if scope is not Scope.WITHDRAW else [str(ip_network("127.0.0.1"))]
            made = await api.services.identity.keys.create(ann.user, "k", [scope], networks, ORIGIN)
            for route in guarded(api.app):
                method, path = route.split(" ")[0], path_of(route, NOBODY_S)
                answer = await signed(
                    api, made.key.id, made.secret, method, path, {} if method != "GET" else None
                )
                if scope_of(route) == scope:
                    assert answer.status_code in (200, 201, 404, 422), (route, answer.text)
                else:
                    code = "role-missing" if scope_of(route) == "OPERATOR" else "scope-missing"
                    assert (answer.status_code, answer.json()["code"]) == (403, code), (route, answer.text)

    asyncio.run(body())


@dataclass
class Owned:
    """Everything of a user's that has an id."""

    person: Trader
    ids: dict[str, str] = field(default_factory=dict)


async def owner_of_everything(api: Api) -> Owned:
    """Make a user who has one of everything."""
    ann = await trader(api)
    identity = api.services.identity
    position = (await ann.order())["fills"][0]["position_id"]
    await ann.ask("POST", f"/positions/{position}/close", {"size": "0.005"})
    resting = await ann.limit()
    to, _ = await api.services.withdrawals.add_address(ann.user, "arbitrum", "0x" + 40 * "1", "home")
    asked = WithdrawalRequested(0, "", ann.user, D(50), "arbitrum", "USDC", to.address, D(1))
    withdrawal = await api.ask(f"w-{ann.user}", asked)
    device, _ = await identity.devices.trust(ann.user, "laptop")
    key = await identity.keys.create(ann.user, "bot", [Scope.READ], [], ORIGIN)
    ids = {
        "order_id": resting,
        "position_id": str(position),
        "withdrawal_id": withdrawal.id,
        "address_id": str(to.id),
        "session": ann.session,
        "device": device,
        "key": key.key.id,
    }
    return Owned(ann, ids)


async def ask(bob: Trader, route: str, ids: dict[str, str]) -> httpx.Response:
    """Call a route as it should be called; every call has an idempotency key of its own."""
    path = path_of(route, ids).removeprefix("/v1")
    return await bob.ask(route.split(" ")[0], path, BODIES.get(route))


def told(answer: httpx.Response, ids: dict[str, str]) -> tuple[int, str]:
    """Return what an answer tells, without the ids that were asked for and what is different every time."""
    return answer.status_code, without(ids, answer.text.replace(answer.headers["x-request-id"], ""))


def without(ids: dict[str, str], text: str) -> str:
    """Write names in the place of ids."""
    for name, value in ids.items():
        text = re.sub(rf"\b{value}\b", name, text)
    return text


def test_what_is_another_s_is_as_if_it_were_not_there(database: str) -> None:
    """Reading, changing and ending it is answered to the letter as for what never was, and nothing happens to it."""

    async def body() -> None:
        async with served_api(database, dev=True) as api:
            ann, bob = await owner_of_everything(api), await trader(api)
            before = await everything_of(api, ann.person.user)
            tried = set()
            for route in guarded(api.app):
                wanted = set(re.findall(r"{(\w+)}", route)) & set(NOBODY_S)
                if not wanted or scope_of(route) == "OPERATOR":
                    continue
                tried |= wanted
                theirs, nothing = await ask(bob, route, ann.ids), await ask(bob, route, NOBODY_S)
                assert theirs.status_code == 404, (route, theirs.text)
                of_ann, of_nobody = ({name: ids[name] for name in wanted} for ids in (ann.ids, NOBODY_S))
                assert told(theirs, of_ann) == told(nothing, of_nobody), route
            assert tried == set(NOBODY_S)
            assert await everything_of(api, ann.person.user) == before
            # and their owner is answered otherwise, so that the requests were right but for who sent them
            for route in sorted(SCOPES["READ"]):
                if "{" in route:
                    assert (await ask(ann.person, route, ann.ids)).status_code == 200, route

    asyncio.run(body())


def test_ids_of_another_s_in_a_body_are_as_if_they_were_not_there(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann, bob = await owner_of_everything(api), await trader(api)
            before = await everything_of(api, ann.person.user)

            def order(ids: dict[str, str]) -> dict[str, Any]:
                return {"symbol": "BTC", "side": "SELL", "position_id": int(ids["position_id"])}

            def withdrawal(ids: dict[str, str]) -> dict[str, Any]:
                return {"amount": "20", "address_id": int(ids["address_id"])} | CODE

            for path, make, name in (
                ("/orders", order, "position_id"),
                ("/orders/preview", order, "position_id"),
                ("/withdrawals", withdrawal, "address_id"),
            ):
                theirs = await bob.ask("POST", path, make(ann.ids))
                nothing = await bob.ask("POST", path, make(NOBODY_S))
                assert theirs.status_code == nothing.status_code, theirs.text
                assert theirs.status_code in (404, 409) or theirs.json()["accepted"] is False, theirs.text
                for part in ("code", "detail"):
                    one, other = (
                        without({name: ids[name]}, str(answer.json()[part]))
                        for answer, ids in ((theirs, ann.ids), (nothing, NOBODY_S))
                    )
                    assert one == other, path
            assert await everything_of(api, ann.person.user) == before

    asyncio.run(body())


def test_lists_have_nothing_of_another_s(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann, bob = await owner_of_everything(api), await trader(api, 0)
            for route in guarded(api.app):
                method, path = route.split(" ")
                if (
                    method != "GET"
                    or scope_of(route) == "OPERATOR"
                    or set(re.findall(r"{(\w+)}", path)) & set(NOBODY_S)
                ):
                    continue
                for subject in ("orders", "positions", "fills", "balance-changes"):
                    target = path_of(route, {"subject": subject})
                    mine = await api.client.get(target, headers=ann.person.headers)
                    theirs = await api.client.get(target, headers=bob.headers)
                    assert (mine.status_code, theirs.status_code) == (200, 200), (target, theirs.text)
                    assert ann.person.user not in theirs.text, target
                    for name in ("order_id", "withdrawal_id", "session", "device", "key"):
                        # As a word of its own: an id as short as "o6" stands by chance within others.
                        assert not re.search(rf"\b{re.escape(ann.ids[name])}\b", theirs.text), (target, name)
            for path in ("orders", "positions", "fills", "balance-changes", "withdrawals", "deposits"):
                assert (await bob.get(f"/{path}"))["items"] == []
                assert (await ann.person.get(f"/{path}"))["items"] != []

    asyncio.run(body())


async def acts(api: Api) -> int:
    found: int = await api.services.pool.fetchval(
        "select count(*) from input_journal where kind <> 'MarketUpdated'"
    )
    return found


async def everything_of(api: Api, user: str) -> str:
    """Return all rows of the books and of access that carry a user's id, as text."""
    found: list[Any] = []
    tables = await api.services.pool.fetch(
        """select table_schema, table_name, column_name from information_schema.columns
        where table_schema in ('public', 'access') and column_name in ('user_id', 'account_id') order by 1, 2"""
    )
    for schema, table, column in map(tuple, tables):
        rows = await api.services.pool.fetch(
            f"select row_to_json(t)::text from {schema}.{table} t where {column} = $1 order by 1", user
        )
        found.append((table, [tuple(row) for row in rows]))
    assert len(found) > 10
    return json.dumps(found)
