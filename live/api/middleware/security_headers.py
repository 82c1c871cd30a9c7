"""Headers that keep browsers from making anything else of an answer than what it is."""

from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_Header = tuple[bytes, bytes]

_HSTS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_UNLESS_SET = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)


def headers_for(scheme: str, given: Iterable[_Header]) -> list[_Header]:
    """Return an answer's headers with these added, unless it has its own Content-Security-Policy or Cache-Control."""
    headers = [*given, *_ALWAYS]
    names = {name for name, _ in headers}
    headers += [header for header in _UNLESS_SET if header[0] not in names]
    if scheme == "https":
        headers.append(_HSTS)
    return headers


class SecurityHeaders:
    """Add them to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with them."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = headers_for(scope["scheme"], message.get("headers", ()))
            await send(message)

        await self._app(scope, receive, send_with_headers)
