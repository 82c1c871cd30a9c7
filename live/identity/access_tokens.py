"""Access tokens (JWT): what a session is used with for some minutes, signed by us and kept nowhere."""

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any

import jwt

from live.identity.errors import NotAuthenticated
from live.identity.moments import nanoseconds
from live.identity.rules import AccessRules
from risk.settings import SECOND_NS

_ALGORITHM = "HS256"
_ISSUER = "hybrid-perps"
_LEEWAY_S = 5  # between the clocks of two machines that serve
_KNOWN = 20_000
_CLAIMS = ["sub", "sid", "exp", "iat", "iss", "2fa"]
_CHECKS: Any = {"require": _CLAIMS, "verify_exp": False, "verify_iat": False}  # by our own clock, below


class AccessTokens:
    """Make tokens and read them."""

    def __init__(self, key: bytes, clock: Callable[[], int], rules: AccessRules) -> None:
        self._key = key
        self._clock = clock
        self._life_s = rules.access_s
        # Its signature is looked at once, as it can never become wrong; its time at every use.
        self._verified = lru_cache(_KNOWN)(self._verify)

    def make(self, account: str, session: str, factor_at: datetime | None) -> str:
        """Return a token of a session, whose second factor was given last at a time."""
        now_s = self._clock() // SECOND_NS
        claims = {
            "iss": _ISSUER,
            "sub": account,
            "sid": session,
            "iat": now_s,
            "exp": now_s + self._life_s,
            "2fa": nanoseconds(factor_at),
        }
        return jwt.encode(claims, self._key, _ALGORITHM)

    def read(self, token: str) -> tuple[str, str, int]:
        """Return account, session and second factor (ns) of a token; raises NotAuthenticated."""
        try:
            account, session, expires_s, second_factor_at = self._verified(token)
        except (jwt.InvalidTokenError, TypeError, ValueError):
            raise NotAuthenticated("wrong-token", "the access token is not one of ours") from None
        if self._clock() >= (expires_s + _LEEWAY_S) * SECOND_NS:
            raise NotAuthenticated("token-expired", "the access token has expired; refresh it")
        return account, session, second_factor_at

    def _verify(self, token: str) -> tuple[str, str, int, int]:
        claims = jwt.decode(token, self._key, [_ALGORITHM], issuer=_ISSUER, options=_CHECKS)
        return str(claims["sub"]), str(claims["sid"]), int(claims["exp"]), int(claims["2fa"])
