"""Whatever is not done is told in a problem document."""

import asyncio

from tests.api.served import served_api


def test_an_unknown_path_is_a_problem_with_the_request_s_id(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            answer = await api.client.get("/v1/nothing", headers={"X-Request-ID": "a-request-1"})
            assert answer.status_code == 404
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["x-request-id"] == answer.json()["instance"] == "a-request-1"
            assert answer.json()["code"] == "not-found"

    asyncio.run(body())
