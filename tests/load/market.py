"""What the books of the load harness trade on: marks that wander far enough to liquidate, and a venue."""

import asyncio
import math
import os
import random
from decimal import Decimal
from pathlib import Path

from live.books.process import BooksProcess
from live.ledger.book_options import BookOptions
from risk.house_events import VenueCancelRequested, VenueOrderRequested
from risk.inputs import ChannelReported, FundingPublished, HlAccount, VenueFilled, VenueOrderEnded
from risk.settings import HedgeTier
from tests.risk.book_builder import MARKS, SPECS, UNLIMITED, D, settings_with

TICK_S = 0.004
_STEP = 0.002  # of a mark, relative
_PULL = 0.01  # back to where it began: marks spread about 1.4 %, and 40x is under water at 1.25 %
_TICKS_PER_REPORT = 100  # of the channel, and of funding
_DEPTH = 1e9
_VENUE_DELAY_S = 0.02
_VENUE_REFUSES = 0.1


def options() -> BookOptions:
    """Return books that send large orders and hedges to the venue, and whose marks may jump."""
    risk = {
        **UNLIMITED,
        "price_sanity_limit": D(10),
        "hedge_tiers": (HedgeTier(D(2_000), D("0.5")), HedgeTier(D(8_000), D("0.8"))),
        "hedge_debounce_ns": 50_000_000,
    }
    return BookOptions.of(SPECS, settings_with(risk, normal_threshold=D(10_000)))


async def move_marks(books: BooksProcess, rng: random.Random) -> None:
    """Move one mark after another until cancelled, from where the books last saw them."""
    seen = {view.symbol: float(view.mark) for view in books.machine.book.views()}
    marks = {symbol: seen.get(symbol, float(mark)) for symbol, mark in MARKS.items()}
    for symbol in marks:
        _tell(books, symbol, marks[symbol])
    for tick in range(1_000_000_000):
        if tick % _TICKS_PER_REPORT == 0:
            books.tell(ChannelReported(0, True))
            symbol = rng.choice(list(marks))
            rate = Decimal(rng.randint(-100, 100)) / 1_000_000
            books.tell(FundingPublished(0, symbol, rate, Decimal(str(marks[symbol]))))
        symbol = rng.choice(list(marks))
        drift = -_PULL * math.log(marks[symbol] / float(MARKS[symbol]))
        moved = marks[symbol] * math.exp(rng.gauss(drift, _STEP))
        marks[symbol] = round(moved, SPECS[symbol].price_decimals)
        _tell(books, symbol, marks[symbol])
        await asyncio.sleep(TICK_S)


def _tell(books: BooksProcess, symbol: str, mark: float) -> None:
    books.quote(symbol, mark, mark, _DEPTH, _DEPTH)
    books.mark(symbol, mark)


class Venue:
    """Fill most orders wholly a moment later, refuse the rest; what it was asked stands in a file first.

    The file outlives the books, as a venue would: a name that comes twice, or that the database does not know,
    shows a request that left without its commit.
    """

    def __init__(self, asked: Path, rng: random.Random) -> None:
        self._file = os.open(asked, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._known = set(asked.read_text().split())
        self._rng = rng
        self.books: BooksProcess
        self._waiting: set[str] = set()

    def send(self, request: VenueOrderRequested) -> None:
        """Take an order."""
        os.write(self._file, f"{request.cloid}\n".encode())
        self._known.add(request.cloid)
        self._waiting.add(request.cloid)
        delay = _VENUE_DELAY_S * self._rng.random() * (20 if request.resting else 1)
        asyncio.get_running_loop().call_later(delay, self._end, request.cloid, request.mark, request.size)

    def cancel(self, request: VenueCancelRequested) -> None:
        """End an order that rests."""
        if request.cloid in self._waiting:
            self._waiting.remove(request.cloid)
            self.books.tell(VenueOrderEnded(0, request.cloid, False, "cancelled"))

    def look_up(self) -> None:
        """Tell the books what became of the orders they had out when they went down."""
        for order in self.books.in_flight():
            if order.cloid in self._known:
                self._waiting.add(order.cloid)
                self._end(order.cloid, order.mark, order.size)
            else:
                self.books.tell(VenueOrderEnded(0, order.cloid, True, "never arrived"))

    def _end(self, cloid: str, mark: Decimal, size: Decimal) -> None:
        if cloid not in self._waiting:
            return
        self._waiting.remove(cloid)
        refused = self._rng.random() < _VENUE_REFUSES
        if not refused:
            # Told in one go, both are in one commit: an order is either whole in flight or at its end.
            self.books.tell(VenueFilled(0, cloid, mark, size, Decimal("0.01"), False))
        self.books.tell(VenueOrderEnded(0, cloid, refused, "no match" if refused else ""))


def venues(asked: Path, rng: random.Random) -> dict[HlAccount, Venue]:
    """Return one venue for both of our accounts."""
    return dict.fromkeys(HlAccount, Venue(asked, rng))
