"""How a client says who it is: with an API key that signs, or with the tokens of a session."""

import hashlib
import hmac
import time
from collections.abc import Callable

import msgspec

_AHEAD_OF_END_S = 20.0  # before its end an access token is changed for another


class Tokens(msgspec.Struct, frozen=True):
    """Hold what a session is used with; keep them as you would a password."""

    access_token: str
    refresh_token: str
    expires_in: int
    session: str
    device_token: str | None = None


class Signer:
    """Sign requests with an API key; every signature is another, for the server takes each once."""

    def __init__(self, key: str, secret: str, clock: Callable[[], int] = time.time_ns) -> None:
        self.key = key
        self._secret = secret.encode()
        self._clock = clock
        self._last_ms = 0

    def sign(self, method: str, target: str, body: bytes = b"", key: str = "") -> tuple[str, str]:
        """Return timestamp and signature of a request; ``target`` is the path with its query, as sent.

        ``key`` is its Idempotency-Key, if it has one.
        """
        self._last_ms = max(self._clock() // 1_000_000, self._last_ms + 1)
        window = ""  # the server's own
        text = f"{self._last_ms}\n{method}\n{target}\n{window}\n{key}\n{hashlib.sha256(body).hexdigest()}"
        return str(self._last_ms), hmac.digest(self._secret, text.encode(), "sha256").hex()

    def headers(self, method: str, target: str, body: bytes = b"", key: str = "") -> dict[str, str]:
        """Return the headers that sign a request."""
        timestamp, signature = self.sign(method, target, body, key)
        return {"HP-KEY": self.key, "HP-TIMESTAMP": timestamp, "HP-SIGNATURE": signature}


class Session:
    """Hold a session's tokens, and know when the access token must be changed."""

    def __init__(self, tokens: Tokens, now_s: Callable[[], float] = time.monotonic) -> None:
        self.id = tokens.session
        self.refresh_token = tokens.refresh_token
        self._now_s = now_s
        self.renew(tokens.access_token, tokens.expires_in)

    @property
    def is_stale(self) -> bool:
        """Tell whether the access token has ended, or is about to."""
        return self._now_s() >= self._stale_at

    def renew(self, access_token: str, expires_in: int) -> None:
        """Take on a new access token."""
        self.access_token = access_token
        self._stale_at = self._now_s() + max(expires_in - _AHEAD_OF_END_S, expires_in / 2)
