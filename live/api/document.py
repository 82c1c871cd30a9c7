"""The OpenAPI document, and the page that shows it."""

import base64
import re
from hashlib import sha256
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import HTMLResponse

from live.api.problems import ProblemDocument

PATH = "/openapi.json"
_CDN = "https://cdn.jsdelivr.net"
_UNUSED = ("HTTPValidationError", "ValidationError")  # the framework's own form of what we tell as problems

DESCRIPTION = """
Trade perpetual futures, follow your account and move your money.

**Requests.** JSON in, JSON out. Decimals are strings with every digit, times are ISO 8601 in UTC. Every request has
an `X-Request-ID`: yours, or one we make; it is in the answer and in every problem.

**Doing things once.** What changes something takes an `Idempotency-Key` of your own. Sent again with the same key it
is not done again: you get the first answer, for 24 hours. After a timeout, a lost connection, a 503 or a 504 send it
again with the same key. The same key with another request is refused with 409 `key-reused`.

**Problems.** Whatever is not done is told as `application/problem+json` (RFC 9457). Programs look at `code`; `errors`
names each field that is wrong.

**Limits.** `RateLimit` tells what is left of your tightest limit; beyond it requests get 429 with `Retry-After`.
"""

TAGS = [
    {"name": "auth", "description": "Register, log in and out, second factors, recovery."},
    {"name": "account", "description": "Who you are to us: profile, devices, sessions, KYC."},
    {"name": "keys", "description": "API keys and how requests are signed with them."},
    {"name": "trading", "description": "Orders, positions and what they would cost."},
    {"name": "history", "description": "What happened: orders, fills, funding, liquidations, balances."},
    {"name": "wallets", "description": "Deposits, withdrawals and the address book."},
    {"name": "operators", "description": "What those do who run the platform."},
    {"name": "dev", "description": "Only there with `serve --dev`: test funds."},
    {"name": "system", "description": "Whether the service is alive and ready."},
]


def describe(app: FastAPI) -> None:
    """Give ``app`` its document at /openapi.json and its page at /docs."""
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    page = get_swagger_ui_html(openapi_url=PATH, title=app.title)
    page.headers["Content-Security-Policy"] = _policy(bytes(page.body).decode())

    async def docs(_: Request) -> HTMLResponse:
        return page

    app.add_route("/docs", docs, include_in_schema=False)


def _document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, tags=TAGS, routes=app.routes
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for name in _UNUSED:
            schemas.pop(name, None)
        _, ours = models_json_schema(
            [(ProblemDocument, "serialization")], ref_template="#/components/schemas/{model}"
        )
        schemas.update(ours["$defs"])
        app.openapi_schema = document
    return app.openapi_schema


def _policy(page: str) -> str:
    """Let the page load what it names, and run its own script but no other's."""
    scripts = [
        base64.b64encode(sha256(script.encode()).digest()).decode()
        for script in re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    ]
    hashes = " ".join(f"'sha256-{script}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {_CDN} {hashes}; style-src {_CDN} 'unsafe-inline'; connect-src 'self'; "
        "img-src https://fastapi.tiangolo.com data:; frame-ancestors 'none'"
    )
