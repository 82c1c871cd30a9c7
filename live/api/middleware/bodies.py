"""Which bodies are taken: JSON, no larger than the limit, also where a request does not say how large it is."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from live.api.problems import Problem

_JSON = b"application/json"


class Bodies:
    """Refuse others: 413 for one that is too large, 415 for one that is not JSON.

    A body whose length is told is not read here: the server ends it there. One of unknown length (chunked) is
    read up to the limit.
    """

    def __init__(self, app: ASGIApp, largest: int) -> None:
        self._app = app
        self._largest = largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on whose body will do."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = kind = b""
        chunked = False
        for name, value in scope["headers"]:
            if name == b"content-length":
                length = value
            elif name == b"content-type":
                kind = value
            elif name == b"transfer-encoding":
                chunked = True
        if chunked:
            receive = await self._read(receive)
        elif length:
            self._check_length(length)
        if (chunked or length.strip(b"0")) and kind.partition(b";")[0].strip().lower() != _JSON:
            raise Problem(
                415, "unsupported-media-type", "the body must be JSON: Content-Type: application/json"
            )
        await self._app(scope, receive, send)

    def _check_length(self, length: bytes) -> None:
        if not length.isdigit():
            raise Problem(400, "malformed", "Content-Length must be a number")
        if int(length) > self._largest:
            raise self._too_large()

    async def _read(self, receive: Receive) -> Receive:
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                break  # the client left; whoever reads on is told so again
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            more = message.get("more_body", False)
            if size > self._largest:
                raise self._too_large()
        whole: list[Message] = [{"type": "http.request", "body": b"".join(parts), "more_body": more}]

        async def receive_whole() -> Message:
            return whole.pop() if whole else await receive()

        return receive_whole

    def _too_large(self) -> Problem:
        detail = f"the body was larger than {self._largest} bytes"
        return Problem(413, "too-large", detail, headers={"Connection": "close"})
