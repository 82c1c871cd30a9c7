"""Committing what was handled, and letting out only then what follows from it: answers, and requests to the venues.

What is handled while a commit is on its way goes into the next one, so a batch is as large as what waits.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from live.books.commands import Answer
from live.books.events import EventHub, committed_of
from live.books.known_answers import settle
from live.books.reconciliation import Reconciler
from live.ledger.inputs import LedgerInput
from live.ledger.machine import Machine
from live.ledger.snapshots import Snapshot, store_snapshot
from live.ledger.writer import DatabaseLost, Writer, reaching_database
from risk.house_events import VenueCancelRequested, VenueOrderRequested
from risk.inputs import HlAccount
from risk.settings import DAY_NS
from strategies.driver import VenuePort

Request = VenueOrderRequested | VenueCancelRequested
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Following:
    """Hold what follows the commit of a batch; ``committed`` is done with it, or cancelled."""

    committed: "asyncio.Future[None]"
    answers: list[tuple["asyncio.Future[Any]", object]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)


class Commits:
    """Write the machine's batches, one at a time; ``room`` is set while the next one may still grow.

    ``tell`` takes what the ``reconciler`` finds wrong. ``batch`` bounds a batch, ``snapshot_every`` is the
    number of inputs between snapshots.
    """

    def __init__(
        self,
        machine: Machine,
        writer: Writer,
        ports: dict[HlAccount, VenuePort],
        tell: Callable[[LedgerInput], None],
        *,
        batch: int,
        snapshot_every: int,
    ) -> None:
        self.reconciler = Reconciler(machine, lambda: writer.seq)
        self.room = asyncio.Event()
        self.room.set()
        self._machine = machine
        self.writer = writer
        self._ports = ports
        self._tell = tell
        self._batch = batch
        self._snapshot_every = snapshot_every
        self._snapshot_seq = machine.seq
        self._months_until = 0
        self.events = EventHub()
        self._next = self._nothing()
        self._on_its_way: Following | None = None
        self._work = asyncio.Event()
        self._stopping = False
        self._gave_up: Exception | None = None

    # -- what is to follow

    @property
    def committed(self) -> "asyncio.Future[None]":
        """Return what is done with the commit of the input in hand."""
        return self._next.committed

    async def caught_up(self) -> bool:
        """Wait until all that was handled is committed; return False where that did not come."""
        if self._machine.batch.size:
            awaited = self._next.committed
        elif self._on_its_way is not None:
            awaited = self._on_its_way.committed
        else:
            return True
        await asyncio.wait({awaited})  # which leaves it alone when whoever waits gives up
        return not awaited.cancelled()

    def answer(self, answered: "asyncio.Future[Answer]", answer: Answer) -> None:
        """Answer once the input in hand is committed."""
        self._next.answers.append((answered, answer))

    def request(self, request: Request) -> None:
        """Send once the input in hand is committed."""
        self._next.requests.append(request)

    def unanswered(self) -> list["asyncio.Future[Any]"]:
        """Return who waits for a commit that did not, or will not, come; commands asked again are told by it."""
        self._next.committed.cancel()
        return [answered for answered, _ in self._next.answers]

    # -- commits

    def woken(self) -> None:
        """Say that something was handled."""
        size = self._machine.batch.size
        if size:
            self._work.set()
            if size >= self._batch:
                self.room.clear()

    def stop(self) -> None:
        """Have ``run`` end with what was handled."""
        self._stopping = True
        self._work.set()

    def give_up(self, error: Exception) -> None:
        """Have ``run`` raise ``error`` in place of the next commit; the first one given counts."""
        self._gave_up = self._gave_up or error
        self._work.set()

    async def run(self) -> None:
        """Commit until stopped; raises DatabaseLost where that does not succeed, or what it was given up for."""
        while not self._stopping:
            await self._work.wait()
            self._work.clear()
            if self._gave_up is not None:
                raise self._gave_up
            await self._commit()
        await self._commit()  # what was handled during the last one

    async def _commit(self) -> None:
        machine = self._machine
        if not machine.batch.size:
            return
        batch, after = machine.take_batch(), self._next
        self._next, self._on_its_way = self._nothing(), after
        wrong = self.reconciler.committing(batch)
        self.room.set()
        seq, link, now = machine.seq, machine.link, machine.now
        snapshot = self._snapshot_due()
        for done in wrong:
            self._tell(done)
        try:
            if now >= self._months_until:
                self._months_until = now + DAY_NS
                await self.writer.prepare_months(now - DAY_NS, now + 32 * DAY_NS)
            await self.writer.commit(batch, seq, link)
        except BaseException:
            self._next.answers += after.answers  # to be told that nobody knows
            after.committed.cancel()
            raise
        self._on_its_way = None
        self._let_out(after)
        if self.events.heard:
            self.events.publish(committed_of(batch, seq, now))
        if snapshot is not None:
            await self._store(snapshot)

    def _let_out(self, after: Following) -> None:
        after.committed.set_result(None)
        for answered, answer in after.answers:
            settle(answered, answer)
        for request in after.requests:
            port = self._ports[request.account]
            if isinstance(request, VenueOrderRequested):
                port.send(request)
            else:
                port.cancel(request)

    def _nothing(self) -> Following:
        return Following(asyncio.get_running_loop().create_future())

    # -- snapshots

    async def store_last(self) -> None:
        """Keep the state at the end of the books, unless the last snapshot has it; without it they open later."""
        if self._snapshot_seq != self._machine.seq:
            try:
                await self._store(Snapshot.of(self._machine))
            except DatabaseLost as error:
                _log.warning("the last snapshot of the books was not kept: %s", error)

    async def _store(self, snapshot: Snapshot) -> None:
        with reaching_database():
            await store_snapshot(self.writer.connection, snapshot)

    def _snapshot_due(self) -> Snapshot | None:
        if self._machine.seq - self._snapshot_seq < self._snapshot_every:
            return None
        self._snapshot_seq = self._machine.seq
        return Snapshot.of(self._machine)
