"""Narrowing a flow: which orders are left, what money the users bring, and what is said of the rest."""

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from backtest.engine import run_engine
from backtest.flow_window import OTHER_SYMBOL, OTHER_USER, OUTSIDE_WINDOW, account_for, keep_users, narrow
from backtest.run import run_backtest
from backtest.scenario import load_scenario
from backtest.scenario_overrides import apply_overrides
from backtest.sources import LEAD_NS, TAIL_NS, open_feed
from data.flow import FLOW_ORDERS, FLOW_TRANSFERS, Flow, validate
from data.flow_import import ACCOUNTING
from data.flow_scale import scale_flow
from risk.errors import InvalidInput
from tests.backtest.kept_digests import assert_kept

SOURCE_FILLS = 35_691


def order(ts: int, symbol: str) -> dict:
    return {
        "order_id": f"o{ts}",
        "ts": ts,
        "user": "u",
        "symbol": symbol,
        "intent": "NET",
        "side": "BUY",
        "type": "MARKET",
        "size": "1",
        "leverage": 2,
        "margin_mode": "CROSS",
        "reduce_only": False,
        "source_fills": 1,
    }


def flow() -> Flow:
    moves = [(1, "u", "10", "DEPOSIT"), (2, "v", "5", "DEPOSIT"), (3, "u", "-4.5", "WITHDRAWAL")]
    moves += [(4, "v", "-5", "WITHDRAWAL"), (10, "u", "1", "DEPOSIT"), (20, "u", "2", "DEPOSIT")]
    columns = zip(*moves, strict=True)
    transfers = pa.table([list(column) for column in columns], FLOW_TRANSFERS)
    rows = [order(5, "BTC"), order(10, "BTC"), order(12, "ETH"), order(19, "BTC"), order(20, "BTC")]
    return validate(Flow(pa.Table.from_pylist(rows, FLOW_ORDERS), transfers))


def test_a_window_keeps_its_orders_and_opens_with_what_users_had_paid_in():
    found = validate(narrow(flow(), 10, 20, ["BTC"]))
    assert found.orders["order_id"].to_pylist() == ["o10", "o19"]
    assert found.transfers.to_pylist() == [
        {"ts": 10, "user": "u", "amount": "5.5", "kind": "OPENING_BALANCE"},
        {"ts": 10, "user": "u", "amount": "1", "kind": "DEPOSIT"},
    ]


def test_a_window_over_everything_changes_nothing():
    whole = narrow(flow(), 1, 21, ["BTC", "ETH"])
    assert whole.orders.equals(flow().orders)
    assert whole.transfers.equals(flow().transfers)


def test_fills_whose_order_is_left_out_say_why():
    fates = ["TAKER_ORDER"] * 5 + ["LIQUIDATION"]
    ids = [f"o{ts}" for ts in (5, 10, 12, 19, 20)]
    accounting = pa.table(
        {
            "fill_id": [f"f{i}" for i in range(6)],
            "ts": [5, 10, 12, 19, 20, 30],
            "user": ["u"] * 6,
            "symbol": ["BTC", "BTC", "ETH", "BTC", "BTC", "ETH"],
            "fate": fates,
            "order_id": [*ids, None],
            "effect": ["OPEN"] * 6,
        },
        ACCOUNTING,
    )
    found = account_for(accounting, narrow(flow(), 10, 20, ["BTC"]), ["BTC"], ["u"])
    assert found.schema.equals(ACCOUNTING)
    assert found["fate"].to_pylist() == [
        OUTSIDE_WINDOW,
        "TAKER_ORDER",
        OTHER_SYMBOL,
        "TAKER_ORDER",
        OUTSIDE_WINDOW,
        "LIQUIDATION",
    ]
    assert found["order_id"].to_pylist() == [None, "o10", None, "o19", None, None]


def test_groups_share_out_all_users_and_keep_copies_with_their_original():
    users = [f"u{number}" for number in range(400)]
    rows = [order(ts, "BTC") | {"user": user} for ts, user in enumerate(users, 5)]
    whole = Flow(pa.Table.from_pylist(rows, FLOW_ORDERS), FLOW_TRANSFERS.empty_table())
    assert keep_users(whole, 4, ()) is whole
    parts = [keep_users(whole, 4, (group,)).users for group in range(4)]
    assert sorted(user for part in parts for user in part) == sorted(users)
    assert all(70 < len(part) < 130 for part in parts)
    assert keep_users(whole, 4, (0, 2)).users == sorted(parts[0] + parts[2])
    assert keep_users(scale_flow(whole, 2, 1), 4, (1,)).users == sorted(
        name for user in parts[1] for name in (user, f"{user}#2")
    )


def test_fills_of_users_left_out_say_so():
    kept = flow()
    accounting = pa.table([["f"], [5], ["w"], ["BTC"], ["TAKER_ORDER"], ["o99"], ["OPEN"]], schema=ACCOUNTING)
    assert account_for(accounting, kept, ["BTC"], ["u", "v"])["fate"].to_pylist() == [OTHER_USER]


def test_groups_that_leave_no_user_are_refused():
    few = ["flow.users=2", "data.hours=1", "flow.user_groups=1000", "flow.keep_groups=[1]"]
    with pytest.raises(InvalidInput, match="keep_groups leaves none of 2 users"):
        open_feed(apply_overrides(load_scenario("synthetic-calm"), few))


def test_a_routing_row_for_a_symbol_that_is_not_in_the_run_names_the_near_one():
    scenario = apply_overrides(load_scenario("synthetic-calm"), ["routing.BTCC.normal_threshold=1"])
    with pytest.raises(InvalidInput, match=r"row for 'BTCC'; the run has .*: did you mean 'BTC'"):
        open_feed(scenario)


def test_every_real_source_fill_is_accounted_for_in_a_window_too(real_history, tmp_path):
    days = ["data.start=2023-04-14", "data.end=2023-04-16"]
    scenario = apply_overrides(load_scenario("flow-2023"), days)
    feed = open_feed(scenario)
    assert feed.span[0] < scenario.data.start - LEAD_NS  # OP was last traded long before
    facts = run_backtest(scenario, tmp_path / "out").facts
    assert sum(facts["source_fills"].values()) == SOURCE_FILLS
    assert facts["source_fills"]["OUTSIDE_WINDOW"] > 30_000
    reached = facts["extra"]["source_fill_outcomes"]
    assert {fate: sum(found.values()) for fate, found in reached.items()} == facts["source_fills"]
    assert sum(facts["extra"]["order_outcomes"].values()) == feed.flow.orders.num_rows
    assert 0 < facts["extra"]["real_liquidations"]["real"] < 62


def test_every_real_source_fill_is_accounted_for_in_the_whole(real_history):
    feed = open_feed(load_scenario("flow-2023"))
    assert feed.accounting.num_rows == SOURCE_FILLS
    made = feed.accounting.filter(feed.accounting["order_id"].is_valid())
    assert set(made["order_id"].to_pylist()) == set(feed.flow.orders["order_id"].to_pylist())
    assert made.num_rows == sum(feed.flow.orders["source_fills"].to_pylist())
    assert set(feed.accounting["fate"].to_pylist()) == {
        "TAKER_ORDER",
        "MAKER_ORDER",
        "LIQUIDATION",
        "LIQUIDATOR",
    }
    assert feed.liquidations.num_rows == 62


def test_the_whole_of_the_real_flow_runs_and_each_order_has_one_outcome(real_history, tmp_path):
    facts = run_backtest(load_scenario("flow-2023"), tmp_path / "out").facts
    assert sum(facts["source_fills"].values()) == SOURCE_FILLS
    feed = open_feed(load_scenario("flow-2023"))
    assert sum(facts["extra"]["order_outcomes"].values()) == feed.flow.orders.num_rows
    assert facts["extra"]["real_liquidations"]["real"] == 62
    assert_kept("flow-2023", facts["digest"])


SMALL = ["data.hours=4", "flow.users=40", "data.step=30s"]


def test_a_run_of_the_first_part_is_the_beginning_of_the_whole_run():
    """A run is causal: what comes later cannot change it. Walk-forward splits rely on it."""
    runs = {}
    for share in ("1", "0.5"):
        scenario = apply_overrides(load_scenario("synthetic-trend"), [*SMALL, f"data.to_share={share}"])
        feed = open_feed(scenario)
        runs[share] = run_engine(scenario, feed).recorder.tables()["journal"]
        if share == "0.5":
            assert feed.flow.span[1] < feed.span[1] - TAIL_NS
            edge = feed.span[1] - TAIL_NS
    whole, part = (run.filter(pc.less(run["ts"], edge)) for run in runs.values())
    assert part.num_rows > 100
    assert part.equals(whole)


def test_a_later_part_opens_with_what_users_had_paid_in():
    scenario = apply_overrides(load_scenario("synthetic-calm"), [*SMALL, "data.from_share=0.5"])
    feed, whole = open_feed(scenario), open_feed(apply_overrides(scenario, ["data.from_share=0"]))
    start, end = whole.span
    assert feed.flow.span[0] == start + (end - start) // 2
    assert set(feed.flow.transfers["kind"].to_pylist()) >= {"OPENING_BALANCE"}
    assert 0 < feed.flow.orders.num_rows < whole.flow.orders.num_rows
    with pytest.raises(InvalidInput, match=r"to_share was 0\.5; it must be above from_share, 0\.5"):
        apply_overrides(scenario, ["data.to_share=0.5"])
