"""The books as one machine: inputs in, events and rows out; the same live and in a replay of the journal."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from time import perf_counter_ns
from typing import Any

from live.ledger.acts import BOOKS
from live.ledger.batch import Batch
from live.ledger.book_options import BookOptions
from live.ledger.codec import encode
from live.ledger.hashing import GENESIS, link
from live.ledger.inputs import BooksOpened, LedgerInput, book_input
from live.ledger.naming import NAMED, name_at, name_field, name_of
from live.ledger.project_house import HouseProjection
from live.ledger.project_money import MoneyProjection
from live.ledger.project_trading import TradingProjection
from live.ledger.project_users import UsersProjection
from live.ledger.project_wallets import WalletsProjection
from live.ledger.project_withdrawals import WithdrawalsProjection
from live.ledger.rows import AuditRow, InputRow
from live.ledger.rows_trading import RoutingRecordRow
from live.ledger.shell import Shell
from live.ledger.states import States
from risk.book import Book
from risk.errors import HybridPerpsError, InvalidInput
from risk.events import (
    Event,
    FundingAccrued,
    FundingSettled,
    MarginChanged,
    OrderCancelled,
    OrderFilled,
    OrderRefused,
    OrderRested,
    OrderRouted,
    PositionClosed,
    PositionLiquidated,
    PositionOpened,
    Transferred,
)
from risk.house_events import (
    AlertRaised,
    DeviationLogged,
    RoutingModeChanged,
    VenueCancelRequested,
    VenueFillBooked,
    VenueOrderRequested,
)
from risk.inputs import HlAccount, MarketUpdated
from risk.market import SymbolView
from risk.watch import Bands


class HalfTaken(HybridPerpsError):
    """Say that an input was broken off half-way: neither the books in memory nor their rows may be used any more."""


class Machine:
    """Own a ``Book`` and turn each input into events, and into the rows of ``batch``.

    It stands where a ``CoreDriver`` expects a book. An input that can never be right raises InvalidInput; the
    market it was to be decided on is taken all the same, and journaled. ``clock`` times decisions for the
    record alone.
    """

    def __init__(
        self, options: BookOptions, opened_ns: int, clock: Callable[[], int] = perf_counter_ns
    ) -> None:
        """Open the books: their first input is what they are opened with."""
        self._take_up(options.open(opened_ns), States(), -1, GENESIS, opened_ns, clock)
        opened = BooksOpened(opened_ns, options)
        self._journal(opened, ())
        self._project(opened, self.book.opening_events, 0)

    @classmethod
    def resumed(
        cls,
        book: Book,
        states: States,
        seq: int,
        link: bytes,
        now: int,
        halted: str | None,
        clock: Callable[[], int],
    ) -> "Machine":
        """Return the machine that stood after input ``seq``."""
        machine = cls.__new__(cls)
        machine._take_up(book, states, seq, link, now, clock)
        machine.shell.halted = halted
        return machine

    def _take_up(
        self, book: Book, states: States, seq: int, link: bytes, now: int, clock: Callable[[], int]
    ) -> None:
        self.seq = seq
        self.link = link
        self.now = now  # the time of the last input
        self._in_hand: LedgerInput | None = None  # stays where taking it raised what no input should
        self.batch = Batch()
        self.idempotency_key: str | None = None  # of the command in hand
        self._clock = clock
        self.book = book
        self.states = states
        self.money = MoneyProjection(states.money, book.balance)
        self.trading = TradingProjection(states.trading, book, self.money)
        self.house = HouseProjection(states.house, book)
        self.users = UsersProjection(states.users)
        self.wallets = WalletsProjection(states.wallets)
        self.withdrawals = WithdrawalsProjection(states.withdrawals)
        self.shell = Shell(
            book, self.money, self.trading, self.house, self.users, self.wallets, self.withdrawals
        )
        trading_, house_ = self.trading, self.house
        # Of each event what is done with (batch, seq, event).
        self._event_handlers: dict[type, Callable[[Batch, int, Any], None]] = {
            Transferred: self.money.transferred,
            OrderFilled: trading_.filled,
            OrderRested: lambda _, __, event: trading_.orders.rested(event),
            OrderRefused: lambda _, __, event: trading_.orders.refused(event),
            OrderCancelled: lambda _, __, event: trading_.orders.cancelled(event),
            PositionOpened: lambda _, __, event: trading_.opened(event),
            PositionClosed: lambda _, __, event: trading_.changed(event),
            PositionLiquidated: trading_.liquidated,
            FundingSettled: trading_.settled,
            RoutingModeChanged: house_.mode_changed,
            DeviationLogged: house_.deviated,
            VenueOrderRequested: house_.requested,
            VenueCancelRequested: lambda batch, _, event: house_.cancel_requested(batch, event),
            AlertRaised: house_.alerted,
        }

    # -- what a driver asks of a book

    @property
    def opening_events(self) -> tuple[Event, ...]:
        """Return what opening the book caused; it is in the first rows already."""
        return self.book.opening_events

    def bands(self, symbol: str) -> Bands:
        """Return where a symbol's market is quiet."""
        return self.book.bands(symbol)

    def take_narrowed(self) -> list[str]:
        """Return the symbols whose bands may have become narrower."""
        return self.book.take_narrowed()

    def next_timer_ns(self) -> int | None:
        """Return when the book wants to be woken."""
        return self.book.next_timer_ns()

    def handle(self, given: LedgerInput, quiet: Sequence[SymbolView] = ()) -> tuple[Event, ...]:
        """Take one input, with the market that moved quietly before it; return what happened.

        Raises InvalidInput, after which the books stand as before, and HalfTaken once anything else was raised.
        Whoever gathers ``quiet`` for an input calls ``check`` first: what is refused there must not cost a tick.
        """
        self.must_be_whole()
        self.check(given)
        began = self._clock()
        for_book = book_input(given)
        if for_book is None:
            for_book = MarketUpdated(given.ts, ()) if quiet else None
        self._in_hand = given
        try:
            events = self.book.handle(for_book, quiet) if for_book is not None else ()
        except InvalidInput:
            if quiet:
                self._journal(given, quiet)
            self._in_hand = None
            raise
        latency_ns = self._clock() - began
        self._journal(given, quiet)
        self._project(given, events, latency_ns)
        self._in_hand = None
        return events

    def must_be_whole(self) -> None:
        """Raise HalfTaken once taking an input was broken off."""
        if self._in_hand is not None:
            kind = type(self._in_hand).__name__
            raise HalfTaken(
                f"taking an input {kind} after input {self.seq} was broken off by an error of this program"
            )

    # -- inputs

    def next_id(self, of: type) -> str:
        """Return the id of the next order, withdrawal or correction: its place in the journal: none comes twice."""
        return name_at(of, self.seq + 1)

    @property
    def halted(self) -> str | None:
        """Return what a critical reconciliation found wrong, until an operator releases the books."""
        return self.shell.halted

    def check(self, given: LedgerInput) -> None:
        """Raise InvalidInput for what these books could never take, whatever the market."""
        if isinstance(given, NAMED):
            name = name_of(given)
            if name != self.next_id(type(given)):
                raise InvalidInput(f"{name_field(type(given))} was {name!r}; the books give it")
        self.shell.check(given)

    def _journal(self, given: LedgerInput, quiet: Sequence[SymbolView]) -> None:
        self.seq += 1
        self.now = given.ts
        kind, body, key = type(given).__name__, encode(given, quiet), self.idempotency_key
        self.link = link(self.link, self.seq, given.ts, kind, key or "", body)
        self.batch.append(InputRow(self.seq, given.ts, kind, key, body, self.link))
        self.batch.size += 1

    # -- rows

    def _project(self, given: LedgerInput, events: Sequence[Event], latency_ns: int) -> None:
        batch, seq, ts = self.batch, self.seq, given.ts
        self.shell.before(batch, seq, given)
        self.money.begin(events)
        handlers = self._event_handlers
        for event in events:
            handler = handlers.get(type(event))
            if handler is not None:
                handler(batch, seq, event)
            elif isinstance(event, OrderRouted):
                self.trading.orders.routed(event)
                self.house.routed(batch, seq, event, latency_ns)
            else:
                self._other(event)
        self.shell.after(batch, seq, given, events)
        self.trading.finish(batch, seq, ts)
        self.money.finish(batch, seq)

    def _other(self, event: Event) -> None:
        if isinstance(event, MarginChanged):
            self.trading.changed(event)
        elif isinstance(event, FundingAccrued):
            self.trading.accrued(event)
        elif isinstance(event, VenueFillBooked) and event.account is HlAccount.HEDGE:
            size, cost = self.book.hedge(event.symbol)
            self.house.hedged(self.batch, self.seq, event.ts, event.symbol, size, cost)
        self.house.other(self.batch, self.seq, event.ts, event)

    def take_batch(self) -> Batch:
        """Return the rows since the last call, with the audit row over their routing decisions; or raise HalfTaken."""
        self.must_be_whole()
        batch, self.batch = self.batch, Batch()
        records: list[RoutingRecordRow] = batch.appended[RoutingRecordRow]
        if records:
            first, last = records[0], records[-1]
            whole = sha256(b"".join(record.digest for record in records)).hexdigest()
            detail = f"{first.id} {last.id} {whole}"
            row = AuditRow(BOOKS, "ROUTING_DECIDED", "routing_records", detail, last.seq, last.ts)
            batch.audit.append(row)
        return batch
