"""The whole state at one input, stored now and then, so that a start replays only what came after."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from hashlib import sha256
from time import perf_counter_ns
from typing import get_type_hints

import asyncpg
import msgspec

from live.ledger.machine import Machine
from live.ledger.states import States
from live.ledger.tables import REPLACED
from risk.book import Book
from risk.errors import InvalidInput
from risk.frozen import state_version

KEPT = 3  # snapshots; the journal remains
STORED = "SNAPSHOT_STORED"  # the action in the audit log; its detail is the version and the state's SHA-256

_Stored = tuple[bytes, States, str | None]  # the book, the projections, and why the books are halted


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Hold a machine put down after input ``seq``; ``digest`` is its book's."""

    seq: int
    ts: int
    version: str
    digest: str
    link: bytes
    state: bytes

    @classmethod
    def of(cls, machine: Machine) -> "Snapshot":
        """Put a machine down as it is; rows not yet taken from it are not part of that."""
        state = msgspec.msgpack.encode((machine.book.freeze(), machine.states, machine.halted))
        return cls(machine.seq, machine.now, version(), machine.book.digest(), machine.link, state)

    def machine(self, clock: Callable[[], int] = perf_counter_ns) -> Machine:
        """Take the machine up again; raise InvalidInput for a state of other code, or no state of ours."""
        if self.version != version():
            raise InvalidInput(
                f"the snapshot at input {self.seq} is of version {self.version}; this code reads {version()}"
            )
        try:
            book, states, halted = msgspec.msgpack.decode(self.state, type=_Stored)
        except msgspec.MsgspecError as error:
            raise InvalidInput(f"the snapshot at input {self.seq} could not be read: {error}") from None
        found = Machine.resumed(Book.thaw(book), states, self.seq, self.link, self.ts, halted, clock)
        if found.book.digest() != self.digest:
            raise InvalidInput(f"the snapshot at input {self.seq} does not have the digest stored with it")
        return found


def version() -> str:
    """Return the hash of what a snapshot consists of: the book's state, and the projections' beside it."""
    states = get_type_hints(States).values()
    shapes = [repr([(f.name, str(f.type)) for f in fields(state)]) for state in states]
    shapes += [repr(get_type_hints(row)) for row in REPLACED]
    return sha256("\n".join([state_version(), *shapes]).encode()).hexdigest()[:32]


async def store_snapshot(connection: asyncpg.Connection, snapshot: Snapshot) -> None:
    """Write a snapshot of a committed input and its hash into the audit log; drop the oldest but ``KEPT``."""
    await connection.execute(
        """with stored as (
            insert into book_snapshots (seq, ts, version, digest, link, state) values ($1, $2, $3, $4, $5, $6)
            on conflict (seq) do nothing returning seq, ts
        )
        select append_audit('books', $7, 'book_snapshots', $8, seq, ts) from stored""",
        snapshot.seq,
        snapshot.ts,
        snapshot.version,
        snapshot.digest,
        snapshot.link,
        snapshot.state,
        STORED,
        f"{snapshot.version} {sha256(snapshot.state).hexdigest()}",
    )
    await connection.execute(
        "delete from book_snapshots where seq not in (select seq from book_snapshots order by seq desc limit $1)",
        KEPT,
    )
