from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.flow import FLOW_ORDERS, FLOW_TRANSFERS, Flow
from data.flow_scale import Jitter, scale_flow
from risk.errors import InvalidInput

SECOND = 1_000_000_000


def make_flow(events):
    """Build a flow of (second, user, size) orders, each user's deposit a second before the first order."""
    orders, transfers, seen = [], [], set()
    for number, (second, user, size) in enumerate(sorted(events, key=lambda event: event[0])):
        if user not in seen:
            seen.add(user)
            deposit = {"ts": second * SECOND, "user": user, "amount": "100", "kind": "DEPOSIT"}
            transfers.append(deposit)
        row = dict.fromkeys(FLOW_ORDERS.names) | {
            "order_id": f"o{number}", "ts": (second + 1) * SECOND, "user": user, "symbol": "BTC",
            "intent": "NET", "side": "BUY", "type": "MARKET", "size": str(size), "leverage": 5,
            "margin_mode": "CROSS", "reduce_only": False, "source_fills": 1,
        }  # fmt: skip
        orders.append(row)
    return Flow(pa.Table.from_pylist(orders, FLOW_ORDERS), pa.Table.from_pylist(transfers, FLOW_TRANSFERS))


EVENTS = st.lists(
    st.tuples(
        st.integers(1, 50), st.sampled_from(["a", "b", "c"]), st.decimals("0.01", "9", places=2).filter(bool)
    ),
    min_size=1,
    max_size=12,
)
JITTER = Jitter(delay_ns=7 * SECOND, size_share=0.3)


def of_user(table, user):
    return table.filter(pc.equal(table["user"], user)).to_pylist()


@given(EVENTS, st.integers(1, 4), st.integers(0, 2**32))
def test_copies_keep_each_users_own_order_of_events(events, n, seed):
    flow = make_flow(events)
    scaled = scale_flow(flow, n, seed, JITTER)
    assert scaled.orders.num_rows == n * flow.orders.num_rows
    assert len(scaled.users) == n * len(flow.users)
    for user in flow.users:
        for number in range(2, n + 1):
            originals, copies = of_user(flow.orders, user), of_user(scaled.orders, f"{user}#{number}")
            assert [c["order_id"] for c in copies] == [o["order_id"] + f"#{number}" for o in originals]
            delays = {c["ts"] - o["ts"] for c, o in zip(copies, originals, strict=True)}
            assert len(delays) == 1
            assert 0 <= delays.pop() <= JITTER.delay_ns
            assert of_user(scaled.transfers, f"{user}#{number}")[0]["ts"] < copies[0]["ts"]
            for copy, original in zip(copies, originals, strict=True):
                low, high = (Decimal(original["size"]) * Decimal(f) for f in ("0.69", "1.31"))
                assert low - Decimal("0.01") <= Decimal(copy["size"]) <= high + Decimal("0.01")
                assert Decimal(copy["size"]) >= Decimal("0.01")


@given(EVENTS, st.integers(0, 2**32))
def test_the_originals_stay_as_they_were(events, seed):
    flow = make_flow(events)
    scaled = scale_flow(flow, 3, seed, JITTER)
    kept = scaled.orders.filter(pc.invert(pc.match_substring(scaled.orders["user"], "#")))
    assert kept.to_pylist() == flow.orders.to_pylist()


@given(EVENTS)
def test_a_copy_depends_on_the_seed_and_its_number_only(events):
    flow = make_flow(events)
    two, three = scale_flow(flow, 2, 7, JITTER), scale_flow(flow, 3, 7, JITTER)
    without_third = three.orders.filter(pc.invert(pc.ends_with(three.orders["user"], "#3")))
    assert without_third.to_pylist() == two.orders.to_pylist()


def test_without_jitter_copies_differ_in_name_only():
    flow = make_flow([(1, "a", Decimal("0.5")), (2, "b", Decimal("0.25"))])
    scaled = scale_flow(flow, 2, 0)
    assert scaled.orders["size"].to_pylist() == ["0.5", "0.5", "0.25", "0.25"]
    assert scaled.orders["user"].to_pylist() == ["a", "a#2", "b", "b#2"]


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_an_impossible_jitter_is_refused(share):
    with pytest.raises(InvalidInput, match="size_share was"):
        Jitter(size_share=share)


def test_an_impossible_count_is_refused():
    with pytest.raises(InvalidInput, match="n was 0"):
        scale_flow(make_flow([(1, "a", 1)]), 0, 0)
