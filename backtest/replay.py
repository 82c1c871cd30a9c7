"""A run without NautilusTrader: the same core and rules over a tape, with the same events and digest.

``run_engine`` is the reference; where this could differ from it, the tests compare digests. Hundreds of settings
over one tape cost this way about what the core does.
"""

from collections.abc import Callable
from decimal import Decimal

from backtest.engine import Run, last_snapshot, patient_collector, resolved_settings
from backtest.played_world import PlayedWorld
from backtest.recorder import Recorder
from backtest.replay_clock import AlertClock
from backtest.replay_venue import EVERY_SYMBOL, ReplayVenue
from backtest.replay_watch import ReplayWatch
from backtest.scenario import Scenario
from backtest.tape import PAUSE, Chunk, Quote, Tape
from risk.book import Book
from risk.errors import InvalidInput
from risk.events import Event
from risk.inputs import CancelSubmitted, HlAccount, Input, OrderSubmitted, SnapshotRequested
from risk.numbers import exact
from strategies.driver import CoreDriver, next_multiple
from strategies.flow_inputs import wrong_order
from venues.hyperliquid.simulation import Slippage

NO_SYMBOL = ""


def run_replay(
    scenario: Scenario,
    tape: Tape,
    progress: Callable[[float], None] = lambda _: None,
    observe: Callable[[tuple[Event, ...]], None] = lambda _: None,
) -> Run:
    """Run ``scenario`` over ``tape``; ``progress`` is told the share of the time done, ``observe`` all events.

    Data, users, outages and the venue's fees are the tape's, everything else is the scenario's. Raises
    InvalidInput for a row of the flow, or what ``observe`` raised to end the run.
    """
    replay = _Replay(scenario, tape, observe)
    with patient_collector():
        replay.run(progress)
    return replay.result()


class _Replay:
    """Bring a tape to the core in time, beside its alerts and the two venues."""

    def __init__(self, scenario: Scenario, tape: Tape, observe: Callable[[tuple[Event, ...]], None]) -> None:
        settings = resolved_settings(scenario.settings(), tape)
        self._tape = tape
        self._clock = AlertClock(tape.span[0])
        self._recorder = Recorder()
        self._book = Book(dict(tape.specs), settings, opened_ns=tape.span[0])
        self._watch = ReplayWatch(tape, settings)
        self._quotes: dict[str, Quote] = {}
        self._marks: dict[str, float] = {}
        self._driver = CoreDriver(self._book, self._watch, self._sink)
        self._observe = observe
        self._symbols = list(tape.specs)
        self._world = PlayedWorld(
            self._driver, scenario.venue.operator_response, self._clock.alert, self._mark_of
        )
        self._hedge_is_quoted = settings.risk.hedging_enabled
        self._trading = self._venue(scenario, HlAccount.TRADING, self._quotes.get)
        self._hedge = self._venue(scenario, HlAccount.HEDGE, self._hedge_quote)
        self._in_market = True  # at the time in hand the market is not through yet
        self._mirrored: Quote | None = None  # what the hedge account's venue is quoted just now
        self._played = 0
        self._start(scenario.report.sample_interval)

    def _venue(
        self, scenario: Scenario, account: HlAccount, quote_of: Callable[[str], Quote | None]
    ) -> ReplayVenue:
        venue = ReplayVenue(
            account,
            dict(self._tape.specs),
            Slippage(scenario.venue.slippage_bps, scenario.venue.depth_usd),
            scenario.venue.order_latency,
            self._clock,
            quote_of,
            self._driver.command,
            may_rest=account is HlAccount.TRADING,
        )
        self._driver.attach(account, venue)
        return venue

    def _start(self, interval_ns: int) -> None:
        """Open the books, and look at house and positions at every multiple of ``interval_ns``."""
        for venue in (self._trading, self._hedge):
            self._at_every(interval_ns, f"positions:{venue.account}", venue.positions)
        self._at_every(interval_ns, "snapshot", lambda: SnapshotRequested(self._clock.now_ns))
        self._driver.start(lambda due_ns: self._clock.alert("core", due_ns, self._driver.timer))

    def _at_every(self, interval_ns: int, name: str, look: Callable[[], Input]) -> None:
        def ring(now_ns: int) -> None:
            self._driver.command(look())
            self._clock.alert(name, next_multiple(interval_ns, now_ns), ring)

        self._clock.alert(name, next_multiple(interval_ns, self._clock.now_ns), ring)

    def _sink(self, events: tuple[Event, ...]) -> None:
        self._recorder.record(events)
        self._world.watch(events)
        self._observe(events)

    def run(self, progress: Callable[[float], None]) -> None:
        """Bring the whole tape, then let the alerts of its span ring."""
        start, end = self._tape.span
        now = start
        for chunk in self._tape.chunks():
            now = self._bring(chunk, now)
            progress((now - start) / (end - start))
        self._leave_market(now)
        self._ring(now, now)
        self._ring(end - 1, end - 1)
        progress(1.0)

    def _bring(self, chunk: Chunk, now: int) -> int:
        """Bring rows to the core, the market inline: this loop stands around every tick."""
        clock, driver, latest, marks = self._clock, self._driver, self._quotes, self._marks
        seen, alarms, resting = self._watch.seen, self._watch.alarms, self._trading.resting
        next_quote, next_mark = iter(chunk.quotes).__next__, iter(chunk.marks).__next__
        stale = driver.stale_bands
        by_code = [(market, market.spec.symbol) for market in self._watch.by_symbol for _ in range(2)]
        for row, (ts, code) in enumerate(zip(chunk.ts, chunk.codes, strict=True), chunk.first_row):
            if ts > now:
                if clock.due_ns <= ts:
                    self._ring_between(now, ts)
                clock.now_ns = now = ts
                self._in_market = True
            if code < 0:
                self._bring_other(code, ts)
                continue
            market, symbol = by_code[code]
            if code & 1:
                marks[symbol] = mark = next_mark()
            else:
                latest[symbol] = quote = next_quote()
                if symbol in resting:
                    self._trading.match(symbol)  # before anybody sees the quote
            seen[symbol] = row
            if symbol in stale:
                driver.refresh(symbol)
            if code & 1:
                if not market.mark_low < mark < market.mark_high or alarms[market.range_open][row]:
                    driver.market(ts)
            elif quote[1] <= market.ask_low or quote[0] >= market.bid_high:
                driver.market(ts)
            if clock.due_ns <= ts:
                self._settle(NO_SYMBOL if code & 1 else symbol, NO_SYMBOL)
        return now

    def _bring_other(self, code: int, ts: int) -> None:
        self._leave_market(ts)
        if code == PAUSE:
            self._ring(ts, ts)
            return
        row = self._tape.played[self._played]
        self._played += 1
        if isinstance(row, OrderSubmitted | CancelSubmitted):
            try:
                self._driver.command(row)
            except InvalidInput as error:
                raise wrong_order(self._tape.order_of(self._played - 1), error) from error
        else:
            self._world.take(row, ts)
        if self._clock.due_ns <= ts:
            self._settle(NO_SYMBOL, NO_SYMBOL)

    def _ring_between(self, now: int, ts: int) -> None:
        """Let the alerts ring that are due by ``now``, whose data have all come, and then those before ``ts``."""
        if self._clock.due_ns <= now:
            self._leave_market(now)
            self._ring(now, now)
        self._in_market = False
        self._ring(ts - 1, ts)

    def _ring(self, until_ns: int, gather_until_ns: int) -> None:
        clock = self._clock
        clock.gather(gather_until_ns)
        while (due_ns := clock.gathered_ns()) <= until_ns:
            clock.ring_at(due_ns, gather_until_ns)
            self._settle(EVERY_SYMBOL, EVERY_SYMBOL)
            clock.gather(due_ns)
            while clock.gathered_ns() == due_ns:  # set by what the venues did
                clock.ring_at(due_ns, due_ns)
                self._settle(EVERY_SYMBOL, EVERY_SYMBOL)
                clock.gather(due_ns)
            clock.gather(gather_until_ns)

    def _settle(self, trading: str | None, hedge: str | None) -> None:
        """Let the venues do what has arrived for these symbols, until nothing more comes of it."""
        while True:
            arrived = [
                (venue, found)
                for venue, symbol in ((self._trading, trading), (self._hedge, hedge))
                if (found := venue.take_arrived(symbol))
            ]
            if not arrived:
                return
            for venue, commands in arrived:
                venue.carry_out(commands)
            for venue, _ in arrived:
                venue.match_all()

    def _leave_market(self, now: int) -> None:
        """Quote the hedge account's venue what came at ``now``: in an engine its quotes come after the market."""
        if not self._in_market:
            return
        self._in_market = False
        if self._hedge_is_quoted and self._clock.due_ns <= now:
            for symbol, quote in self._tape.quotes_at(now):
                self._mirrored = quote
                self._settle(NO_SYMBOL, symbol)
            self._mirrored = None

    def _hedge_quote(self, symbol: str) -> Quote | None:
        if not self._hedge_is_quoted:
            return None
        if self._mirrored is not None:
            return self._mirrored
        if self._in_market:
            return self._tape.quote_before(symbol, self._clock.now_ns)
        return self._quotes.get(symbol)

    def _mark_of(self, symbol: str) -> Decimal | None:
        mark = self._marks.get(symbol)
        return None if mark is None else exact(mark, self._tape.specs[symbol].price_decimals)

    def result(self) -> Run:
        """Return what the run left behind."""
        self._recorder.record(last_snapshot(self._book, self._watch, self._tape.span[1]))
        self._recorder.add_table("marks", self._tape.marks_table())
        return Run(self._recorder, self._book, self._tape.ticks)
