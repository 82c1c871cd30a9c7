"""A market made from seeds, in real time, with a venue that fills at its quotes: to try the books without any other.

The same moment has the same prices in every process, but for what the market was moved by, which the last marks of the
books tell: books that come back find the market they left.
"""

import asyncio
import time
from collections.abc import Iterable
from decimal import Decimal

import numpy as np

from data.synthetic.dataset import DEFAULT_SYMBOLS
from data.synthetic.market import MarketFrames, synthetic_market
from data.synthetic.profiles import profile_named
from live.books.process import BooksProcess
from risk.errors import InvalidInput
from risk.house_events import VenueCancelRequested, VenueOrderRequested
from risk.inputs import ChannelReported, FundingPublished, HlAccount, VenueFilled, VenueOrderEnded
from risk.market import SymbolSpec, SymbolView
from risk.settings import DAY_NS, HOUR_NS, SECOND_NS
from strategies.driver import VenuePort
from venues.hyperliquid.specs import bundled_specs

_STEP_NS = SECOND_NS
_PROFILE = "calm"
_OF_A_SECOND = 0.0005  # a mark may be off by that without having been moved: of which second was it?
_NOTHING_KNOWN = "the synthetic venue began anew"


class SyntheticMarket:
    """Tell the prices of every second.

    A day's path is walked forwards, the next day's backwards: it is the same one, so that no day begins with a
    jump, and after both it is where it began.
    """

    def __init__(self, specs: dict[str, SymbolSpec]) -> None:
        self.specs = specs
        self._seed = -1
        self._frames: dict[str, MarketFrames] = {}
        self._columns: dict[str, np.ndarray] = {}
        self._moved = dict.fromkeys(specs, 1.0)

    def move(self, symbol: str, percent: Decimal) -> None:
        """Lift a symbol's prices, or lower them, from now on."""
        self._moved[symbol] *= 1 + float(percent) / 100

    def resume(self, views: Iterable[SymbolView]) -> None:
        """Go on where another's market was moved to, from the last views of its books."""
        for view in views:
            if view.symbol in self._moved:
                moved = float(view.mark) / self.mark(view.symbol, view.ts)
                self._moved[view.symbol] *= moved if abs(moved - 1) > _OF_A_SECOND else 1

    def quote(self, symbol: str, now_ns: int) -> tuple[float, float, float, float]:
        """Return bid, ask and their sizes in base coin."""
        bid, ask, bid_size, ask_size, _ = self._columns_at(symbol, now_ns)
        return bid, ask, bid_size, ask_size

    def mark(self, symbol: str, now_ns: int) -> float:
        """Return the mark."""
        return self._columns_at(symbol, now_ns)[4]

    def funding(self, symbol: str, now_ns: int) -> tuple[Decimal, Decimal]:
        """Return the rate of the last full hour and the oracle price."""
        self._prepare(now_ns)
        frames, place = self._frames[symbol], self._place(now_ns)
        rates = frames.funding["rate"].to_pylist()
        oracles = frames.oracles["oracle"].to_pylist()
        hour = min(place * _STEP_NS // HOUR_NS, len(rates) - 1)
        minute = min(place * _STEP_NS // (60 * SECOND_NS), len(oracles) - 1)
        return Decimal(str(rates[hour])), Decimal(str(self._price(symbol, oracles[minute])))

    def _columns_at(self, symbol: str, now_ns: int) -> list[float]:
        self._prepare(now_ns)
        bid, ask, bid_size, ask_size, mark = map(float, self._columns[symbol][self._place(now_ns)])
        price = self._price
        return [price(symbol, bid), price(symbol, ask), bid_size, ask_size, price(symbol, mark)]

    def _price(self, symbol: str, unmoved: float) -> float:
        """Return a price where the market was moved to."""
        moved = self._moved[symbol]
        return unmoved if moved == 1 else round(unmoved * moved, self.specs[symbol].price_decimals)

    def _place(self, now_ns: int) -> int:
        """Return which step of the path it is."""
        day, of_day = divmod(now_ns, DAY_NS)
        place = of_day // _STEP_NS
        return place if day % 2 == 0 else DAY_NS // _STEP_NS - 1 - place

    def _prepare(self, now_ns: int) -> None:
        seed = now_ns // DAY_NS // 2
        if seed == self._seed:
            return
        self._frames = synthetic_market(profile_named(_PROFILE), self.specs, 0, DAY_NS, _STEP_NS, seed)
        for symbol, frames in self._frames.items():
            columns = [frames.quotes[name].to_numpy() for name in ("bid", "ask", "bid_size", "ask_size")]
            self._columns[symbol] = np.column_stack([*columns, frames.marks["mark"].to_numpy()])
        self._seed = seed


class SyntheticFeed:
    """Be market and venue: orders fill whole at the quote, at once or when it comes to their limit.

    What was on its way when the books stopped is not known here any more, and ends unfilled.
    """

    def __init__(self, specs: dict[str, SymbolSpec]) -> None:
        self.market = SyntheticMarket(specs)
        self.ports: dict[HlAccount, VenuePort] = dict.fromkeys(HlAccount, self)
        self._process: BooksProcess | None = None
        self._resting: dict[str, VenueOrderRequested] = {}

    def move(self, symbol: str, percent: Decimal) -> None:
        """Move the market of a symbol, and tell the books at once; raises InvalidInput for one it has not."""
        if symbol not in self.market.specs:
            raise InvalidInput(f"symbol was {symbol!r}; it must be one of {', '.join(self.market.specs)}")
        self.market.move(symbol, percent)
        if self._process is not None and not self._process.ended.is_set():
            self._tick(self._process, time.time_ns())

    async def drive(self, process: BooksProcess) -> None:
        """Tick every second, publish funding every hour."""
        if self._process is None:
            self.market.resume(process.machine.book.views())
        self._process = process
        self._resting.clear()
        process.tell(ChannelReported(0, True))
        for order in process.in_flight():
            process.tell(VenueOrderEnded(0, order.cloid, refused=True, reason=_NOTHING_KNOWN))
        hour = time.time_ns() // HOUR_NS
        while True:
            now = time.time_ns()
            self._tick(process, now)
            if now // HOUR_NS > hour:
                hour = now // HOUR_NS
                self._publish_funding(process, now)
            await asyncio.sleep((_STEP_NS - time.time_ns() % _STEP_NS) / SECOND_NS)

    def send(self, request: VenueOrderRequested) -> None:
        """Take an order; what becomes of it comes when the books are done with what caused it."""
        asyncio.get_running_loop().call_soon(self._work, request)

    def cancel(self, request: VenueCancelRequested) -> None:
        """Take an order out."""
        asyncio.get_running_loop().call_soon(self._end, request.cloid)

    def _tick(self, process: BooksProcess, now: int) -> None:
        for symbol in self.market.specs:
            process.quote(symbol, *self.market.quote(symbol, now))
            process.mark(symbol, self.market.mark(symbol, now))
        for order in [*self._resting.values()]:
            if self._fills(order):
                self._end(order.cloid)

    def _publish_funding(self, process: BooksProcess, now: int) -> None:
        for symbol in self.market.specs:
            process.tell(FundingPublished(0, symbol, *self.market.funding(symbol, now)))

    def _work(self, order: VenueOrderRequested) -> None:
        if self._fills(order) or not order.resting:
            self._tell(VenueOrderEnded(0, order.cloid))
        else:
            self._resting[order.cloid] = order

    def _fills(self, order: VenueOrderRequested) -> bool:
        """Fill an order if the quote is within its limit."""
        bid, ask, _, _ = self.market.quote(order.symbol, time.time_ns())
        price = Decimal(str(ask if order.side > 0 else bid))
        if (price - order.limit_price) * order.side > 0:
            return False
        fee = price * order.size * self.market.specs[order.symbol].taker_fee_rate
        self._tell(VenueFilled(0, order.cloid, price, order.size, fee))
        return True

    def _end(self, cloid: str) -> None:
        if self._resting.pop(cloid, None) is not None:
            self._tell(VenueOrderEnded(0, cloid))

    def _tell(self, given: VenueFilled | VenueOrderEnded) -> None:
        if self._process is not None and not self._process.ended.is_set():
            self._process.tell(given)


def synthetic_specs() -> dict[str, SymbolSpec]:
    """Return the symbols of the synthetic market."""
    specs = bundled_specs()
    return {symbol: specs[symbol] for symbol in DEFAULT_SYMBOLS}
