"""The books of the released version: a journal with inputs of every kind, and what each of them led to.

``python -m tests.live.released`` writes ``released_books.json`` anew.
"""

import json
from collections.abc import Iterator
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from live.ledger.batch import Batch
from live.ledger.hashing import plain
from live.ledger.inputs import LedgerInput
from live.ledger.machine import Machine
from live.ledger.recovery import open_again, take
from live.ledger.rows import InputRow
from live.ledger.rows_trading import RoutingRecordRow
from risk.inputs import (
    DepositCredited,
    FundingBooked,
    FundingCorrected,
    HlAccount,
    HlHaltLifted,
    OrderSubmitted,
    OrderType,
    SnapshotRequested,
    TimerFired,
    VenueAccountLiquidated,
    VenuePositionsReported,
    WithdrawalEnded,
    WithdrawalSubmitted,
)
from tests.live.eventful import fill_books
from tests.postgres import reachable_folder, start_postgres
from tests.risk.book_builder import D

RELEASED = Path(__file__).with_name("released_books.json")
BOBS_POSITION = 3  # a short one of 0.5 ETH that ``fill_books`` leaves open
HOW = "python -m tests.live.released"


def journal() -> list[dict[str, Any]]:
    """Return the rows of the released journal, each with the digest ``made`` of what it led to."""
    rows = json.loads(RELEASED.read_text())
    return [row | {"link": bytes.fromhex(row["link"])} for row in rows]


def replayed(rows: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], Machine]]:
    """Give each row with the machine that has taken it, whose batch has what it made."""
    machine = open_again(rows[0])
    yield rows[0], machine
    for row in rows[1:]:
        machine.batch.clear()
        take(machine, row)
        yield row, machine


def made(machine: Machine) -> str:
    """Return the digest of the rows in a machine's batch, and of its state; how long it took is left out."""
    batch: Batch = machine.batch
    rows: list[Any] = [
        row for kind, rows in batch.rows().items() if kind is not RoutingRecordRow for row in rows
    ]
    rows += [row._replace(latency_ns=0, digest=b"") for row in batch.appended[RoutingRecordRow]]
    told = "\n".join([machine.book.digest(), *sorted(map(_text, rows)), *map(_text, batch.audit)])
    return sha256(told.encode()).hexdigest()


def _text(row: Any) -> str:
    """Return a row as text; a number's scale is no part of it."""
    values = [tuple(map(_plain, value)) if isinstance(value, tuple) else _plain(value) for value in row]
    return f"{type(row).__name__} {values}"


def _plain(value: Any) -> str:
    return plain(value) if isinstance(value, Decimal) else str(value)


def _write() -> None:
    with reachable_folder() as folder:
        server = start_postgres(folder, "fsync=off")
        dsn = server.migrated_database("released")
        fill_books(dsn)
        with psycopg.connect(dsn, row_factory=dict_row) as connection:
            rows = connection.execute("select * from input_journal order by seq").fetchall()
        server.kill()
    kept = []
    for row, machine in replayed(rows):
        kept.append(row | {"made": made(machine)})
    for step in range(len(_more(machine))):
        machine.batch.clear()
        machine.handle(_more(machine)[step])
        (given,) = machine.batch.appended[InputRow]
        kept.append(given._asdict() | {"made": made(machine)})
    for row in kept:
        row["link"] = row["link"].hex()
    RELEASED.write_text(json.dumps(kept, indent=0, ensure_ascii=False) + "\n")


def _more(machine: Machine) -> list[LedgerInput]:
    """Return inputs that the API and the chains do not lead to, and a stop that ends with its position."""
    now, trading = machine.now, HlAccount.TRADING
    order = machine.next_id(OrderSubmitted)
    return [
        DepositCredited(now, "ann", D(50_000), "by hand"),
        WithdrawalSubmitted(now, "core-1", "ann", D(1), D("0.5")),
        WithdrawalEnded(now, "core-1", sent=False),
        OrderSubmitted(
            *(now, order, "bob", "ETH", 1, D("0.5"), OrderType.STOP_LOSS, None, D(9_000)),
            reduce_only=True,
            position_id=BOBS_POSITION,
        ),
        OrderSubmitted(now, order, "bob", "ETH", 1, None, reduce_only=True, position_id=BOBS_POSITION),
        FundingBooked(now, trading, "BTC", D("1.5")),
        FundingCorrected(now, "ETH", D("0.00001"), D(4_000)),
        HlHaltLifted(now, "BTC", "operator-2", "looked into"),
        VenuePositionsReported(now, trading, ()),
        TimerFired(now),
        SnapshotRequested(now),
        VenueAccountLiquidated(now, HlAccount.HEDGE),
    ]


if __name__ == "__main__":
    _write()
