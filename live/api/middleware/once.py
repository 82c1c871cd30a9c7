"""Which headers may come once: of two values a proxy before us may have looked at the other."""

from collections.abc import Sequence

from live.api.problems import FieldError, Problem

_WRONG = "was given more than once; it must be given once"
_ONCE = {
    name.lower().encode(): name
    for name in (
        "Authorization",
        "Content-Encoding",
        "Content-Type",
        "HP-KEY",
        "HP-RECV-WINDOW",
        "HP-SIGNATURE",
        "HP-TIMESTAMP",
        "Idempotency-Key",
        "X-Request-ID",
    )
}


def check_once(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Raise Problem for a request that has one of these headers more than once, also with the same value."""
    names = [name for name, _ in headers]
    twice = [_ONCE[name] for name in _ONCE if names.count(name) > 1]
    if twice:
        errors = [FieldError(field=f"header.{name}", detail=_WRONG) for name in twice]
        raise Problem(400, "malformed", f"{errors[0].field}: {_WRONG}", errors=errors)
