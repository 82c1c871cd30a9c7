"""The correlation id: in every answer, problem and log line of a request."""

import re
import secrets

from live.api.logs import without_secrets

HEADER = b"x-request-id"
_VALID = re.compile(rb"[A-Za-z0-9._-]{8,64}")


def request_id_of(headers: dict[bytes, bytes]) -> bytes:
    """Return the X-Request-ID of a request, if it is one, else a new one: the answer and the log have the same."""
    given = headers.get(HEADER)
    if given is not None and _VALID.fullmatch(given) and _is_shown(given.decode()):
        return given
    return secrets.token_hex(10).encode()


def _is_shown(given: str) -> bool:
    """Tell whether the log would show it: it hides what looks like a token."""
    return without_secrets(given) == given
