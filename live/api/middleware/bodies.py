"""Which bodies are taken: JSON in UTF-8 as it is, no larger than the limit, also where that is not said before."""

from collections.abc import Mapping

from starlette.types import Message, Receive

from live.api.problems import FieldError, Problem

_JSON = b"application/json"
_UTF_8 = (b"utf-8", b"utf8")
_LONGEST_SHOWN = 100


class Bodies:
    """Refuse others: 413 for one that is too large, 415 for one that is not JSON, or is encoded.

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
        if chunked or length.strip(b"0"):
            if (kind := headers.get(b"content-type", b"")) != _JSON:
                _check_kind(kind)
            if b"content-encoding" in headers:
                _check_encoding(headers[b"content-encoding"])
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
    media, *parameters = kind.lower().split(b";")
    if media.strip() != _JSON:
        raise _unsupported("Content-Type", kind, "application/json")
    for parameter in parameters:
        name, _, value = parameter.strip().partition(b"=")
        if name == b"charset" and value.strip(b'"') not in _UTF_8:
            raise _unsupported("Content-Type", kind, "application/json, in UTF-8")


def _check_encoding(encoding: bytes) -> None:
    if encoding.strip().lower() not in (b"", b"identity"):
        raise _unsupported(
            "Content-Encoding", encoding, "identity, or left out", {"Accept-Encoding": "identity"}
        )


def _unsupported(header: str, given: bytes, wanted: str, headers: Mapping[str, str] | None = None) -> Problem:
    was = f"was {given[:_LONGEST_SHOWN].decode('latin-1')!r}" if given else "was not given"
    detail = f"{was}; it must be {wanted}"
    errors = [FieldError(field=f"header.{header}", detail=detail)]
    return Problem(415, "unsupported-media-type", f"{header} {detail}", errors=errors, headers=headers)
