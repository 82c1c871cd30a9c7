"""The line of a request is what any other line with its fields would be."""

import io
import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import structlog

from live.api import logs
from live.api.request_log import _timestamp, log_request


@pytest.fixture
def out() -> Iterator[io.BytesIO]:
    kept, out = logging.getLogger().handlers, io.BytesIO()
    logs.configure("info", out)
    yield out
    logging.getLogger().handlers = kept
    structlog.reset_defaults()


@pytest.mark.parametrize(
    ("request_id", "address"),
    [
        ("5f0c2c3e9a1b4d6f8e7a", "127.0.0.1"),
        ("secret-token.18", "2001:db8::1"),
        ("request-18", "token=hunter2"),
    ],
)
def test_it_is_the_line_that_the_log_would_write(request_id: str, address: str, out: io.BytesIO) -> None:
    log_request(request_id, "GET", "/v1/orders", 200, 0.0123456, address)
    structlog.get_logger("live.api.access").info(
        "request",
        request_id=request_id,
        method="GET",
        route="/v1/orders",
        status=200,
        ms=12.35,
        address=address,
    )
    mine, usual = (json.loads(line) for line in out.getvalue().splitlines())
    shape = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
    assert shape.fullmatch(mine.pop("timestamp"))
    assert shape.fullmatch(usual.pop("timestamp"))
    assert list(mine.items()) == list(usual.items())
    assert b"hunter2" not in out.getvalue()


def test_nothing_is_written_where_lines_of_that_level_are_not(out: io.BytesIO) -> None:
    logs.configure("warning", out)
    log_request("request-18", "GET", "/v1/orders", 200, 0.01, "127.0.0.1")
    assert out.getvalue() == b""


def test_times_are_those_of_the_calendar() -> None:
    began = datetime(1970, 1, 1, tzinfo=UTC)
    for microseconds in (0, 999_999, 1_000_000, 1_700_000_000_123_456, 951_868_799_000_001, 1_000_001):
        expected = began + timedelta(microseconds=microseconds)
        assert _timestamp(microseconds * 1_000 + 999) == f"{expected:%Y-%m-%dT%H:%M:%S.%f}Z"
