"""Every operators' route for every role, for a user and for nobody: the table says who may."""

import asyncio
import re
from typing import Any

import httpx
from fastapi import FastAPI

from live.identity.events import Origin
from live.identity.principal import Role, Scope
from tests.api.operators import operator
from tests.api.served import Api, served_api
from tests.api.traders import ORIGIN, signed, trader

S, R, O, A = Role.SUPER_ADMIN, Role.RISK_MANAGER, Role.OPERATIONS, Role.ANALYST  # noqa: E741
EVERYBODY = {S, R, O, A}

# What each route is called with, and who may: written down a second time, not taken from the code.
ROUTES: dict[str, tuple[dict[str, Any] | None, set[Role]]] = {
    "GET /house": (None, EVERYBODY),
    "GET /users": (None, EVERYBODY),
    "GET /users/{user}": (None, EVERYBODY),
    "GET /orders": (None, EVERYBODY),
    "GET /orders/{order_id}": (None, EVERYBODY),
    "GET /routing-records": (None, EVERYBODY),
    "GET /mode-changes": (None, EVERYBODY),
    "GET /service-levels": (None, EVERYBODY),
    "GET /alerts": (None, EVERYBODY),
    "GET /audit-log": (None, {S, R}),
    "GET /routing-config/{symbol}": (None, EVERYBODY),
    "POST /routing-config": (
        {"symbol": "BTC", "changes": {"normal_threshold": "10001"}, "reason": "r"},
        {S, R},
    ),
    "PUT /routing-mode/{symbol}": ({"mode": "HL_MODE", "reason": "r"}, {S, R}),
    "GET /risk-config": (None, EVERYBODY),
    "POST /risk-config": ({"changes": {"hedge_retry_max": 9}, "reason": "r"}, {S, R}),
    "POST /service-level": ({"level": 1, "reason": "r"}, {S, R, O}),
    "POST /service-level/rollback": ({"switch": 1, "reason": "r"}, {S, R, O}),
    "POST /halts/{symbol}/lift": ({"reason": "r"}, {S, R}),
    "POST /books/release": ({"reason": "r"}, {S, R}),
    "GET /withdrawals": (None, EVERYBODY),
    "GET /withdrawals/{withdrawal_id}": (None, EVERYBODY),
    "POST /withdrawals/{withdrawal_id}/approve": ({"reason": "r"}, {R, O}),
    "POST /withdrawals/{withdrawal_id}/refuse": ({"reason": "r"}, {R, O}),
    "GET /blacklist": (None, EVERYBODY),
    "POST /blacklist": ({"address": "0x" + 40 * "1", "reason": "r"}, {S, R}),
    "POST /blacklist/{address}/remove": ({"reason": "r"}, {S, R}),
    "POST /users/{user}/adjustments": ({"amount": "-1.5", "reason": "r"}, {S, O}),
    "POST /users/{user}/kyc": ({"kyc_status": "APPROVED", "reason": "r"}, {S, O}),
    "GET /proposals": (None, EVERYBODY),
    "GET /proposals/{proposal_id}": (None, EVERYBODY),
    "POST /proposals/{proposal_id}/approve": ({"reason": "r"}, {S, R}),
    "POST /proposals/{proposal_id}/reject": ({"reason": "r"}, {S, R}),
    "POST /proposals/{proposal_id}/withdraw": ({"reason": "r"}, {S, R, O}),
    "GET /operators": (None, EVERYBODY),
    "POST /operators": ({"account": "u" + 20 * "a", "role": "ANALYST", "reason": "r"}, {S}),
}
PLACES = {
    "user": "nobody-of-that-name",
    "order_id": "o1",
    "symbol": "BTC",
    "withdrawal_id": "w1",
    "address": "0x" + 40 * "2",
    "proposal_id": "999",
}


def routes_of(app: FastAPI) -> set[str]:
    """Return every operators' route of the application."""
    return {
        f"{method.upper()} {path.removeprefix('/v1/operator')}"
        for path, methods in app.openapi()["paths"].items()
        if path.startswith("/v1/operator/")
        for method in methods
    }


async def call(api: Api, route: str, headers: dict[str, str], number: int) -> httpx.Response:
    """Call a route as well as it can be called."""
    method, path = route.split(" ")
    path = re.sub(r"{(\w+)}", lambda found: PLACES[found[1]], path)
    body = ROUTES[route][0]
    more = {} if body is None else {"json": body}
    headers = headers | {"Idempotency-Key": f"matrix-{number}"}
    return await api.client.request(method, f"/v1/operator{path}", headers=headers, **more)


def test_the_table_of_this_test_names_every_route(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            assert routes_of(api.app) == set(ROUTES)

    asyncio.run(body())


def test_every_route_for_every_role_a_user_and_nobody(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            number = 0
            people = {role: await operator(api, role) for role in Role}
            people[None] = await operator(api, None)  # type: ignore[index]
            weak = {role: await _without_second_factor(api, people[role].user) for role in Role}
            for route, (_, allowed) in ROUTES.items():
                for role, person in people.items():
                    number += 1
                    answer = await call(api, route, person.headers, number)
                    told = f"{route} for {role}: {answer.status_code} {answer.text}"
                    if role in allowed:
                        assert answer.status_code not in (401, 403), told
                        assert answer.status_code < 500, told
                    else:
                        assert (answer.status_code, answer.json()["code"]) == (403, "role-missing"), told
                nobody = await call(api, route, {}, number)
                assert nobody.status_code == 401, route
                one_factor = await call(api, route, weak[min(allowed)], number)
                assert (one_factor.status_code, one_factor.json()["code"]) == (403, "second-factor-needed"), (
                    route
                )
                assert "/v1/auth/second-factor" in one_factor.json()["detail"]

    asyncio.run(body())


def test_nothing_was_done_for_those_who_may_not(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            analyst, user = await operator(api, A), await trader(api)
            before = await _acts(api)
            for number, route in enumerate(ROUTES):
                for headers in (analyst.headers, user.headers, {}):
                    if not route.startswith("GET"):
                        await call(api, route, headers, number)
            assert await _acts(api) == before
            assert await api.services.pool.fetchval("select count(*) from access.proposals") == 0

    asyncio.run(body())


def test_an_operator_s_api_key_opens_no_operators_route(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            admin = await operator(api, S)
            scopes = [Scope.READ, Scope.TRADE]
            made = await api.services.identity.keys.create(admin.user, "k", scopes, [], ORIGIN)
            for route in ("/v1/operator/users", "/v1/operator/house"):
                answer = await signed(api, made.key.id, made.secret, "GET", route)
                assert answer.status_code == 403, answer.text

    asyncio.run(body())


def test_a_role_that_was_taken_away_counts_no_more(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            await operator(api, S)
            rita = await operator(api, R)
            assert (await call(api, "GET /users", rita.headers, 1)).status_code == 200
            await api.services.pool.execute("delete from access.operators where account_id = $1", rita.user)
            await asyncio.sleep(0.6)
            assert (await call(api, "GET /users", rita.headers, 2)).status_code == 403

    asyncio.run(body())


async def _acts(api: Api) -> int:
    return await api.services.pool.fetchval("select count(*) from audit_log")


async def _without_second_factor(api: Api, user: str) -> dict[str, str]:
    tokens, _ = await api.services.identity.sessions.begin(
        user, "PASSWORD", Origin(ORIGIN.ip), second_factor=False
    )
    return {"Authorization": f"Bearer {tokens.access_token}"}
