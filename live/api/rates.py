"""How many requests are taken: of one address, one user, one API key, of attempts to log in, and of letters."""

import time
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Any, Literal, get_args

from live.api.problems import Problem
from live.api.settings import ApiSettings, rate_of
from live.api.shared_state import SharedState

Kind = Literal["address", "user", "key", "login", "letters"]
_OF_SCOPE = "rate_limit"


class Rates:
    """Count requests in windows that begin at full multiples of their length, and refuse what is too many.

    Over the edge of two windows twice the rate can pass; in exchange a count is one addition, and every process
    knows when a window ends.
    """

    def __init__(
        self, settings: ApiSettings, shared: SharedState, now_s: Callable[[], float] = time.time
    ) -> None:
        self._shared = shared
        self._now_s = now_s
        self._rules: dict[str, tuple[int, int]] = {}
        self._policies: dict[str, bytes] = {}
        for kind in get_args(Kind):
            rate = rate_of(getattr(settings, f"rate_limit_{kind}"))
            self._rules[kind] = amount, window_s = rate.amount, rate.get_expiry()
            self._policies[kind] = b'"%b";q=%d;w=%d' % (kind.encode(), amount, window_s)

    async def charge(self, scope: Any, kind: Kind, who: str) -> None:
        """Count one request of ``who``; the answer to ``scope`` tells what is left of the tightest limit.

        Raises Problem 429 with Retry-After for one too many.
        """
        amount, window_s = self._rules[kind]
        so_far = await self._shared.count(f"{kind}:{who}", window_s)
        left = max(0, amount - so_far)
        tightest = scope.get(_OF_SCOPE)
        if tightest is None or left * tightest[2] < tightest[1] * amount:
            scope[_OF_SCOPE] = kind, left, amount, window_s
        if so_far > amount:
            retry_s = self._left_s(window_s)
            detail = f"more than {amount} requests in {window_s} s; try again in {retry_s} s"
            raise Problem(429, "too-many-requests", detail, headers={"Retry-After": str(retry_s)})

    def headers(self, scope: Any) -> list[tuple[bytes, bytes]]:
        """Return RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers) of the tightest limit."""
        if (tightest := scope.get(_OF_SCOPE)) is None:
            return []
        kind, left, _, window_s = tightest
        return [
            (b"ratelimit", b'"%b";r=%d;t=%d' % (kind.encode(), left, self._left_s(window_s))),
            (b"ratelimit-policy", self._policies[kind]),
        ]

    def _left_s(self, window_s: int) -> int:
        return window_s - int(self._now_s()) % window_s


@lru_cache(10_000)
def address_of(host: str) -> str:
    """Return what counts as one address: of IPv6 the network of 64 bits that one customer gets."""
    try:
        found = ip_address(host)
    except ValueError:  # a Unix socket, or what a trusted proxy wrote
        return host
    if not isinstance(found, IPv6Address):
        return host
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(IPv6Address(int(found) >> 64 << 64))
