"""Figures that must be equal, compared (rulebook §8): each commit's in memory, all of them in the database.

What one pass has found right in the journal the next one builds on, so an hour's pass reads an hour's rows.
"""

from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

import asyncpg

from live.ledger.batch import Batch
from live.ledger.inputs import ReconciliationDone
from live.ledger.machine import Machine
from live.ledger.rows_money import BalanceLogRow, JournalRow
from risk.ledger import HOUSE_ACCOUNTS, PLATFORM_PROFIT, RISK_RESERVE, ZERO
from risk.numbers import round_money

USER_ASSETS, HOUSE_BOOK, JOURNAL = "USER_ASSETS", "HOUSE_BOOK", "JOURNAL"
ALERT_RATE, CRITICAL_RATE = Decimal("0.0001"), Decimal("0.001")

_KEPT = 64  # figures of past commits while a pass waits for the one it sees in the database
_PENDING = ("withdrawal_requested", "withdrawal_sent", "withdrawal_refused")


def compared(dimension: str, expected: Decimal, actual: Decimal) -> ReconciliationDone:
    """Grade two figures: user assets by how far they are apart, the others by whether they are."""
    difference = abs(actual - expected)
    rate = (difference / abs(expected) if expected else Decimal(1)) if difference else ZERO
    status = "OK"
    if dimension != USER_ASSETS:
        status = "CRITICAL" if difference else "OK"
    elif rate > CRITICAL_RATE:
        status = "CRITICAL"
    elif rate > ALERT_RATE:
        status = "ALERT"
    return ReconciliationDone(0, dimension, expected, actual, rate, status)


class Figures(NamedTuple):
    """What the books are at one input; ``users_open`` is the value of users' open positions at ``marks``.

    ``marks`` holds each symbol's mark and funding index.
    """

    seq: int
    transactions: int
    house: dict[str, Decimal]
    users_open: Decimal
    marks: dict[str, tuple[Decimal, Decimal]]

    @classmethod
    def of(cls, machine: Machine) -> "Figures":
        """Take them from the machine as it stands."""
        book = machine.book
        house = {account: book.balance(account) for account in HOUSE_ACCOUNTS}
        return cls(machine.seq, book.transactions, house, book.users_open(), book.marks())


class CommitCheck:
    """Add up the rows of each commit, and compare the sums with the book's own figures.

    What is found is told once: again only when the difference has changed.
    """

    def __init__(self, machine: Machine) -> None:
        """Start from a machine whose ``batch`` holds rows that are still to be committed."""
        uncommitted = machine.batch.appended
        assets = sum(machine.money.state.totals.values(), ZERO)
        assets += sum((row.amount for row in machine.states.withdrawals.open.values()), ZERO)
        self._assets = assets - _assets_moved(machine.batch)
        self._balanced = machine.book.transactions - len(uncommitted[JournalRow])
        self._differences: dict[str, Decimal] = {}

    def take(self, batch: Batch, machine: Machine) -> list[ReconciliationDone]:
        """Take a batch that ends where the machine stands; return what must be told."""
        self._assets += _assets_moved(batch)
        self._balanced += sum(1 for row in batch.appended[JournalRow] if not sum(row.amounts))
        balance = machine.book.balance
        owed = -sum((balance(account) for account in HOUSE_ACCOUNTS), ZERO)
        checks = (
            compared(USER_ASSETS, owed, self._assets),
            compared(JOURNAL, Decimal(machine.book.transactions), Decimal(self._balanced)),
        )
        return [done for done in checks if self._is_news(done)]

    def _is_news(self, done: ReconciliationDone) -> bool:
        difference = done.actual - done.expected
        before = self._differences.get(done.dimension, ZERO)
        self._differences[done.dimension] = difference
        return done.status != "OK" and difference != before


def _assets_moved(batch: Batch) -> Decimal:
    """Return what a batch adds to users' total balances and pending withdrawals."""
    moved = sum((row.amount for row in batch.appended[BalanceLogRow]), ZERO)
    for row in batch.appended[JournalRow]:
        if row.kind in _PENDING:
            entries = zip(row.accounts, row.amounts, strict=True)
            moved += sum((amount for account, amount in entries if account.startswith("withdrawals_")), ZERO)
    return moved


class Reconciler:
    """Compare the books with themselves: ``committing`` each batch, ``full_pass`` the database now and then.

    ``committed`` tells the last committed input.
    """

    def __init__(self, machine: Machine, committed: Callable[[], int]) -> None:
        self._machine = machine
        self._committed = committed
        self._check = CommitCheck(machine)
        self._recorded: deque[Figures] = deque(maxlen=_KEPT)
        self._recording = False
        self._began = None if machine.batch.size else Figures.of(machine)
        self._base: _Base | None = None

    def committing(self, batch: Batch) -> list[ReconciliationDone]:
        """Take the batch that is about to be committed; return what is wrong with it."""
        if self._recording:
            self._recorded.append(Figures.of(self._machine))
        return self._check.take(batch, self._machine)

    async def full_pass(self, connection: asyncpg.Connection) -> list[ReconciliationDone] | None:
        """Compare the wallets, positions, fills and journal of one moment with the figures of that moment.

        None when the moment in the database was one of no known figures, which another try will not be.
        """
        self._recording = True
        if self._machine.seq == self._committed():
            self._recorded.append(Figures.of(self._machine))
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            seq = await connection.fetchval("select seq from books_writer")
            figures = next((each for each in self._recorded if each.seq == seq), None)
            if figures is None:
                return None
            self._recording = False
            self._recorded.clear()
            base = self._base or await self._first_base(connection)
            found = await _Found.read(connection, base, figures)
        self._base = found.base
        return found.results(figures)

    async def _first_base(self, connection: asyncpg.Connection) -> "_Base":
        """Return where to begin: at the journal's first row, or, once months of it are put away, at our start."""
        first = await connection.fetchval("select min(id) from journal")
        if self._began is None or first == 1:
            return _Base(0, 0, 0, 0, {}, ZERO, ZERO)
        began = self._began
        fill = await connection.fetchval("select max(id) from fills where seq <= $1", began.seq)
        ts = await connection.fetchval("select max(ts) from journal where id <= $1", began.transactions)
        shares = began.house[PLATFORM_PROFIT] + began.house[RISK_RESERVE]
        count = began.transactions
        return _Base(count, ts or 0, count, fill or 0, began.house, shares, ZERO)


class _Base(NamedTuple):
    """What was read up to some transaction and some fill.

    ``house`` sums the journal by account of the house; ``other_shares`` what platform profit and reserve got
    otherwise than from clients' results, which ``results`` sums.
    """

    journal_id: int
    journal_ts: int
    balanced: int
    fill_id: int
    house: dict[str, Decimal]
    other_shares: Decimal
    results: Decimal


_ROWS = """
select count(*) filter (where sums_to_zero(amounts)) as balanced, coalesce(max(id), $1) as last, max(ts) as ts
from journal where id > $1 and ts >= $2"""

# A liquidation's ref names the position: at Hyperliquid the reserve gets what is left of its margin.
_HOUSE = """
select account, sum(amount) as amount,
    coalesce(sum(amount) filter (where account = any($3) and not (kind = 'close'
        or kind = 'liquidation' and position_source = 'INTERNAL')), 0) as other_shares
from journal
    cross join lateral unnest(accounts, amounts) as entry (account, amount)
    left join positions on kind = 'liquidation' and positions.id =
        case when kind = 'liquidation' then split_part(ref_id, ':', 2)::bigint end
where journal.id > $1 and journal.ts >= $2 and position(':' in account) = 0
group by account"""

_FILLS = """
select coalesce(max(id), $1) as last, coalesce(sum(pnl) filter (where source = 'INTERNAL'), 0) as results
from fills where id > $1"""

_OPEN = """
select coalesce(sum(case direction when 'LONG' then 1 else -1 end
    * (size * mark - cost - size * (index - funding_index))), 0)
from positions join unnest($1::text[], $2::numeric[], $3::numeric[]) as market (name, mark, index)
    on symbol = name
where status = 'OPEN'"""


class _Found(NamedTuple):
    """What the database holds."""

    base: _Base
    wallets: Decimal
    positions: Decimal
    shares: Decimal

    @classmethod
    async def read(cls, connection: asyncpg.Connection, base: _Base, figures: Figures) -> "_Found":
        """Read the rows after ``base``, and what stands."""
        after = base.journal_id, base.journal_ts
        rows = await connection.fetchrow(_ROWS, *after)
        house, shares = dict(base.house), base.other_shares
        for row in await connection.fetch(_HOUSE, *after, [PLATFORM_PROFIT, RISK_RESERVE]):
            house[row["account"]] = house.get(row["account"], ZERO) + row["amount"]
            shares += row["other_shares"]
        fills = await connection.fetchrow(_FILLS, base.fill_id)
        read = _Base(
            rows["last"],
            rows["ts"] or base.journal_ts,
            base.balanced + rows["balanced"],
            fills["last"],
            house,
            shares,
            base.results + fills["results"],
        )
        wallets = await connection.fetchval(
            "select coalesce(sum(total_balance + withdrawals_pending), 0) from wallets"
        )
        names = list(figures.marks)
        marks, indexes = zip(*figures.marks.values(), strict=True)
        positions = await connection.fetchval(_OPEN, names, marks, indexes)
        stored = "select coalesce(sum(balance), 0) from house_accounts where account = any($1)"
        return cls(
            read, wallets, positions, await connection.fetchval(stored, [PLATFORM_PROFIT, RISK_RESERVE])
        )

    def results(self, figures: Figures) -> list[ReconciliationDone]:
        """Compare with what the machine knew: of wallets and journal whichever is further from it counts."""
        owed = -sum(figures.house.values(), ZERO)
        in_journal = -sum(self.base.house.values(), ZERO)
        furthest = max((self.wallets, in_journal), key=lambda sum_: abs(sum_ - owed))
        return [
            compared(
                USER_ASSETS,
                round_money(owed + figures.users_open),
                round_money(furthest + self.positions),
            ),
            compared(HOUSE_BOOK, -self.base.results, self.shares - self.base.other_shares),
            compared(JOURNAL, Decimal(figures.transactions), Decimal(self.base.balanced)),
        ]
