"""What the document promises is what is answered: requests it allows, and others, from nobody, a user and operators."""

import asyncio
import itertools
import re
from collections import defaultdict
from collections.abc import Coroutine, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import live
from live.api.operator_forms import OperatorBody
from live.identity.principal import Role
from risk.inputs import ServiceLevelSet
from tests.api.operators import operator
from tests.api.served import Api, served_api
from tests.api.test_authorisation import owner_of_everything
from tests.api.traders import ORIGIN
from tests.postgres import Postgres

CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
NO_LIMITS = {
    f"rate_limit_{kind}": "1000000/second" for kind in ("address", "user", "key", "login", "letters")
}
# What a reader of the document can copy; other examples name what nobody has, such as a letter's token.
EXAMPLES_THAT_WORK = {
    "GET /v1/markets/{symbol}",
    "POST /v1/auth/register",
    "POST /v1/dev/faucet",
    "POST /v1/keys",
    "POST /v1/operator/blacklist",
    "POST /v1/operator/risk-config",
    "POST /v1/operator/routing-config",
    "POST /v1/operator/users/{user}/adjustments",
    "POST /v1/operator/users/{user}/kyc",
    "POST /v1/orders",
    "POST /v1/orders/preview",
    "POST /v1/positions/{position_id}/close",
}


class Site:
    """Serve the API in this thread, with somebody who has one of everything and whose roles are all there are."""

    def __init__(self, dsn: str) -> None:
        self.runner = asyncio.Runner()
        self.serving = served_api(dsn, dev=True, settings=NO_LIMITS)
        self.api: Api = self.run(self.serving.__aenter__())
        self.owned = self.run(owner_of_everything(self.api))
        self.boss = self.run(operator(self.api, Role.SUPER_ADMIN))
        self.ids = self.owned.ids | {
            "user": self.owned.person.user,
            "proposal_id": self._proposal(),
            "symbol": "BTC",
        }
        self.document = self.api.app.openapi()
        self.schema = schemathesis.openapi.from_dict(self.document)
        self.statuses: defaultdict[str, set[int]] = defaultdict(set)
        self.numbers = itertools.count()

    def run[T](self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def close(self) -> None:
        self.run(self.serving.__aexit__(None, None, None))
        self.runner.close()

    def _proposal(self) -> str:
        body = {"amount": "1", "reason": "r"}
        path = f"/operator/users/{self.owned.person.user}/adjustments"
        answer = self.run(self.boss.ask("POST", path, body))
        return str(answer.json()["proposal"]["id"])

    def example_of(self, operation: Any) -> Any:
        """Return the body that the document gives as an example; None where there is no body."""
        content = operation.definition.raw.get("requestBody", {}).get("content", {})
        return self._example(content["application/json"]["schema"]) if content else None

    def fields_of(self, operation: Any) -> set[str]:
        """Return the names of all that a body may have."""
        content = operation.definition.raw.get("requestBody", {}).get("content", {})
        schema = content["application/json"]["schema"] if content else {}
        if "$ref" in schema:
            schema = self.document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        return set(schema.get("properties", ()))

    def _example(self, schema: dict[str, Any]) -> Any:
        if "$ref" in schema:
            return self._example(self.document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]])
        if "examples" in schema:
            return schema["examples"][0]
        if "properties" in schema:
            needed = schema.get("required", [])
            return {name: self._example(schema["properties"][name]) for name in needed}
        if "anyOf" in schema:
            return self._example(schema["anyOf"][0])
        return schema["enum"][0] if "enum" in schema else schema.get("minimum", schema.get("default"))

    def credentials(self, who: str) -> dict[str, str]:
        """Return the headers of a session that nothing has ended yet."""
        people = {"user": self.owned.person, "operator": self.boss}
        if who not in people:
            return {}
        beginning = self.api.services.identity.sessions.begin(
            people[who].user, "PASSWORD", ORIGIN, second_factor=True
        )
        tokens, _ = self.run(beginning)
        return {"Authorization": f"Bearer {tokens.access_token}"}

    def send(self, case: Case, credentials: dict[str, str], *, fresh_key: bool) -> httpx.Response:
        """Send a case as it is, but for who it says it is; ``fresh_key`` makes a command another one."""
        given = case.as_transport_kwargs(base_url="http://api.test")
        headers = {
            name: value
            for name, value in given["headers"].items()
            if name.lower() != "authorization" and not name.lower().startswith("hp-")
        }
        if fresh_key and "Idempotency-Key" in headers:
            headers["Idempotency-Key"] = f"case-{next(self.numbers)}"
        answer = self.run(self._send(given, headers | credentials))
        self.statuses[case.operation.label].add(answer.status_code)
        return answer

    async def _send(self, given: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
        content = {"json": given["json"]} if "json" in given else {"content": given.get("data") or b""}
        raw = {name: value.encode("utf-8") for name, value in headers.items()}
        answer = await self.api.client.request(
            given["method"], given["url"], params=given.get("params"), headers=raw, **content
        )
        if "service-level" in given["url"]:
            await self.api.ask(f"normal-{next(self.numbers)}", ServiceLevelSet(0, 0, "test", "over"))
        return answer


@pytest.fixture(scope="module")
def site(postgres: Postgres, migrated: str) -> Iterator[Site]:
    made = Site(postgres.new_database("api_openapi", migrated))
    yield made
    made.close()


EXAMPLES = 2
PLAN = hypothesis_settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("mode", ["examples", "right", "wrong", "nobody's"])
def test_no_answer_is_another_than_the_document_says(site: Site, mode: str) -> None:
    """Of each route: its document's own example, requests it allows, requests it does not, and one without log-in."""
    failures = []
    for result in site.schema.get_all_operations():
        called = result.ok()
        who = "operator" if called.path.startswith("/v1/operator/") else "user"
        credentials = site.credentials("nobody" if mode == "nobody's" else who)
        known: dict[str, Any] = {}
        if mode != "wrong":
            known["path_parameters"] = {
                name: value for name, value in site.ids.items() if f"{{{name}}}" in called.path
            }
        if mode == "examples" and (example := site.example_of(called)) is not None:
            known["body"] = example
        generation = GenerationMode.NEGATIVE if mode == "wrong" else GenerationMode.POSITIVE

        @hypothesis_settings(PLAN, max_examples=EXAMPLES if mode in ("right", "wrong") else 1)
        @given(case=called.as_strategy(generation_mode=generation, **known))
        def answers(credentials: dict[str, str], case: Case) -> None:
            answer = site.send(case, credentials, fresh_key=mode != "wrong")
            case.validate_response(answer, checks=CHECKS)

        try:
            answers(credentials)
        except BaseExceptionGroup as error:
            failures.append(f"{called.label}: {error}")
        except Unsatisfiable:
            assert mode == "wrong"  # nothing can be wrong where nothing is said
    assert not failures, "\n\n".join(failures)
    if mode == "examples":
        worked = {label for label, found in site.statuses.items() if min(found) < 400}
        assert worked >= EXAMPLES_THAT_WORK


def test_text_that_no_database_holds_is_refused_wherever_it_stands(site: Site) -> None:
    """Every field of every body, and every parameter, with a NUL in it: nothing fails on our side."""
    failures = []
    for result in site.schema.get_all_operations():
        called = result.ok()
        raw = called.definition.raw
        who = "operator" if called.path.startswith("/v1/operator/") else "user"
        headers = site.credentials(who) | {"Idempotency-Key": "nul"}
        path = re.sub(r"{(\w+)}", lambda found: site.ids.get(found[1], "x"), called.path)
        queries = [each["name"] for each in raw.get("parameters", []) if each["in"] == "query"]
        asked = [(path, {name: "a\0b"}, None) for name in queries]
        asked += [(re.sub(r"{\w+}", "a%00b", called.path), {}, None)]
        asked += [(path, {}, body) for body in spoiled(site.example_of(called), site.fields_of(called))]
        for at, query, body in asked:
            content = {} if body is None else {"json": body}
            answer = site.run(
                site.api.client.request(called.method, at, params=query, headers=headers, **content)
            )
            if answer.status_code >= 500:
                failures.append(f"{called.label} {query} {body}: {answer.status_code}")
    assert not failures, "\n".join(failures)


def spoiled(example: Any, fields: set[str]) -> Iterator[dict[str, Any]]:
    """Give a body once for each of its fields, with a NUL in the text, or in a text within."""
    if example is None:
        return
    for name in sorted(fields | set(example)):
        value = example.get(name)
        yield example | {name: {"a\0b": "a\0b"} if isinstance(value, dict) else "a\0b"}
        if isinstance(value, dict):
            yield example | {name: dict.fromkeys(value, "a\0b")}


def test_examples_of_problems_have_their_status_and_a_code_that_is_answered(site: Site) -> None:
    sources = [path for path in Path(live.__path__[0]).rglob("*.py") if path.name != "problem_examples.py"]
    codes = set(re.findall(r'"([a-z]+(?:-[a-z]+)*)"', "".join(path.read_text() for path in sources)))
    seen = set()
    for methods in site.document["paths"].values():
        for operation in methods.values():
            for status, answer in operation["responses"].items():
                if "application/problem+json" in answer.get("content", {}):
                    example = answer["content"]["application/problem+json"]["example"]
                    assert str(example["status"]) == status
                    assert example["code"] in codes, example
                    assert example["title"] == HTTPStatus(int(status)).phrase
                    seen.add((operation["operationId"], int(status), example["code"]))
    assert {
        ("log_in", 401, "wrong-credentials"),
        ("get_order", 404, "unknown-order"),
        ("place_order", 401, "not-authenticated"),
        ("place_order", 409, "key-reused"),
        ("place_order", 429, "too-many-requests"),
        ("place_order", 503, "database-unavailable"),
        ("place_order", 504, "outcome-unknown"),
    } <= seen


def test_the_example_of_an_operator_names_the_account_once(site: Site) -> None:
    (example,) = site.document["components"]["schemas"]["OperatorBody"]["examples"]
    assert ("account" in example) != ("email" in example)
    assert OperatorBody.model_validate(example).role is Role.RISK_MANAGER
