"""How a list is narrowed and paged, as query parameters; those that are not known are refused."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from live.api.reads.listing import LARGEST_ID, MOST, Condition
from live.api.reads.orders import OPEN, Status
from live.api.wording import worded

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST, _LATEST = datetime(1971, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def _moment(value: object) -> object:
    """Read a time; UTC where it names no zone."""
    wanted = f"must be a time such as 2026-03-01T12:00:00Z, from {_EARLIEST.year} to {_LATEST.year}"
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
        if not isinstance(found, datetime):
            raise ValueError(wanted)
        found = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
        if not _EARLIEST <= found <= _LATEST:
            raise ValueError(wanted)
    except (ValueError, OverflowError):
        raise ValueError(wanted) from None
    return found.astimezone(UTC)


Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-03-01T12:00:00Z"]}),
]
Symbol = Annotated[
    str, Field(pattern=worded(r"^[A-Za-z0-9:@./_-]{1,40}$", "a symbol such as BTC"), examples=["BTC"])
]
Id = Annotated[int, Field(ge=1, le=LARGEST_ID, examples=[42])]


class Span(BaseModel):
    """Narrow a list to a time: from ``from`` to before ``to``."""

    model_config = ConfigDict(extra="forbid")

    from_: Moment | None = Field(
        default=None, alias="from", description="The earliest; without a zone it is UTC."
    )
    to: Moment | None = Field(default=None, description="The time before which; without a zone it is UTC.")

    @field_validator("to", mode="after")
    @classmethod
    def _is_later(cls, to: datetime | None, info: ValidationInfo) -> datetime | None:
        begin = info.data.get("from_")
        if to is not None and begin is not None and to <= begin:
            raise ValueError("must be later than from")
        return to

    def span(self, column: str, *, nanoseconds: bool = False) -> list[Condition]:
        """Return the conditions on ``column``, a time or UTC nanoseconds."""
        found = []
        for sign, moment in ((">=", self.from_), ("<", self.to)):
            if moment is not None:
                value: Any = moment
                if nanoseconds:
                    value = (moment - _EPOCH) // timedelta(microseconds=1) * 1_000
                found.append(Condition(f"{column} {sign} {{}}", value))
        return found


class Paging(Span):
    """Take one page of a list."""

    before: int | None = Field(
        default=None,
        ge=0,
        le=LARGEST_ID,
        description="``next`` of the page before; none for the first.",
        examples=[1107],
    )
    limit: int = Field(default=100, ge=1, le=MOST, description="How many items at most.", examples=[20])


class SymbolPaging(Paging):
    """Take one page of what is of a symbol."""

    symbol: Symbol | None = None

    def conditions(self, time: str) -> list[Condition]:
        """Return the conditions on symbol and time."""
        return of_symbol(self.symbol) + self.span(time)


class OrderPaging(SymbolPaging):
    """Take one page of orders."""

    status: list[Status] = Field(
        default=[], description="Only orders that stand so; any by default.", examples=[["RESTING"]]
    )

    def statuses(self) -> list[Condition]:
        """Return the condition on the status: in words the index of open orders knows, where it suffices."""
        if not self.status:
            return []
        found = [Condition("status = any({})", list(self.status))]
        if set(self.status) <= set(OPEN):
            found[0] = Condition(f"status = any({{}}) and status in {OPEN}", list(self.status))
        return found


class PositionPaging(SymbolPaging):
    """Take one page of positions."""

    status: Literal["OPEN", "CLOSED", "LIQUIDATED"] | None = Field(
        default=None, description="Only positions that stand so; any by default."
    )

    def statuses(self) -> list[Condition]:
        """Return the condition on the status: in words the index of open positions knows, where it suffices."""
        if self.status is None:
            return []
        open_too = " and status = 'OPEN'" if self.status == "OPEN" else ""
        return [Condition(f"status = {{}}{open_too}", self.status)]


def of_symbol(symbol: str | None) -> list[Condition]:
    """Return the condition on the symbol."""
    return [] if symbol is None else [Condition("symbol = {}", symbol)]
