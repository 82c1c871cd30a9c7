"""What tells the books of the market and the venue: a feed; this one has neither."""

import asyncio
from decimal import Decimal
from typing import Protocol, runtime_checkable

from live.books.process import BooksProcess
from risk.house_events import VenueCancelRequested, VenueOrderRequested
from risk.inputs import HlAccount, VenueOrderEnded
from strategies.driver import VenuePort


class Feed(Protocol):
    """Drive the books, one ``BooksProcess`` after another; ``ports`` take what they ask of the venue."""

    ports: dict[HlAccount, VenuePort]

    async def drive(self, process: BooksProcess) -> None:
        """Tell ``process`` of the market and of its orders at the venue until cancelled."""


@runtime_checkable
class Movable(Protocol):
    """Be a feed whose market does what it is told."""

    def move(self, symbol: str, percent: Decimal) -> None:
        """Move the market of a symbol; raises InvalidInput for one it has not."""


class NoFeed:
    """Be the feed where there is none: no market, and every order for the venue is refused."""

    def __init__(self) -> None:
        self.ports: dict[HlAccount, VenuePort] = dict.fromkeys(HlAccount, self)
        self._process: BooksProcess | None = None

    async def drive(self, process: BooksProcess) -> None:
        """Refuse what the books ask of the venue."""
        self._process = process
        for order in process.in_flight():
            process.tell(_refusal(order.cloid))
        await asyncio.Event().wait()

    def send(self, request: VenueOrderRequested) -> None:
        """Refuse an order."""
        asyncio.get_running_loop().call_soon(self._refuse, request.cloid)

    def cancel(self, request: VenueCancelRequested) -> None:
        """Do nothing: the order was refused."""

    def _refuse(self, cloid: str) -> None:
        if self._process is not None and not self._process.ended.is_set():
            self._process.tell(_refusal(cloid))


def _refusal(cloid: str) -> VenueOrderEnded:
    return VenueOrderEnded(0, cloid, refused=True, reason="no venue is connected")
