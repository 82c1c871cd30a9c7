"""Headers that keep browsers from making anything else of an answer than what it is."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

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


class SecurityHeaders:
    """Add them; a route may set its own Content-Security-Policy and Cache-Control."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with them."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), *_ALWAYS]
                names = {name for name, _ in headers}
                headers += [header for header in _UNLESS_SET if header[0] not in names]
                if scope["scheme"] == "https":
                    headers.append(_HSTS)
                message["headers"] = headers
            await send(message)

        await self._app(scope, receive, send_with_headers)
