"""The document that describes the API, readiness that means it, and test funds in development alone."""

import asyncio
from decimal import Decimal

import pytest

from tests.api.people import sign_up
from tests.api.served import served_api

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.mark.parametrize("dev", [False, True])
def test_every_route_is_described_with_what_it_may_refuse(database: str, dev: bool) -> None:
    async def body() -> None:
        async with served_api(database, dev=dev) as api:
            document = (await api.client.get("/openapi.json")).json()
            assert ("/v1/dev/faucet" in document["paths"]) == dev
            tags = {tag["name"] for tag in document["tags"]}
            for path, operations in document["paths"].items():
                for method, operation in operations.items():
                    where = method, path
                    assert method in METHODS, where
                    assert operation["summary"], where
                    assert operation["description"], where
                    assert set(operation["tags"]) <= tags, where
                    assert {"400", "413", "415", "422", "429", "500", "503"} <= set(operation["responses"]), (
                        where
                    )
                    if "security" in operation:
                        assert {"401", "403"} <= set(operation["responses"]), where
                    for status, response in operation["responses"].items():
                        if int(status) >= 400 and path != "/ready":
                            assert list(response["content"]) == ["application/problem+json"], (where, status)
            assert "ProblemDocument" in document["components"]["schemas"]
            assert "HTTPValidationError" not in document["components"]["schemas"]

    asyncio.run(body())


def test_it_is_ready_only_on_the_tables_it_was_made_for(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            await api.services.pool.execute("update alembic_version set version_num = '0001'")
            answer = await api.client.get("/ready")
            assert (answer.status_code, answer.json()["ready"]) == (503, False)
            assert answer.headers["retry-after"] == "1"
            assert [check["name"] for check in answer.json()["checks"] if not check["well"]] == ["database"]

    asyncio.run(body())


def test_test_funds_are_given_in_development_alone_and_are_told_from_others(database: str) -> None:
    async def body() -> None:
        async with served_api(database, dev=True) as api:
            person = await sign_up(api)
            for _ in range(2):  # the second is the first again
                answer = await person.post(
                    "/v1/dev/faucet", {"amount": "250.5"}, headers={"Idempotency-Key": "f-1"}
                )
                assert answer.status_code == 200, answer.text
            assert answer.json()["chain"] == "TEST"
            rows = await api.services.pool.fetch("select chain, amount from deposits")
            assert [(row["chain"], row["amount"]) for row in rows] == [("TEST", Decimal("250.5"))]
            for wrong in ("0", "-1", "100000.1", "1e-9", "NaN", "x"):
                answer = await person.post(
                    "/v1/dev/faucet", {"amount": wrong}, headers={"Idempotency-Key": "f-2"}
                )
                assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "body.amount"), (
                    wrong
                )
            statuses = []
            for number in range(9):
                key = {"Idempotency-Key": f"n-{number}"}
                statuses.append(
                    (await person.post("/v1/dev/faucet", {"amount": "1"}, headers=key)).status_code
                )
            assert statuses == [200] * 8 + [429]
            unknown = await api.client.post(
                "/v1/dev/faucet", json={"amount": "1"}, headers={"Idempotency-Key": "k"}
            )
            assert unknown.status_code == 401
        async with served_api(database) as api:
            assert (await api.client.post("/v1/dev/faucet", json={"amount": "1"})).status_code == 404

    asyncio.run(body())


def test_only_a_market_of_our_own_is_moved(database: str) -> None:
    moves: list[tuple[str, Decimal]] = []

    async def body() -> None:
        async with served_api(database, dev=True, move_market=lambda *move: moves.append(move)) as api:
            person = await sign_up(api)
            for wrong in ("-4.01", "4.01", "NaN", "0.001", "x"):
                answer = await person.post("/v1/dev/market", {"symbol": "BTC", "percent": wrong})
                assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "body.percent"), (
                    wrong
                )
            assert not moves
            answer = await person.post("/v1/dev/market", {"symbol": "BTC", "percent": "-4"})
            assert (answer.status_code, moves) == (204, [("BTC", Decimal(-4))])
        async with served_api(database, dev=True) as api:
            person = await sign_up(api)
            answer = await person.post("/v1/dev/market", {"symbol": "BTC", "percent": "-4"})
            assert (answer.status_code, answer.json()["code"]) == (409, "no-market")
        async with served_api(database) as api:
            assert (await api.client.post("/v1/dev/market", json={})).status_code == 404

    asyncio.run(body())
