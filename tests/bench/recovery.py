"""Time starts and checks on long books: ``python tests/bench/recovery.py [DAYS]``.

299 days, the default, are ten million rows of ``journal``; ``_grown.py`` says what of them is real. Then three days
more are traded, without a snapshot, so that a start has as much to replay as it ever has. Everything is measured on
a durable server with its own defaults, started anew, with the pages the system happens to hold. At the end single old
rows are changed behind the guards' back and looked for; up to 20 days also by the check that replays everything.
"""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
import psycopg
from _bench import show
from _grown import grow
from _steady_days import TRADERS, Trading

from live.ledger.audit import verify
from live.ledger.check_sql import check_rules
from live.ledger.checks import check
from live.ledger.findings import Findings
from live.ledger.migrate import upgrade
from live.ledger.recovery import prove, recover
from live.ledger.snapshots import Snapshot, store_snapshot
from live.ledger.statements import statement
from live.ledger.writer import Writer
from risk.numbers import install_context
from tests.postgres import Postgres, reachable_folder, start_postgres

DAYS, DAYS_SINCE, REPLAYED_WHOLE = 299, 3, 20
DATABASE = "grown"
_LOADING = ("fsync=off", "full_page_writes=off", "max_wal_size=8GB", "shared_buffers=1GB", "autovacuum=off")
_TAMPERED = {
    "an amount in journal": ("update journal set amounts = array(select 2 * amount from unnest(amounts) as amount) "
        "where id = {old}", "update journal set amounts = array(select amount / 2 from unnest(amounts) as amount) "
        "where id = {old}"),
    "a price in fills": ("update fills set price = price + 1 where id = {old}",
        "update fills set price = price - 1 where id = {old}"),
}  # fmt: skip
Row = tuple[str, float, str]


async def fill(dsn: str, days: int) -> None:
    """Make the books and trade on, with real commits alone."""
    machine = await grow(dsn, days)
    connection = await asyncpg.connect(dsn)
    trading = Trading(machine, await Writer.claim(connection, "bench"))
    await trading.day(days)
    await store_snapshot(connection, Snapshot.of(machine))
    for number in range(days + 1, days + 1 + DAYS_SINCE):
        await trading.day(number)
    await trading.rest()
    await connection.execute("vacuum analyze")
    await connection.close()


def recovering(dsn: str) -> None:
    """Come back in this process, and print what it took: seconds, of which for the proof; MB at most."""

    async def back() -> tuple[float, float]:
        connection = await asyncpg.connect(dsn)
        seq = await connection.fetchval("select seq from books_writer")
        start = time.perf_counter()
        machine = await recover(connection, seq)
        whole, start = time.perf_counter() - start, time.perf_counter()
        await prove(connection, machine)
        return whole, time.perf_counter() - start

    whole, proof = asyncio.run(back())
    print(whole, proof, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def recovery(dsn: str) -> list[Row]:
    """Measure a recovery in a process of its own."""
    command = [sys.executable, __file__, "recover", dsn]
    words = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    whole, proof, peak = map(float, words)
    return [
        ("recovery: snapshot, replay, proof", whole, f"of which proof {proof:.2f} s; {peak:,.0f} MB at most"),
    ]


def starting(dsn: str) -> Row:
    """Measure ``hybrid-perps books`` from its start until it says that the books are open."""
    command = [sys.executable, "-m", "hybrid_perps", "books"]
    start = time.perf_counter()
    environment = {**os.environ, "DATABASE_URL": dsn}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        said = process.stdout.readline().strip()
        spent = time.perf_counter() - start
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert "are open" in said, said
    return "`hybrid-perps books`, command to open", spent, said


def looked_at(dsn: str) -> Iterator[Row]:
    """Measure statement, rules, the quick check and the chains."""
    with psycopg.connect(dsn) as connection:

        def timed(name: str, act: Callable[[], Any], tell: Callable[[Any], str]) -> Row:
            start = time.perf_counter()
            found = act()
            spent = time.perf_counter() - start
            connection.rollback()
            return name, spent, tell(found)

        yield timed(
            "`ledger statement` of one user",
            lambda: statement(connection, f"u{TRADERS - 1}"),
            lambda made: f"{len(made.movements):,} movements",
        )
        yield timed("`ledger check`, its rules alone", lambda: _rules(connection), lambda found: _told(found))
        yield timed(
            "`ledger check --quick`",
            lambda: check(connection, quick=True),
            lambda found: f"{found.inputs:,} inputs replayed; {_told(found.findings)}",
        )
        yield timed(
            "`audit verify`",
            lambda: verify(connection, lambda *_: None),
            lambda found: f"{sum(found.checked.values()):,} rows; {_told(found.breaks)}",
        )


def tampering(dsn: str, is_whole: bool) -> Iterator[Row]:
    """Change one row in the middle, and see what finds it."""
    for name, (change, back) in _TAMPERED.items():
        with _tampered(dsn, name.split()[-1], change, back), psycopg.connect(dsn) as connection:
            start = time.perf_counter()
            found = _rules(connection)
            yield f"changed {name}: rules", time.perf_counter() - start, _told(found)
            if is_whole:
                connection.rollback()
                start = time.perf_counter()
                findings = check(connection).findings
                yield f"changed {name}: `ledger check`", time.perf_counter() - start, _told(findings)


@contextmanager
def _tampered(dsn: str, table: str, change: str, back: str) -> Iterator[None]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        row = connection.execute(f"select max(id) / 2 from {table}".encode()).fetchone()
        assert row is not None
        for statement_ in (change, back):
            assert connection.execute(statement_.format(old=row[0]).encode()).rowcount == 1
            if statement_ is change:
                yield


def _rules(connection: psycopg.Connection[Any]) -> list[Any]:
    findings = Findings()
    check_rules(connection, findings, lambda *_: None)
    return findings.kept


def _told(found: list[Any]) -> str:
    return f"{len(found)} found, first: {found[0]}"[:110] if found else "nothing found"


def counted(dsn: str) -> list[Row]:
    """Return rows and bytes of the largest tables."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            """select coalesce(parent.relname, c.relname), sum(c.reltuples)::float,
                pg_size_pretty(sum(pg_total_relation_size(c.oid)))
            from pg_class c left join pg_inherits i on i.inhrelid = c.oid
            left join pg_class parent on parent.oid = i.inhparent
            where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace
            group by 1 order by sum(pg_total_relation_size(c.oid)) desc limit 12"""
        )
        return [(name, count, size) for name, count, size in rows]


def measure(server: Postgres, is_whole: bool) -> None:
    """Print everything."""
    dsn = server.conninfo.replace("@/postgres?", f"@/{DATABASE}?", 1)
    show("the books", ("table", "rows", "with indexes"), counted(dsn))
    rows = [*recovery(dsn), *looked_at(dsn)]
    show("goal: recovery in under 60 s", ("", "s", ""), rows)
    show("one old row changed", ("", "s", ""), list(tampering(dsn, is_whole)))
    show("last, as it writes", ("", "s", ""), [starting(dsn)])


def main() -> None:
    """Fill a server, start it anew as it runs everywhere, and measure."""
    install_context()
    if sys.argv[1:2] == ["recover"]:
        recovering(sys.argv[2])
        return
    days = int(sys.argv[1]) if len(sys.argv) > 1 else DAYS
    with reachable_folder() as folder:
        server = start_postgres(folder, *_LOADING)
        try:
            dsn = server.new_database(DATABASE)
            upgrade(dsn)
            start = time.perf_counter()
            asyncio.run(fill(dsn, days))
            print(f"books of {days + 1 + DAYS_SINCE} days in {time.perf_counter() - start:.0f} s", flush=True)
        finally:
            server.stop()
        server = start_postgres(folder)
        try:
            measure(server, days <= REPLAYED_WHOLE)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
