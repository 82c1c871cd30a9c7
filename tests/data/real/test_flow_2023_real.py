"""The real flow of 2023: the findings its README holds binding, reproduced."""

from collections import Counter
from decimal import Decimal

import pyarrow.compute as pc
import pytest

from data.flow_2023 import LIQUIDATOR, import_flow_2023, read_fills, read_liquidations
from data.flow_import import effect_on


@pytest.fixture(scope="module")
def imported(real_history):
    return import_flow_2023(real_history)


@pytest.fixture(scope="module")
def fills(real_history):
    return read_fills(real_history, read_liquidations(real_history))


def test_all_35691_fills_are_accounted_for_by_name(imported):
    fates = Counter(imported.accounting["fate"].to_pylist())
    assert fates == {"TAKER_ORDER": 12_570, "MAKER_ORDER": 22_507, "LIQUIDATOR": 545, "LIQUIDATION": 69}
    assert sum(fates.values()) == 35_691
    assert sum(imported.flow.orders["source_fills"].to_pylist()) == 12_570 + 22_507
    assert len(set(imported.accounting["fill_id"].to_pylist())) == 35_691


def test_effects_on_net_positions_are_those_of_the_readme(imported):
    customers = imported.accounting.filter(pc.not_equal(imported.accounting["user"], LIQUIDATOR))
    assert Counter(customers["effect"].to_pylist()) == {
        "OPEN": 3_503, "EXTEND": 10_207, "REDUCE": 8_748, "CLOSE": 3_415, "FLIP": 9_273,
    }  # fmt: skip


def test_every_liquidation_has_its_fills_and_the_liquidator_took_the_other_side(fills, real_history):
    liquidations = read_liquidations(real_history)
    printed = fills.filter(fills["liquidation"])
    seconds = set(zip(printed["user"].to_pylist(), printed["ts"].to_pylist(), strict=True))
    assert seconds == set(zip(liquidations["user"].to_pylist(), liquidations["ts"].to_pylist(), strict=True))
    assert Counter(liquidations["margin_mode"].to_pylist()) == {"CROSS": 54, "ISOLATED": 8}

    def trades(rows):
        return Counter((r["ts"], r["symbol"], r["price"], r["size"]) for r in rows.to_pylist())

    taken = trades(fills.filter(pc.equal(fills["user"], LIQUIDATOR)))
    assert not trades(printed) - taken


def test_orders_replay_to_the_users_net_positions_without_liquidations(imported, fills):
    """Orders, netted, must leave each user where the source's own fills leave them."""
    kept = fills.filter(
        pc.and_not(pc.invert(fills["liquidation"]), pc.equal(fills["user"], LIQUIDATOR))
    ).to_pylist()
    expected, replayed = Counter(), Counter()
    for fill in kept:
        size = Decimal(repr(fill["size"]))
        expected[fill["user"], fill["symbol"]] += size if fill["side"] == "BUY" else -size
    for order in imported.flow.orders.to_pylist():
        size = Decimal(order["size"])
        replayed[order["user"], order["symbol"]] += size if order["side"] == "BUY" else -size
    assert replayed == expected


def test_opening_balances_are_small_and_named(imported):
    transfers = imported.flow.transfers.to_pylist()
    booked = [Decimal(t["amount"]) for t in transfers if t["kind"] == "OPENING_BALANCE"]
    assert (len(booked), sum(booked)) == (21, Decimal("4387.23"))
    assert Counter(t["kind"] for t in transfers)["DEPOSIT"] + Counter(t["kind"] for t in transfers)[
        "WITHDRAWAL"
    ] == 560  # fmt: skip


def test_with_opening_balances_every_opening_fill_is_covered_in_the_source(imported, fills):
    """Replay the source by brute force with the booked balances: no opening fill lacks margin."""
    cash, held, prints, checked = Counter(), {}, {}, 0
    events = [(t["ts"], 0, t) for t in imported.flow.transfers.to_pylist()]
    events += [(f["ts"], 1, f) for f in fills.to_pylist() if f["user"] != LIQUIDATOR]
    for _, kind, row in sorted(events, key=lambda event: event[:2]):
        user = row["user"]
        if kind == 0:
            cash[user] += Decimal(row["amount"])
            continue
        price, size = Decimal(repr(row["price"])), Decimal(repr(row["size"]))
        change = size if row["side"] == "BUY" else -size
        if not row["liquidation"]:
            prints[row["symbol"]] = price
        positions = held.setdefault(user, {})
        before = positions.get(row["symbol"], Decimal(0))
        positions[row["symbol"]] = before + change
        cash[user] -= change * price
        if effect_on(before, change) in ("OPEN", "EXTEND", "FLIP"):
            notionals = [size * prints[coin] for coin, size in positions.items()]
            assert cash[user] + sum(notionals) >= sum(map(abs, notionals)) / 50
            checked += 1
    assert checked > 20_000


def test_equal_rows_stay_separate_fills_and_makers_can_be_left_out(imported, real_history):
    unmerged = import_flow_2023(real_history, merge=False, makers="skip", opening_balances=False)
    assert unmerged.flow.orders.num_rows == 12_570
    assert Counter(unmerged.accounting["fate"].to_pylist())["MAKER_SKIPPED"] == 22_507
    assert "OPENING_BALANCE" not in unmerged.flow.transfers["kind"].to_pylist()
    assert imported.flow.orders.num_rows == 6_597 + 22_507
