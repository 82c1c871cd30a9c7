"""The commands ``ledger`` and ``audit``: open the database, ask, and print."""

import json as json_module
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import typer
from rich.console import Console

from live import cli_tables
from live.database import open_database
from live.ledger.audit import verify
from live.ledger.checks import check, opened_books
from live.ledger.liabilities import proof as proof_of
from live.ledger.liabilities import publish
from live.ledger.statements import parse_time, statement, trial_balance
from live.settings import read_settings
from risk.errors import InvalidInput, InvariantBroken

BROKEN_STATUS = 1

_QUIET_S = 2.0  # of work before it tells of itself
_BETWEEN_S = 1.0


def check_command(quick: bool, json: bool) -> None:
    """Check the books; leave with 1 if something is wrong."""
    with _books() as connection, _progress() as progress:
        found = check(connection, quick=quick, progress=progress)
    if json:
        findings = [finding._asdict() for finding in found.findings]
        _print_json(found._asdict() | {"findings": findings, "holds": not findings})
    else:
        Console().print(*cli_tables.checked(found), sep="\n", highlight=False, soft_wrap=True)
    if found.counts:
        raise typer.Exit(BROKEN_STATUS)


def statement_command(user: str, begin: str | None, end: str | None, json: bool) -> None:
    """Print a user's statement."""
    times = parse_time(begin, "--from"), parse_time(end, "--to")
    with _books() as connection:
        found = statement(connection, user, *times)
    if json:
        _print_json(found._asdict() | {"movements": [movement._asdict() for movement in found.movements]})
    else:
        Console().print(*cli_tables.statement(found), highlight=False)


def trial_balance_command(json: bool) -> None:
    """Print the trial balance; leave with 1 if it does not balance."""
    with _books() as connection:
        found = trial_balance(connection)
    if json:
        lines = [line._asdict() for line in found.lines]
        _print_json(found._asdict() | {"lines": lines, "balances": found.balances})
    else:
        Console().print(*cli_tables.trial_balance(found), highlight=False)
    if not found.balances:
        raise typer.Exit(BROKEN_STATUS)


def liabilities_command(user: str | None, out: Path | None, json: bool) -> None:
    """Publish a root; or write a user's proof under the latest one."""
    if user is None and out is not None:
        raise InvalidInput(f"--out was {str(out)!r} without --proof; it is the file for a user's proof")
    with _books() as connection:
        opened_books(connection)
        connection.rollback()
        if user is not None:
            _write_proof(proof_of(connection, user), out)
            return
        balance = trial_balance(connection)
        if not balance.balances:  # a root once published cannot be taken back
            raise InvariantBroken(
                f"debits are {balance.debit}, credits {balance.credit}: nothing was published; run `ledger check`"
            )
        found = publish(connection)
    if json:
        _print_json(found._asdict())
    else:
        Console().print(*cli_tables.published(found), sep="\n", highlight=False, soft_wrap=True)


def verify_command(head: str | None, journal_head: str | None, json: bool) -> None:
    """Verify the chains; leave with 1 at a break."""
    kept = _head(head, "--head"), _head(journal_head, "--journal-head")
    with _books() as connection, _progress() as progress:
        report = verify(connection, lambda table, rows: progress(f"rows of {table}", rows, 0), *kept)
    if json:
        heads = {"audit_head": report.audit_head._asdict(), "journal_head": report.journal_head._asdict()}
        breaks = [each._asdict() for each in report.breaks]
        _print_json({"holds": not breaks, "checked": report.checked, **heads, "breaks": breaks})
    else:
        Console().print(*cli_tables.verified(report), sep="\n", highlight=False, soft_wrap=True)
    if report.breaks:
        raise typer.Exit(BROKEN_STATUS)


@contextmanager
def _books() -> Iterator[psycopg.Connection[Any]]:
    try:
        with open_database(read_settings()) as dsn, psycopg.connect(dsn) as connection:
            yield connection
    except InvariantBroken as error:
        Console(stderr=True, soft_wrap=True).print(f"broken: {error}", highlight=False, markup=False)
        raise typer.Exit(BROKEN_STATUS) from None


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Give a function that tells what is being done, on stderr, once it takes longer than two seconds."""
    begun = shown = time.monotonic()
    is_terminal, told = sys.stderr.isatty(), False

    def tell(what: str, done: int, of: int) -> None:
        nonlocal shown, told
        now = time.monotonic()
        if now - begun < _QUIET_S or now - shown < _BETWEEN_S:
            return
        shown, told = now, True
        share = f" of {of:,} ({100 * done // of} %)" if of else ""
        line = f"{now - begun:.0f} s: {what}: {done:,}{share}"
        typer.echo(f"\r\033[K{line}" if is_terminal else line, err=True, nl=not is_terminal)

    try:
        yield tell
    finally:
        if told and is_terminal:
            typer.echo("\r\033[K", err=True, nl=False)


def _head(text: str | None, option: str) -> tuple[int, str] | None:
    if text is None:
        return None
    number, colon, link = text.partition(":")
    if not colon or not number.isascii() or not number.isdigit():
        raise InvalidInput(f"{option} was {text!r}; it must be a number, a colon and 64 hexadecimal digits")
    return int(number), link


def _write_proof(proof: dict[str, Any], out: Path | None) -> None:
    if out is None:
        _print_json(proof)
        return
    try:
        out.write_text(json_module.dumps(proof, indent=2) + "\n")
    except OSError as error:
        raise InvalidInput(f"--out was {str(out)!r}, which cannot be written: {error.strerror}") from None


def _print_json(value: object) -> None:
    typer.echo(json_module.dumps(value, indent=2, default=_plain))


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, datetime) else str(value)
