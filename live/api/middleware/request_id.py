"""The correlation id: in every answer, problem and log line of a request."""

import re
import secrets

HEADER = b"x-request-id"
_VALID = re.compile(rb"[A-Za-z0-9._-]{8,64}")


def request_id_of(headers: dict[bytes, bytes]) -> bytes:
    """Return the X-Request-ID of a request, if it is one, else a new one."""
    given = headers.get(HEADER)
    if given is not None and _VALID.fullmatch(given):
        return given
    return secrets.token_hex(10).encode()
