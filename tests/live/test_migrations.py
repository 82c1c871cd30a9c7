"""A database's tables are brought up to date once, together, and never back."""

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from live.ledger.migrate import check_revision, latest_revision, upgrade
from risk.errors import InvalidInput

from ..postgres import Postgres, postgres  # noqa: F401

MIGRATIONS = Path(__file__).parents[2] / "live/ledger/migrations"
UPGRADE = "import sys; from live.ledger.migrate import upgrade; input(); upgrade(sys.argv[1])"


def fetch(dsn: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query.encode()).fetchall()


def test_an_empty_database_gets_the_tables_and_one_up_to_date_keeps_its_rows(postgres: Postgres) -> None:  # noqa: F811
    dsn = postgres.new_database("empty")
    with pytest.raises(InvalidInput, match="there are no books in this database yet"):
        check_revision(dsn)
    upgrade(dsn)
    check_revision(dsn)
    fetch(dsn, "select append_audit('a', 'b', 'c', 'd', 0, 0)")
    upgrade(dsn)
    assert fetch(dsn, "select id, actor from audit_log") == [(1, "a")]
    assert fetch(dsn, "select version_num from alembic_version") == [(latest_revision(),)]


def test_a_database_that_is_up_to_date_does_not_load_what_migrates(postgres: Postgres) -> None:  # noqa: F811
    look = """import sys; from live.ledger.migrate import check_revision, upgrade
upgrade(sys.argv[1]); check_revision(sys.argv[1]); print(*{"alembic", "sqlalchemy"} & set(sys.modules))"""
    command = [sys.executable, "-c", look, postgres.migrated_database("up_to_date")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "\n"


def test_the_names_of_the_files_tell_what_comes_after_what() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    chain = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert chain[0] == latest_revision()
    assert chain == sorted((path.name[:4] for path in MIGRATIONS.glob("versions/0*.py")), reverse=True)


def test_a_newer_database_is_refused_and_unchanged(postgres: Postgres) -> None:  # noqa: F811
    dsn = postgres.new_database("newer")
    upgrade(dsn)
    fetch(dsn, "update alembic_version set version_num = '9999' returning 1")
    for refuses in (upgrade, check_revision):
        with pytest.raises(InvalidInput, match="revision 9999, newer than this program, which knows 0001"):
            refuses(dsn)
    assert fetch(dsn, "select version_num from alembic_version") == [("9999",)]


def test_another_encoding_is_refused(postgres: Postgres) -> None:  # noqa: F811
    dsn = postgres.new_database("utf8").replace("/utf8?", "/latin?")
    with psycopg.connect(postgres.conninfo, autocommit=True) as connection:
        connection.execute("create database latin encoding 'LATIN1' locale 'C' template template0")
    with pytest.raises(InvalidInput, match="encoding was LATIN1, it must be UTF8"):
        upgrade(dsn)


def test_a_step_that_fails_leaves_nothing(postgres: Postgres) -> None:  # noqa: F811
    dsn = postgres.new_database("half")
    with psycopg.connect(dsn) as connection:
        connection.execute("create table liability_leaves (id int)")  # the last one a step would make
    with pytest.raises(psycopg.errors.DuplicateTable, match="liability_leaves"):
        upgrade(dsn)
    assert (
        fetch(dsn, "select relname from pg_class where relname in ('input_journal', 'alembic_version')") == []
    )


def test_several_processes_at_once_make_the_tables_once(postgres: Postgres) -> None:  # noqa: F811
    dsn = postgres.new_database("together")
    command = [sys.executable, "-c", UPGRADE, dsn]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    for process in processes:  # all of them wait at their start, so that they meet
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[1] for process in processes] == [""] * 3
    assert [process.returncode for process in processes] == [0] * 3
    check_revision(dsn)


def test_no_step_offers_a_way_back() -> None:
    steps = list((MIGRATIONS / "versions").glob("[0-9]*.py"))
    assert steps
    assert not [
        path.name for path in [*steps, MIGRATIONS / "script.py.mako"] if "def downgrade" in path.read_text()
    ]


def test_books_of_other_rules_are_refused_and_unchanged(postgres: Postgres) -> None:  # noqa: F811
    dsn = postgres.new_database("older")
    upgrade(dsn)
    fetch(dsn, "select ensure_partitions(0, 0)")
    fetch(
        dsn,
        """insert into input_journal (seq, ts, kind, body, link)
        values (0, 0, 'BooksOpened', '[]', sha256('')) returning 1""",
    )
    upgrade(dsn)  # inputs of this version are its own
    fetch(dsn, "update alembic_version set version_num = '0007' returning 1")
    with pytest.raises(InvalidInput, match="0007 reads them; begin new ones in an empty database"):
        upgrade(dsn)
    assert fetch(dsn, "select version_num from alembic_version") == [("0007",)]
    assert fetch(dsn, "select seq from input_journal") == [(0,)]


_OPENED = """insert into input_journal (seq, ts, kind, body, link)
    values (0, 0, 'BooksOpened', '[]', sha256('')) returning 1"""
_AGREED = "proposal 5, approved by ub: "
NO_LONGER_TAKEN = [
    ("BALANCE_ADJUSTED", "a7: -4, approved by boss: credited twice"),
    ("BALANCE_NOT_ADJUSTED", "a7: -4, approved by boss: credited twice; refused: ADJUSTMENT_EXCEEDS_FREE"),
    ("KYC_CHANGED", "PENDING to PENDING: why"),
    ("ROUTING_MODE_SET", "HL_MODE pinned to HL_MODE pinned: why"),
    ("ROUTING_MODE_SET", "NORMAL_MODE to NORMAL_MODE"),
    ("HL_HALT_LIFTED", "was open: why"),
    ("BOOKS_RELEASED", f"{_AGREED}were open: why"),
    ("RISK_CONFIG_CHANGED", f"{_AGREED}nothing changed: why"),
    ("ROUTING_CONFIG_CHANGED", "nothing changed"),
]
STILL_TAKEN = [
    ("KYC_CHANGED", "PENDING to APPROVED: PENDING to PENDING: why"),
    ("ROUTING_MODE_SET", "HL_MODE pinned to HL_MODE: why"),
    ("ROUTING_MODE_SET", "NORMAL_MODE to NORMAL_MODE pinned: why"),
    ("HL_HALT_LIFTED", "halted to open: was open"),
    ("BOOKS_RELEASED", f"{_AGREED}halted (x was 2, not 1) to open: were open"),
    ("ROUTING_CONFIG_CHANGED", "normal_threshold 1 to 2: nothing changed"),
]


def _before_0009(dsn: str, *acts: tuple[str, str]) -> None:
    """Make a database of the tables before revision 0009, with books that have these acts."""
    upgrade(dsn)
    fetch(dsn, "select ensure_partitions(0, 0)")
    fetch(dsn, _OPENED)
    with psycopg.connect(dsn) as connection:
        connection.execute("drop index audit_by_withdrawal, audit_by_proposal")
        connection.execute("alter table access.proposals drop column code")
        connection.execute("alter table access.withdrawal_requests drop column confirming_at")
        connection.execute("update alembic_version set version_num = '0008'")
        for action, detail in acts:
            connection.execute("select append_audit('ua', %s, 'x', %s, 0, 0)", (action, detail))


@pytest.mark.parametrize("act", NO_LONGER_TAKEN, ids=lambda act: act[0])
def test_books_with_acts_that_are_not_taken_any_more_are_refused(
    postgres: Postgres,  # noqa: F811
    act: tuple[str, str],
) -> None:
    dsn = postgres.new_database("acts")
    _before_0009(dsn, act)
    with pytest.raises(InvalidInput, match="0008 reads them; begin new ones in an empty database"):
        upgrade(dsn)
    assert fetch(dsn, "select version_num from alembic_version") == [("0008",)]


def test_books_with_a_withdrawal_that_was_refused_at_once_are_refused(postgres: Postgres) -> None:  # noqa: F811
    dsn = postgres.new_database("at_once")
    _before_0009(dsn)
    fetch(
        dsn,
        "insert into users (id, kyc_status, seq, created_at) values ('ann', 'NONE', 0, now()) returning 1",
    )
    fetch(
        dsn,
        """insert into withdrawals (id, user_id, chain, asset, amount, address, status, seq, updated_seq, created_at,
            fee, refused_by, reason, processed_at, passed)
        values ('w7', 'ann', 'eth', 'USDC', 5, '0xa', 'REFUSED', 7, 7, now(), 0, 'books', 'r', now(), '{}')
        returning 1""",
    )
    with pytest.raises(InvalidInput, match="0008 reads them; begin new ones in an empty database"):
        upgrade(dsn)


def test_books_without_such_acts_go_on(postgres: Postgres) -> None:  # noqa: F811
    dsn = postgres.new_database("no_acts")
    _before_0009(dsn, *STILL_TAKEN)
    upgrade(dsn)
    check_revision(dsn)
    fetch(dsn, "select code from access.proposals")


LOST = "insert into alerts values (1, 'ALERT', 'HL_DISCONNECTED', '', 0, '', 1, now())"
HALTED = "insert into alerts values (1, 'P0', 'HEDGE_LIQUIDATED', '', 0, '', 1, now())"
SENT = """insert into venue_orders values
    ('c', 'TRADING', 'BTC', 'SELL', 1, 9, false, 'liquidation:1', 9, 'REQUESTED', 1, now(), now())"""


CROSS = """insert into positions (id, user_id, symbol, direction, size, entry_price, margin_mode, position_source,
        status, leverage, margin, cost, funding_index, order_id, seq, opened_at, updated_at, updated_seq)
    values (1, 'ann', 'BTC', 'LONG', 1, 9, 'CROSS', %s, 'OPEN', 1, 0, 9, 0, 'o', 1, now(), now(), 1)"""


# A cross position: its source, and what happened beside it.
@pytest.mark.parametrize(
    ("source", "happened", "taken"),
    [
        ("HYPERLIQUID", SENT, False),
        ("HYPERLIQUID", SENT.replace(":1", ":2"), True),
        ("HYPERLIQUID", LOST, False),
        ("HYPERLIQUID", HALTED, False),
        ("INTERNAL", LOST, True),
    ],
)
def test_books_whose_liquidations_may_have_ended_otherwise_are_refused(
    postgres: Postgres,  # noqa: F811
    source: str,
    happened: str,
    taken: bool,
) -> None:
    dsn = postgres.new_database("liquidations")
    upgrade(dsn)
    with psycopg.connect(dsn) as connection:
        connection.execute("update alembic_version set version_num = '0010'")
        connection.execute(CROSS, (source,))
        connection.execute(happened.encode())
    _is_taken(dsn, taken)


def _is_taken(dsn: str, taken: bool) -> None:
    """Upgrade from 0010, or see that it is refused."""
    if taken:
        upgrade(dsn)
        check_revision(dsn)
    else:
        with pytest.raises(InvalidInput, match="0010 reads them; begin new ones in an empty database"):
            upgrade(dsn)
        assert fetch(dsn, "select version_num from alembic_version") == [("0010",)]


@pytest.mark.parametrize(
    ("symbol", "side", "answer", "taken"),
    [
        ("BTC", "SELL", "{}", True),  # it was closed already: told as before
        ("BTC", "BUY", "{}", False),
        ("ETH", "SELL", "{}", False),
        ("BTC", "SELL", '{"detail":"no such isolated position"}', False),
    ],
)
def test_books_that_refused_in_other_words_are_refused(
    postgres: Postgres,  # noqa: F811
    symbol: str,
    side: str,
    answer: str,
    taken: bool,
) -> None:
    dsn = postgres.new_database("refusals")
    upgrade(dsn)
    with psycopg.connect(dsn) as connection:
        connection.execute("update alembic_version set version_num = '0010'")
        connection.execute(CROSS, ("INTERNAL",))
        connection.execute(
            """insert into orders (id, user_id, symbol, side, size, status, type, leverage, margin_mode, reduce_only,
                position_id, filled_size, reason, seq, created_at, updated_at, updated_seq)
            values ('o2', 'ann', %s, %s, 1, 'REFUSED', 'MARKET', 1, 'CROSS', false, 1, 0,
                'UNKNOWN_POSITION: no open position 1 to close', 2, now(), now(), 2)""",
            (symbol, side),
        )
        connection.execute("insert into idempotency_keys values ('k', sha256('x'), %s, 2, now())", (answer,))
    _is_taken(dsn, taken)
