"""Reading a run with everything INTERNAL: its events, as its observer sees them, into the columns of a flow."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
import pyarrow as pa

from backtest.tuning.internal_flow import (
    NEVER,
    Floats,
    Integers,
    InternalFlow,
    SymbolFlow,
    Yields,
    in_units,
)
from backtest.tuning.valid_marks import ValidMarks, valid_marks
from risk.errors import InvalidInput
from risk.events import Event, FillAction, FundingSettled, OrderFilled, OrderRouted, RouteReason, Source
from risk.house_events import HouseSnapshot

_ROOM = 2**62  # no sum of a column may pass it
_KEPT = (OrderRouted, OrderFilled, FundingSettled, HouseSnapshot)
_ZERO = Decimal(0)


class FlowRecorder:
    """Keep the events of a run that the pre-search needs; ``watch`` observes the run."""

    def __init__(self) -> None:
        self.kept: list[tuple[int, Event]] = []  # with the number of their input
        self._inputs = 0

    def watch(self, events: Sequence[Event]) -> None:
        """Take the events of one input."""
        self._inputs += 1
        self.kept += [(self._inputs, event) for event in events if type(event) in _KEPT]


def internal_flow(recorder: FlowRecorder, tables: Mapping[str, pa.Table]) -> InternalFlow:
    """Return the flow of a run with everything INTERNAL that ``recorder`` watched and that left ``tables``.

    Raises InvalidInput where sums of its numbers do not fit into 64 bits.
    """
    stories: dict[str, _Story] = {}
    snapshots: list[int] = []
    for place, (number, event) in enumerate(recorder.kept):
        if isinstance(event, HouseSnapshot):
            snapshots.append(place)
        elif isinstance(event, OrderRouted | OrderFilled | FundingSettled):
            stories.setdefault(event.symbol, _Story()).take(place, number, event)
    times = tables["house"]["ts"].to_numpy()
    # The last snapshot is taken after the last input, where no observer sees it.
    snapshots += [len(recorder.kept)] * (len(times) - len(snapshots))
    marks = _snapshot_marks(tables["exposure"], times)
    ticks = valid_marks(tables["marks"], tables["guards"])
    places = max(
        (story.places(marks[name], ticks[name].places) for name, story in stories.items()), default=0
    )
    found = {
        name: story.columns(snapshots, marks[name], ticks[name], places)
        for name, story in sorted(stories.items())
    }
    _check_room(found)
    return InternalFlow(found, times, places)


def _snapshot_marks(exposure: pa.Table, times: Integers) -> dict[str, list[Decimal]]:
    row_of = {ts: row for row, ts in enumerate(times.tolist())}
    found: dict[str, list[Decimal]] = {}
    columns = (exposure[name].to_pylist() for name in ("ts", "symbol", "mark"))
    for ts, symbol, mark in zip(*columns, strict=True):
        found.setdefault(symbol, [_ZERO] * len(times))[row_of[ts]] = mark
    return found


def _check_room(flows: Mapping[str, SymbolFlow]) -> None:
    """Raise InvalidInput if the largest sum that any settings may lead to passes 62 bits."""
    largest = 0
    for flow in flows.values():
        mark = max(int(flow.tick.max(initial=0)), int(flow.snapshot_mark.max(initial=0)))
        largest += sum(abs(size) for size in flow.size.tolist()) * mark
        largest += sum(
            sum(getattr(flow.yields, name).tolist()) for name in ("kept_notional", "sent_notional", "volume")
        )
    if largest >= _ROOM:
        raise InvalidInput("the flow's notionals were too large or too fine to be summed in 64 bits")


def _places(values: Iterable[Decimal]) -> int:
    exponents = (value.normalize().as_tuple().exponent for value in set(values))
    return max((-exponent for exponent in exponents if isinstance(exponent, int)), default=0)


@dataclass(slots=True)
class _Decision:
    """Gather what one opening decision led to."""

    place: int
    input: int
    ts: int
    forced: bool
    records: dict[str, int]
    notionals: dict[str, Decimal]
    volume: Decimal = _ZERO
    result: Decimal = _ZERO
    traded: Decimal = _ZERO
    charged: Decimal = _ZERO

    @property
    def notional(self) -> Decimal:
        """Return what is compared with a threshold: the whole order's, however it was carried out."""
        return self.notionals["sent"]

    def record(self, kind: str, notional: Decimal) -> None:
        self.records[kind] = self.records.get(kind, 0) + 1
        self.notionals[kind] = self.notionals.get(kind, _ZERO) + notional


@dataclass(slots=True)
class _Position:
    decision: int
    side: int
    price: Decimal
    size: Decimal


@dataclass(frozen=True, slots=True)
class _Change:
    place: int
    input: int
    ts: int
    decision: int
    size: Decimal
    mark: Decimal
    gained: Decimal
    charged: Decimal


@dataclass(slots=True)
class _Story:
    """Gather one symbol's decisions and changes from its events, in their order."""

    decisions: list[_Decision] = field(default_factory=list)
    changes: list[_Change] = field(default_factory=list)
    prices: set[Decimal] = field(default_factory=set)
    latest: dict[str, int] = field(default_factory=dict)  # order id → its decision
    positions: dict[int, _Position] = field(default_factory=dict)

    def take(self, place: int, number: int, event: OrderRouted | OrderFilled | FundingSettled) -> None:
        if isinstance(event, OrderFilled):
            self._filled(place, number, event)
        elif isinstance(event, FundingSettled):
            if event.source is Source.INTERNAL:
                decision = self.decisions[self.positions[event.position_id].decision]
                decision.result += event.payment - event.uncollected
        elif event.reason is not RouteReason.POSITION_SOURCE:
            self._routed(place, number, event)

    def _routed(self, place: int, number: int, event: OrderRouted) -> None:
        forced = event.route is Source.HYPERLIQUID
        at = self.latest.get(event.order_id)
        before = None if at is None else self.decisions[at]
        touched = not forced and event.threshold is None
        if before is not None and touched:
            before.record("kept", event.notional)
        elif before is not None and before.input == number:
            # The part of a limit order that trades at once, then the part that rests: sent away they are one.
            before.record("kept", event.notional)
            before.notionals["sent"] += event.notional
        elif before is not None and forced:
            before.record("kept_forced", event.notional)
        else:
            self.latest[event.order_id] = len(self.decisions)
            decision = _Decision(place, number, event.ts, forced, {}, {})
            decision.record("sent", event.notional)
            if not forced:
                decision.record("kept", event.notional)
            self.decisions.append(decision)

    def _filled(self, place: int, number: int, event: OrderFilled) -> None:
        position = self.positions.get(event.position_id)
        if position is None:
            position = _Position(self.latest[event.order_id], event.side, event.price, _ZERO)
            self.positions[event.position_id] = position
        position.size += event.side * position.side * event.size
        decision = self.decisions[position.decision]
        amount = event.price * event.size
        decision.traded += amount
        charged = _ZERO if event.action is FillAction.LIQUIDATION else amount
        decision.charged += charged
        if event.source is Source.INTERNAL:
            decision.volume += amount
            decision.result += event.fee - event.pnl
            self.prices.add(event.price)
            size = event.side * event.size
            # Against the mirror at mark: a position has one price, at which it is opened and taken off again.
            gained = event.fee - event.pnl + size * position.price
            change = (position.decision, size, event.mark, gained, charged)
            self.changes.append(_Change(place, number, event.ts, *change))

    def places(self, marks: Iterable[Decimal], tick_places: int) -> int:
        """Return how many decimals the symbol's notionals and volumes have at most."""
        prices = self.prices.union(marks, (change.mark for change in self.changes))
        notionals = (x for decision in self.decisions for x in decision.notionals.values())
        return max(self._size_places() + max(_places(prices), tick_places), _places(notionals))

    def _size_places(self) -> int:
        return _places(change.size for change in self.changes)

    def columns(
        self, snapshots: Sequence[int], marks: Sequence[Decimal], ticks: ValidMarks, places: int
    ) -> SymbolFlow:
        """Return the columns; an amount is in 10^−places, and so is size × mark."""
        self._value_what_is_open(marks[-1])
        size_places = self._size_places()
        changes, decisions = self.changes, self.decisions
        changed_at = _column(change.place for change in changes)
        return SymbolFlow(
            notional=_column(NEVER if d.forced else in_units(d.notional, places) for d in decisions),
            decided_at=_column(decision.place for decision in decisions),
            decided_in=_column(decision.input for decision in decisions),
            decided_ns=_column(decision.ts for decision in decisions),
            yields=self._yields(places),
            decision=_column(change.decision for change in changes),
            size=_column(in_units(change.size, size_places) for change in changes),
            mark=_column(in_units(change.mark, places - size_places) for change in changes),
            gained=np.array([float(change.gained) for change in changes]),
            charged=np.array([float(change.charged) for change in changes]),
            changed_at=changed_at,
            changed_in=_column(change.input for change in changes),
            changed_ns=_column(change.ts for change in changes),
            seen=np.searchsorted(changed_at, snapshots).astype(np.int64),
            snapshot_mark=_column(in_units(mark, places - size_places) for mark in marks),
            tick=ticks.units(places - size_places),
            tick_ns=ticks.ts,
        )

    def _yields(self, places: int) -> Yields:
        def counts(kind: str) -> Integers:
            return _column(decision.records.get(kind, 0) for decision in self.decisions)

        def notionals(kind: str) -> Integers:
            return _column(in_units(d.notionals.get(kind, _ZERO), places) for d in self.decisions)

        def estimates(name: str) -> Floats:
            return np.array([float(getattr(decision, name)) for decision in self.decisions])

        return Yields(
            kept=counts("kept"),
            kept_forced=counts("kept_forced"),
            sent=counts("sent"),
            kept_notional=notionals("kept"),
            kept_forced_notional=notionals("kept_forced"),
            sent_notional=notionals("sent"),
            volume=_column(in_units(decision.volume, places) for decision in self.decisions),
            result=estimates("result"),
            traded=estimates("traded"),
            charged=estimates("charged"),
        )

    def _value_what_is_open(self, mark: Decimal) -> None:
        """Add the mirror of what users hold INTERNAL at the end; each position has one price."""
        internal = {change.decision for change in self.changes}
        for position in self.positions.values():
            if position.size and position.decision in internal:
                gained = position.side * position.size * (mark - position.price)
                self.decisions[position.decision].result -= gained


def _column(values: Iterable[int]) -> Integers:
    try:
        return np.fromiter(values, dtype=np.int64)
    except OverflowError:
        raise InvalidInput("the flow's notionals were too large or too fine for 64 bits") from None
