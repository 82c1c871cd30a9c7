"""The frame of the command line: help, exit statuses, one-line errors, and a fast start."""

import subprocess
import sys
from collections.abc import Callable
from types import ModuleType

import pytest
import typer

import hybrid_perps as cli
from risk.errors import HybridPerpsError, InvalidInput

HEAVY = ("nautilus_trader", "pandas", "pyarrow", "plotly", "duckdb", "httpx", "pydantic", "numpy")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["hybrid-perps", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert isinstance(stop.value.code, int)
    return stop.value.code


def replace_margin(monkeypatch: pytest.MonkeyPatch, command: Callable[..., None]) -> None:
    module = ModuleType("backtest.cli_margin")
    module.margin_command = command
    monkeypatch.setitem(sys.modules, "backtest.cli_margin", module)


def raise_error(error: BaseException) -> Callable[..., None]:
    def command(*_: object) -> None:
        raise error

    return command


def test_help_names_every_command_and_shows_an_example(monkeypatch, capsys):
    assert run(monkeypatch, "--help") == 0
    shown = capsys.readouterr().out
    joined = [group.typer_instance for group in cli.app.registered_groups]
    names = [
        command.name or command.callback.__name__ for app in joined for command in app.registered_commands
    ]
    names += [group.name for app in joined for group in app.registered_groups]
    assert {"margin", "data", "scenario", "ledger", "audit"} <= set(names)
    assert [name for name in names if f" {name} " not in shown] == []
    assert "Example: hybrid-perps" in shown


def test_no_argument_shows_the_help_and_no_empty_error(monkeypatch, capsys):
    assert run(monkeypatch) == 2
    captured = capsys.readouterr()
    assert "Usage: hybrid-perps" in captured.out
    assert captured.err == ""


def test_version(monkeypatch, capsys):
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == "hybrid-perps 0.1.0\n"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["magrin"], "'margin'"),
        (["nothing-like-it"], "'nothing-like-it'"),
        (["margin"], "'state'"),
        (["margin", "a.json", "b.json", "--jsn"], "--jsn"),
    ],
)
def test_bad_usage_is_one_line_and_exit_2(monkeypatch, capsys, arguments, named):
    assert run(monkeypatch, *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert named in captured.err


@pytest.mark.parametrize("error_class", [HybridPerpsError, InvalidInput])
def test_a_users_error_is_one_line_and_exit_2(monkeypatch, capsys, error_class):
    replace_margin(monkeypatch, raise_error(error_class("leverage was 51,\n  must be at most 50")))
    assert run(monkeypatch, "margin", "a.json", "b.json") == 2
    assert capsys.readouterr().err == "error: leverage was 51, must be at most 50\n"


def test_an_error_of_ours_keeps_its_traceback(monkeypatch):
    replace_margin(monkeypatch, raise_error(RuntimeError("a defect")))
    monkeypatch.setattr(sys, "argv", ["hybrid-perps", "margin", "a.json", "b.json"])
    with pytest.raises(RuntimeError, match="a defect"):
        cli.main()


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), typer.Abort()])
def test_an_interruption_exits_130(monkeypatch, interruption):
    replace_margin(monkeypatch, raise_error(interruption))
    assert run(monkeypatch, "margin", "a.json", "b.json") == 130


def test_margin_hands_on_its_arguments(monkeypatch):
    seen = []
    replace_margin(monkeypatch, lambda *arguments: seen.append(arguments))
    assert run(monkeypatch, "margin", "a.json", "b.json", "--json") == 0
    ((state, meta, json),) = seen
    assert (str(state), str(meta), json) == ("a.json", "b.json", True)


@pytest.fixture
def sub_app(monkeypatch):
    """Stand in for ``data.cli``: one command that exits with the status it is told."""
    app = typer.Typer()

    @app.command("leave")
    def leave(status: int) -> None:
        raise typer.Exit(status)

    @app.command("refuse")
    def refuse() -> None:
        raise HybridPerpsError("symbol was XYZ, must be listed")

    module = ModuleType("data.cli")
    module.app = app
    monkeypatch.setitem(sys.modules, "data.cli", module)


@pytest.mark.usefixtures("sub_app")
@pytest.mark.parametrize("status", [0, 3])
def test_a_sub_app_sets_the_exit_status(monkeypatch, status):
    assert run(monkeypatch, "data", "leave", str(status)) == status


@pytest.mark.usefixtures("sub_app")
def test_a_sub_apps_errors_are_one_line_too(monkeypatch, capsys):
    assert run(monkeypatch, "data", "refuse") == 2
    assert run(monkeypatch, "data", "leve") == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == "error: symbol was XYZ, must be listed"
    assert "'leave'" in second


@pytest.mark.usefixtures("sub_app")
def test_a_sub_app_answers_help_itself(monkeypatch, capsys):
    assert run(monkeypatch, "data", "leave", "--help") == 0
    assert "hybrid-perps data leave" in capsys.readouterr().out


def test_starting_imports_nothing_heavy():
    code = f"import sys, hybrid_perps; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_reader_that_leaves_early_is_no_crash():
    pipe = f"{sys.executable} -c 'from hybrid_perps import main; main()' --help | head -c 1"
    done = subprocess.run(["sh", "-c", pipe], capture_output=True, text=True, check=True)
    assert done.stderr == ""
