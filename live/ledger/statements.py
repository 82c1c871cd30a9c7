"""What an accountant asks of the books: a user's statement, and the trial balance."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import dict_row, tuple_row

from live.ledger.checks import opened_books
from risk.errors import InvalidInput, InvariantBroken
from risk.ledger import HOUSE_ACCOUNTS, ZERO

_POSITIONS = """select id, symbol, direction, size, entry_price, margin_mode, margin, position_source, opened_at
    from positions where user_id = %s and status = 'OPEN' order by id"""
_ORDERS = """select id, symbol, side, type, size, filled_size, price, status, created_at from orders
    where user_id = %s and status in ('PENDING', 'RESTING', 'PARTIALLY_FILLED') order by seq"""
_WITHDRAWALS = """select id, chain, asset, amount, fee, address, status, created_at from withdrawals
    where user_id = %s and status not in ('SENT', 'REFUSED') order by seq"""
_WALLET = """select total_balance, available_balance, frozen_margin, cash, order_holds, isolated_margin,
    withdrawals_pending from wallets where user_id = %s"""


class Movement(NamedTuple):
    """One change of a user's total balance, and what it was after. USDC; time in UTC nanoseconds."""

    ts: int
    type: str
    ref: str
    amount: Decimal
    balance: Decimal


class Statement(NamedTuple):
    """A user's balance between two times, and what stands open at the end of the books.

    ``totals`` sums the movements by type; ``wallet``, ``positions``, ``orders`` and ``withdrawals`` are rows of
    their tables as they stand now, whatever the times asked for.
    """

    user: str
    from_ns: int | None
    to_ns: int | None
    opening: Decimal
    movements: list[Movement]
    closing: Decimal
    totals: dict[str, Decimal]
    wallet: dict[str, Any]
    positions: list[dict[str, Any]]
    orders: list[dict[str, Any]]
    withdrawals: list[dict[str, Any]]
    seq: int


class Line(NamedTuple):
    """An account, or all users' accounts of one kind, with its balance on the side it stands on. USDC."""

    account: str
    debit: Decimal
    credit: Decimal


class TrialBalance(NamedTuple):
    """Every account at input ``seq``; the books balance when both columns sum to the same."""

    lines: list[Line]
    debit: Decimal
    credit: Decimal
    seq: int

    @property
    def balances(self) -> bool:
        """Tell whether debits equal credits."""
        return self.debit == self.credit


def parse_time(text: str | None, option: str) -> int | None:
    """Return a date or time in ISO form, UTC where it names no zone, as nanoseconds; raise InvalidInput."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"{option} was {text!r}; it must be a date or time such as 2026-03-01T12:00"
        ) from None
    found = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    since = found - datetime(1970, 1, 1, tzinfo=UTC)
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000


def statement(
    connection: psycopg.Connection[Any], user: str, from_ns: int | None = None, to_ns: int | None = None
) -> Statement:
    """Return a user's statement from ``from_ns`` to before ``to_ns``, all of it by default.

    Raises InvalidInput for an unknown user, or times in the wrong order. ``connection`` must not be inside a
    transaction: the statement is of one instant.
    """
    if from_ns is not None and to_ns is not None and from_ns >= to_ns:
        raise InvalidInput("--from was not before --to; a statement needs a time between them")
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read read only")
        seq = opened_books(connection)
        wallets = _dicts(connection, _WALLET, user)
        if not wallets:
            raise InvalidInput(f"user was {user!r}; no such user is registered")
        movements = _movements(connection, user, from_ns, to_ns)
        opening = (
            movements[0].balance - movements[0].amount if movements else _balance(connection, user, to_ns)
        )
        _must_follow(user, opening, movements)
        totals: dict[str, Decimal] = {}
        for each in movements:
            totals[each.type] = totals.get(each.type, ZERO) + each.amount
        return Statement(
            user,
            from_ns,
            to_ns,
            opening,
            movements,
            movements[-1].balance if movements else opening,
            dict(sorted(totals.items())),
            wallets[0],
            _dicts(connection, _POSITIONS, user),
            _dicts(connection, _ORDERS, user),
            _dicts(connection, _WITHDRAWALS, user),
            seq,
        )


def trial_balance(connection: psycopg.Connection[Any]) -> TrialBalance:
    """Return the trial balance of one instant: house accounts, and users' money by kind.

    ``connection`` must not be inside a transaction. Raises InvalidInput where no books were opened.
    """
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read read only")
        seq = opened_books(connection)
        cursor = connection.cursor(row_factory=tuple_row)
        found: dict[str, Decimal] = dict(
            cursor.execute("select account, balance from house_accounts").fetchall()
        )
        of_users = cursor.execute(
            """select coalesce(sum(cash), 0), coalesce(sum(order_holds), 0), coalesce(sum(isolated_margin), 0),
                coalesce(sum(withdrawals_pending), 0) from wallets"""
        ).fetchone()
    assert of_users is not None
    names = ("users: cash", "users: order holds", "users: isolated margin", "users: withdrawals pending")
    balances = {name: found.pop(name, ZERO) for name in HOUSE_ACCOUNTS}
    balances |= found | dict(zip(names, of_users, strict=True))
    lines = [Line(name, max(-balance, ZERO), max(balance, ZERO)) for name, balance in balances.items()]
    debit = sum((line.debit for line in lines), ZERO)
    return TrialBalance(lines, debit, sum((line.credit for line in lines), ZERO), seq)


def _movements(
    connection: psycopg.Connection[Any], user: str, from_ns: int | None, to_ns: int | None
) -> list[Movement]:
    rows = connection.cursor(row_factory=tuple_row).execute(
        """select ts, type, ref_id, amount, after from balance_logs where user_id = %s
            and ts >= coalesce(%s, ts) and ts < coalesce(%s, ts + 1) order by id""",
        (user, from_ns, to_ns),
    )
    return [Movement(*row) for row in rows]


def _must_follow(user: str, balance: Decimal, movements: list[Movement]) -> None:
    """Raise InvariantBroken where a balance is not the one before and what was moved: no one could use that."""
    for each in movements:
        if balance + each.amount != each.balance:
            raise InvariantBroken(
                f"the balance of {user!r} after {each.type} {each.ref} was {each.balance}, "
                f"not {balance + each.amount}; run `ledger check`"
            )
        balance = each.balance


def _balance(connection: psycopg.Connection[Any], user: str, to_ns: int | None) -> Decimal:
    """Return the total balance a user had before a time."""
    rows = connection.cursor(row_factory=tuple_row).execute(
        """select after from balance_logs where user_id = %s and ts < coalesce(%s, ts + 1)
            order by id desc limit 1""",
        (user, to_ns),
    )
    found = rows.fetchone()
    return ZERO if found is None else Decimal(found[0])


def _dicts(connection: psycopg.Connection[Any], query: str, user: str) -> list[dict[str, Any]]:
    return connection.cursor(row_factory=dict_row).execute(query.encode(), (user,)).fetchall()
