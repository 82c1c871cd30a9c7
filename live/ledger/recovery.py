"""Coming back: the latest snapshot, the inputs after it replayed, and the result proved against the tables."""

import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import asyncpg

from live.ledger.codec import decode
from live.ledger.hashing import GENESIS, link
from live.ledger.inputs import BooksOpened, LedgerInput
from live.ledger.machine import Machine
from live.ledger.rows_money import HouseAccountRow
from live.ledger.snapshots import Snapshot, version
from risk.errors import HybridPerpsError, InvalidInput
from risk.events import Event
from risk.ledger import HOUSE_ACCOUNTS

_ROWS_AT_ONCE = 1_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_log = logging.getLogger(__name__)


class BooksBroken(HybridPerpsError):
    """Say that the database does not hold what its own journal leads to; name the first difference."""


async def recover(
    connection: asyncpg.Connection, seq: int, progress: Callable[[int, int], None] = lambda _, __: None
) -> Machine:
    """Return the machine as it was after input ``seq``, the last one committed.

    ``progress`` is told (inputs replayed, inputs to replay). Raises BooksBroken when a link of the journal, or
    a row that the state must agree with, is not what it must be.
    """
    machine = await _latest(connection)
    if machine is None:
        machine = await _genesis(connection)
    first, done = machine.seq, 0
    async for row in _inputs(connection, first, machine.now):
        replay(machine, row)
        done += 1
        if done % _ROWS_AT_ONCE == 0:
            progress(done, seq - first)
    if machine.seq != seq:
        raise BooksBroken(f"the journal ends with input {machine.seq}; the last one committed was {seq}")
    await prove(connection, machine)
    return machine


def replay(machine: Machine, row: Any) -> None:
    """Give ``machine`` the next input of the journal, and drop the rows it makes: they are in the tables."""
    take(machine, row)
    machine.batch.clear()


def take(machine: Machine, row: Any) -> tuple[LedgerInput, tuple[Event, ...] | None]:
    """Give ``machine`` the next input of the journal; return it with its events, None where it was refused.

    Raises BooksBroken unless it leads to that row's link, and before taking what was not linked so.
    """
    seq, key = row["seq"], row["idempotency_key"]
    linked = link(machine.link, machine.seq + 1, row["ts"], row["kind"], key or "", row["body"])
    if (machine.seq + 1, linked) != (seq, row["link"]):
        raise BooksBroken(
            f"the journal has input {seq} with link {row['link'].hex()}; after input {machine.seq} "
            f"its link must be {linked.hex()}"
        )
    try:
        given, quiet = decode(row["kind"], row["body"])
    except InvalidInput as error:
        raise BooksBroken(f"input {seq} of the journal: {error}") from None
    machine.idempotency_key = key
    events = None
    try:
        events = machine.handle(given, quiet)
    except InvalidInput:
        pass  # it was refused then, too: only the market moved
    finally:
        machine.idempotency_key = None
    if (machine.seq, machine.link) != (seq, linked):
        raise BooksBroken(f"input {seq} of the journal, replayed, does not lead to its own link")
    return given, events


async def _latest(connection: asyncpg.Connection) -> Machine | None:
    row = await connection.fetchrow(
        """select seq, ts, version, digest, link, state from book_snapshots
        where version = $1 order by seq desc limit 1""",
        version(),
    )
    newest = await connection.fetchval("select max(seq) from book_snapshots")
    if newest is not None and (row is None or row["seq"] < newest):
        _log.warning(
            "the snapshot at input %d is of other code; all inputs after %d are replayed",
            newest,
            0 if row is None else row["seq"],
        )
    try:
        return None if row is None else Snapshot(**row).machine()
    except InvalidInput as error:
        raise BooksBroken(str(error)) from None


async def _genesis(connection: asyncpg.Connection) -> Machine:
    row = await connection.fetchrow("select * from input_journal where seq = 0")
    if row is None:
        raise BooksBroken("the journal has no input 0, which opened the books")
    machine = open_again(row)
    machine.batch.clear()
    return machine


def open_again(row: Any) -> Machine:
    """Open the books as the journal's first row says; raise BooksBroken when it does not open them."""
    linked = link(GENESIS, 0, row["ts"], row["kind"], row["idempotency_key"] or "", row["body"])
    opened, _ = decode(row["kind"], row["body"]) if linked == row["link"] else (None, ())
    if isinstance(opened, BooksOpened):
        machine = Machine(opened.options, opened.ts)
        if machine.link == linked:
            return machine
    raise BooksBroken("input 0 of the journal does not open the books with the link it has")


async def _inputs(connection: asyncpg.Connection, after: int, now: int) -> AsyncIterator[Any]:
    """Give the inputs after one taken at ``now``: earlier months need not be looked at."""
    sql = """select seq, ts, kind, idempotency_key, body, link from input_journal
        where seq > $1 and ts >= $2 order by seq"""
    async with connection.transaction(readonly=True):
        async for row in connection.cursor(sql, after, now, prefetch=_ROWS_AT_ONCE):
            yield row


async def prove(connection: asyncpg.Connection, machine: Machine) -> None:
    """Raise BooksBroken unless every row that can still change is what the machine makes of it."""
    for table, key, wanted in state_rows(machine):
        names = ", ".join(next(iter(wanted.values()))._fields) if wanted else "*"
        found = {row[key]: row for row in await connection.fetch(_OPEN[table].format(names=names))}
        compare(table, found, wanted)


_OPEN = {
    "house_accounts": "select {names} from house_accounts",
    "wallets": "select {names} from wallets",
    "orders": "select {names} from orders where status in ('PENDING', 'RESTING', 'PARTIALLY_FILLED')",
    "positions": "select {names} from positions where status = 'OPEN'",
    "venue_orders": "select {names} from venue_orders where status <> 'ENDED'",
    "hedge_positions": "select {names} from hedge_positions where size > 0",
    "deposits": "select {names} from deposits where status = 'PENDING'",
    "withdrawals": "select {names} from withdrawals where status not in ('SENT', 'REFUSED')",
    "hot_wallets": "select {names} from hot_wallets",
    "symbol_modes": "select {names} from symbol_modes",
    "users": "select {names} from users",
}


def state_rows(machine: Machine) -> list[tuple[str, str, dict[Any, Any]]]:
    """Return (table, key column, rows by key) of what can still change, as the machine has it."""
    accounts = {name: HouseAccountRow(name, machine.book.balance(name)) for name in HOUSE_ACCOUNTS}
    wallets = {user: machine.money.wallet(user) for user in machine.states.users.users}
    states = machine.states
    trading, house, chain = states.trading, states.house, states.wallets
    return [
        ("house_accounts", "account", {name: row for name, row in accounts.items() if row.balance}),
        ("wallets", "user_id", wallets),
        ("orders", "id", trading.orders),
        ("positions", "id", trading.positions),
        ("venue_orders", "cloid", house.venue_orders),
        ("hedge_positions", "id", {row.id: row for row in house.hedges.values()}),
        ("deposits", "id", chain.deposits),
        ("withdrawals", "id", states.withdrawals.open),
        ("hot_wallets", "id", chain.hot),
        ("symbol_modes", "symbol", house.modes),
        ("users", "id", states.users.users),
    ]


def compare(table: str, found: dict[Any, Any], wanted: dict[Any, Any]) -> None:
    """Raise BooksBroken at the first row that is missing, too many, or other than it must be."""
    for key in sorted(found.keys() - wanted.keys(), key=str):
        if table != "house_accounts" or found[key]["balance"]:
            raise BooksBroken(f"{table} has {key!r}, of which the books know nothing")
    for key, row in wanted.items():
        if key not in found:
            raise BooksBroken(f"{table} has no {key!r}; it must be {row}")
        for name, value in zip(row._fields, row, strict=True):
            if not same(found[key][name], value):
                raise BooksBroken(f"{name} of {key!r} in {table} was {found[key][name]}; it must be {value}")


def same(stored: Any, made: Any) -> bool:
    """Tell whether a stored value is the one made: a column of times holds microseconds."""
    if hasattr(stored, "timestamp"):
        since = stored - _EPOCH
        micros = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        return bool(made is not None and micros == made // 1_000)
    if isinstance(made, tuple):
        return bool(stored == list(made))
    return bool(stored == (Decimal(made) if isinstance(stored, Decimal) else made))
