"""The books process: commands and ticks in, commits out, and only then answers and requests to the venues.

What is handled while a commit is on its way goes into the next one, so a batch is as large as what waits.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from copy import replace
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from live.books.clock import Clock
from live.books.commands import (
    Answer,
    Asked,
    Command,
    KeyReused,
    NotAnswered,
    Overloaded,
    answer_to,
    invalid,
    named,
)
from live.books.reconciliation import Reconciler
from live.books.writable import check_values, check_writable
from live.ledger.inputs import CommandInvalid, LedgerInput, WithdrawalRequested
from live.ledger.machine import Machine
from live.ledger.rows import IdempotencyRow, Moment, VenueOrderRow
from live.ledger.snapshots import Snapshot, store_snapshot
from live.ledger.writer import Writer, reaching_database
from risk.errors import InvalidInput
from risk.events import VenueCancelRequested, VenueOrderRequested
from risk.inputs import ConfigChanged, HlAccount, OrderSubmitted
from risk.settings import DAY_NS
from risk.watch import MarketWatch
from strategies.driver import CoreDriver, VenuePort

_TURN = 16  # commands handled before a commit that waits to begin gets its turn
Request = VenueOrderRequested | VenueCancelRequested


@dataclass(slots=True)
class _Known:
    """Remember a command that was answered, or will be with the next commits."""

    request: bytes
    answer: Answer
    done: "asyncio.Future[None]"


@dataclass(slots=True)
class _Asked:
    command: Command
    answered: "asyncio.Future[Answer]"


@dataclass(slots=True)
class _Commit:
    """Hold what follows the commit of a batch."""

    answers: list[tuple["asyncio.Future[Answer]", Answer]] = field(default_factory=list)
    known: list[_Known] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)


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
        self.reconciler = Reconciler(machine, lambda: writer.seq)
        self._writer = writer
        self._reader = reader
        self._ports = ports
        self._clock = clock
        self._limits = limits or Limits()
        self._watch = MarketWatch(machine.book.specs, machine.book.settings)
        self._watch.resume(machine.book.views())
        self._driver = CoreDriver(machine, self._watch, lambda _: None)  # type: ignore[arg-type]
        self._driver.stale_bands.update(machine.book.specs)
        for account in HlAccount:
            self._driver.attach(account, _Outbox(self._request))
        self._queue: asyncio.Queue[_Asked] = asyncio.Queue(self._limits.queue)
        self._in_hand: list[_Asked] = []
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._next = _Commit()
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._months_until = 0
        self._snapshot_seq = machine.seq
        self._stopping = self._stopped = False
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
        asked = _Asked(command, asyncio.get_running_loop().create_future())
        try:
            self._queue.put_nowait(asked)
        except asyncio.QueueFull:
            raise Overloaded(f"{self._queue.maxsize} commands wait already; try again later") from None
        return await asked.answered

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
        self._woken()

    def quote(self, symbol: str, bid: float, ask: float, bid_size: float, ask_size: float) -> None:
        """Take a best bid and ask."""
        if self._stopped:
            return
        self._driver.quote(symbol, self._now(), bid, ask, bid_size, ask_size)
        self._woken()

    def mark(self, symbol: str, mark: float) -> None:
        """Take a mark."""
        if self._stopped:
            return
        self._driver.mark(symbol, self._now(), mark)
        self._woken()

    def in_flight(self) -> list[VenueOrderRow]:
        """Return the orders the venue may or may not have got: look each up there before it is sent again."""
        return list(self.machine.house.state.venue_orders.values())

    async def run(self) -> None:
        """Work until cancelled, which commits what was handled; raises what ended it."""
        self._driver.start(lambda due_ns: self._clock.call_at(due_ns, self._timer))
        self._woken()
        handling = asyncio.create_task(self._handle_commands())
        committing = asyncio.create_task(self._commit_batches())
        try:
            await asyncio.wait({handling, committing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._clock.cancel(self._timer)
            handling.cancel()
            await asyncio.gather(handling, return_exceptions=True)
            await self._stop(committing, in_order=handling.cancelled())
        for task in (handling, committing):
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    # -- commands

    async def _handle_commands(self) -> None:
        while True:
            asked = self._in_hand = [await self._queue.get()]
            while len(asked) < self._limits.lookup and not self._queue.empty():
                asked.append(self._queue.get_nowait())
            stored = await self._stored([each.command.key for each in asked])
            for place, each in enumerate(asked):
                self._take(each, stored.get(each.command.key))
                if place % _TURN == _TURN - 1:
                    self._woken()
                    await asyncio.sleep(0)
            self._woken()
            await self._room.wait()

    async def _stored(self, keys: list[str]) -> dict[str, tuple[bytes, str]]:
        """Look keys up among the answers in the database."""
        unknown = [key for key in keys if key not in self._known]
        if not unknown:
            return {}
        sql = "select key, request, answer from idempotency_keys where key = any($1)"
        with reaching_database():
            rows = await self._reader.fetch(sql, unknown, timeout=self._limits.patience_s)
        return {row["key"]: (row["request"], row["answer"]) for row in rows}

    def _take(self, asked: _Asked, stored: tuple[bytes, str] | None) -> None:
        command, request = asked.command, asked.command.digest()
        known = self._known.get(command.key)
        if known is not None:
            self._repeat(asked, request, known)
        elif stored is not None:
            if stored[0] == request:
                _set(asked.answered, Answer.from_json(stored[1]))
            else:
                _set_error(asked.answered, _reused(command.key))
        else:
            self._carry_out(asked, request)

    def _repeat(self, asked: _Asked, request: bytes, known: _Known) -> None:
        """Answer a command as before, but not before that answer's own commit."""
        if known.request != request:
            _set_error(asked.answered, _reused(asked.command.key))
        elif known.done.done():
            _set(asked.answered, known.answer)
        else:
            known.done.add_done_callback(lambda done: _follow(done, asked.answered, known.answer))

    def _carry_out(self, asked: _Asked, request: bytes) -> None:
        command, machine = asked.command, self.machine
        given = self._named(command.asked)
        before = machine.seq
        machine.idempotency_key = command.key
        try:
            machine.check(given)
            events = self._driver.command(given)
            answer = answer_to(command.asked, machine.seq, events)
        except InvalidInput as error:
            answer = invalid(str(error))
            self._driver.command(CommandInvalid(given.ts, request.hex(), answer.detail))  # type: ignore[arg-type]
        finally:
            machine.idempotency_key = None
        if isinstance(given, ConfigChanged) and machine.seq > before:
            self._watch.configure(machine.book.settings)
        row = IdempotencyRow(command.key, request, answer.to_json(), machine.seq, Moment(given.ts))
        machine.batch.append(row)
        machine.batch.size += 1
        known = _Known(request, answer, asyncio.get_running_loop().create_future())
        self._remember(command.key, known)
        self._next.known.append(known)
        self._next.answers.append((asked.answered, answer))

    def _remember(self, key: str, known: _Known) -> None:
        self._known[key] = known
        while len(self._known) > self._limits.remembered and next(iter(self._known.values())).done.done():
            self._known.popitem(last=False)

    def _named(self, asked: Asked) -> Any:
        """Set the time of a command, and the id of an order or a withdrawal that has none."""
        if isinstance(asked, OrderSubmitted):
            name = asked.order_id or self.machine.next_id(OrderSubmitted)
        elif isinstance(asked, WithdrawalRequested):
            name = asked.withdrawal_id or self.machine.next_id(WithdrawalRequested)
        else:
            name = ""
        return named(asked, self._now(), name)

    def _stamped(self, given: LedgerInput) -> Any:
        return replace(given, ts=self._now())

    def _now(self) -> int:
        return max(self._clock.now_ns(), self.machine.now)

    def _timer(self) -> None:
        self._driver.timer(self._now())
        self._woken()

    def _request(self, request: Request) -> None:
        self._next.requests.append(request)

    # -- commits

    def _woken(self) -> None:
        if self.machine.batch.size:
            self._work.set()
            if self.machine.batch.size >= self._limits.batch:
                self._room.clear()

    async def _commit_batches(self) -> None:
        while not self._stopping:
            await self._work.wait()
            self._work.clear()
            await self._commit()
        await self._commit()  # what was handled during the last one

    async def _commit(self) -> None:
        """Write what was handled, then let it out."""
        machine = self.machine
        if not machine.batch.size:
            return
        batch, after = machine.take_batch(), self._next
        self._next = _Commit()
        wrong = self.reconciler.committing(batch)
        self._room.set()
        seq, link, now = machine.seq, machine.link, machine.now
        snapshot = self._snapshot_due()
        for done in wrong:
            self.tell(done)
        try:
            if now >= self._months_until:
                self._months_until = now + DAY_NS
                await self._writer.prepare_months(now - DAY_NS, now + 32 * DAY_NS)
            await self._writer.commit(batch, seq, link)
        except BaseException:
            self._next.answers += after.answers  # to be told that nobody knows
            self._next.known += after.known
            raise
        for known in after.known:
            known.done.set_result(None)
        for answered, answer in after.answers:
            _set(answered, answer)
        for request in after.requests:
            self._send(request)
        if snapshot is not None:
            await self._store(snapshot)

    def _send(self, request: Request) -> None:
        port = self._ports[request.account]
        if isinstance(request, VenueOrderRequested):
            port.send(request)
        else:
            port.cancel(request)

    async def _store(self, snapshot: Snapshot) -> None:
        with reaching_database():
            await store_snapshot(self._writer.connection, snapshot)

    def _snapshot_due(self) -> Snapshot | None:
        if self.machine.seq - self._snapshot_seq < self._limits.snapshot_every:
            return None
        self._snapshot_seq = self.machine.seq
        return Snapshot.of(self.machine)

    # -- ends

    async def _stop(self, committing: "asyncio.Task[None]", in_order: bool) -> None:
        """Let the commit on its way and what was handled since be done; what still queues is not taken.

        A commit is never broken off: its outcome would not be known. Where handling did not end ``in_order``
        the state may be half of an input's: it must not become a snapshot.
        """
        self._stopped = True
        self._stopping = True
        self._work.set()
        await asyncio.wait({committing})
        self._tell_unknown(committing.exception() or "the books are stopping")
        if in_order and committing.exception() is None and self._snapshot_seq != self.machine.seq:
            await self._store(Snapshot.of(self.machine))

    def _tell_unknown(self, why: object) -> None:
        """Tell whoever still waits that the outcome of their command is not known."""
        while not self._queue.empty():
            self._in_hand.append(self._queue.get_nowait())
        waiting = [each.answered for each in self._in_hand] + [each for each, _ in self._next.answers]
        for answered in waiting:
            _set_error(answered, NotAnswered(f"{why}; ask again with the same key"))
        for known in self._next.known:  # whoever asked the same meanwhile waits for these
            known.done.cancel()


class _Outbox:
    """Keep requests until the commit of what caused them."""

    def __init__(self, keep: Callable[[Request], None]) -> None:
        self.send = self.cancel = keep


def _set(future: "asyncio.Future[Answer]", answer: Answer) -> None:
    if not future.done():
        future.set_result(answer)


def _set_error(future: "asyncio.Future[Answer]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _follow(done: "asyncio.Future[Any]", future: "asyncio.Future[Answer]", answer: Answer) -> None:
    if done.cancelled() or done.exception() is not None:
        _set_error(future, NotAnswered("the books stopped; ask again with the same key"))
    else:
        _set(future, answer)


def _reused(key: str) -> KeyReused:
    return KeyReused(f"idempotency key {key!r} came with another request before; use a new one")
