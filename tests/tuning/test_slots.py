"""Slots and measures: what they say of a whole run is what the run's own metrics say, to the last digit."""

import json
from decimal import Decimal
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.conclusion import Conclusion, conclude
from backtest.engine import run_engine
from backtest.metrics import compute_metrics
from backtest.scenario import Scenario, load_scenario
from backtest.scenario_overrides import apply_overrides
from backtest.sources import open_feed
from backtest.tuning.cells import Cells, user_cells
from backtest.tuning.measures import MEASURES, measure_all
from backtest.tuning.slots import Slots, cut, slot_length
from backtest.views import connect
from risk.ledger import EQUITY_ACCOUNTS
from risk.settings import DAY_NS, HOUR_NS

D = Decimal
LIMIT = D(20_000)
SMALL = ["flow.users=60", "data.hours=6", "data.step=30s"]


@cache
def a_run() -> tuple[Scenario, Conclusion, Slots]:
    scenario = apply_overrides(load_scenario("synthetic-flash-crash"), SMALL)
    feed = open_feed(scenario)
    found = conclude(run_engine(scenario, feed), feed.flow.orders, feed.accounting)
    slots = cut(
        found.tables, scenario.risk.capital, scenario.risk.reserve_capital, LIMIT, slot_length(feed.span)
    )
    return scenario, found, slots


def test_the_measures_of_a_whole_run_are_those_of_its_metrics() -> None:
    scenario, found, slots = a_run()
    metrics = compute_metrics(found.tables, scenario, {"BTC": 30 * 10**9})
    measured = measure_all(slots)
    assert measured["house_pnl"] == D(metrics["house_pnl"]["total"])
    assert measured["max_drawdown"] == D(metrics["solvency"]["max_drawdown"])
    assert measured["bad_debt"] == -D(metrics["house_pnl"]["bad_debt"])
    assert measured["hedge_cost"] == -sum(
        (D(metrics["house_pnl"][name]) for name in ("hedge_fees", "hedge_slippage", "hedge_funding")), D(0)
    )
    assert measured["max_exposure"] == D(metrics["exposure"]["largest_total"])
    assert measured["liquidations"] == metrics["liquidations"]["count"] > 0
    assert measured["breaker_openings"] == metrics["guards"]["breaker_openings"]
    assert measured["reserve_fall"] == D(metrics["reserve"]["start"]) - min(
        D(metrics["reserve"]["start"]), with_samples(found, "min(risk_reserve)")
    )
    for account in ("trading", "hedge"):
        lowest = metrics["accounts"][account]["lowest_ratio"]
        assert measured[f"{account}_margin_ratio"] == pytest.approx(None if lowest is None else D(lowest))
    ratios = [measured["trading_margin_ratio"], measured["hedge_margin_ratio"]]
    assert measured["margin_ratio"] == min(ratio for ratio in ratios if ratio is not None)


def with_samples(found: Conclusion, what: str) -> Decimal:
    with connect(found.tables) as connection:
        ((value,),) = connection.execute(f"select {what} from house").fetchall()
    return value


def test_time_over_the_limit_is_that_of_the_samples_before() -> None:
    _, found, slots = a_run()
    rows = found.tables["house"].sort_by("ts").to_pylist()
    over = sum(
        after["ts"] - before["ts"] for before, after in pairwise(rows) if before["total_exposure"] > LIMIT
    )
    assert over > 0
    assert sum(slots.over_limit_ns) == over


def test_slots_are_hours_in_short_runs_and_days_in_long_ones() -> None:
    assert slot_length((0, 10 * DAY_NS - 1)) == HOUR_NS
    assert slot_length((0, 10 * DAY_NS)) == DAY_NS
    _, _, slots = a_run()
    assert len(slots) == 7  # six hours and the last sample on the edge
    assert all(start % HOUR_NS == 0 for start in slots.start_ns)


def test_slots_and_cells_survive_being_stored() -> None:
    _, found, slots = a_run()
    assert Slots.from_json(json.loads(json.dumps(slots.to_json()))) == slots
    cells = user_cells(found.tables, slots.slot_ns)
    assert Cells.from_json(json.loads(json.dumps(cells.to_json()))) == cells


def test_what_users_brought_is_all_that_was_booked_but_for_what_has_no_user() -> None:
    _, found, slots = a_run()
    cells = user_cells(found.tables, slots.slot_ns)
    without_user = {"opening", "top_up", "hedge_fill", "hedge_funding", "funding_difference"}
    booked = sum(
        row["amount"]
        for row in found.tables["journal"].to_pylist()
        if row["account"] in EQUITY_ACCOUNTS and row["kind"] not in without_user
    )
    assert len(set(cells.users)) > 30
    assert sum(cells.amounts) == booked
    assert set(cells.start_ns) <= set(slots.start_ns)


def path_drawdown(points: list[Decimal]) -> Decimal:
    return max(max(points[: i + 1]) - point for i, point in enumerate(points))


steps = st.lists(st.lists(st.integers(-50, 50), min_size=1, max_size=5), min_size=1, max_size=8)


@given(steps)
def test_drawdown_over_slots_is_that_of_the_path_they_are_cut_from(moves: list[list[int]]) -> None:
    path, gains, lows, highs, inside = [D(0)], [], [], [], []
    for slot in moves:
        start = path[-1]
        points = [start]
        for move in slot:
            points.append(points[-1] + move)
        gains.append(points[-1] - start)
        lows.append(min(points) - start)
        highs.append(max(points) - start)
        inside.append(path_drawdown(points))
        path += points[1:]
    n = len(moves)
    zeros, none = [D(0)] * n, [None] * n
    slots = Slots(
        HOUR_NS, list(range(n)), gains, lows, highs, inside, zeros, zeros, zeros, none, none, [0] * n,
        zeros, zeros, zeros, zeros, [0] * n, [0] * n,
    )  # fmt: skip
    assert MEASURES["max_drawdown"].of(slots) == path_drawdown(path)
    assert MEASURES["house_pnl"].of(slots) == path[-1]
    assert MEASURES["margin_ratio"].of(slots) is None
    assert MEASURES["pnl_bps"].of(slots) is None


def test_slots_can_be_taken_apart_and_put_together_again() -> None:
    _, _, slots = a_run()
    order = list(range(len(slots)))
    assert slots.take(order) == slots
    assert slots.take([2, 2]).gain == [slots.gain[2]] * 2
    edge = slots.start_ns[3]
    parts = [slots.between(0, edge), slots.between(edge, 2**62)]
    assert [len(part) for part in parts] == [3, 4]
    assert sum(parts[0].gain + parts[1].gain) == MEASURES["house_pnl"].of(slots)
