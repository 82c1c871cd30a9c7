"""What the books are asked, and what they answer."""

from collections.abc import Callable
from dataclasses import fields
from decimal import Decimal
from functools import cache
from hashlib import sha256
from operator import attrgetter
from typing import Any

import msgspec

from live.ledger.codec import encode
from live.ledger.inputs import (
    BooksReleased,
    DepositArrived,
    DepositRejected,
    DepositSeen,
    HotWalletReported,
    KycChanged,
    UserRegistered,
    WithdrawalApproved,
    WithdrawalConfirmed,
    WithdrawalProcessed,
    WithdrawalQueued,
    WithdrawalRefused,
    WithdrawalRequested,
    WithdrawalSending,
)
from live.ledger.naming import NAMED, name_at
from risk.errors import HybridPerpsError, InvalidInput, StateConflict
from risk.events import Event, OrderCancelled, OrderFilled, OrderRefused, OrderRested
from risk.house_events import VenueOrderRequested
from risk.inputs import (
    BalanceAdjusted,
    CancelSubmitted,
    ConfigChanged,
    HlHaltLifted,
    MarginAdjusted,
    OrderSubmitted,
    RoutingModeSet,
    ServiceLevelSet,
)
from risk.record import record

Asked = (
    OrderSubmitted
    | CancelSubmitted
    | MarginAdjusted
    | UserRegistered
    | KycChanged
    | DepositSeen
    | DepositArrived
    | DepositRejected
    | WithdrawalRequested
    | WithdrawalConfirmed
    | WithdrawalApproved
    | WithdrawalRefused
    | WithdrawalQueued
    | WithdrawalSending
    | WithdrawalProcessed
    | HotWalletReported
    | BalanceAdjusted
    | ServiceLevelSet
    | RoutingModeSet
    | HlHaltLifted
    | ConfigChanged
    | BooksReleased
)


@record
class Command:
    """Ask for one thing, once: the same ``key`` gets the first answer again, within 24 hours.

    The books set the time (``ts`` is not looked at), and the ids of orders and withdrawals, which stay empty.
    """

    key: str
    asked: Asked

    def digest(self) -> bytes:
        """Return a hash of what is asked: a key belongs to one request."""
        return request_digest(self.asked)


class Fill(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tell of one fill; decimals are text with every digit."""

    id: int
    position_id: int
    price: str
    size: str
    fee: str
    pnl: str
    hl_fill_price: str
    source: str


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Say what became of a command.

    ``status``: DONE; REFUSED by a rule, or as things stand, with ``code`` and ``detail``; INVALID, which can never
    be right, with ``detail``. ``seq`` is its place in the journal, ``id`` that of the order, withdrawal or correction.
    An order that was partly done and partly refused is DONE with a ``code``.
    """

    status: str
    seq: int = -1
    id: str = ""
    code: str = ""
    detail: str = ""
    resting: bool = False
    fills: tuple[Fill, ...] = ()

    def to_json(self) -> str:
        """Return the answer as JSON text."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> "Answer":
        """Read what ``to_json`` wrote."""
        return msgspec.json.decode(text, type=cls)


class NotAnswered(HybridPerpsError):
    """Say that the books cannot tell what became of a command; ask again with the same key."""


class Overloaded(HybridPerpsError):
    """Say that too many commands wait; this one was not taken."""


class KeyReused(HybridPerpsError):
    """Say that an idempotency key came with another request before."""


def request_digest(asked: Asked) -> bytes:
    """Return a hash of what is asked, whenever it is: also of a command that has its time and its id."""
    kind: Any = type(asked)
    if any(_given_of(kind)(asked)):
        asked = named(asked, 0, "")
    return sha256(f"{kind.__name__} {encode(asked)}".encode()).digest()


def named(asked: Asked, ts: int, name: str) -> Any:
    """Return a command at ``ts``, an order, a withdrawal or a correction under ``name``: what the books set of it."""
    kind: Any = type(asked)
    values = _values_of(kind)(asked)
    if kind in NAMED:
        return kind(ts, name, *values[2:])
    return kind(ts, *values[1:])


@cache
def _given_of(kind: Any) -> Callable[[Any], tuple[Any, ...]]:
    """Return how to read what the books set of a command; of one that just came it is zero and empty."""
    names = [field.name for field in fields(kind)]
    return attrgetter(names[0], names[1] if kind in NAMED else names[0])


@cache
def _values_of(kind: type) -> Callable[[Any], tuple[Any, ...]]:
    """Return how to read all fields of a command at once: one is made anew for each that is carried out."""
    return attrgetter(*(field.name for field in fields(kind)))


def invalid(detail: str) -> Answer:
    """Answer what can never be right."""
    return Answer("INVALID", detail=detail)


def refused(code: str, detail: str) -> Answer:
    """Answer what is right, but not as things stand."""
    return Answer("REFUSED", code=code, detail=detail)


def not_taken(error: InvalidInput) -> Answer:
    """Answer what was not taken for ``error``."""
    if isinstance(error, StateConflict):
        return refused(error.code, str(error))
    return invalid(str(error))


def answer_to(asked: Asked, seq: int, events: tuple[Event, ...]) -> Answer:
    """Answer a command that was taken as input ``seq``, from what happened."""
    name = name_at(type(asked), seq) if isinstance(asked, NAMED) else ""
    code = detail = ""
    waits, is_sent, fills = Decimal(), False, []
    for event in events:
        match event:
            case OrderFilled() if event.order_id == name:
                fills.append(_fill(event))
                waits -= event.size
            case OrderRested() if event.order_id == name:
                waits = event.size
            case VenueOrderRequested() if event.order_id == name:
                is_sent = True
                if not event.resting:
                    waits -= event.size
            case OrderRefused():
                code, detail = event.code, event.detail
            case OrderCancelled() if event.order_id == name:
                code = event.reason
                waits -= event.size_left
    is_done = not code or fills or waits > 0 or is_sent or _is_cancel(asked, events)
    return Answer("DONE" if is_done else "REFUSED", seq, name, code, detail, waits > 0, tuple(fills))


def _is_cancel(asked: Asked, events: tuple[Event, ...]) -> bool:
    return isinstance(asked, CancelSubmitted) and any(isinstance(event, OrderCancelled) for event in events)


def _fill(event: OrderFilled) -> Fill:
    return Fill(
        event.fill_id,
        event.position_id,
        str(event.price),
        str(event.size),
        str(event.fee),
        str(event.pnl),
        str(event.hl_fill_price),
        event.source,
    )
