"""Shared test settings: deterministic Hypothesis, and the place of real history when there is any."""

import gc
import sys
from collections.abc import Iterator
from contextlib import nullcontext
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
    "notebooks/test_stress_days.py",
    "tuning/test_resume.py",
    "live/test_books_server.py",
    "backtest/test_flow_window.py",
    "faults/test_database_faults.py",
    "live/test_lookout.py",
    "notebooks/test_notebooks.py",
    "faults/test_http_kills.py",
    "live/test_every_cell.py",
    "tuning/test_pool.py",
    "tuning/test_tune_cli.py",
    "backtest/test_replay.py",
    "notebooks/test_tuning_walk.py",
    "tuning/test_search.py",
    "tuning/test_same_everywhere.py",
    "tuning/test_ray_pool.py",
    "tuning/test_store.py",
    "api/test_stream_ends.py",
    "api/test_serve.py",
    "api/test_openapi.py",
    "load/test_load.py",
    "notebooks/test_trading_api.py",
    "api/test_authorisation.py",
    "api/test_http_protocol.py",
    "live/test_bus.py",
    "api/test_system.py",
    "api/test_stream.py",
    "api/test_client.py",
    "live/test_postgres.py",
    "backtest/test_bad_input.py",
    "wallets/test_dispatch.py",
    "api/test_history.py",
    "api/test_service_level.py",
    "faults/test_processes.py",
    "faults/test_full_disk.py",
    "tuning/test_pool_driver.py",
    "operators/test_four_eyes.py",
    "api/test_api_machine.py",
    "risk/test_frozen.py",
    "data/real/test_datasets_real.py",
    "api/test_access.py",
    "api/test_summary.py",
    "api/test_wallets.py",
    "live/test_books_machine.py",
    "live/test_process.py",
    "faults/test_kills.py",
    "tuning/test_checks_real.py",
    "risk/test_book_machine.py",
)
NO_HISTORY = "no real history: shared/data is not beside the project and HYBRID_PERPS_DATA is not set"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of long files first; the order within a file stays."""
    place = {Path(__file__).parent / name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path, len(LONG)))


def pytest_collection_finish() -> None:
    """Keep the collector off all that was imported and collected: half a million objects, which stay to the end."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let what was kept from the collector end in order."""
    gc.unfreeze()


@pytest.fixture(autouse=True, scope="session")
def books_that_leave_the_collector_alone() -> Iterator[None]:
    """Have no books in this process collect and freeze: walking what pytest holds would outlast most tests of them.

    Books in processes of their own do, as always.
    """
    with pytest.MonkeyPatch.context() as patch:
        if (server := sys.modules.get("live.books.server")) is not None:
            patch.setattr(server, "calm_collector", nullcontext)
        yield


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
