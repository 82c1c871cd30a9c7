"""Who sends a request, and whether it may: dependencies of routes.

principal: Annotated[Principal, needs(Scope.TRADE)]
principal: Annotated[Principal, operator(Role.RISK_MANAGER)]
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, Any

from fastapi import Depends, Security
from fastapi.openapi.models import APIKey, APIKeyIn, HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection, Request

from live.api.lean import LeanRequest
from live.api.request_log import PRINCIPAL
from live.api.services import Services, Using
from live.identity.errors import NotAuthenticated, NotPermitted
from live.identity.events import Origin
from live.identity.guesses import Address
from live.identity.principal import Principal, Role, Scope
from live.identity.signed import SignedRequest

_AGENT = 200
_NOWHERE = IPv4Address(0)


class _Described(SecurityBase):
    """Describe a way to say who one is; ``known`` looks at all of them."""

    def __init__(self, name: str, model: Any) -> None:
        self.scheme_name = name
        self.model = model

    async def __call__(self) -> None:
        """Do nothing."""


_SESSION = _Described(
    "session",
    HTTPBearer(bearerFormat="JWT", description="The access token of a log-in; it lives five minutes."),
)
_API_KEY = _Described(
    "apiKey",
    APIKey(
        **{"in": APIKeyIn.header},  # type: ignore[arg-type]
        name="HP-KEY",
        description="The id of an API key; HP-TIMESTAMP and HP-SIGNATURE come with it.",
    ),
)


async def known(connection: HTTPConnection, using: Services, body: bytes = b"") -> Principal:
    """Return who sends a request, or opens a WebSocket, and charge it to its rate; ``body`` is as it came.

    Raises NotAuthenticated or NotPermitted, and Problem 429.
    """
    return await _known(connection.scope, dict(reversed(connection.scope["headers"])), using, body)


async def _known(scope: Any, headers: Mapping[bytes, bytes], using: Services, body: bytes) -> Principal:
    authorization, key = headers.get(b"authorization"), headers.get(b"hp-key")
    if authorization is not None and key is None:
        kind, _, token = authorization.decode("latin-1").partition(" ")
        if kind.lower() != "bearer":
            raise NotAuthenticated("wrong-token", "Authorization must be: Bearer and an access token")
        principal = scope[PRINCIPAL] = await using.identity.sessions.principal(token.strip())
        await using.rates.charge(scope, "user", principal.user)
    elif key is not None and authorization is None:
        signed = _signed(scope, headers, key.decode("latin-1"), body)
        principal = scope[PRINCIPAL] = await using.identity.signatures.principal(signed)
        await using.rates.charge(scope, "key", signed.key)
    else:
        raise NotAuthenticated(
            "not-authenticated", "log in and send Authorization: Bearer, or sign with an API key, not both"
        )
    return principal


def needs(scope: Scope) -> Any:
    """Return the dependency that gives who sends a request that may do ``scope``."""

    def check(principal: Principal) -> None:
        _check_scope(principal, scope)

    return _by_session(check) if scope is Scope.ACCOUNT else _by_either(check)


async def permitted(request: LeanRequest, scope: Scope) -> Principal:
    """Return who sends a request that may do ``scope``: what ``needs`` gives, for routes without dependencies."""
    principal = await _known(request.scope, request.headers, request.services, await request.body())
    _check_scope(principal, scope)
    return principal


def operator(*roles: Role) -> Any:
    """Return the dependency that gives an operator with one of ``roles``, or any, and a second factor."""

    def check(principal: Principal) -> None:
        if principal.role is None or (roles and principal.role not in roles):
            raise NotPermitted("role-missing", f"this is for operators: {', '.join(roles) or 'any'}")
        if not principal.mfa:
            raise NotPermitted(
                "second-factor-needed",
                "operators need a second factor: show a code at /v1/auth/second-factor",
            )

    return _by_session(check)


def origin_of(connection: HTTPConnection) -> Origin:
    """Return where a request comes from."""
    agent = connection.headers.get("user-agent", "")
    return Origin(_address(connection.client.host if connection.client else ""), agent[:_AGENT])


From = Annotated[Origin, Depends(origin_of)]


def _by_session(check: Callable[[Principal], None]) -> Any:
    """Return the dependency that gives who passes ``check``, described as one that sessions alone satisfy."""

    async def allowed(request: Request, using: Using, _: Annotated[None, Security(_SESSION)]) -> Principal:
        return await _checked(request, using, check)

    return Depends(allowed)


def _by_either(check: Callable[[Principal], None]) -> Any:
    """Return the same, described as one that API keys satisfy too."""

    async def allowed(
        request: Request,
        using: Using,
        _: Annotated[None, Security(_SESSION)],
        __: Annotated[None, Security(_API_KEY)],
    ) -> Principal:
        return await _checked(request, using, check)

    return Depends(allowed)


def _check_scope(principal: Principal, scope: Scope) -> None:
    if scope not in principal.scopes:
        lacks = (
            "no API key may do this: log in"
            if scope is Scope.ACCOUNT
            else f"the API key lacks the scope {scope}"
        )
        raise NotPermitted("scope-missing", lacks)


async def _checked(request: Request, using: Services, check: Callable[[Principal], None]) -> Principal:
    principal = await known(request, using, await request.body())
    check(principal)
    return principal


def _signed(scope: Any, headers: Mapping[bytes, bytes], key: str, body: bytes) -> SignedRequest:
    target, window, client = scope["raw_path"], headers.get(b"hp-recv-window"), scope.get("client")
    if scope["query_string"]:
        target += b"?" + scope["query_string"]
    return SignedRequest(
        key,
        headers.get(b"hp-timestamp", b"").decode("latin-1"),
        headers.get(b"hp-signature", b"").decode("latin-1"),
        None if window is None else window.decode("latin-1"),
        headers.get(b"idempotency-key", b"").decode("latin-1"),
        scope.get("method", "GET"),  # a WebSocket begins with one
        target.decode("latin-1"),
        body,
        _address(client[0] if client else ""),
    )


@lru_cache(10_000)
def _address(host: str) -> Address:
    """Return a client's address; of one that has none, such as on a Unix socket, 0.0.0.0."""
    try:
        found = ip_address(host)
    except ValueError:
        return _NOWHERE
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found
