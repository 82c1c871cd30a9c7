"""What became of each order, against the same told row by row."""

from collections import defaultdict

import pyarrow as pa

from backtest.outcomes import WITHOUT_ORDER, order_outcomes, with_outcomes

from .made_run import made_run


def orders(ids: list[str], cancels: tuple[str, ...] = ()) -> pa.Table:
    return pa.table({"order_id": ids, "intent": ["CANCEL" if name in cancels else "NET" for name in ids]})


def told(tables: dict[str, pa.Table], order_id: str) -> str:
    sources, ends = set(), []
    for fill in tables["fills"].to_pylist():
        if fill["order_id"] == order_id and fill["action"] != "LIQUIDATION":
            sources.add(fill["source"])
    ends += [
        f"REFUSED_{r['code']}" for r in tables["orders_refused"].to_pylist() if r["order_id"] == order_id
    ]
    ends += [
        f"CANCELLED_{r['reason']}"
        for r in tables["orders_cancelled"].to_pylist()
        if r["order_id"] == order_id
    ]
    filled = "ON_BOTH" if len(sources) > 1 else "".join(sources)
    if filled and ends:
        return f"FILLED_{filled}_REST_{min(ends)}"
    if filled:
        return f"FILLED_{filled}"
    return min(ends) if ends else "PENDING_AT_END"


def test_outcomes_are_those_told_row_by_row():
    tables = made_run().tables
    decided = set(tables["routing_records"]["order_id"].to_pylist())
    ids = sorted(decided | set(tables["orders_refused"]["order_id"].to_pylist()) | {"unheard"})
    found = order_outcomes(tables, orders(ids, cancels=("unheard",)))
    assert found["order_id"].to_pylist() == ids
    counted = defaultdict(list)
    for name, outcome in zip(ids, found["outcome"].to_pylist(), strict=True):
        counted[outcome].append(name)
    assert counted.pop("CANCEL_REQUEST") == ["unheard"]
    assert {"FILLED_INTERNAL", "FILLED_HYPERLIQUID", "FILLED_ON_BOTH"} < counted.keys()
    assert any(outcome.startswith("REFUSED_") for outcome in counted)
    for outcome, names in counted.items():
        for name in names[:5]:
            assert told(tables, name) == outcome


def test_orders_that_wait_at_the_end_are_named():
    run = made_run()
    rested = run.tables["orders_rested"]
    row = dict.fromkeys(rested.column_names) | {"order_id": "waits"}
    tables = run.tables | {"orders_rested": pa.Table.from_pylist([row], rested.schema)}
    found = order_outcomes(tables, orders(["waits", "flies"]))
    assert found["outcome"].to_pylist() == ["RESTING_AT_END", "PENDING_AT_END"]


def test_a_source_fill_shares_the_outcome_of_its_order():
    accounting = pa.table({"fill_id": ["a", "b", "c"], "order_id": ["o1", "o1", None]})
    outcomes = pa.table({"order_id": ["o1"], "outcome": ["FILLED_INTERNAL"]})
    found = with_outcomes(accounting, outcomes)["outcome"].to_pylist()
    assert found == ["FILLED_INTERNAL", "FILLED_INTERNAL", WITHOUT_ORDER]
