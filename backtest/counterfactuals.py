"""What the house would have earned otherwise, run again: everything on Hyperliquid, or everything INTERNAL.

These are whole runs, in processes of their own beside the main one: users' results change their later orders.
``backtest.estimates`` answers the same question at once, from the fills of the main run.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from backtest.estimates import ALL_HYPERLIQUID, ALL_INTERNAL
from backtest.metrics import Metrics, plain
from backtest.scenario import Scenario
from backtest.scenario_overrides import apply_overrides

_ENDLESS = "1e15"  # USDC: above any exposure
_ROUTES = {ALL_HYPERLIQUID: "HL_MODE", ALL_INTERNAL: "BETTING_MODE"}
# What would force an order to Hyperliquid is switched off; price sanity and the channel stay as they are.
_UNFORCED = (
    f"risk.symbol_exposure_cap={_ENDLESS}",
    f"risk.total_exposure_cap={_ENDLESS}",
    f"risk.daily_loss_breaker={_ENDLESS}",
    f"risk.daily_loss_alert={_ENDLESS}",
    "risk.reserve_floor=0",
    "risk.reserve_normal=0",
    "risk.price_range_limit=1",
    "risk.price_range_release=1",
    "risk.hedging_enabled=false",  # a hedge account short of capital sends its symbols to Hyperliquid
)


def counterfactual(scenario: Scenario, name: str) -> Scenario:
    """Return the scenario with every order on one route and, where all is INTERNAL, without hedges."""
    rows: dict[str, dict[str, Any]] = {"*": {}}
    rows |= {symbol: row.model_dump() for symbol, row in scenario.routing.items()}
    pinned = {
        "routing_mode": _ROUTES[name],
        "auto_switch_enabled": False,
        "internal_whitelisted": True,
        "betting_threshold": _ENDLESS,
    }
    changed = {symbol: row | pinned for symbol, row in rows.items()}
    assignments = _UNFORCED if name == ALL_INTERNAL else ()
    again = apply_overrides(scenario, assignments)
    return Scenario.model_validate(again.model_dump() | {"routing": changed})


@contextmanager
def counterfactuals(
    scenario: Scenario, data_dir: Path | None, catalog_dir: Path | None
) -> Iterator[dict[str, Future[Metrics]]]:
    """Run both counterfactuals in the background, if wanted; the futures give their metrics by name."""
    if not scenario.report.counterfactuals:
        yield {}
        return
    with ProcessPoolExecutor(len(_ROUTES), mp_context=get_context("spawn")) as pool:
        yield {name: pool.submit(_run, scenario, name, data_dir, catalog_dir) for name in _ROUTES}


def _run(scenario: Scenario, name: str, data_dir: Path | None, catalog_dir: Path | None) -> Metrics:
    # Here, not above: the parent process needs none of it.
    from backtest.engine import run_engine
    from backtest.house_pnl import house_pnl
    from backtest.sources import open_feed
    from backtest.views import connect

    changed = counterfactual(scenario, name)
    feed = open_feed(changed, data_dir=data_dir, catalog_dir=catalog_dir)
    connection = connect(run_engine(changed, feed).recorder.tables())
    try:
        return {"house_pnl": plain(house_pnl(connection))}
    finally:
        connection.close()
