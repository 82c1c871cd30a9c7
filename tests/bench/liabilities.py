"""Time proofs of liabilities and the audit's verification: ``python tests/bench/liabilities.py [USERS]``.

The tree and its file of proof in memory, then the same through a database, then the verification of as many rows of
input journal beside the same chain followed by the database's own function.
"""

import random
import sys
from collections.abc import Callable
from hashlib import sha256
from time import perf_counter
from typing import Any

import psycopg

from live import verify_inclusion
from live.ledger.audit import verify
from live.ledger.hashing import GENESIS, link
from live.ledger.liabilities import Publication, load, publish
from live.ledger.merkle_sum import Leaf, Tree, arrange
from live.ledger.migrate import upgrade
from tests.bench._bench import show
from tests.postgres import reachable_folder, start_postgres

USERS = 100_000
TS = 1_795_000_000_000_000_000

Row = tuple[str, float, float]


def timed(name: str, count: int, call: Callable[[], Any]) -> tuple[Row, Any]:
    """Return the seconds of a call, in all and in microseconds a row, and what it returned."""
    start = perf_counter()
    result = call()
    spent = perf_counter() - start
    return (f"{name} ({count:,})", spent, spent / count * 1e6), result


def in_memory(users: int) -> list[Row]:
    """Build a tree, then give and check proofs."""
    rng = random.Random(1)
    leaves = [Leaf(f"user-{i}", rng.randrange(10**12), rng.randbytes(32)) for i in range(users)]

    def build() -> Publication:
        arranged = arrange(leaves)
        return Publication(1, 1, [leaf for _, leaf in arranged], Tree(node for node, _ in arranged))

    built, made = timed("tree", users, build)
    some = [leaf.user_id for leaf in leaves[:1000]]
    given, proofs = timed("proofs out of a tree", len(some), lambda: [made.proof(user) for user in some])
    root, total = made.root, made.tree.top.sum

    def check() -> None:
        for proof in proofs:
            verify_inclusion.verify(proof, root, total)

    checked, _ = timed("proofs checked", len(some), check)
    plain, _ = timed("plain alternative: one hash over all, no proofs", users, lambda: hash_all(leaves))
    return [built, given, checked, plain]


def hash_all(leaves: list[Leaf]) -> bytes:
    """Commit to all balances at once."""
    return sha256(b"".join(b"%b:%d" % (leaf.user_id.encode(), leaf.balance) for leaf in leaves)).digest()


def in_database(connection: psycopg.Connection[Any], users: int) -> list[Row]:
    """Publish all wallets and load the tree again."""
    connection.execute(
        "insert into wallets select 'user-' || i, i, i, 0, i, 0, 0, 0, 0 from generate_series(1, %s) as i",
        (users,),
    )
    published, _ = timed("publish", users, lambda: publish(connection))
    loaded, _ = timed("load, as for one proof", users, lambda: load(connection))
    return [published, loaded]


def audited(connection: psycopg.Connection[Any], rows: int) -> list[Row]:
    """Verify a journal of that many inputs."""
    connection.execute("select ensure_partitions(%s, %s)", (TS, TS))
    last = GENESIS
    with connection.cursor().copy("copy input_journal from stdin") as copy:
        for seq in range(rows):
            body = f'{{"ts":{TS + seq},"order_id":"o-{seq}","user":"user-{seq % 999}","symbol":"BTC","size":"0.01"}}'
            last = link(last, seq, TS + seq, "OrderSubmitted", f"key-{seq}", body)
            copy.write_row((seq, TS + seq, "OrderSubmitted", f"key-{seq}", body, last))
    connection.execute("update books_writer set seq = %s, link = %s", (rows - 1, last))
    ours, report = timed("audit verify", rows, lambda: verify(connection, lambda *_: None))
    assert report.first is None, report.first
    query = (
        "select count(*) from (select link, audit_link(lag(link, 1, decode(repeat('00', 32), 'hex')) over (order by"
        " seq), array[seq::text, ts::text, kind, coalesce(idempotency_key, ''), body]) as computed"
        " from input_journal) as row where link <> computed"
    )
    theirs, _ = timed(
        "plain alternative: in SQL, in the database", rows, lambda: connection.execute(query).fetchall()
    )
    return [ours, theirs]


def main() -> None:
    """Run all on a database of its own, and print the table."""
    users = int(sys.argv[1]) if len(sys.argv) > 1 else USERS
    rows = in_memory(users)
    with reachable_folder() as folder:
        server = start_postgres(folder)
        try:
            upgrade(server.conninfo)
            with psycopg.connect(server.conninfo, autocommit=True) as connection:
                rows += in_database(connection, users)
                rows += audited(connection, users)
        finally:
            server.stop()
    show("Proof of liabilities and audit", ("what (rows)", "seconds", "µs a row"), rows)


if __name__ == "__main__":
    main()
