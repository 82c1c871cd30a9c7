"""``hybrid-perps tune``: run a study, and look at those there are."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from backtest.tuning.options import LOCAL_RAY, Options

RUN = "run"


class _StudyOrCommand(TyperGroup):
    """Take ``tune STUDY.toml`` as ``tune run STUDY.toml``, and a bare ``--ray`` as ``--ray local``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Complete the arguments before they are read."""
        if args and args[0] not in (*self.commands, "--help"):
            args = [RUN, *args]
        for at, arg in enumerate(args):
            value = args[at + 1] if at + 1 < len(args) else "-"
            if arg == "--ray" and value.startswith("-"):
                args[at] = f"--ray={LOCAL_RAY}"
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_StudyOrCommand,
    help="Search a scenario's settings for the best, and find out how sure that is.\n\n"
    "`hybrid-perps tune STUDY.toml` runs a study: the search, then its checks on other days, other users and "
    "stress scenarios, then a report with the recommended settings. What is done is kept: the same command, or "
    "`tune resume NAME`, goes on after a stop.",
    epilog="Example: hybrid-perps tune new mine.toml && hybrid-perps tune mine.toml",
    no_args_is_help=True,
    add_completion=False,
)

Storage = Annotated[
    str | None,
    typer.Option(
        "--storage",
        metavar="URL",
        help="Where studies are kept: sqlite:///FILE or postgresql://…; else HYBRID_PERPS_STUDIES, else "
        "studies/studies.db.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs, not tables.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A study's name; 'tune list' shows them.")]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data", help="The folder of history; else HYBRID_PERPS_DATA, else shared/data by the project."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Runs at once; one per core by default, --ray: all it has."),
]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="[ADDRESS]",
        help="Run on a Ray cluster at ADDRESS, such as 10.0.0.1:6379; without one on a Ray of this machine.",
    ),
]
Out = Annotated[Path | None, typer.Option("--out", help="Folder of the outputs; studies/NAME by default.")]


@app.command(
    RUN,
    epilog="Example: hybrid-perps tune quick\n\nExample: hybrid-perps tune mine.toml --workers 8 --trials 500\n\n"
    "Example: hybrid-perps tune mine.toml --ray 10.0.0.1:6379 --storage postgresql://user@host/studies",
)
def run(
    study: Annotated[
        str,
        typer.Argument(metavar="STUDY", help="A ready study (quick, flow-2023) or the path of a .toml file."),
    ],
    trials: Annotated[
        int | None, typer.Option(min=1, help="How many settings to try, instead of the study's.")
    ] = None,
    workers: Workers = None,
    ray: Ray = None,
    storage: Storage = None,
    out: Out = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Run a study, or go on with it."""
    from backtest.tuning.commands import run_study

    run_study(study, trials, Options(workers, ray, storage, out, data, json))


@app.command(epilog="Example: hybrid-perps tune resume mine")
def resume(
    name: Name,
    workers: Workers = None,
    ray: Ray = None,
    storage: Storage = None,
    out: Out = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Go on with a study that was stopped or killed; nothing that was done is done again."""
    from backtest.tuning.commands import resume_study

    resume_study(name, Options(workers, ray, storage, out, data, json))


@app.command("list", epilog="Example: hybrid-perps tune list")
def list_(storage: Storage = None, json: Json = False) -> None:
    """List the studies there are, and how far each has come."""
    from backtest.tuning.commands import list_studies

    list_studies(storage, json)


@app.command(epilog="Example: hybrid-perps tune show mine --json")
def show(name: Name, storage: Storage = None, json: Json = False) -> None:
    """Show a study's trials: settings, figures, and what became of each."""
    from backtest.tuning.commands import show_study

    show_study(name, storage, json)


@app.command(epilog="Example: hybrid-perps tune best mine")
def best(name: Name, storage: Storage = None, json: Json = False) -> None:
    """Show what a study recommends and how sure that is; while it runs, the best so far."""
    from backtest.tuning.commands import show_best

    show_best(name, storage, json)


@app.command(
    epilog="Example: hybrid-perps tune export mine trials.csv\n\n"
    "Example: hybrid-perps tune export mine trial-17.toml --trial 17"
)
def export(
    name: Name,
    path: Annotated[
        Path, typer.Argument(help="A new file: .csv, .json or .parquet of all trials, .toml of one.")
    ],
    trial: Annotated[int | None, typer.Option(min=0, help="The trial whose scenario is written.")] = None,
    storage: Storage = None,
) -> None:
    """Write a study's trials to a file, or one trial's scenario, as the search ran it."""
    from backtest.tuning.commands import export_study

    export_study(name, path, trial, storage)


@app.command(epilog="Example: hybrid-perps tune new mine.toml --like flow-2023")
def new(
    path: Annotated[Path, typer.Argument(help="The file to write; it must not exist and end in .toml.")],
    like: Annotated[str, typer.Option(help="The ready study to start from.")] = "quick",
) -> None:
    """Write a commented study file to edit and run."""
    from backtest.tuning.commands import new_study

    new_study(path, like)
