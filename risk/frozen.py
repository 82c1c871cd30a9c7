"""A book as bytes: put down whole and taken up again, by whoever holds a state of the same version.

The bytes may come back from a database that others can write to, so they must not be able to do anything. They
are a pickle in which each object of ours is a class's name and the row of its fields. Thawing answers such a
name not with the class but with a maker of its instances, made for this one thaw: a pickle can also assign
attributes to whatever it is given, and a class or an enum's member would stay spoilt for the whole process.
For the same reason members of enums travel as their plain values and become members again within the makers.
"""

import pickle
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from functools import cache
from hashlib import blake2b
from io import BytesIO
from operator import attrgetter
from types import UnionType
from typing import Any, get_args, get_type_hints

from risk.core import Core
from risk.deviation import DayGrade, DeviationDay
from risk.errors import InvalidInput
from risk.events import Event, Source, Transferred
from risk.guards import ChannelGuard, DailyLossBreaker, PriceGuard, RangeGuard, ReserveState
from risk.hedger import Hedger, _Reduction, _SymbolState
from risk.hedging import HedgeDecision
from risk.inputs import HlAccount, MarginMode, OrderSubmitted, OrderType
from risk.ledger import Ledger
from risk.margin_tiers import MarginTiers
from risk.market import SymbolSpec, SymbolView
from risk.scan import CrossLeg as ScannedLeg
from risk.scan import LiquidationIndex, _Lines
from risk.settings import HedgeTier, LeverageStep, RiskConfig, RoutingConfig, RoutingMode, Settings
from risk.state import CrossLeg, Order, Position, Purpose, SymbolState, User, VenueOrder
from risk.triggers import PriceTriggers, Side

type _Row = tuple[type, tuple[object, ...]]

_MEANING = 2  # to be raised when a field keeps its name and changes its meaning
_MAGIC = b"hybrid-perps book"

_CLASSES: tuple[type, ...] = (
    ChannelGuard,
    Core,
    CrossLeg,
    DailyLossBreaker,
    DeviationDay,
    HedgeDecision,
    HedgeTier,
    Hedger,
    Ledger,
    LeverageStep,
    LiquidationIndex,
    MarginTiers,
    Order,
    OrderSubmitted,
    Position,
    PriceGuard,
    PriceTriggers,
    RangeGuard,
    RiskConfig,
    RoutingConfig,
    ScannedLeg,
    Settings,
    Side,
    SymbolSpec,
    SymbolState,
    SymbolView,
    Transferred,
    User,
    VenueOrder,
    _Lines,
    _Reduction,
    _SymbolState,
)
_ENUMS: tuple[type[StrEnum], ...] = (
    DayGrade,
    HlAccount,
    MarginMode,
    OrderType,
    Purpose,
    ReserveState,
    RoutingMode,
    Source,
)
_IMMUTABLE = (Decimal, deque)  # built-in types: no attribute of theirs can be assigned

# Where members of enums are deeper inside a field than its type hint shows, or there is none.
_REPAIRS: Mapping[type, Mapping[str, Callable[[Any], object]]] = {
    Core: {
        "account_level": lambda levels: {HlAccount(account): level for account, level in levels.items()},
        "accounts_touched": lambda accounts: set(map(HlAccount, accounts)),
        "position_differences": lambda levels: {
            (HlAccount(account), symbol): level for (account, symbol), level in levels.items()
        },
    },
    DeviationDay: {"_told": lambda grades: tuple(map(DayGrade, grades))},
    User: {"cross_losses": lambda losses: [(Source(source), loss) for source, loss in losses]},
}


def freeze(core: Core, opening_events: tuple[Event, ...]) -> bytes:
    """Put a core down between two inputs, and beside it what its book was opened with."""
    body = BytesIO()
    pickler = pickle.Pickler(body, protocol=5)
    pickler.dispatch_table = _rows()
    pickler.dump((core, opening_events))
    return _seal(body.getvalue())


def thaw(data: bytes, take_up: Callable[[Core, tuple[Event, ...]], None]) -> None:
    """Hand what ``freeze`` put down to ``take_up``.

    Raises InvalidInput for data of another state version and for any that ``freeze`` did not make, also where
    only ``take_up`` stumbles over it.
    """
    body = BytesIO(_unseal(data))
    try:
        core, opening_events = _Thaw(body).load()
        if body.read(1):
            raise pickle.UnpicklingError("something follows its end")
        core.ledger.tell(core.events.append)
        take_up(core, opening_events)
    except Exception as error:  # hostile bytes may raise anything
        raise InvalidInput(
            f"the frozen book was no state of ours: {repr(error)[:200]}; replay its inputs instead"
        ) from None


@cache
def state_version() -> str:
    """Return the hash of what a frozen state consists of: the classes with their fields, the enums' members."""
    parts = [f"{_MEANING}"]
    parts += [f"{cls.__module__}.{cls.__qualname__}({','.join(_fields(cls))})" for cls in _CLASSES]
    parts += [f"{enum.__module__}.{enum.__qualname__}({','.join(enum)})" for enum in _ENUMS]
    return blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def _seal(body: bytes) -> bytes:
    """Put the state version and a checksum in front: damage is to be found, not read."""
    return b"%s %s %s\n%s" % (_MAGIC, state_version().encode(), _checksum(body), body)


def _unseal(data: bytes) -> bytes:
    head, _, body = data.partition(b"\n")
    magic, _, rest = head.rpartition(b" ")[0].rpartition(b" ")
    if magic != _MAGIC:
        raise InvalidInput(f"the frozen book began with {data[:20]!r}; it must begin with {_MAGIC!r}")
    found = rest.decode(errors="replace")
    if found != state_version():
        raise InvalidInput(
            f"state version of the frozen book was {found}; this code reads {state_version()} only: replay its inputs"
        )
    if head.rpartition(b" ")[2] != _checksum(body):
        raise InvalidInput(
            "the frozen book was damaged: its checksum does not fit; replay its inputs instead"
        )
    return body


def _checksum(body: bytes) -> bytes:
    return blake2b(body, digest_size=16).hexdigest().encode()


def _fields(cls: type) -> tuple[str, ...]:
    """Name what an instance consists of."""
    if cls is Core:
        return tuple(vars(Core({}, Settings())))
    if cls in (LiquidationIndex, PriceTriggers):
        return tuple(vars(cls()))
    if cls is Ledger:  # whom it tells is not state
        return tuple(slot for slot in Ledger.__slots__ if slot != "_emit")
    return tuple(vars(cls).get("_fields") or vars(cls)["__slots__"])


@cache
def _rows() -> dict[type, Callable[[Any], _Row]]:
    """Return by class how its instances become rows."""
    rows: dict[type, Callable[[Any], _Row]] = {cls: _row_of(cls) for cls in _CLASSES}
    return rows | dict.fromkeys(_ENUMS, lambda member: (type(member), (member.value,)))


def _row_of(cls: type) -> Callable[[Any], _Row]:
    names = _fields(cls)
    values = attrgetter(*names)
    if len(names) == 1:
        return lambda held: (cls, (values(held),))
    return lambda held: (cls, values(held))


class _Thaw(pickle.Unpickler):
    """Know the names of our state and of nothing else."""

    def find_class(self, module: str, name: str) -> Callable[..., object]:
        known = _names().get((module, name))
        if known is None:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of a book's state")
        return known if known in _IMMUTABLE else _maker(known)


@cache
def _names() -> dict[tuple[str, str], type]:
    return {(cls.__module__, cls.__qualname__): cls for cls in (*_CLASSES, *_ENUMS, *_IMMUTABLE)}


def _maker(cls: type) -> Callable[..., object]:
    if issubclass(cls, StrEnum):
        return {member.value: member.value for member in cls}.__getitem__
    if issubclass(cls, tuple):
        return lambda *row: cls(*row)
    names, repairs = _fields(cls), _repairs()[cls]
    new, put = object.__new__, object.__setattr__  # also for frozen ones

    def make(*row: object) -> object:
        made = new(cls)
        for name, value in zip(names, row, strict=True):
            put(made, name, value)
        for name, repair in repairs:
            put(made, name, repair(getattr(made, name)))
        return made

    return make


@cache
def _repairs() -> dict[type, tuple[tuple[str, Callable[[Any], object]], ...]]:
    """Return by class and field how plain values become members of enums again."""
    return {cls: (*_hinted(cls), *_REPAIRS.get(cls, {}).items()) for cls in _CLASSES}


def _hinted(cls: type) -> Iterator[tuple[str, Callable[[Any], object]]]:
    for name, hint in get_type_hints(cls).items():
        options = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        for enum in set(options).intersection(_ENUMS):
            yield name, _members(enum, type(None) in options).__getitem__


def _members(enum: type[StrEnum], or_none: bool) -> dict[str | None, StrEnum | None]:
    members: dict[str | None, StrEnum | None] = {member.value: member for member in enum}
    return {None: None, **members} if or_none else members
