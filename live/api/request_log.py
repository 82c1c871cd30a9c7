"""The log's line of each request: the fields, order and hiding of ``live.api.logs``, written at once.

All of its fields are known and short, so that it needs none of the steps that other lines go through, which take
longer than what most requests are about.
"""

import time
from functools import lru_cache

import msgspec

from live.api import logs
from live.identity.principal import Principal

PRINCIPAL = "principal"  # in a request's scope: who sent it

_encode = msgspec.json.Encoder().encode
_without_secrets = lru_cache(10_000)(logs.without_secrets)
_second: tuple[int, str] = (-1, "")


class _Line(msgspec.Struct, omit_defaults=True):
    request_id: str
    method: str
    route: str
    status: int
    ms: float
    address: str
    event: str
    level: str
    timestamp: str
    user: str = ""
    session: str = ""
    key: str = ""


def log_request(
    request_id: str,
    method: str,
    route: str,
    status: int,
    seconds: float,
    address: str,
    who: Principal | None = None,
) -> None:
    """Write a line, where lines of that level are written; with whose request it was, once that is known."""
    out = logs.sink()
    if out is None:
        return
    line = _Line(
        request_id,  # one that looks like a secret was not taken
        method,
        route,
        status,
        round(seconds * 1000, 2),
        _without_secrets(address),  # what a trusted proxy wrote
        "request",
        "info",
        _timestamp(time.time_ns()),
    )
    if who is not None:
        line.user = who.user
        if who.via == "session":
            line.session = who.id
        else:
            line.key = who.id
    out.write(_encode(line) + b"\n")
    out.flush()


def _timestamp(now_ns: int) -> str:
    """Return a time as ISO 8601 in UTC; its second is written once."""
    global _second
    seconds, rest_ns = divmod(now_ns, 1_000_000_000)
    if _second[0] != seconds:
        _second = seconds, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{_second[1]}.{rest_ns // 1000:06d}Z"
