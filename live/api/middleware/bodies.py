"""Which bodies are taken: JSON, no larger than the limit, also where a request does not say how large it is."""

from starlette.types import Message, Receive

from live.api.problems import Problem

_JSON = b"application/json"


class Bodies:
    """Refuse others: 413 for one that is too large, 415 for one that is not JSON.

    A body whose length is told is not read here: the server ends it there. One of unknown length (chunked) is
    read up to the limit.
    """

    def __init__(self, largest: int) -> None:
        self._largest = largest

    def check(self, headers: dict[bytes, bytes]) -> bool:
        """Return whether a body is yet to be ``read``; raises Problem for one that will not do."""
        chunked, length = b"transfer-encoding" in headers, headers.get(b"content-length", b"")
        if length and not chunked:
            self._check_length(length)
        if (chunked or length.strip(b"0")) and (kind := headers.get(b"content-type", b"")) != _JSON:
            _check_kind(kind)
        return chunked

    def _check_length(self, length: bytes) -> None:
        if not length.isdigit():
            raise Problem(400, "malformed", "Content-Length must be a number")
        if int(length) > self._largest:
            raise self._too_large()

    async def read(self, receive: Receive) -> Receive:
        """Read a body of unknown length; return what gives it again. Raises Problem for one that is too large."""
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


def _check_kind(kind: bytes) -> None:
    if kind.partition(b";")[0].strip().lower() != _JSON:
        raise Problem(415, "unsupported-media-type", "the body must be JSON: Content-Type: application/json")
