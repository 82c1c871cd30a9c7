"""The backtest's part of the command line. It imports nothing heavy: a command loads its own module when called."""

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

PROGRAM = "hybrid-perps"

app = typer.Typer(add_completion=False)

Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a setting of the scenario, as often as needed; 'scenario show' prints every key.",
    ),
]

# A command with a parser of its own takes all its arguments unread, --help included.
_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def _examples(*commands: str) -> str:
    """Write a command's examples, each a paragraph of its help's last lines."""
    return "\n\n".join(f"Example: {PROGRAM} {command}" for command in commands)


@app.command(
    epilog=_examples(
        "backtest flow-2023",
        "backtest flow-2023 --set data.start=2023-04-14 --set data.end=2023-04-21 --counterfactuals",
        "backtest synthetic-flash-crash --set 'routing.*.normal_threshold=5000' --set flow.users=500",
        "backtest mine.toml --out results/mine --json",
        "backtest crash-2024-08 --settings recommended.toml",
    )
)
def backtest(
    scenario: Annotated[
        str | None,
        typer.Argument(
            help="A ready scenario's name or the path of a .toml file; without one flow-2023 where its data "
            "are at hand, else synthetic-flash-crash."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Result directory; runs/SCENARIO-N by default.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print result.json, not a summary.")] = False,
    overrides: Overrides = None,
    data: Annotated[
        Path | None,
        typer.Option(help="The folder of history; else HYBRID_PERPS_DATA, else shared/data by the project."),
    ] = None,
    counterfactuals: Annotated[
        bool,
        typer.Option(
            "--counterfactuals",
            help="Also run everything on Hyperliquid and everything INTERNAL, instead of estimating both.",
        ),
    ] = False,
    settings: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Take routing and risk from this scenario, such as a study's recommended.toml, and all else from "
            "SCENARIO; --set comes after.",
        ),
    ] = None,
) -> None:
    """Run a scenario and report what the house would have earned or lost.

    Results are written whole or not at all: scenario.toml, result.json, tables/*.parquet and report.html.
    """
    from backtest.run import backtest_command

    backtest_command(scenario, out, json, overrides or (), data, counterfactuals, settings)


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


@app.command(context_settings=_PASS_ON)
def tune(context: typer.Context) -> None:
    """Search a scenario's settings for the best, and find out how sure that is."""
    _run_sub_app("backtest.tuning.cli", context)


@app.command(epilog=f"Example: {PROGRAM} compare runs/flow-2023-1 runs/flow-2023-2")
def compare(
    directories: Annotated[
        list[Path], typer.Argument(help="Result directories; differences are from the first.")
    ],
    json: Annotated[bool, typer.Option("--json", help="Print JSON for programs, not a table.")] = False,
) -> None:
    """Set results side by side."""
    from backtest.commands import compare as run

    run(directories, json)


@app.command(
    epilog=_examples(
        'query runs/flow-2023-1 "show tables"',
        'query runs/flow-2023-1 "select * from users order by house_result limit 5"',
        'query runs/flow-2023-1 "select outcome, count(*) as fills from source_fills group by outcome" --json',
    )
)
def query(
    directory: Annotated[Path, typer.Argument(help="A result directory.")],
    sql: Annotated[
        str, typer.Argument(help="One SELECT in DuckDB's SQL; 'show tables' lists what there is.")
    ],
    json: Annotated[bool, typer.Option("--json", help="Print a JSON array of rows.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """Ask a result's tables a question."""
    from backtest.commands import query as run

    run(directory, sql, json, csv)


scenario_app = typer.Typer(help="List, show and start scenarios.", no_args_is_help=True)
app.add_typer(scenario_app, name="scenario")


@scenario_app.command("list", epilog=f"Example: {PROGRAM} scenario list")
def scenario_list(
    json: Annotated[bool, typer.Option("--json", help="Print JSON for programs, not a table.")] = False,
) -> None:
    """List the ready scenarios."""
    from backtest.commands import scenario_list as run

    run(json)


@scenario_app.command(
    "show", epilog=f"Example: {PROGRAM} scenario show flow-2023 --set risk.hedge_debounce=3s"
)
def scenario_show(
    scenario: Annotated[str, typer.Argument(help="A ready scenario's name, or the path of a .toml file.")],
    overrides: Overrides = None,
) -> None:
    """Print a scenario as complete TOML: every setting, its default and what it means."""
    from backtest.commands import scenario_show as run

    run(scenario, overrides or ())


@scenario_app.command("new", epilog=f"Example: {PROGRAM} scenario new mine.toml --like flow-2023")
def scenario_new(
    path: Annotated[Path, typer.Argument(help="The file to write; it must not exist and end in .toml.")],
    like: Annotated[str, typer.Option(help="The scenario to start from.")] = "synthetic-calm",
) -> None:
    """Write a complete scenario file to edit and run."""
    from backtest.commands import scenario_new as run

    run(path, like)


def _run_sub_app(module: str, context: typer.Context) -> None:
    sub_app: typer.Typer = import_module(module).app
    status = sub_app(context.args, prog_name=context.command_path, standalone_mode=False)
    raise typer.Exit(status if isinstance(status, int) else 0)
