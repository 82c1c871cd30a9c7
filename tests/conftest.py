"""Shared test settings: deterministic Hypothesis, and the place of real history when there is any."""

import gc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from data.locate import find_history

settings.register_profile(
    "ci", derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci")

# Tests of these folders work in threads of their own, where garbage may be collected.
THREADED = ("live", "faults", "load")
# Files of ten seconds and more, the longest first. Begun last, one of them would keep a worker while others idle.
LONG = (
    "notebooks/test_notebooks.py",
    "tuning/test_same_everywhere.py",
    "live/test_checks.py",
    "api/test_openapi.py",
    "api/test_authorisation.py",
    "api/test_api_machine.py",
    "tuning/test_resume.py",
    "faults/test_database_faults.py",
    "faults/test_kills.py",
    "tuning/test_tune_cli.py",
    "tuning/test_ray_pool.py",
    "tuning/test_pool.py",
    "tuning/test_checks.py",
    "faults/test_processes.py",
    "live/test_postgres.py",
    "live/test_books_server.py",
    "live/test_bus.py",
    "backtest/test_flow_window.py",
    "load/test_load.py",
    "live/test_books_machine.py",
    "risk/test_book_machine.py",
    "faults/test_full_disk.py",
    "live/test_failover.py",
)
NO_HISTORY = "no real history: shared/data is not beside the project and HYBRID_PERPS_DATA is not set"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of long files first; the order within a file stays."""
    place = {Path(__file__).parent / name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path, len(LONG)))


@pytest.fixture(scope="session")
def real_history() -> Path:
    """Give the folder of real history, or leave the test out and say so."""
    history = find_history()
    if history is None:
        pytest.skip(NO_HISTORY)
    return history


@pytest.fixture(autouse=True, scope="module")
def no_leftovers(request: pytest.FixtureRequest) -> None:
    """Collect what earlier tests left: a NautilusTrader strategy may not be dropped in another thread than its own."""
    if request.path.parent.name in THREADED:
        gc.collect()


def pytest_terminal_summary(terminalreporter):
    """Say how many tests on real history were left out: a silent skip would look like a pass."""
    skipped = terminalreporter.stats.get("skipped", [])
    left_out = sum(NO_HISTORY in str(report.longrepr) for report in skipped)
    if left_out:
        terminalreporter.write_line(f"LEFT OUT {left_out} tests: {NO_HISTORY}", yellow=True)
