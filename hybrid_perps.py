"""The whole command line: the backtest's commands and the live shell's, with one way to end."""

import os
import sys
from typing import Annotated

import typer

from backtest.cli import PROGRAM
from backtest.cli import app as backtest_app
from live.cli import app as live_app
from risk.errors import HybridPerpsError

BAD_INPUT_STATUS = 2
INTERRUPTED_STATUS = 130
BROKEN_PIPE_STATUS = 1

app = typer.Typer(
    name=PROGRAM,
    help="Backtest a hybrid perpetual-futures house, and keep its books: orders kept INTERNAL or routed to "
    "Hyperliquid.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(backtest_app)
app.add_typer(live_app)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"{PROGRAM} {version(PROGRAM)}")
        raise typer.Exit


@app.callback(
    epilog="Example: hybrid-perps backtest\n\nExample: hybrid-perps scenario list\n\n"
    "Example: hybrid-perps compare runs/flow-2023-1 runs/flow-2023-2\n\nExample: hybrid-perps ledger check"
)
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; what the user can mend is one line on stderr and exit status 2."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit status."""
    try:
        status = app(arguments, prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except HybridPerpsError as error:
        return _refuse(str(error))
    except typer.TyperException as error:
        return _refuse(error.format_message().replace(": Value error, ", ": "))  # pydantic's own words
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED_STATUS
    except BrokenPipeError:
        # Whoever read our output has left; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE_STATUS
    return status if isinstance(status, int) else 0


def _refuse(message: str) -> int:
    # A call without any argument was answered with the help text, and carries no message.
    if message:
        typer.echo(f"error: {' '.join(message.split())}", err=True)
    return BAD_INPUT_STATUS


if __name__ == "__main__":
    main()
