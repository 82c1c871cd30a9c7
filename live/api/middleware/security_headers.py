"""Headers that keep browsers from making anything else of an answer than what it is."""

from collections.abc import Iterable

_Header = tuple[bytes, bytes]

_HSTS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_UNLESS_SET = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)


def headers_for(scheme: str, given: Iterable[_Header]) -> list[_Header]:
    """Return an answer's headers with these added, unless it has its own Content-Security-Policy or Cache-Control."""
    headers = [*given, *_ALWAYS]
    names = {name for name, _ in headers}
    headers += [header for header in _UNLESS_SET if header[0] not in names]
    if scheme in ("https", "wss"):
        headers.append(_HSTS)
    return headers
