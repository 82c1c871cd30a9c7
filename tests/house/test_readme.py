"""The README's map of the code is kept true: it names every module of the core, and only modules that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def named_modules() -> set[str]:
    return set(
        re.findall(
            r"`((?:risk|strategies|venues|data|backtest|live)/[\w/]+\.py)`", (ROOT / "README.md").read_text()
        )
    )


def test_every_module_named_exists() -> None:
    assert {name for name in named_modules() if not (ROOT / name).is_file()} == set()


def test_every_module_of_the_core_is_on_the_map() -> None:
    modules = {f"risk/{path.name}" for path in (ROOT / "risk").glob("*.py")} - {"risk/__init__.py"}
    assert modules - named_modules() == set()


def test_every_command_shown_is_one_the_command_line_has() -> None:
    shown = set(re.findall(r"^\./run (\w+)", (ROOT / "README.md").read_text(), re.M)) - {"test", "soak"}
    source = (ROOT / "backtest/cli.py").read_text() + (ROOT / "live/cli.py").read_text()
    assert {name for name in shown if not re.search(rf"\b{name}\b", source)} == set()
