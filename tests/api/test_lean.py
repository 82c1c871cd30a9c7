"""Routes served without the framework: none takes the path of another, and what comes is read as it reads it."""

import asyncio
import re

from live.api.middleware.entrance import Entrance
from tests.api.served import served_api
from tests.api.traders import trader


def test_a_lean_route_serves_its_own_paths_alone(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            entrance = api.app.entrance  # type: ignore[attr-defined]
            assert isinstance(entrance, Entrance)
            served = set()
            for template, operations in api.app.openapi()["paths"].items():
                for method in operations:
                    found = entrance.lean.find(method.upper(), re.sub(r"{\w+}", "x-1", template))
                    if found is not None:
                        assert found.template == template
                        assert set(found.parts.values()) <= {"x-1"}
                        served.add((method, template))
            assert {("post", "/v1/orders"), ("delete", "/v1/orders/{order_id}"), ("get", "/health")} <= served
            for method, path in (
                ("PUT", "/v1/orders"),
                ("POST", "/v1/orders/"),
                ("POST", "/orders"),
                ("DELETE", "/v1/orders/o1/x"),
            ):
                assert entrance.lean.find(method, path) is None

    asyncio.run(body())


def test_a_path_is_read_decoded_and_its_parts_are_checked(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            ann = await trader(api)
            for name, status in (("o%31", 404), ("o1%0A", 422), ("o%2F1", 404), ("%C3%B6", 422)):
                answer = await ann.ask("DELETE", f"/orders/{name}")
                assert answer.status_code == status, (name, answer.text)

    asyncio.run(body())
