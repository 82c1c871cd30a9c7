"""The command line. It imports nothing heavy: every command loads its own module when it is called."""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from risk.errors import HybridPerpsError

PROGRAM = "hybrid-perps"
BAD_INPUT_STATUS = 2
INTERRUPTED_STATUS = 130
BROKEN_PIPE_STATUS = 1

app = typer.Typer(
    name=PROGRAM,
    help="Backtest a hybrid perpetual-futures house: orders kept INTERNAL or routed to Hyperliquid.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

# A command with a parser of its own takes all its arguments unread, --help included.
_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"{PROGRAM} {version(PROGRAM)}")
        raise typer.Exit


@app.callback(epilog=f"Example: {PROGRAM} margin state.json meta.json")
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command(epilog=f"Example: {PROGRAM} margin state.json meta.json --json")
def margin(
    state: Annotated[Path, typer.Argument(help="clearinghouseState as Hyperliquid's info endpoint answers.")],
    meta: Annotated[Path, typer.Argument(help="meta of the same endpoint, for the margin tiers.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON for programs, not a table.")] = False,
) -> None:
    """Show margin, unrealised PnL and liquidation price of every position in an account."""
    from backtest.cli_margin import margin_command

    margin_command(state, meta, json)


@app.command(context_settings=_PASS_ON)
def data(context: typer.Context) -> None:
    """Fetch, import, list and check history."""
    _run_sub_app("data.cli", context)


def _run_sub_app(module: str, context: typer.Context) -> None:
    sub_app: typer.Typer = import_module(module).app
    status = sub_app(context.args, prog_name=context.command_path, standalone_mode=False)
    raise typer.Exit(status if isinstance(status, int) else 0)


def main() -> None:
    """Run the command line; what the user can mend is one line on stderr and exit status 2."""
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    try:
        status = app(arguments, prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except HybridPerpsError as error:
        return _refuse(str(error))
    except typer.TyperException as error:
        return _refuse(error.format_message())
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
