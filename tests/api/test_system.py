"""The document that describes the API, readiness that means it, and test funds in development alone."""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from live.api.readiness import Readiness
from live.api.stream.protocol import CHANNELS
from tests.api.people import sign_up
from tests.api.served import over_http, served_api
from tests.proxy import proxied

OPERATIONS = Path(__file__).parent / "operations.txt"
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


def test_programs_made_of_the_document_call_things_by_lasting_names(database: str) -> None:
    """A renamed function here is a renamed method there: ``operations.txt`` changes on purpose alone."""

    async def body() -> dict[str, Any]:
        async with served_api(database, dev=True) as api:
            return dict((await api.client.get("/openapi.json")).json())

    document = asyncio.run(body())
    ids = {
        f"{method.upper()} {path}": operation["operationId"]
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    assert len(set(ids.values())) == len(ids)
    for where, name in ids.items():
        assert re.fullmatch("[a-z]+(_[a-z]+)*", name), where
        assert name.startswith("operator_") == where.partition(" ")[2].startswith("/v1/operator/"), where
    assert [f"{where} {name}" for where, name in sorted(ids.items())] == OPERATIONS.read_text().splitlines()
    for name, schema in document["components"]["schemas"].items():
        assert re.fullmatch("[A-Z][A-Za-z]*", name)
        assert schema.get("title", name) == name
    spans = [
        part
        for operations in document["paths"].values()
        for part in operations.get("get", {}).get("parameters", [])
        if part["name"] in ("from", "to")
    ]
    assert len(spans) > 20
    assert all("without a zone it is UTC" in part["description"] for part in spans)
    named = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(re.findall(r"#/components/[^\"]+", json.dumps(document))) == named


def parts_of(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give every property of a body or an answer, and every parameter, with where it stands."""
    for name, schema in document["components"]["schemas"].items():
        for field, part in schema.get("properties", {}).items():
            yield f"{name}.{field}", part
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for part in operation.get("parameters", []):
                yield f"{method} {path} {part['name']}", part["schema"] | part


def has_example(part: dict[str, Any], schemas: dict[str, Any]) -> bool:
    """Tell whether it has one, or is made of what has."""
    if "example" in part or part.get("examples"):
        return True
    if "$ref" in part:
        inner = schemas[part["$ref"].rsplit("/", 1)[1]]
        return "properties" in inner or "enum" in inner or has_example(inner, schemas)
    if "items" in part:
        return has_example(part["items"], schemas)
    return any(has_example(each, schemas) for each in (*part.get("anyOf", ()), *part.get("oneOf", ())))


def test_every_field_and_parameter_has_an_example(database: str) -> None:
    async def body() -> None:
        async with served_api(database, dev=True) as api:
            document = (await api.client.get("/openapi.json")).json()
            schemas = document["components"]["schemas"]
            without = [where for where, part in parts_of(document) if not has_example(part, schemas)]
            assert without == []

    asyncio.run(body())


def test_what_an_api_key_may_do_is_described_with_all_that_signs_it(database: str) -> None:
    async def body() -> None:
        async with served_api(database, dev=True) as api:
            document = (await api.client.get("/openapi.json")).json()
            schemes = document["components"]["securitySchemes"]
            headers = {name: each["name"] for name, each in schemes.items() if each["type"] == "apiKey"}
            assert headers == {
                "apiKey": "HP-KEY",
                "apiKeyTimestamp": "HP-TIMESTAMP",
                "apiKeySignature": "HP-SIGNATURE",
            }
            place, log_in = (document["paths"][f"/v1{path}"]["post"] for path in ("/orders", "/auth/login"))
            assert place["security"] == [{"session": []}, {name: [] for name in headers}]
            assert [each["name"] for each in place["parameters"]] == ["Idempotency-Key", "HP-RECV-WINDOW"]
            assert not place["parameters"][1]["required"]
            assert "security" not in log_in
            assert "parameters" not in log_in
            manage = document["paths"]["/v1/account/profile"]["get"]
            assert manage["security"] == [{"session": []}]

    asyncio.run(body())


def test_the_stream_is_described_and_tells_who_comes_without_a_websocket(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            described = (await api.client.get("/openapi.json")).json()["paths"]["/v1/stream"]["get"]
            assert {"101", "426"} <= described["responses"].keys()
            assert all(f'"{channel}"' in described["description"] for channel in CHANNELS)
            answer = await api.client.get("/v1/stream")
            assert (answer.status_code, answer.json()["code"]) == (426, "upgrade-required")
            assert answer.headers["upgrade"] == "websocket"

    asyncio.run(body())


def test_the_page_of_the_document_loads_nothing_from_elsewhere(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            page = await api.client.get("/docs")
            loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
            assert [path.partition("?")[0] for path in loaded] == [
                "/docs/swagger-ui.css",
                "data:,",
                "/docs/swagger-ui-bundle.js",
            ]
            for path, kind in zip(loaded[::2], ("text/css", "text/javascript"), strict=True):
                answer = await api.client.get(path)
                assert answer.status_code == 200
                assert answer.headers["content-type"].startswith(kind)
                assert "immutable" in answer.headers["cache-control"]
                assert len(answer.content) > 100_000
            policy = page.headers["content-security-policy"]
            assert "http" not in policy
            assert policy.count("sha256-") == 1

    asyncio.run(body())


def test_the_document_is_written_once(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            first = await api.client.get("/openapi.json")
            assert first.json() == api.app.openapi()
            monkeypatch.setattr(api.app, "openapi", None)
            assert (await api.client.get("/openapi.json")).content == first.content

    asyncio.run(body())


def test_a_wrong_method_is_told_which_are_right(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            for path, allowed in (("/v1/orders", "DELETE, GET, POST"), ("/v1/orders/o7", "DELETE, GET")):
                answer = await api.client.patch(path)
                assert (answer.status_code, answer.headers["allow"]) == (405, allowed)

    asyncio.run(body())


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
def test_who_watches_may_ask_for_heads_alone(database: str, path: str) -> None:
    async def body() -> None:
        async with (
            served_api(database) as api,
            over_http(api) as url,
            httpx.AsyncClient(base_url=url) as client,
        ):
            got, head = await client.get(path), await client.head(path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-type"] == got.headers["content-type"]
            assert (await client.get(path)).status_code == 200, "on the connection of the head"

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


def test_a_database_that_hangs_is_told_of_as_soon_as_one_that_is_gone(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as served, proxied(database) as proxy:
            pool = await asyncpg.create_pool(proxy.url, min_size=1, max_size=2)
            try:
                readiness = Readiness(pool, served.services.bus)
                assert all(check.well for check in await readiness.checks())
                proxy.fall_silent()
                await asyncio.sleep(1.1)  # what was found is kept for a second
                began = time.monotonic()
                found = {check.name: check.detail for check in await readiness.checks()}
                assert found == {"database": "does not answer", "books": ""}
                assert time.monotonic() - began < 4
            finally:
                pool.terminate()

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
            for wrong in ("0", "-1", "100000.1", "1e-9", "1E+4", "NaN", "x", 100, 1.5):
                answer = await person.post(
                    "/v1/dev/faucet", {"amount": wrong}, headers={"Idempotency-Key": "f-2"}
                )
                assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "body.amount"), (
                    wrong
                )
            statuses = []
            for number in range(9):
                key = {"Idempotency-Key": f"n-{number}"}
                for _ in range(2):  # sent again it is not charged again
                    asked = await person.post("/v1/dev/faucet", {"amount": "10000"}, headers=key)
                statuses.append(asked.status_code)
                assert asked.status_code == 429 or asked.json()["amount"] == "10000"
            assert statuses == [200] * 9
            eleventh = {"Idempotency-Key": "n-9"}
            answer = await person.post("/v1/dev/faucet", {"amount": "1"}, headers=eleventh)
            assert answer.status_code == 429
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
