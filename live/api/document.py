"""The OpenAPI document: what the framework says of the routes, and what it cannot know."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import Response

from live.api.problem_examples import give_problem_examples
from live.api.problems import ProblemDocument

PATH = "/openapi.json"
_REF = "#/components/schemas/"
_GENERIC = re.compile(r"_(\w+)_$")
_UNUSED = ("HTTPValidationError", "ValidationError")  # the framework's own form of what we tell as problems

DESCRIPTION = """
Trade perpetual futures, follow your account and move your money.

**Requests.** JSON in, JSON out. Decimals are strings with every digit, times are ISO 8601 in UTC. Every request has
an `X-Request-ID`: yours (8 to 64 letters, digits, `.`, `_`, `-`, unless it looks like a token), or one we make; it is
in the answer, in every problem and in our logs.

**Doing things once.** What changes something takes an `Idempotency-Key` of your own. Sent again with the same key it
is not done again: you get the first answer, for 24 hours. After a timeout, a lost connection, a 503 or a 504 send it
again with the same key. The same key with another request is refused with 409 `key-reused`.

**Problems.** Whatever is not done is told as `application/problem+json` (RFC 9457). Programs look at `code`; `errors`
names each field that is wrong.

**API keys.** A request that is signed has HP-KEY, HP-TIMESTAMP and HP-SIGNATURE, all three, and no Authorization;
HP-RECV-WINDOW if 5 seconds are too short, or too long.

**The stream.** `GET /v1/stream` opens a WebSocket that tells of orders, fills, positions, liquidations, balances and
marks as they change.

**Limits.** `RateLimit` tells what is left of your tightest limit; beyond it requests get 429 with `Retry-After`.
"""

TAGS = [
    {"name": "auth", "description": "Register, log in and out, second factors, recovery."},
    {"name": "account", "description": "Who you are to us: profile, devices, sessions, KYC."},
    {"name": "keys", "description": "API keys and how requests are signed with them."},
    {"name": "trading", "description": "Orders, positions and what they would cost."},
    {"name": "history", "description": "What happened: orders, fills, funding, liquidations, balances."},
    {"name": "stream", "description": "What happens, as it happens."},
    {"name": "wallets", "description": "Deposits, withdrawals and the address book."},
    {"name": "operators", "description": "What those do who run the platform."},
    {"name": "dev", "description": "Only there with `serve --dev`: test funds."},
    {"name": "system", "description": "Whether the service is alive and ready."},
]


# The framework describes an API key as one header; these go with it, and each request needs all of them.
_API_KEY = "apiKey"
_SIGNED_TOO = {
    "apiKeyTimestamp": ("HP-TIMESTAMP", "When the request was signed: ms since 1970."),
    "apiKeySignature": (
        "HP-SIGNATURE",
        "HMAC-SHA256 in lower-case hex, keyed with the secret's text, over `timestamp`, `METHOD`, `path with query`, "
        "`HP-RECV-WINDOW`, `Idempotency-Key` (nothing for a header that the request lacks) and the SHA-256 of the body "
        "in hex, a line feed between each. Each signature is taken once.",
    ),
}
_RECV_WINDOW = {
    "name": "HP-RECV-WINDOW",
    "in": "header",
    "required": False,
    "description": "How many ms a signed request may be under way; 5000 without it.",
    "schema": {"type": "integer", "minimum": 1, "maximum": 60_000, "default": 5_000},
    "example": 5_000,
}


def describe(app: FastAPI) -> None:
    """Give ``app`` its document at /openapi.json, written once: it is large, and asked for by strangers."""
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    written: list[bytes] = []

    async def document(_: Request) -> Response:
        if not written:
            written.append(msgspec.json.encode(app.openapi()))
        return Response(written[0], media_type="application/json")

    app.add_route(PATH, document, include_in_schema=False)


def _document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, tags=TAGS, routes=app.routes
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for name in _UNUSED:
            schemas.pop(name, None)
        _, ours = models_json_schema([(ProblemDocument, "serialization")], ref_template=_REF + "{model}")
        schemas.update(ours["$defs"])
        _name_schemas(document)
        _describe_signing(document)
        _give_examples(document)
        give_problem_examples(document)
        app.openapi_schema = document
    return app.openapi_schema


def _name_schemas(document: dict[str, Any]) -> None:
    """Name schemas by words alone: to the framework a ``PageOf[OrderItem]`` is a ``PageOf_OrderItem_``."""
    schemas = document["components"]["schemas"]
    names = {_REF + name: _REF + _GENERIC.sub(r"\1", name) for name in schemas}
    for name in list(schemas):
        schemas[names[_REF + name].removeprefix(_REF)] = schemas.pop(name)
    for part in _parts(document):
        part.update(
            {key: names[value] for key, value in part.items() if isinstance(value, str) and value in names}
        )


def _parts(document: Any) -> Iterator[dict[str, Any]]:
    if isinstance(document, dict):
        yield document
        document = document.values()
    elif not isinstance(document, list):
        return
    for each in document:
        yield from _parts(each)


def _describe_signing(document: dict[str, Any]) -> None:
    """Have whoever signs a request send all the headers that it needs."""
    components = document["components"]
    for name, (header, text) in _SIGNED_TOO.items():
        components["securitySchemes"][name] = {
            "type": "apiKey",
            "in": "header",
            "name": header,
            "description": text,
        }
    for operation in _operations(document):
        for way in operation.get("security", []):
            if _API_KEY in way:
                way.update({name: [] for name in _SIGNED_TOO})
                operation.setdefault("parameters", []).append(_RECV_WINDOW)


def _give_examples(document: dict[str, Any]) -> None:
    """Give what can only be one of a few values one of them as its example."""
    described = [
        part
        for schema in document["components"]["schemas"].values()
        for part in schema.get("properties", {}).values()
    ]
    described += [
        parameter["schema"]
        for operation in _operations(document)
        for parameter in operation.get("parameters", [])
        if "schema" in parameter
    ]
    for part in described:
        if "examples" not in part and (known := _first(part)) is not None:
            part["examples"] = [known]


def _first(schema: dict[str, Any]) -> Any:
    """Return a value that ``schema`` names itself; None if it names none."""
    for name in ("const", "default"):
        if schema.get(name) is not None:
            return schema[name]
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "boolean":
        return False
    if schema.get("type") == "array":
        found = _first(schema["items"])
        return None if found is None else [found]
    inner = (_first(each) for each in schema.get("anyOf", ()))
    return next((each for each in inner if each is not None), None)


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in document["paths"].values():
        yield from methods.values()
