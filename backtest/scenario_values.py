"""The kinds of value a scenario file holds, each validated from TOML and written back as TOML shows it."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

NS_OF_UNIT = {"d": 86_400 * 10**9, "h": 3_600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6, "us": 10**3}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(d|h|ms|us|m|s)")


class Section(BaseModel):
    """Be one table of the file: frozen, and with no key it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def parse_duration(value: Any) -> int:
    """Turn text such as ``500ms``, ``1.5h`` or ``7d`` into nanoseconds; raise ValueError for any other."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    nanoseconds = Decimal(match[1]) * NS_OF_UNIT[match[2]] if match else Decimal("0.1")
    if nanoseconds != int(nanoseconds):
        raise ValueError('it must be a duration such as "500ms", "5s", "2m", "1h" or "7d"')
    return int(nanoseconds)


def format_duration(nanoseconds: int) -> str:
    """Write nanoseconds in the largest unit that divides them."""
    for unit, size in NS_OF_UNIT.items():
        if nanoseconds and nanoseconds % size == 0:
            return f"{nanoseconds // size}{unit}"
    return f"{Decimal(nanoseconds) / NS_OF_UNIT['us']:f}us" if nanoseconds else "0s"


def parse_time(value: Any) -> int | None:
    """Turn an ISO date or time (UTC unless it says otherwise), or a TOML one, into nanoseconds.

    Empty text means no bound and gives None; anything else raises ValueError.
    """
    if value is None or value == "":
        return None
    try:
        moment = value if isinstance(value, date) else datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError('it must be a UTC time such as "2023-04-10" or "2023-04-10T12:00:00"') from None
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1_000


def format_time(nanoseconds: int | None) -> str:
    """Write nanoseconds as an ISO UTC time to the microsecond; None as empty text."""
    if nanoseconds is None:
        return ""
    moment = datetime.fromtimestamp(nanoseconds // 10**9, UTC).replace(
        microsecond=nanoseconds // 1_000 % 10**6
    )
    return moment.isoformat().removesuffix("+00:00").removesuffix("T00:00:00")


Money = Annotated[Decimal, Field(ge=0)]
Positive = Annotated[Decimal, Field(gt=0)]
Fraction = Annotated[Decimal, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Leverage = Annotated[int, Field(ge=1, le=100)]
Duration = Annotated[int, BeforeValidator(parse_duration), PlainSerializer(format_duration)]
Interval = Annotated[int, BeforeValidator(parse_duration), Field(gt=0), PlainSerializer(format_duration)]
Time = Annotated[int | None, BeforeValidator(parse_time), PlainSerializer(format_time)]
