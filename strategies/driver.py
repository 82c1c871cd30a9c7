"""The one loop around the core: inputs in, events to the sink, requests to the venues. It knows no framework."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from risk.book import Book
from risk.events import Event
from risk.house_events import VenueCancelRequested, VenueOrderRequested
from risk.inputs import HlAccount, Input, TimerFired
from risk.market import SymbolView
from risk.watch import MarketWatch

Sink = Callable[[tuple[Event, ...]], None]
_REQUESTS = frozenset((VenueOrderRequested, VenueCancelRequested))


class VenuePort(Protocol):
    """Carry requests to one of our accounts; what becomes of them comes back as inputs."""

    def send(self, request: VenueOrderRequested) -> None:
        """Send an order."""

    def cancel(self, request: VenueCancelRequested) -> None:
        """Cancel an order."""


def next_multiple(interval_ns: int, now_ns: int) -> int:
    """Return when a look taken at every multiple of ``interval_ns`` is due next."""
    return (now_ns // interval_ns + 1) * interval_ns


class CoreDriver:
    """Feed the book one input at a time and carry out what it asks for.

    Ticks update the watch in place; the book hears of them only when something could follow, and before every
    other input, so that each command is decided on the market of its own time. An input that arrives while
    another is in hand (an order denied at once) waits its turn. ``stale_bands`` are the symbols to ``refresh``
    before their next tick.
    """

    def __init__(self, book: Book, watch: MarketWatch, sink: Sink) -> None:
        self.book = book
        self.watch = watch
        self._sink = sink
        self._ports: dict[HlAccount, VenuePort] = {}
        self._arm: Callable[[int], None] = _no_timer
        self._armed_ns: int | None = None
        self._waiting: deque[Input] = deque()
        self._busy = False
        self.stale_bands: set[str] = set()

    def attach(self, account: HlAccount, port: VenuePort) -> None:
        """Route the requests of ``account`` to ``port``."""
        self._ports[account] = port

    def start(self, arm: Callable[[int], None]) -> None:
        """Open the books; ``arm`` is called with the time at which ``timer`` is wanted next."""
        self._arm = arm
        self._sink(self.book.opening_events)
        self._rearm()

    def command(self, given: Input) -> tuple[Event, ...]:
        """Take an input that is not a tick, after the market moves that came before it; return its events.

        From within another input it is only noted, and returns nothing yet.
        """
        if self._busy:
            self._waiting.append(given)
            return ()
        update = self.watch.flush(given.ts)
        return self._run(given, () if update is None else update.views)

    def quote(self, symbol: str, ts: int, bid: float, ask: float, bid_size: float, ask_size: float) -> None:
        """Take a best bid and ask; prices in USDC per coin, sizes in base coin."""
        if symbol in self.stale_bands:
            self.refresh(symbol)
        if self.watch.on_quote(symbol, ts, bid, ask, bid_size, ask_size):
            self.market(ts)

    def mark(self, symbol: str, ts: int, mark: float) -> None:
        """Take a mark in USDC per coin."""
        if symbol in self.stale_bands:
            self.refresh(symbol)
        if self.watch.on_mark(symbol, ts, mark):
            self.market(ts)

    def refresh(self, symbol: str) -> None:
        """Bring a symbol's bands up to date when its next tick asks for them: often many inputs later."""
        self.stale_bands.remove(symbol)
        self.watch.set_bands(symbol, self.book.bands(symbol))

    def market(self, ts: int) -> None:
        """Let the book act on the ticks taken since it last looked: the last of them was not quiet."""
        update = self.watch.flush(ts)
        if update is not None:
            self._run(update)

    def timer(self, ts: int) -> None:
        """Wake the book at the time it asked for."""
        self._armed_ns = None
        self.command(TimerFired(ts))

    def _run(self, first: Input, quiet: Sequence[SymbolView] = ()) -> tuple[Event, ...]:
        self._busy = True
        try:
            events = self._handle(first, quiet)
            while self._waiting:
                self._handle(self._waiting.popleft())
        finally:
            self._busy = False
        self._rearm()
        return events

    def _handle(self, given: Input, quiet: Sequence[SymbolView] = ()) -> tuple[Event, ...]:
        events = self.book.handle(given, quiet)
        if events:
            self._sink(events)
            self._carry_out(events)
        self.stale_bands.update(self.book.take_narrowed())
        return events

    def _carry_out(self, events: tuple[Event, ...]) -> None:
        if _REQUESTS.isdisjoint(map(type, events)):
            return
        for event in events:
            if isinstance(event, VenueOrderRequested):
                self._ports[event.account].send(event)
            elif isinstance(event, VenueCancelRequested):
                self._ports[event.account].cancel(event)

    def _rearm(self) -> None:
        due = self.book.next_timer_ns()
        if due is not None and due != self._armed_ns:
            self._armed_ns = due
            self._arm(due)


def _no_timer(_: int) -> None:
    """Stand in until the shell has started."""
