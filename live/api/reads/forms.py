"""How values of the books are written in JSON: in SQL for reads, in Python for rows as they are committed.

Both give the same text: decimals with every digit and no exponent, times in UTC with microseconds.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from typing import Annotated, Any, NamedTuple

from pydantic import Field

_PLACES, _MONEY_PLACES = 12, 6  # of quotients: prices and ratios, and amounts
_STEPS = {places: Decimal(1).scaleb(-places) for places in (_PLACES, _MONEY_PLACES)}

DecimalText = Annotated[
    str, Field(pattern=r"^-?\d+(\.\d+)?$", description="A decimal as text, with every digit.")
]
MomentText = Annotated[
    str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-03-01T12:00:00.000000Z"])
]
Seq = Annotated[
    int,
    Field(
        description="The input of the books that last changed this, as the stream counts them.",
        examples=[1207],
    ),
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'


class Form(NamedTuple):
    """Say how a value is read: ``sql`` as an expression with ``{}`` for its column, ``python`` from a row's field."""

    sql: str
    python: Callable[[Any], Any]


def decimal_text(value: Decimal | None) -> str | None:
    """Write a decimal as the database does."""
    if value is None:
        return None
    if not value:
        return format(abs(value), "f")
    text = str(value)  # a third of what format takes, and the same but for exponents
    return format(value, "f") if "E" in text else text


def quotient_text(value: Decimal | None, rounding: str = ROUND_HALF_UP, places: int = _PLACES) -> str | None:
    """Write a quotient, such as a mean price, rounded and without idle zeros."""
    if value is None:
        return None
    rounded = value.quantize(_STEPS[places], rounding)
    text = str(rounded)
    if not rounded or "E" in text:
        return decimal_text(rounded.normalize())
    return text.rstrip("0").rstrip(".")


def required_text(amount: Decimal) -> str | None:
    """Write an amount of USDC that is a quotient as the books round it."""
    return quotient_text(amount, ROUND_HALF_EVEN, _MONEY_PLACES)


def free_text(amount: Decimal) -> str | None:
    """Write an amount of USDC that is left: no more than there is."""
    return quotient_text(amount, ROUND_FLOOR, _MONEY_PLACES)


def liquidation_text(price: Decimal | None, side: int) -> str | None:
    """Write the mark that liquidates a position of ``side``, rounded so that it comes no later than it does."""
    return quotient_text(price, ROUND_CEILING if side > 0 else ROUND_FLOOR)


def money_text(value: Decimal) -> str:
    """Write an amount of USDC, which has six decimals."""
    return format(value if value else abs(value), ".6f")


def moment_text(ns: int) -> str:
    """Write UTC nanoseconds as a time."""
    return f"{_EPOCH + timedelta(microseconds=ns // 1000):%Y-%m-%dT%H:%M:%S.%fZ}"


PLAIN = Form("{}", lambda value: value)
NUMBER = Form("{}::text", decimal_text)
QUOTIENT = Form(f"trim_scale(round({{}}, {_PLACES}))::text", quotient_text)
MONEY = Form("{}::text", money_text)
MOMENT = Form(f"to_char({{}} at time zone 'UTC', '{_ISO}')", moment_text)
NANOSECONDS = Form(
    f"to_char(timestamp 'epoch' + {{}} / 1000 * interval '1 microsecond', '{_ISO}')", moment_text
)
