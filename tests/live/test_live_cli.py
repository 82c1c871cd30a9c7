"""``hybrid-perps ledger`` and ``audit``: what a person and a program are shown, and how bad input is refused."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

import hybrid_perps
from tests.live.books import database
from tests.live.eventful import fill_books
from tests.live.tampering import Tamperer
from tests.postgres import Postgres, postgres

__all__ = ["database", "postgres"]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def dsn(postgres: Postgres) -> str:
    dsn = postgres.migrated_database("live_cli")
    fill_books(dsn)
    return dsn


@pytest.fixture
def run(dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Give what runs a command on the filled books, or those ``at`` another address."""

    def call(*arguments: str, at: str = dsn) -> tuple[int, str, str]:
        monkeypatch.setenv("DATABASE_URL", at)
        monkeypatch.setenv("COLUMNS", "120")
        status = hybrid_perps.run(list(arguments))
        out, err = capsys.readouterr()
        return status, out, err

    return call


def test_check_of_sound_books(run: Run) -> None:
    status, out, err = run("ledger", "check")
    assert (status, err) == (0, "")
    assert out.startswith("The books hold: ")
    status, out, _ = run("ledger", "check", "--quick", "--json")
    found = json.loads(out)
    assert (status, found["holds"], found["findings"], found["inputs"]) == (0, True, [], 0)


def test_check_of_broken_books_names_what_is_wrong(run: Run, dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        tamperer = Tamperer(connection)
        tamperer.keep("fills")
        assert tamperer.do(["update fills set fee = fee + 1 where id = 2"])
        status, out, _ = run("ledger", "check")
        json_status, json_out, _ = run("ledger", "check", "--json")
        tamperer.undo("fills")
    assert (status, json_status) == (1, 1)
    assert "fills 2: fee is " in out
    assert "The books are broken: fills 1" in out
    assert json.loads(json_out)["findings"][0]["key"] == "2"


def test_statement(run: Run) -> None:
    status, out, _ = run("ledger", "statement", "dee")
    assert status == 0
    for text in ("opening balance", "5,000,000.000000", "closing balance", "Open positions", "Wallet now"):
        assert text in out
    _, out, _ = run("ledger", "statement", "dee", "--json")
    found = json.loads(out)
    assert found["movements"][0]["amount"] == "5000000.000000"
    assert found["closing"] == found["wallet"]["total_balance"]


def test_trial_balance(run: Run, dsn: str) -> None:
    status, out, _ = run("ledger", "trial-balance")
    assert status == 0
    assert "The books balance." in out
    with psycopg.connect(dsn, autocommit=True) as connection:
        tamperer = Tamperer(connection)
        tamperer.keep("house_accounts")
        assert tamperer.do(["update house_accounts set balance = balance + 1 where account = 'fee_income'"])
        status, out, _ = run("ledger", "trial-balance")
        tamperer.undo("house_accounts")
    assert status == 1
    assert "the difference is 1.000000" in out


def test_liabilities_and_a_proof_that_the_verifier_takes(run: Run, tmp_path: Path) -> None:
    status, out, _ = run("ledger", "liabilities", "--json")
    published = json.loads(out)
    assert status == 0
    proof = tmp_path / "dee.json"
    assert run("ledger", "liabilities", "--proof", "dee", "--out", str(proof))[0] == 0
    verifier = Path(hybrid_perps.__file__).parent / "live" / "verify_inclusion.py"
    done = subprocess.run(
        [sys.executable, verifier, proof, "--root", published["root"], "--total", published["total"]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("PROVEN")
    assert json.loads(run("ledger", "liabilities", "--proof", "dee")[1]) == json.loads(proof.read_text())
    assert "owed to 4 users" in run("ledger", "liabilities")[1]


def test_verify_prints_the_heads_it_takes_again(run: Run, dsn: str) -> None:
    status, out, _ = run("audit", "verify", "--json")
    found = json.loads(out)
    assert (status, found["holds"]) == (0, True)
    head = ":".join(map(str, found["audit_head"].values()))
    assert run("audit", "verify", "--head", head)[0] == 0
    status, out, _ = run("audit", "verify", "--head", f"{found['audit_head']['number']}:{'0' * 64}")
    assert status == 1
    assert "The chains are broken" in out


BAD: list[tuple[list[str], str]] = [
    (["ledger", "statement", "zed"], "user was 'zed'"),
    (["ledger", "statement", "dee", "--from", "soon"], "--from was 'soon'"),
    (
        ["ledger", "statement", "dee", "--from", "2026-02-01", "--to", "2026-01-01"],
        "--from was not before --to",
    ),
    (["ledger", "liabilities", "--proof", "zed"], "user was 'zed'"),
    (["ledger", "liabilities", "--proof", "dee", "--out", "/nowhere/at/all.json"], "/nowhere/at/all.json"),
    (["ledger", "liabilities", "--out", "x.json"], "without --proof"),
    (["audit", "verify", "--head", "12"], "--head was '12'"),
    (["audit", "verify", "--head", "12:abc"], "'abc'"),
    (["ledger", "chekc"], "'chekc'"),
]


@pytest.mark.parametrize(("arguments", "named"), BAD)
def test_bad_input_is_one_line_and_exit_2(run: Run, arguments: list[str], named: str) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert named in err


@pytest.mark.parametrize("command", [["check"], ["statement", "ann"], ["trial-balance"], ["liabilities"]])
def test_books_not_opened_yet(run: Run, database: str, command: list[str]) -> None:
    status, _, err = run("ledger", *command, at=database)
    assert (status, err) == (2, "error: no books have been opened in this database yet\n")


def test_databases_that_cannot_be_used(run: Run, postgres: Postgres, database: str) -> None:
    status, _, err = run("ledger", "check", at="postgresql://me:secret@127.0.0.1:1/books")
    assert status == 2
    assert "127.0.0.1" in err
    assert "secret" not in err
    status, _, err = run("ledger", "check", at=postgres.new_database("not_migrated"))
    assert (status, "there are no books in this database yet" in err) == (2, True)
    with psycopg.connect(database) as connection:
        connection.execute("update alembic_version set version_num = '9999'")
    status, _, err = run("audit", "verify", at=database)
    assert (status, "newer than this program" in err) == (2, True)


def test_it_runs_as_a_module_too(dsn: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hybrid_perps", "ledger", "trial-balance", "--json"],
        env={"DATABASE_URL": dsn, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["balances"] is True


def test_a_statement_that_does_not_add_up_and_a_root_of_wrong_wallets_are_refused(run: Run, dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        tamperer = Tamperer(connection)
        tamperer.keep("balance_logs")
        change = (
            "update balance_logs set after = after + 1, before = before + 1 where user_id = 'dee' and id = "
        )
        assert tamperer.do([f"{change} (select max(id) from balance_logs where user_id = 'dee')"])
        status, out, err = run("ledger", "statement", "dee")
        tamperer.undo("balance_logs")
        assert (status, out) == (1, "")
        assert err.startswith("broken: the balance of 'dee' after ")
        tamperer.keep("wallets")
        moved = (
            "total_balance = total_balance + 5, cash = cash + 5, available_balance = available_balance + 5"
        )
        assert tamperer.do([f"update wallets set {moved} where user_id = 'dee'"])
        status, out, err = run("ledger", "liabilities")
        tamperer.undo("wallets")
    assert (status, out) == (1, "")
    assert err.startswith("broken: debits are ")


def test_without_books_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("HYBRID_PERPS_HOME", str(tmp_path / "home"))
    assert hybrid_perps.run(["ledger", "check"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "`hybrid-perps books` opens them" in err
    assert not (tmp_path / "home" / "postgres").exists()
