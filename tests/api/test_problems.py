"""Whatever is not done is told in a problem document, and nothing of our insides with it."""

import asyncio
from typing import Annotated

import pytest
from fastapi import Body, Depends
from pydantic import BaseModel, Field

from live.api.idempotency import IdempotencyKey
from live.api.problems import FieldError, Problem, check_done
from live.books.commands import Answer, KeyReused, NotAnswered, Overloaded
from live.identity.errors import NotAuthenticated, TooManyGuesses
from live.ledger.writer import DatabaseLost
from risk.errors import InvalidInput
from tests.api.served import Api, served_api

RAISED = {
    InvalidInput("size was 0; it must be more"): (422, "invalid"),
    KeyReused("the key came before"): (409, "key-reused"),
    Overloaded("too many wait"): (503, "overloaded"),
    NotAnswered("ask again"): (504, "outcome-unknown"),
    DatabaseLost("gone"): (503, "database-unavailable"),
    ConnectionRefusedError("/secret/path"): (503, "database-unavailable"),
    NotAuthenticated("wrong-credentials", "wrong"): (401, "wrong-credentials"),
    TooManyGuesses("too-many-guesses", "wait", 42): (429, "too-many-guesses"),
    Problem(418, "teapot", "short and stout", errors=[FieldError(field="a", detail="b")]): (418, "teapot"),
    ZeroDivisionError("at /secret/path"): (500, "internal"),
}


class Given(BaseModel):
    password: str = Field(min_length=10)
    size: Annotated[int, Field(gt=0)]


def with_routes(api: Api) -> None:
    """Add routes that fail in every way, also before their handler and while their answer is made."""
    app = api.app

    @app.get("/raise/{number}")
    async def raising(number: int) -> None:
        raise [*RAISED][number]

    async def first() -> None:
        raise KeyReused("in a dependency")

    @app.get("/dependency", dependencies=[Depends(first)])
    async def never() -> None: ...

    @app.post("/given")
    async def given(given: Annotated[Given, Body()], key: IdempotencyKey) -> str:
        return key


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_errors_are_problems(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            with_routes(api)
            for number, (error, (status, code)) in enumerate(RAISED.items()):
                answer = await api.client.get(f"/raise/{number}", headers={"X-Request-ID": "request-17"})
                told = answer.json()
                assert (answer.status_code, told["status"], told["code"]) == (status, status, code), error
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.headers["x-request-id"] == told["instance"] == "request-17"
                assert told["type"] == f"urn:hybrid-perps:problem:{code}"
                assert ("retry-after" in answer.headers) == (status == 503 or code == "too-many-guesses")
                assert "secret" not in answer.text
            assert (await api.client.get("/dependency")).json()["code"] == "key-reused"
            assert (await api.client.get("/raise/7")).headers["retry-after"] == "42"
            assert (await api.client.get("/raise/8")).json()["errors"] == [{"field": "a", "detail": "b"}]
            assert (await api.client.get("/raise/6")).headers["www-authenticate"] == "Bearer"

    asyncio.run(body())


def test_what_the_framework_refuses_is_a_problem_that_names_the_field(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            with_routes(api)
            key = {"Idempotency-Key": "k-1"}
            good = {"password": "a long password", "size": 1}
            assert (await api.client.post("/given", json=good, headers=key)).json() == "k-1"
            answer = await api.client.post("/given", json={"password": "hunter2", "size": 0}, headers=key)
            assert answer.status_code == 422
            assert {each["field"] for each in answer.json()["errors"]} == {"body.password", "body.size"}
            assert "hunter2" not in answer.text
            answer = await api.client.post("/given", json=good)
            assert [each["field"] for each in answer.json()["errors"]] == ["header.Idempotency-Key"]
            for wrong in ("", "with space", "ü", "x" * 129):
                headers = {"Idempotency-Key": wrong.encode("latin1")}
                assert (await api.client.post("/given", json=good, headers=headers)).status_code == 422, wrong
            json = {"Content-Type": "application/json"}
            answer = await api.client.post("/given", content=b'{"size": ', headers=key | json)
            assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
            answer = await api.client.post("/given", content=b'{"password": "\xff"}', headers=key | json)
            assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
            answer = await api.client.get("/nothing")
            assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
            answer = await api.client.put("/given", json={})
            assert (answer.status_code, answer.json()["code"]) == (405, "method-not-allowed")
            assert answer.headers["allow"] == "POST"

    asyncio.run(body())


def test_of_very_many_fields_that_are_wrong_the_first_are_named(database: str) -> None:
    async def body() -> None:
        async with served_api(database) as api:
            many = {f"name{number}": 1 for number in range(4_000)}
            answer = await api.client.post("/v1/auth/login", json=many)
            assert answer.status_code == 422
            named = [each["field"] for each in answer.json()["errors"]]
            assert named == ["body.email", "body.password", *(f"body.name{each}" for each in range(48))]

    asyncio.run(body())


def test_an_answer_of_the_books_that_is_not_done_is_a_problem() -> None:
    assert check_done(Answer("DONE", 3)).seq == 3
    with pytest.raises(Problem, match="too small") as invalid:
        check_done(Answer("INVALID", detail="too small"))
    assert invalid.value.status == 422
    with pytest.raises(Problem) as refused:
        check_done(Answer("REFUSED", 3, code="REDUCE_ONLY", detail="no position"))
    assert (refused.value.status, refused.value.code) == (409, "REDUCE_ONLY")
