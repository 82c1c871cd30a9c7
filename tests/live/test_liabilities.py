"""Publications of what users are owed, in a real database that others write at the same time."""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from live import verify_inclusion
from live.ledger.liabilities import load, proof, publish
from risk.errors import InvalidInput, InvariantBroken

from ..postgres import Postgres, postgres  # noqa: F401

type Connection = psycopg.Connection[Any]
MONEY = st.decimals(-(10**9), 10**9, places=6)


@pytest.fixture(scope="module")
def dsn(postgres: Postgres) -> str:  # noqa: F811
    return postgres.migrated_database("liabilities")


@pytest.fixture
def connection(dsn: str) -> Iterator[Connection]:
    """Give a connection to books that are empty again."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        for table in ("wallets", "liability_leaves", "liability_roots", "audit_log"):
            connection.execute(f"delete from {table}")
        connection.execute("update audit_head set id = 0, link = %s", (bytes(32),))
        connection.execute("update books_writer set seq = 41")
        connection.execute("set session_replication_role = origin")
        yield connection


def set_wallet(connection: Connection, user: str, cash: Any, pending: Any = 0, isolated: Any = 0) -> None:
    total = Decimal(cash) + Decimal(isolated)
    connection.execute(
        "insert into wallets values (%s, %s, %s, 0, %s, 0, %s, %s, 0) on conflict (user_id) do update set"
        " total_balance = excluded.total_balance, available_balance = excluded.available_balance,"
        " cash = excluded.cash, isolated_margin = excluded.isolated_margin,"
        " withdrawals_pending = excluded.withdrawals_pending",
        (user, total, total, cash, isolated, pending),
    )


def micro(amount: Decimal) -> int:
    return int(amount * 10**6)


def test_a_user_is_owed_balance_margin_and_pending_withdrawals(connection: Connection) -> None:
    set_wallet(connection, "ann", "100.5", pending="20.25", isolated="3.000001")
    set_wallet(connection, "bob", 0)
    published = publish(connection)
    assert (published.id, published.users, published.total, published.seq) == (
        1,
        2,
        Decimal("123.750001"),
        41,
    )
    assert proof(connection, "ann")["balance"] == "123.750001"
    assert proof(connection, "bob")["balance"] == "0"
    for user in ("ann", "bob"):
        verify_inclusion.verify(proof(connection, user), published.root, micro(published.total))


@settings(max_examples=15)
@given(st.dictionaries(st.text("abcé'\\\t", max_size=4), MONEY, max_size=9))
def test_the_total_is_the_sum_of_what_is_not_negative(dsn: str, owed: dict[str, Decimal]) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute("delete from wallets")
        connection.execute("set session_replication_role = origin")
        for user, amount in owed.items():
            set_wallet(connection, user, amount)
        published = publish(connection)
        assert published.total == sum(amount for amount in owed.values() if amount > 0)
        below = [amount for amount in owed.values() if amount < 0]
        assert (published.users, published.negative_users) == (len(owed), len(below))
        assert published.negative == sum(below)
        made = load(connection, published.id)
        for user, amount in owed.items():
            found = made.proof(user)
            assert Decimal(found["balance"]) == max(amount, 0)
            verify_inclusion.verify(found, published.root, micro(published.total))


def test_the_audit_log_says_what_was_published(connection: Connection) -> None:
    set_wallet(connection, "ann", 7)
    set_wallet(connection, "bob", -2)
    published = publish(connection)
    row = connection.execute("select actor, action, subject, detail, seq, ts from audit_log").fetchall()
    detail = f"{published.root.hex()} 7 USDC of 2 users; 1 below zero by -2 count as nothing"
    assert row == [("liabilities", "LIABILITIES_PUBLISHED", "1", detail, 41, published.time_us * 1000)]


def test_earlier_roots_keep_their_proofs_and_every_salt_is_new(connection: Connection) -> None:
    set_wallet(connection, "ann", 1)
    first = publish(connection)
    set_wallet(connection, "ann", 2)
    set_wallet(connection, "bob", 2)
    second = publish(connection)
    third = publish(connection)
    assert [each.id for each in (first, second, third)] == [1, 2, 3]
    assert second.root != third.root  # though nobody's balance differs
    verify_inclusion.verify(proof(connection, "ann", 1), first.root, 10**6)
    verify_inclusion.verify(proof(connection, "ann"), third.root, 4 * 10**6)
    with pytest.raises(InvalidInput, match="user was 'bob'"):
        proof(connection, "bob", 1)
    salts = connection.execute("select salt from liability_leaves").fetchall()
    assert len(set(salts)) == 5


def test_unknown_users_and_roots_are_named(connection: Connection) -> None:
    with pytest.raises(InvalidInput, match="root was the latest; none is published yet"):
        proof(connection, "ann")
    assert publish(connection).users == 0
    with pytest.raises(InvalidInput, match="user was 'ann'"):
        proof(connection, "ann")
    with pytest.raises(InvalidInput, match="root was 2"):
        proof(connection, "ann", 2)


@pytest.mark.parametrize(
    "change",
    [
        "update liability_leaves set balance = balance + 1 where user_id = 'ann'",
        "update liability_leaves set salt = sha256('') where user_id = 'ann'",
        "update liability_leaves set user_id = 'eve' where user_id = 'ann'",
        "delete from liability_leaves where balance = 0",
        "update liability_roots set total = total + 1",
        "update liability_roots set seq = seq + 1",
        "update liability_roots set created_at = created_at + interval '1 microsecond'",
        "update liability_roots set users = users + 1",
    ],
)
def test_a_changed_publication_gives_no_proofs(connection: Connection, change: str) -> None:
    for user, amount in (("ann", 1), ("bob", 0), ("cat", 5)):
        set_wallet(connection, user, amount)
    publish(connection)
    connection.execute("set session_replication_role = replica")
    connection.execute(change.encode())
    with pytest.raises(InvariantBroken, match="liability root 1"):
        proof(connection, "cat")


def test_books_that_move_on_meanwhile_are_published_as_of_one_input(connection: Connection, dsn: str) -> None:
    """Money goes round in a circle, an audit entry with each move: no sum is off, and nobody's commit fails."""
    users = [f"user-{i}" for i in range(50)]
    for user in users:
        set_wallet(connection, user, 10)
    stop, moves = Event(), []

    def keep_moving() -> None:
        with psycopg.connect(dsn, autocommit=True) as other:
            while not stop.is_set():
                with other.transaction():
                    here, there = users[len(moves) % 50], users[(len(moves) + 17) % 50]
                    for user, amount in ((here, -1), (there, 1)):
                        other.execute(
                            "update wallets set total_balance = total_balance + %s,"
                            " available_balance = available_balance + %s, cash = cash + %s where user_id = %s",
                            (amount, amount, amount, user),
                        )
                    other.execute("select append_audit('a', 'b', 'c', 'd', 0, 0)")
                moves.append(here)

    with ThreadPoolExecutor() as pool:
        moving = pool.submit(keep_moving)
        published = []
        try:
            while not moving.done() and (len(published) < 15 or len(moves) <= 15):
                published.append(publish(connection))
        finally:
            stop.set()
        moving.result()
    assert len(moves) > 15
    assert len(published) >= 15
    assert all(each.total + each.negative == 500 for each in published)


def test_two_publications_at_once_follow_one_another(connection: Connection, dsn: str) -> None:
    for i in range(20):
        set_wallet(connection, f"user-{i}", i)

    def publish_one(_: int) -> int:
        with psycopg.connect(dsn) as other:
            return publish(other).id

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(publish_one, range(8))) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_publication_that_cannot_be_audited_leaves_nothing(connection: Connection) -> None:
    set_wallet(connection, "ann", 1)
    connection.execute("alter table audit_log rename to hidden")
    try:
        with pytest.raises(psycopg.errors.UndefinedTable):
            publish(connection)
    finally:
        connection.execute("alter table hidden rename to audit_log")
    for table in ("liability_roots", "liability_leaves"):
        assert connection.execute(f"select count(*) from {table}").fetchone() == (0,)


def test_a_published_proof_convinces_the_stand_alone_verifier(connection: Connection, tmp_path: Path) -> None:
    set_wallet(connection, "ann", "0.000001")
    set_wallet(connection, "bob", "99.99")
    published = publish(connection)
    file = tmp_path / "proof.json"
    file.write_text(json.dumps(proof(connection, "ann")))
    command = [sys.executable, "-I", verify_inclusion.__file__, str(file)]
    for total, code in ((str(published.total), 0), ("99.99", 1)):
        given = [*command, "--root", published.root.hex(), "--total", total]
        assert subprocess.run(given, capture_output=True, timeout=60, check=False).returncode == code


def test_inside_a_transaction_it_refuses_rather_than_mix_two_instants(connection: Connection) -> None:
    with connection.transaction():
        connection.execute("select 1")
        with pytest.raises(psycopg.errors.ActiveSqlTransaction):
            publish(connection)
