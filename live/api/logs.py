"""Logs: one JSON object a line, from our own loggers and those of libraries, with no secret in them."""

import logging
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, BinaryIO

import msgspec
import structlog
from structlog.types import EventDict, Processor, WrappedLogger

HIDDEN = "***"
# What a text with a secret holds: most lines have none of it, and the search below takes ten times as long.
_SUSPECT = ("passw", "token", "secret", "signature", "authorization", "cookie", "bearer", "eyj", "://")
_SECRET_NAME = re.compile(
    r"passw|passphrase|token|secret|signature|authorization|cookie|mnemonic|private.?key|api.?key|otp|recovery",
    re.IGNORECASE,
)
# Secrets inside a text: what follows such a name, passwords of addresses, bearer and JSON web tokens.
_SECRET_TEXT = re.compile(
    r"""(?P<name>(?:[\w-]*(?:passw|token|secret|signature)[\w-]*|authorization|cookie)["']?\s*[=:]\s*["']?)[^\s"',;&}]+
    |(?P<address>://[^/\s:@]*:)[^\s]+(?=@)
    |(?P<bearer>\bbearer\s+)\S+
    |\beyJ[\w-]+\.[\w-]+\.[\w-]*""",
    re.IGNORECASE | re.VERBOSE,
)

_sink: BinaryIO | None = None


def configure(level: str = "info", out: BinaryIO | None = None) -> None:
    """Send all logs from ``level`` on to ``out``, standard error unless given."""
    global _sink
    out = out or sys.stderr.buffer
    number = logging.getLevelNamesMapping()[level.upper()]
    _sink = out if number <= logging.INFO else None
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.format_exc_info,
        redact,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, _render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.BytesLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(_Text(out))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *shared, _render_text],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(number, logging.WARNING))  # below that libraries tell whom they call, and with what
    logging.getLogger("live").setLevel(number)


def sink() -> BinaryIO | None:
    """Return where lines of the level ``info`` go; None where they are not written."""
    return _sink


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Hide the value of every field whose name speaks of a secret, and secrets inside texts."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = HIDDEN if _is_secret(name) else without_secrets(value)
        elif not isinstance(value, int | float):
            event[name] = _redacted(name, value)
    return event


def _redacted(name: str, value: Any) -> Any:
    if _is_secret(name):
        return HIDDEN
    if isinstance(value, Mapping):
        return {str(key): _redacted(str(key), each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted("", each) for each in value]
    if value is None or isinstance(value, int | float):
        return value
    return without_secrets(value if isinstance(value, str) else repr(value))


@lru_cache(10_000)
def _is_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


def without_secrets(text: str) -> str:
    """Return a text with the secrets in it hidden."""
    lower = text.lower()
    for part in _SUSPECT:
        if part in lower:
            return _SECRET_TEXT.sub(_hide, text)
    return text


def _hide(found: re.Match[str]) -> str:
    kept = found["name"] or found["address"] or found["bearer"] or ""
    return kept + HIDDEN


def _render(_: WrappedLogger, __: str, event: EventDict) -> bytes:
    return msgspec.json.encode(event)


def _render_text(_: WrappedLogger, __: str, event: EventDict) -> str:
    return msgspec.json.encode(event).decode()


class _Text:
    """Let a text handler write to a stream of bytes."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def write(self, text: str) -> None:
        self._out.write(text.encode(errors="backslashreplace"))

    def flush(self) -> None:
        self._out.flush()
