"""Times as the clock and as the database have them."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(ns: int) -> datetime:
    """Return UTC nanoseconds as a time of the database, cut to microseconds."""
    return _EPOCH + timedelta(microseconds=ns // 1000)


def nanoseconds(at: datetime | None) -> int:
    """Return a time of the database in UTC nanoseconds; 0 for none."""
    return 0 if at is None else (at - _EPOCH) // timedelta(microseconds=1) * 1000


def seconds(count: float) -> timedelta:
    """Return a span of that many seconds."""
    return timedelta(seconds=count)
