"""The market as the shell keeps it: updated in place on every tick, and silent unless the book could act."""

import math
from collections import deque
from collections.abc import Container, Iterable, Mapping, Sequence

from risk.errors import InvalidInput
from risk.inputs import MarketUpdated
from risk.market import Level, SymbolSpec, SymbolView
from risk.numbers import exact
from risk.record import record
from risk.settings import HOUR_NS, Settings

_Levels = Sequence[tuple[float, float]]  # price, size; best first


@record
class Bands:
    """Say where a symbol's market is quiet, and what its guards were last seen to be.

    Quiet are marks strictly inside (``mark_low``, ``mark_high``), asks above ``ask_low`` and bids below
    ``bid_high``, all in USDC per coin.
    """

    mark_low: float = -math.inf
    mark_high: float = math.inf
    ask_low: float = -math.inf
    bid_high: float = math.inf
    quarantined: bool = False
    range_open: bool = False


class _Hour:
    """Know the lowest and the highest mark of the last 60 minutes, in amortised constant time.

    Each queue keeps only marks that no later one beats, so its first is the extreme.
    """

    __slots__ = ("_highs", "_lows", "high", "low")

    def __init__(self) -> None:
        self._lows: deque[tuple[int, float]] = deque()
        self._highs: deque[tuple[int, float]] = deque()
        self.low = self.high = math.nan

    def add(self, ts: int, mark: float) -> None:
        lows, highs = self._lows, self._highs
        while lows and lows[-1][1] >= mark:
            lows.pop()
        while highs and highs[-1][1] <= mark:
            highs.pop()
        entry = (ts, mark)
        lows.append(entry)
        highs.append(entry)
        start = ts - HOUR_NS
        while lows[0][0] < start:
            lows.popleft()
        while highs[0][0] < start:
            highs.popleft()
        self.low, self.high = lows[0][1], highs[0][1]


class _Market:
    """Hold one symbol's market and the limits it is quiet within; ``mark_seq`` counts the marks received."""

    __slots__ = (
        "ask_low",
        "asks",
        "bid_high",
        "bids",
        "dirty",
        "hour",
        "mark",
        "mark_high",
        "mark_low",
        "mark_ns",
        "mark_seq",
        "oracle",
        "prev_mark",
        "quarantined",
        "range_limit",
        "range_open",
        "range_release",
        "sanity_limit",
        "seen_ns",
        "smallest",
        "spec",
        "step",
    )

    def __init__(self, spec: SymbolSpec) -> None:
        self.spec = spec
        self.step = 10.0**-spec.price_decimals
        self.smallest = self.step * (1.0 - 1e-9)
        self.bids: _Levels = ()
        self.asks: _Levels = ()
        self.mark = self.prev_mark = 0.0
        self.oracle: float | None = None
        self.mark_ns = self.mark_seq = 0
        self.hour = _Hour()
        self.seen_ns = 0
        self.dirty = False
        self.take(Bands())

    def configure(self, settings: Settings) -> None:
        risk = settings.risk
        self.sanity_limit = float(settings.sanity_limit.get(self.spec.symbol, risk.price_sanity_limit))
        self.range_limit = float(risk.price_range_limit)
        self.range_release = float(risk.price_range_release)

    def take(self, bands: Bands) -> None:
        # Views are rounded to a price step, so what is within half of one could round to the edge itself.
        half = self.step / 2
        self.mark_low, self.mark_high = bands.mark_low + half, bands.mark_high - half
        self.ask_low, self.bid_high = bands.ask_low + half, bands.bid_high - half
        self.quarantined, self.range_open = bands.quarantined, bands.range_open

    def range_could_turn(self) -> bool:
        """Tell whether the 60-minute range has reached the edge at which its guard would change."""
        low, width = self.hour.low, self.hour.high - self.hour.low
        if self.range_open:
            return width - self.step < self.range_release * low
        return width + self.step > self.range_limit * low

    def view(self) -> SymbolView:
        """Give the market at the time of its last mark, in decimals of the symbol's own precision."""
        price_places, size_places = self.spec.price_decimals, self.spec.size_decimals
        mark = exact(self.mark, price_places)
        return SymbolView(
            symbol=self.spec.symbol,
            ts=self.mark_ns,
            mark=mark,
            prev_mark=exact(self.prev_mark, price_places),
            oracle=mark if self.oracle is None else exact(self.oracle, price_places),
            low_60m=exact(self.hour.low, price_places),
            high_60m=exact(self.hour.high, price_places),
            seen_ns=self.seen_ns,
            bids=_exact_levels(self.bids, price_places, size_places),
            asks=_exact_levels(self.asks, price_places, size_places),
            mark_seq=self.mark_seq,
        )


class MarketWatch:
    """Take every tick of every symbol and say whether the book could have something to do about it.

    Prices are USDC per coin and lie on the symbol's price steps; sizes are in base coin; times are UTC
    nanoseconds and never go back within a symbol. Each method raises InvalidInput for an unknown symbol and
    for values that cannot be, and then changes nothing. After an answer True the shell flushes before it
    takes the next tick; quiet ticks wait for the next flush.
    """

    def __init__(self, specs: Mapping[str, SymbolSpec], settings: Settings) -> None:
        self._markets = {name: _Market(specs[name]) for name in sorted(specs)}
        self._dirty: list[_Market] = []
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Take over new limits for price sanity and price range."""
        for market in self._markets.values():
            market.configure(settings)

    def resume(self, views: Iterable[SymbolView]) -> None:
        """Go on where another watch stopped, from the book's last views; nothing is to be flushed of them.

        The hour's extremes are kept for another hour: who does not know when they were errs on their side.
        """
        for view in views:
            market = self._market(view.symbol)
            market.mark, market.prev_mark = float(view.mark), float(view.prev_mark)
            if view.oracle != view.mark:
                market.oracle = float(view.oracle)
            market.mark_ns, market.seen_ns, market.mark_seq = view.ts, view.seen_ns, view.mark_seq
            market.bids = tuple((float(price), float(size)) for price, size in view.bids)
            market.asks = tuple((float(price), float(size)) for price, size in view.asks)
            for extreme in (view.low_60m, view.high_60m):
                market.hour.add(view.ts, float(extreme))

    def set_bands(self, symbol: str, bands: Bands) -> None:
        """Take over what the book said of a symbol after its last input."""
        self._market(symbol).take(bands)

    def on_quote(
        self, symbol: str, ts: int, bid: float, ask: float, bid_size: float, ask_size: float
    ) -> bool:
        """Take a best bid and ask; say whether either touches a resting order."""
        market = self._markets.get(symbol) or self._market(symbol)
        if not (
            market.smallest <= bid <= ask < math.inf and 0 < bid_size < math.inf and 0 < ask_size < math.inf
        ):
            _refuse_levels(market, ((bid, bid_size),), ((ask, ask_size),))
        self._seen(market, ts)
        market.bids = ((bid, bid_size),)
        market.asks = ((ask, ask_size),)
        return ask <= market.ask_low or bid >= market.bid_high

    def on_book(self, symbol: str, ts: int, bids: _Levels, asks: _Levels) -> bool:
        """Take both sides' levels, (price, size) and best first; say whether either touches a resting order."""
        market = self._market(symbol)
        _refuse_levels(market, bids, asks)
        self._seen(market, ts)
        market.bids, market.asks = tuple(bids), tuple(asks)
        return asks[0][0] <= market.ask_low or bids[0][0] >= market.bid_high

    def on_mark(self, symbol: str, ts: int, mark: float) -> bool:
        """Take a mark; say whether it leaves the bands, could fail or end price sanity, or turns the range."""
        market = self._markets.get(symbol) or self._market(symbol)
        if not market.smallest <= mark < math.inf:
            raise _bad_price(market, "mark", mark)
        self._seen(market, ts)
        market.prev_mark = previous = market.mark if market.mark_seq else mark
        market.mark, market.mark_ns = mark, ts
        market.mark_seq += 1
        market.hour.add(ts, mark)
        return (
            not market.mark_low < mark < market.mark_high
            or market.quarantined
            or abs(mark - previous) + market.step > market.sanity_limit * previous
            or market.range_could_turn()
        )

    def on_oracle(self, symbol: str, ts: int, oracle: float) -> None:
        """Take an oracle price; until the first one the mark stands for it."""
        market = self._market(symbol)
        if not market.smallest <= oracle < math.inf:
            raise _bad_price(market, "oracle", oracle)
        self._seen(market, ts)
        market.oracle = oracle

    def flush(self, ts: int) -> MarketUpdated | None:
        """Give the views that changed since the last flush, by symbol; None without any.

        A symbol has no view before it has both a quote and a mark. Raises InvalidInput when a tick of a later
        time than ``ts`` was taken already.
        """
        ready = sorted(
            (market for market in self._dirty if market.mark_seq and market.bids),
            key=lambda market: market.spec.symbol,
        )
        for market in ready:
            if market.seen_ns > ts:
                raise InvalidInput(f"ts was {ts}; {market.spec.symbol} was seen at {market.seen_ns} already")
        if not ready:
            return None
        for market in ready:
            market.dirty = False
        self._dirty = [market for market in self._dirty if market.dirty]
        return MarketUpdated(ts, tuple(market.view() for market in ready))

    def unflushed(self, symbols: Container[str] | None = None) -> tuple[SymbolView, ...]:
        """Give the views that the next flush would, of those ``symbols`` or of all; nothing counts as flushed."""
        return tuple(
            market.view()
            for market in sorted(self._dirty, key=lambda market: market.spec.symbol)
            if market.mark_seq and market.bids and (symbols is None or market.spec.symbol in symbols)
        )

    def view(self, symbol: str) -> SymbolView | None:
        """Give a symbol's market, None before it has both a quote and a mark; raises InvalidInput."""
        market = self._market(symbol)
        return market.view() if market.mark_seq and market.bids else None

    def _market(self, symbol: str) -> _Market:
        market = self._markets.get(symbol)
        if market is None:
            raise InvalidInput(f"symbol was {symbol!r}; loaded are {', '.join(self._markets)}")
        return market

    def _seen(self, market: _Market, ts: int) -> None:
        if ts < market.seen_ns:
            raise InvalidInput(
                f"ts of {market.spec.symbol} was {ts}; it must not lie before {market.seen_ns}"
            )
        market.seen_ns = ts
        if not market.dirty:
            market.dirty = True
            self._dirty.append(market)


def _refuse_levels(market: _Market, bids: _Levels, asks: _Levels) -> None:
    """Raise InvalidInput unless both sides are there, priced, sized, best first, and not crossed."""
    for name, levels, worse in (("bid", bids, -1), ("ask", asks, 1)):
        if not levels:
            raise InvalidInput(f"{name}s of {market.spec.symbol} were empty; the best level is needed")
        for i, (price, size) in enumerate(levels):
            if not market.smallest <= price < math.inf:
                raise _bad_price(market, name, price)
            if not 0 < size < math.inf:
                raise InvalidInput(
                    f"{name} size of {market.spec.symbol} was {size}; it must be above 0, finite"
                )
            if i and (price - levels[i - 1][0]) * worse <= 0:
                raise InvalidInput(
                    f"{name} {i} of {market.spec.symbol} was {price}; levels must go from best to worst"
                )
    if bids[0][0] > asks[0][0]:
        raise InvalidInput(
            f"bid of {market.spec.symbol} was {bids[0][0]}; it must not exceed the ask, {asks[0][0]}"
        )


def _bad_price(market: _Market, name: str, price: float) -> InvalidInput:
    return InvalidInput(
        f"{name} of {market.spec.symbol} was {price}; it must be finite, at least a price step ({market.step:g})"
    )


def _exact_levels(levels: _Levels, price_places: int, size_places: int) -> tuple[Level, ...]:
    return tuple([(exact(price, price_places), exact(size, size_places)) for price, size in levels])
