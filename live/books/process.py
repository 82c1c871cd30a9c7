"""The books process: commands and ticks in, commits out, and only then answers and requests to the venues."""

import asyncio
from copy import replace
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import asyncpg

from live.books import commands
from live.books.clock import Clock
from live.books.commands import Answer, Command, NotAnswered, Overloaded, answer_to, invalid, named, not_taken
from live.books.commits import Commits
from live.books.events import EventHub, Mark, Marks
from live.books.known_answers import Asked, KnownAnswers, Stored, settle
from live.books.queries import Query
from live.books.stored_keys import StoredKeys
from live.books.views import Seen, view
from live.books.writable import check_values, check_writable
from live.ledger.inputs import CommandInvalid, CommandRefused, LedgerInput
from live.ledger.machine import HalfTaken, Machine
from live.ledger.naming import NAMED, name_of
from live.ledger.rows import IdempotencyRow, Moment
from live.ledger.rows_trading import VenueOrderRow
from live.ledger.writer import Writer
from risk.errors import InvalidInput
from risk.inputs import ConfigChanged, FundingPublished, HlAccount
from risk.watch import MarketWatch
from strategies.driver import CoreDriver, VenuePort

_MARKS_EVERY_S = 0.25
_TURN = 16  # commands handled before a commit that waits to begin gets its turn


@dataclass(frozen=True, slots=True)
class Limits:
    """Bound the queue, a lookup of keys, a batch, what is remembered of answers, and the way to a snapshot.

    A database that takes longer than ``patience_s`` over a commit or a lookup counts as lost.
    """

    queue: int = 20_000
    lookup: int = 256
    batch: int = 512
    remembered: int = 20_000  # more than can be between a lookup and its use
    snapshot_every: int = 50_000
    patience_s: float = 20.0


class BooksProcess:
    """Own the ``Machine`` and be the only one to write: ``submit`` commands, feed ticks, ``run`` until it ends.

    ``reader`` looks idempotency keys up. ``ports`` carry requests to our two accounts at the venue. When a
    commit fails the process ends with that error, unanswered commands raise NotAnswered, and whoever runs it
    starts anew from the database.
    """

    def __init__(
        self,
        machine: Machine,
        writer: Writer,
        reader: asyncpg.Connection,
        ports: dict[HlAccount, VenuePort],
        clock: Clock,
        limits: Limits | None = None,
    ) -> None:
        self.machine = machine
        self._clock = clock
        self._limits = limits = limits or Limits()
        self._watch = MarketWatch(machine.book.specs, machine.book.settings)
        self._watch.resume(machine.book.views())
        self._driver = CoreDriver(machine, self._watch, lambda _: None)  # type: ignore[arg-type]
        self._driver.stale_bands.update(machine.book.specs)
        self._commits = Commits(
            machine, writer, ports, self.tell, batch=limits.batch, snapshot_every=limits.snapshot_every
        )
        self.reconciler = self._commits.reconciler
        for account in HlAccount:
            self._driver.attach(account, _Outbox(self._commits))
        self.stored_keys = StoredKeys(self.now())
        self._answers = KnownAnswers(reader, self.stored_keys, limits.remembered, limits.patience_s)
        self._queue: asyncio.Queue[Asked] = asyncio.Queue(limits.queue)
        self._in_hand: list[Asked] = []
        self._moved: set[str] = set()  # symbols whose market was not told of yet
        self._rates: dict[str, Decimal] = {}  # of the last funding
        self._stopped = False
        self.epoch = writer.epoch
        self.ended = asyncio.Event()  # set by whoever runs it

    # -- from outside

    async def submit(self, command: Command) -> Answer:
        """Have a command carried out and committed; return its answer, or the first one given to its key.

        Raises Overloaded without taking it, KeyReused, or NotAnswered when the outcome is not known. What could
        not even be written down is INVALID, and forgotten.
        """
        if self._stopped:
            raise NotAnswered("the books have stopped; ask again with the same key")
        try:
            check_writable(command)
        except InvalidInput as error:
            return invalid(str(error))
        asked = Asked(command, asyncio.get_running_loop().create_future())
        try:
            self._queue.put_nowait(asked)
        except asyncio.QueueFull:
            raise Overloaded(f"{self._queue.maxsize} commands wait already; try again later") from None
        return await asked.answered

    async def ask[V](self, query: Query[V]) -> V:
        """Return a view of the books as they stand, once all it follows from is committed.

        Raises InvalidInput for a user or a symbol that is not there, and NotAnswered when the books end first.
        """
        if self._stopped:
            raise NotAnswered("the books have stopped; ask again")
        try:
            self.machine.must_be_whole()
        except HalfTaken as error:
            raise NotAnswered(str(error)) from None
        found = view(query, Seen(self.machine, self._watch, self.now(), self._rates))
        if not await self._commits.caught_up():
            raise NotAnswered("the books stopped; ask again")
        return found  # type: ignore[return-value]

    def tell(self, given: LedgerInput) -> None:
        """Take an input that nobody waits for: what a venue, the feed or the books' own checks say.

        Raises InvalidInput for one that could never be right; then nothing has changed.
        """
        if self._stopped:
            return
        check_values(given)
        stamped = self._stamped(given)
        self.machine.check(stamped)
        self._driver.command(stamped)
        if isinstance(given, FundingPublished):
            self._rates[given.symbol] = given.rate
        self._commits.woken()

    def quote(self, symbol: str, bid: float, ask: float, bid_size: float, ask_size: float) -> None:
        """Take a best bid and ask."""
        if self._stopped:
            return
        self._driver.quote(symbol, self.now(), bid, ask, bid_size, ask_size)
        self._moved.add(symbol)
        self._commits.woken()

    def mark(self, symbol: str, mark: float) -> None:
        """Take a mark."""
        if self._stopped:
            return
        self._driver.mark(symbol, self.now(), mark)
        self._moved.add(symbol)
        self._commits.woken()

    def tell_events(self, hub: EventHub) -> None:
        """Publish on ``hub`` every commit after it, and every quarter of a second how the market moved."""
        self._commits.events = hub

    def in_flight(self) -> list[VenueOrderRow]:
        """Return the orders the venue may or may not have got: look each up there before it is sent again."""
        return list(self.machine.house.state.venue_orders.values())

    def give_up(self, error: Exception) -> None:
        """End with ``error`` as with that of a commit; the commit on its way is awaited, and no other begun."""
        self._commits.give_up(error)

    async def run(self) -> None:
        """Work until cancelled, which commits what was handled; raises what ended it."""
        self._driver.start(lambda due_ns: self._clock.call_at(due_ns, self._timer))
        self._commits.woken()
        handling = asyncio.create_task(self._handle_commands())
        committing = asyncio.create_task(self._commits.run())
        telling = asyncio.create_task(self._tell_marks())
        try:
            await asyncio.wait({handling, committing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._clock.cancel(self._timer)
            handling.cancel()
            telling.cancel()
            await asyncio.gather(handling, telling, return_exceptions=True)
            await self._stop(committing, in_order=handling.cancelled())
        for task in (handling, committing):
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _tell_marks(self) -> None:
        """Publish the market of the symbols in which it moved, at most every quarter of a second."""
        while True:
            await asyncio.sleep(_MARKS_EVERY_S)
            moved, self._moved = self._moved, set()
            hub = self._commits.events
            if hub.heard and (marks := self._marks(moved)):
                hub.publish(Marks(self.now(), marks))

    def _marks(self, symbols: set[str]) -> tuple[Mark, ...]:
        views = [self._watch.view(symbol) for symbol in sorted(symbols)]
        return tuple(
            Mark(view.symbol, view.mark, view.bids[0][0], view.asks[0][0])
            for view in views
            if view is not None
        )

    # -- commands

    async def _handle_commands(self) -> None:
        while True:
            asked = self._in_hand = [await self._queue.get()]
            while len(asked) < self._limits.lookup and not self._queue.empty():
                asked.append(self._queue.get_nowait())
            stored = await self._answers.stored([each.command.key for each in asked])
            for place, each in enumerate(asked):
                self._take(each, stored.get(each.command.key))
                if place % _TURN == _TURN - 1:
                    self._commits.woken()
                    await asyncio.sleep(0)
            self._commits.woken()
            await self._commits.room.wait()

    def _take(self, asked: Asked, stored: Stored | None) -> None:
        request = asked.command.digest()
        if not self._answers.repeat(asked, request, stored):
            answer = self._carry_out(asked.command, request)
            self._answers.remember(asked.command.key, request, answer, self._commits.committed)
            self._commits.answer(asked.answered, answer)

    def _carry_out(self, command: Command, request: bytes) -> Answer:
        machine = self.machine
        given = self._named(command.asked)
        before = machine.seq
        machine.idempotency_key = command.key
        try:
            machine.check(given)
            events = self._driver.command(given)
            answer = answer_to(command.asked, machine.seq, events)
        except InvalidInput as error:
            answer = not_taken(error)
            self._driver.command(_noted(given.ts, request, answer))
        finally:
            machine.idempotency_key = None
        if isinstance(given, ConfigChanged) and machine.seq > before:
            self._watch.configure(machine.book.settings)
        row = IdempotencyRow(command.key, request, answer.to_json(), machine.seq, Moment(given.ts))
        machine.batch.append(row)
        machine.batch.size += 1
        return answer

    def _named(self, asked: commands.Asked) -> Any:
        """Set the time of a command, and the id of what has one and came without."""
        name = ""
        if isinstance(asked, NAMED):
            name = name_of(asked) or self.machine.next_id(type(asked))
        return named(asked, self.now(), name)

    def _stamped(self, given: LedgerInput) -> Any:
        return replace(given, ts=self.now())

    def now(self) -> int:
        """Return the time that the next input gets, in UTC nanoseconds."""
        return max(self._clock.now_ns(), self.machine.now)

    def _timer(self) -> None:
        self._driver.timer(self.now())
        self._commits.woken()

    # -- ends

    async def _stop(self, committing: "asyncio.Task[None]", in_order: bool) -> None:
        """Let the commit on its way and what was handled since be done; what still queues is not taken.

        A commit is never broken off: its outcome would not be known. Where handling did not end ``in_order``
        the state may be half of an input's: it must not become a snapshot.
        """
        self._stopped = True
        self._commits.stop()
        await asyncio.wait({committing})
        self._tell_unknown(committing.exception() or "the books are stopping")
        if in_order and committing.exception() is None:
            await self._commits.store_last()

    def _tell_unknown(self, why: object) -> None:
        """Tell whoever still waits that the outcome of their command is not known."""
        while not self._queue.empty():
            self._in_hand.append(self._queue.get_nowait())
        waiting = [each.answered for each in self._in_hand] + self._commits.unanswered()
        for answered in waiting:
            settle(answered, NotAnswered(f"{why}; ask again with the same key"))


def _noted(ts: int, request: bytes, answer: Answer) -> Any:
    """Return the input that keeps the answer to a command that was not taken."""
    if answer.status == "REFUSED":
        return CommandRefused(ts, request.hex(), answer.code, answer.detail)
    return CommandInvalid(ts, request.hex(), answer.detail)


class _Outbox:
    """Keep requests until the commit of what caused them."""

    def __init__(self, commits: Commits) -> None:
        self.send = self.cancel = commits.request
