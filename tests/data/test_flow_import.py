from collections import Counter, defaultdict
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.flow import FLOW_TRANSFERS, Flow, validate
from data.flow_import import effect_on, orders_from_fills, plain_decimal
from data.frames import FILLS
from data.opening import opening_transfers
from risk.errors import InvalidInput


def fill(number, **values):
    return {
        "fill_id": f"f{number}", "ts": 1_001, "user": "u", "symbol": "ARB", "side": "BUY", "price": 1.25,
        "size": 2.0, "taker": True, "liquidation": False,
    } | values  # fmt: skip


def table(*rows):
    return pa.Table.from_pylist(list(rows), FILLS)


FILL_LISTS = st.lists(
    st.fixed_dictionaries(
        {
            "ts": st.integers(1_001, 1_004),
            "user": st.sampled_from(["u", "v", "liquidator"]),
            "symbol": st.sampled_from(["ARB", "BTC"]),
            "side": st.sampled_from(["BUY", "SELL"]),
            "size": st.sampled_from([0.1, 0.2, 0.7]),
            "price": st.sampled_from([1.25, 1.3]),
            "taker": st.booleans(),
            "liquidation": st.just(False),
        }
    ),
    max_size=25,
).map(lambda rows: table(*(fill(i, **row) for i, row in enumerate(rows))))


@given(FILL_LISTS, st.sampled_from(["limit", "market", "skip"]), st.booleans())
def test_every_fill_is_accounted_for_and_sizes_add_up(fills, makers, merge):
    imported = orders_from_fills(
        fills, leverage=5, makers=makers, merge=merge, excluded={"liquidator": "LIQUIDATOR"}
    )
    accounting = imported.accounting.to_pylist()
    assert sorted(row["fill_id"] for row in accounting) == sorted(fills["fill_id"].to_pylist())
    by_id = {row["fill_id"]: row for row in fills.to_pylist()}
    parts = defaultdict(list)
    for row in accounting:
        source = by_id[row["fill_id"]]
        if source["user"] == "liquidator":
            assert row["fate"] == "LIQUIDATOR"
        elif source["taker"]:
            assert row["fate"] == "TAKER_ORDER"
        else:
            assert row["fate"] == ("MAKER_SKIPPED" if makers == "skip" else "MAKER_ORDER")
        assert (row["order_id"] is None) == (not row["fate"].endswith("_ORDER"))
        if row["order_id"]:
            parts[row["order_id"]].append(source)
    orders = imported.orders.to_pylist()
    assert {order["order_id"] for order in orders} == set(parts)
    for order in orders:
        members = parts[order["order_id"]]
        assert Decimal(order["size"]) == sum(Decimal(str(part["size"])) for part in members)
        assert order["source_fills"] == len(members)
        assert (
            len({(part["user"], part["symbol"], part["side"], part["ts"], part["taker"]) for part in members})
            == 1
        )
        assert len(members) == 1 or (merge and members[0]["taker"])
    validate(Flow(imported.orders, FLOW_TRANSFERS.empty_table()))


def test_a_makers_order_waits_before_the_trade_that_filled_it():
    fills = table(fill(1), fill(2, taker=False, side="SELL"))
    orders = orders_from_fills(fills, leverage=5).orders.to_pylist()
    assert [(o["order_id"], o["ts"], o["type"]) for o in orders] == [
        ("f2", 1_000, "LIMIT"), ("f1", 1_001, "MARKET"),
    ]  # fmt: skip


def test_fills_of_one_second_become_one_order_at_their_average_price():
    fills = table(
        fill(1, price=1.0, size=0.1), fill(2, side="SELL"), fill(3, price=2.0, size=0.3), fill(4, ts=1_002)
    )
    orders = orders_from_fills(fills, leverage=5).orders.to_pylist()
    assert [(o["order_id"], o["side"], o["size"], o["ref_price"]) for o in orders] == [
        ("f1", "BUY", "0.4", "1.75"), ("f2", "SELL", "2", "1.25"), ("f4", "BUY", "2", "1.25"),
    ]  # fmt: skip


def test_a_maker_fill_becomes_a_limit_order_at_its_print():
    order = orders_from_fills(table(fill(1, taker=False)), leverage={"ARB": 7}).orders.to_pylist()[0]
    assert (order["type"], order["limit_price"], order["source_role"], order["leverage"]) == (
        "LIMIT", "1.25", "MAKER", 7,
    )  # fmt: skip


def test_liquidation_fills_become_no_orders_but_move_the_position():
    fills = table(fill(1), fill(2, side="SELL", taker=False, liquidation=True), fill(3))
    imported = orders_from_fills(fills, leverage=5, merge=False)
    assert imported.accounting["fate"].to_pylist() == ["TAKER_ORDER", "LIQUIDATION", "TAKER_ORDER"]
    assert imported.accounting["effect"].to_pylist() == ["OPEN", "CLOSE", "OPEN"]


@pytest.mark.parametrize(
    ("before", "change", "effect"),
    [
        (0, 1, "OPEN"),
        (1, 1, "EXTEND"),
        (-1, -1, "EXTEND"),
        (2, -1, "REDUCE"),
        (2, -2, "CLOSE"),
        (1, -2, "FLIP"),
    ],
)
def test_effects_on_a_net_position(before, change, effect):
    assert effect_on(Decimal(before), Decimal(change)) == effect


@pytest.mark.parametrize("change", [{"size": -1.0}, {"price": float("nan")}, {"side": "Bid"}])
def test_an_unusable_fill_is_named_by_row_and_value(change):
    with pytest.raises(InvalidInput, match=r"fill row 1: (size was -1|price was nan|side was 'Bid')"):
        orders_from_fills(table(fill(1), fill(2, **change)), leverage=5)


def test_plain_decimals_have_no_exponent():
    assert [plain_decimal(Decimal(text)) for text in ("1E+3", "0.100", "1E-7", "-50.0")] == [
        "1000", "0.1", "0.0000001", "-50",
    ]  # fmt: skip


def test_an_opening_balance_is_the_smallest_that_covers_every_opening_fill():
    fills = table(
        fill(1, ts=5, size=100.0, price=1.0),  # needs 20 at 5x, 12 deposited
        fill(2, ts=6, size=100.0, price=1.0, side="SELL"),
        fill(3, ts=7, size=50.0, price=1.0),  # needs 10
        fill(4, ts=7, user="rich", size=1.0),
    )
    deposits = pa.Table.from_pylist(
        [
            {"ts": 4, "user": "u", "amount": "12", "kind": "DEPOSIT"},
            {"ts": 4, "user": "rich", "amount": "9", "kind": "DEPOSIT"},
        ],
        FLOW_TRANSFERS,
    )
    assert opening_transfers(fills, deposits, 5).to_pylist() == [
        {"ts": 4, "user": "u", "amount": "8", "kind": "OPENING_BALANCE"}
    ]
    assert Counter(opening_transfers(fills, deposits, 5, {"u"})["user"].to_pylist()) == Counter()
