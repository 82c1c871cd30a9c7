"""Signed requests: whose API key signed this, now, from an allowed place, and for the first time.

The signature is HMAC-SHA256 in lower-case hex, keyed with the secret's text, over the timestamp in ms, the method, the
path with its query as sent, the receive window, the idempotency key (each as its header has it, nothing without one),
and the body's SHA-256 in hex, with a line feed between each.
"""

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

import asyncpg

from live.identity.errors import NotAuthenticated, NotPermitted
from live.identity.guesses import Address
from live.identity.keyring import Keyring
from live.identity.keys import Network, row_of
from live.identity.moments import moment
from live.identity.principal import Principal, Scope
from live.identity.rules import AccessRules
from live.identity.standing import WINDOW_S, Standings
from risk.settings import SECOND_NS

_KEY = re.compile(r"k[a-z2-7]{20}")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_NUMBER = re.compile(r"[0-9]{1,15}")
_READ_ANEW_NS = int(WINDOW_S / 3) * SECOND_NS
_MOST_KNOWN = 100_000
_MS_NS = 1_000_000
_HOUR_MS = 3_600_000
_NO_SECRET = b"-" * 43


class Marks(Protocol):
    """Remember what may happen once; ``since_s`` is the Unix time from which on it remembers all."""

    since_s: float

    async def once(self, key: str, ttl_s: float) -> bool:
        """Tell whether ``key`` comes for the first time within ``ttl_s`` seconds, and mark it."""


class SignedRequest(NamedTuple):
    """Hold a request as it came: headers as text, ``target`` the raw path with its query."""

    key: str
    timestamp: str
    signature: str
    window: str | None
    idempotency_key: str
    method: str
    target: str
    body: bytes
    ip: Address


@dataclass(frozen=True)
class _Known:
    """Hold a key as it was read at ``read_ns``."""

    principal: Principal
    networks: tuple[Network, ...]
    secret: bytes = field(repr=False)
    previous: bytes | None = field(repr=False)
    previous_until: datetime | None
    changed_at: datetime
    revoked: bool
    read_ns: int


class Signatures:
    """Know requests by their signature; keys are kept in memory while nobody changes them."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        keyring: Keyring,
        clock: Callable[[], int],
        rules: AccessRules,
        standings: Standings,
        marks: Marks,
    ) -> None:
        self._pool = pool
        self._keyring = keyring
        self._clock = clock
        self._rules = rules
        self._standings = standings
        self._marks = marks
        self._known: dict[str, _Known] = {}

    async def principal(self, request: SignedRequest) -> Principal:
        """Return who signed a request; raises NotAuthenticated, or NotPermitted from another network."""
        window_ms = self._check_time(request)
        known = await self._key(request.key)
        if not self._is_signed(request, known) or known is None or known.revoked:
            raise NotAuthenticated("wrong-signature", "the key is unknown, or the signature is not right")
        if known.networks and not any(request.ip in network for network in known.networks):
            raise NotPermitted("wrong-network", f"the API key may not be used from {request.ip}")
        ttl_s = (window_ms + 2 * self._rules.ahead_ms) / 1000  # then it is late
        if not await self._marks.once(f"signature:{request.key}:{request.signature}", ttl_s):
            raise NotAuthenticated("replayed", "a request with this signature came before; sign each anew")
        return known.principal

    def _check_time(self, request: SignedRequest) -> int:
        """Return a request's receive window in ms; raises NotAuthenticated out of it."""
        window_ms = self._rules.receive_window_ms
        if request.window is not None:
            window_ms = int(request.window) if _NUMBER.fullmatch(request.window) else 0
            if not 1 <= window_ms <= self._rules.longest_window_ms:
                raise NotAuthenticated(
                    "wrong-window", f"HP-RECV-WINDOW must be 1 to {self._rules.longest_window_ms} ms"
                )
        if not _NUMBER.fullmatch(request.timestamp):
            raise NotAuthenticated(
                "wrong-timestamp", "HP-TIMESTAMP must be given: the time in ms since 1970, UTC"
            )
        self._check_sent(int(request.timestamp), self._clock() // _MS_NS, window_ms)
        return window_ms

    def _check_sent(self, sent_ms: int, now_ms: int, window_ms: int) -> None:
        ago_ms, ahead_ms = now_ms - sent_ms, self._rules.ahead_ms
        if ago_ms > window_ms:
            if abs(now_ms - 1000 * sent_ms) < _HOUR_MS:
                raise NotAuthenticated(
                    "wrong-timestamp",
                    f"HP-TIMESTAMP was {sent_ms}, as in seconds; it must be in ms since 1970",
                )
            raise NotAuthenticated(
                "late",
                f"HP-TIMESTAMP was {ago_ms} ms ago, and the receive window is {window_ms} ms; sign anew",
            )
        # What came before the marks began may have been marked by who had them before.
        if sent_ms < int(self._marks.since_s * 1000):
            raise NotAuthenticated("late", "HP-TIMESTAMP was before the server began; sign anew")
        if -ago_ms > ahead_ms:
            raise NotAuthenticated(
                "early", f"HP-TIMESTAMP was {-ago_ms} ms ahead of our clock, {ahead_ms} may be; set yours"
            )

    def _is_signed(self, request: SignedRequest, known: _Known | None) -> bool:
        """Tell whether one of a key's secrets signed it; an unknown key takes as long."""
        window, body = request.window or "", hashlib.sha256(request.body).hexdigest()
        parts = (request.timestamp, request.method, request.target, window, request.idempotency_key, body)
        signed = "\n".join(parts).encode()
        secrets = [known.secret if known else _NO_SECRET]
        if known and known.previous and known.previous_until and moment(self._clock()) < known.previous_until:
            secrets.append(known.previous)
        given = request.signature if _SIGNATURE.fullmatch(request.signature) else "-" * 64
        found = False
        for secret in secrets:
            right = hmac.digest(secret, signed, hashlib.sha256).hex()
            found |= hmac.compare_digest(right, given)
        return found

    async def _key(self, key: str) -> _Known | None:
        if not _KEY.fullmatch(key):
            return None
        standing = await self._standings.now()
        known = self._known.get(key)
        if (
            known is None
            or standing.changed.get(key, known.changed_at) != known.changed_at
            or abs(self._clock() - known.read_ns) > _READ_ANEW_NS
        ):
            known = await self._read(key)
            if known is not None:
                if len(self._known) >= _MOST_KNOWN:
                    self._known.clear()
                self._known[key] = known
        return known

    async def _read(self, key: str) -> _Known | None:
        read_ns = self._clock()
        row = await self._pool.fetchrow("select * from access.api_keys where id = $1", key)
        if row is None:
            return None
        previous = row["previous_secret"]
        return _Known(
            Principal(row["account_id"], "api_key", key, frozenset(map(Scope, row["scopes"]))),
            tuple(row["networks"]),
            self._open(key, row["secret"]),
            None if previous is None else self._open(key, previous),
            row["previous_until"],
            row["changed_at"],
            row["revoked_at"] is not None,
            read_ns,
        )

    def _open(self, key: str, sealed: bytes) -> bytes:
        return self._keyring.unseal(sealed, row_of(key))
