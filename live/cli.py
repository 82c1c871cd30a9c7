"""The live shell's part of the command line. Every command loads its own module when it is called."""

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(add_completion=False)
ledger_app = typer.Typer(
    help="Check the books, and print what an accountant asks of them.", no_args_is_help=True
)
audit_app = typer.Typer(help="Verify the audit log and the other chains.", no_args_is_help=True)
app.add_typer(ledger_app, name="ledger")
app.add_typer(audit_app, name="audit")
operators_app = typer.Typer(help="Make the first operator, and list them.", no_args_is_help=True)
app.add_typer(operators_app, name="operators")

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs, not a table.")]

LogLevel = Literal["debug", "info", "warning", "error"]

_DATABASE = "The database is the one DATABASE_URL names, else our own in HYBRID_PERPS_HOME."


@app.command(
    epilog="Example: hybrid-perps books --synthetic\n\n"
    "Example: BUS_URL=redis://127.0.0.1:6379 DATABASE_URL=postgresql://books@db/books hybrid-perps books"
)
def books(
    synthetic: Annotated[
        bool,
        typer.Option("--synthetic", help="Drive quotes and marks from a synthetic market, in real time."),
    ] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="End another process's right to write these books.")
    ] = False,
) -> None:
    """Run the books until Ctrl-C."""
    from live.cli_books import books_command

    books_command(synthetic, take_over)


@app.command(
    epilog="Example: hybrid-perps serve --dev\n\n"
    "Example: DATABASE_URL=postgresql://api@db/books BUS_URL=redis://bus:6379 hybrid-perps serve "
    "--host 0.0.0.0 --port 8443 --tls-cert cert.pem --tls-key key.pem"
)
def serve(
    host: Annotated[str, typer.Option(help="The address to serve at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes any that is free.")] = 8000,
    dev: Annotated[
        bool,
        typer.Option("--dev", help="Try it: a synthetic market, free test funds, mails printed here."),
    ] = False,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="PEM", help="Certificate, with those of its issuers.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="PEM", help="The certificate's key.")] = None,
    log_level: Annotated[LogLevel, typer.Option(help="From which level on JSON logs go to stderr.")] = "info",
) -> None:
    """Serve the HTTP API until Ctrl-C, with the books in this process, or those that BUS_URL leads to."""
    from live.cli_serve import Serving, serve_command

    serve_command(Serving(host, port, dev, tls_cert, tls_key, log_level))


@ledger_app.command(epilog=f"{_DATABASE}\n\nExample: hybrid-perps ledger check --quick --json")
def check(
    quick: Annotated[
        bool, typer.Option("--quick", help="Replay from the latest snapshot, not from the beginning.")
    ] = False,
    json: Json = False,
) -> None:
    """Check that the books hold: all invariants, and every row against a replay of the inputs.

    It only reads, at one instant, also while a process writes the books. Exit code 1 says that something is wrong.
    """
    from live.cli_ledger import check_command

    check_command(quick, json)


@ledger_app.command(
    epilog="Example: hybrid-perps ledger statement alice --from 2026-03-01 --to 2026-04-01\n\n"
    "Example: hybrid-perps ledger statement alice --json"
)
def statement(
    user: Annotated[str, typer.Argument(help="The user's id.")],
    begin: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="First moment, such as 2026-03-01; UTC.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="The moment after the last; UTC.")
    ] = None,
    json: Json = False,
) -> None:
    """Print a user's statement: opening balance, movements, closing balance, and what stands open now."""
    from live.cli_ledger import statement_command

    statement_command(user, begin, end, json)


@ledger_app.command("trial-balance", epilog="Example: hybrid-perps ledger trial-balance")
def trial_balance(json: Json = False) -> None:
    """Print the trial balance: every account's balance as debit or credit. Exit code 1 if they differ."""
    from live.cli_ledger import trial_balance_command

    trial_balance_command(json)


@ledger_app.command(
    epilog="Example: hybrid-perps ledger liabilities\n\n"
    "Example: hybrid-perps ledger liabilities --proof alice --out alice.json"
)
def liabilities(
    proof: Annotated[
        str | None,
        typer.Option(metavar="USER", help="Publish nothing; give this user's proof under the latest root."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The file for the proof; else it is printed.")] = None,
    json: Json = False,
) -> None:
    """Publish what users are owed as the root of a Merkle-sum tree, or prove to a user that they are in it."""
    from live.cli_ledger import liabilities_command

    liabilities_command(proof, out, json)


@audit_app.command(
    epilog="Example: hybrid-perps audit verify\n\nExample: hybrid-perps audit verify --head 4711:9f86d0...0a08"
)
def verify(
    head: Annotated[
        str | None,
        typer.Option(metavar="ID:HEX", help="The audit log's head as an earlier verification printed it."),
    ] = None,
    journal_head: Annotated[
        str | None, typer.Option(metavar="SEQ:HEX", help="The same of the input journal.")
    ] = None,
    json: Json = False,
) -> None:
    """Verify every link of the audit log and the input journal. Exit code 1 names the first broken ones."""
    from live.cli_ledger import verify_command

    verify_command(head, journal_head, json)


@operators_app.command(epilog="Example: hybrid-perps operators add ann@example.org --role super_admin")
def add(
    email: Annotated[str, typer.Argument(help="The address of an account that has registered.")],
    role: Annotated[str, typer.Option(help="Only the first super_admin is made here.")] = "super_admin",
) -> None:
    """Make an account the first super admin, who adds the other operators through the API."""
    from live.cli_operators import add_command

    add_command(email, role)


@operators_app.command("list", epilog="Example: hybrid-perps operators list --json")
def list_operators(json: Json = False) -> None:
    """List the operators and their roles."""
    from live.cli_operators import list_command

    list_command(json)
