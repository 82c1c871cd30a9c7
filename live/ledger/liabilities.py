"""Publish what the platform owes its users as a Merkle-sum root, and prove to each that they are in it.

A user's liability is total_balance + withdrawals_pending; docs/proof-of-liabilities.md says why.
"""

from decimal import Decimal
from secrets import token_bytes
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import tuple_row

from live.ledger.hashing import plain
from live.ledger.merkle_sum import Leaf, Tree, arrange
from live.verify_inclusion import FORMAT, hash_root
from risk.errors import InvalidInput, InvariantBroken

PUBLISHED = "LIABILITIES_PUBLISHED"  # the action in the audit log

_SALT_BYTES = 32
_FETCHED_ROWS = 10_000
_TIME_US = "(extract(epoch from {}) * 1000000)::bigint"


class Published(NamedTuple):
    """A root and what stands beside it. USDC; time in UTC microseconds; ``seq`` is the last input counted.

    ``negative_users`` balances were below zero, together by ``negative``: they count as nothing in the total.
    """

    root: bytes
    total: Decimal
    users: int
    id: int
    seq: int
    time_us: int
    negative_users: int
    negative: Decimal


class Publication:
    """A published tree in memory: load it once, then give many users their proofs."""

    def __init__(self, seq: int, time_us: int, leaves: list[Leaf], tree: Tree) -> None:
        self.seq = seq
        self.time_us = time_us
        self.leaves = leaves
        self.tree = tree
        self._places = {leaf.user_id: place for place, leaf in enumerate(leaves)}

    @property
    def root(self) -> bytes:
        """Return what is published of the tree: 32 bytes."""
        return hash_root(*self.tree.top, len(self.leaves), self.seq, self.time_us)

    @property
    def total(self) -> Decimal:
        """Return the sum of all balances, in USDC."""
        return _decimal(self.tree.top.sum)

    def proof(self, user: str) -> dict[str, Any]:
        """Return the proof for a user, ready for JSON. Raises InvalidInput if they are not in the tree."""
        place = self._places.get(user)
        if place is None:
            raise InvalidInput(f"user was {user!r}; it must be one who had a wallet at the publication")
        leaf = self.leaves[place]
        return {
            "format": FORMAT,
            "user_id": user,
            "balance": _usdc(leaf.balance),
            "salt": leaf.salt.hex(),
            "place": place,
            "users": len(self.leaves),
            "seq": self.seq,
            "time_us": self.time_us,
            "path": [{"hash": node.hash.hex(), "sum": _usdc(node.sum)} for node in self.tree.path(place)],
        }


def describe(root: bytes, total: Decimal, users: int) -> str:
    """Return how the audit log's entry of a publication begins."""
    return f"{root.hex()} {plain(total)} USDC of {users} users"


def publish(connection: psycopg.Connection[Any]) -> Published:
    """Build the tree over all wallets as they are in one instant, and keep it with its audit entry.

    ``connection`` must not be inside a transaction. Books that write meanwhile wait for the audit entry alone.
    """
    salted, seq, time_us, below_zero = _read_wallets(connection)
    arranged = arrange(salted)
    leaves = [leaf for _, leaf in arranged]
    made = Publication(seq, time_us, leaves, Tree(node for node, _ in arranged))
    negative = _decimal(sum(below_zero))
    note = f"; {len(below_zero)} below zero by {plain(negative)} count as nothing" if below_zero else ""
    number = _keep(connection, made, note)
    return Published(made.root, made.total, len(leaves), number, seq, time_us, len(below_zero), negative)


def load(connection: psycopg.Connection[Any], root_id: int | None = None) -> Publication:
    """Load a published tree, the latest one by default.

    Raises InvalidInput if there is none, InvariantBroken if its leaves no longer give its root.
    """
    with connection.transaction():
        found = _query(
            connection,
            f"select id, root, total * 1000000, users, seq, {_TIME_US.format('created_at')} from liability_roots"
            " where id = coalesce(%s, (select max(id) from liability_roots))",
            root_id,
        ).fetchone()
        if found is None:
            wanted = "none is published yet" if root_id is None else "it must be the id of a published one"
            raise InvalidInput(f"root was {'the latest' if root_id is None else root_id}; {wanted}")
        number, root, total, users, seq, time_us = found
        rows = _query(
            connection,
            "select user_id, balance * 1000000, salt from liability_leaves where root_id = %s order by place",
            number,
        ).fetchall()
    leaves = [Leaf(user, int(balance), salt) for user, balance, salt in rows]
    made = Publication(seq, time_us, leaves, Tree(leaf.node() for leaf in leaves))
    if (made.root, made.tree.top.sum, len(leaves)) != (root, total, users):
        raise InvariantBroken(
            f"liability root {number} is {root.hex()} over {_usdc(int(total))} USDC of {users} users;"
            f" its leaves give {made.root.hex()} over {_usdc(made.tree.top.sum)} of {len(leaves)}"
        )
    return made


def proof(connection: psycopg.Connection[Any], user: str, root_id: int | None = None) -> dict[str, Any]:
    """Return one user's proof under a published root, the latest by default; for many users ``load`` once.

    Raises InvalidInput for an unknown user or root.
    """
    return load(connection, root_id).proof(user)


def _read_wallets(connection: psycopg.Connection[Any]) -> tuple[list[Leaf], int, int, list[int]]:
    """Return a leaf of each user, the last input in them, the time, and the balances below zero."""
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read read only")
        ((seq, time_us),) = _query(connection, f"select seq, {_TIME_US.format('now()')} from books_writer")
        with connection.cursor("wallets_of_the_tree", row_factory=tuple_row) as cursor:
            cursor.itersize = _FETCHED_ROWS
            cursor.execute("select user_id, (total_balance + withdrawals_pending) * 1000000 from wallets")
            owed = [(user, int(balance)) for user, balance in cursor]
    leaves = [Leaf(user, max(balance, 0), token_bytes(_SALT_BYTES)) for user, balance in owed]
    return leaves, seq, time_us, [balance for _, balance in owed if balance < 0]


def _keep(connection: psycopg.Connection[Any], made: Publication, note: str) -> int:
    """Write a publication with its audit entry; return its id.

    Not in the snapshot's transaction: there the audit log's head could not move on while others append.
    """
    with connection.transaction():
        connection.execute("lock table liability_roots in share row exclusive mode")
        ((number,),) = _query(connection, "select coalesce(max(id), 0) + 1 from liability_roots")
        connection.execute(
            "insert into liability_roots (id, root, total, users, seq, created_at)"
            " values (%s, %s, %s, %s, %s, timestamptz 'epoch' + %s * interval '1 microsecond')",
            (number, made.root, made.total, len(made.leaves), made.seq, made.time_us),
        )
        _copy_leaves(connection, number, made.leaves)
        detail = describe(made.root, made.total, len(made.leaves)) + note
        # Last, as it holds the audit log's head until the commit.
        connection.execute(
            "select append_audit('liabilities', %s, %s, %s, %s, %s)",
            (PUBLISHED, str(number), detail, made.seq, made.time_us * 1000),
        )
    return int(number)


def _copy_leaves(connection: psycopg.Connection[Any], number: int, leaves: list[Leaf]) -> None:
    columns = "root_id, place, user_id, balance, salt"
    with connection.cursor() as cursor, cursor.copy(f"copy liability_leaves ({columns}) from stdin") as copy:
        for place, leaf in enumerate(leaves):
            copy.write_row((number, place, leaf.user_id, _decimal(leaf.balance), leaf.salt))


def _query(connection: psycopg.Connection[Any], query: str, *values: object) -> psycopg.Cursor[Any]:
    return connection.cursor(row_factory=tuple_row).execute(query.encode(), values)


def _decimal(micro: int) -> Decimal:
    return Decimal(f"{micro}e-6")  # exact under any context, as a product would not be


def _usdc(micro: int) -> str:
    return plain(_decimal(micro))
