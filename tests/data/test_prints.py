import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from data.frames import BARS, FILLS, MARKS
from data.prints import fill_between, marks_from_fills, trim_bars


def fills_of(*rows):
    """Build fills of (ts, user, price, size, liquidation)."""
    return pa.Table.from_pylist(
        [
            {"fill_id": f"f{i}", "ts": ts, "user": user, "symbol": "ARB", "side": "BUY", "price": price,
             "size": size, "taker": True, "liquidation": liquidation}
            for i, (ts, user, price, size, liquidation) in enumerate(rows)
        ],
        FILLS,
    )  # fmt: skip


def marks_of(*rows):
    return pa.Table.from_pylist([{"ts": ts, "mark": mark} for ts, mark in rows], MARKS)


def rows(table):
    return [tuple(row.values()) for row in table.to_pylist()]


def test_prints_of_one_time_make_one_price_weighted_by_size():
    marks = marks_from_fills(
        fills_of((1, "a", 10.0, 1.0, False), (1, "b", 11.0, 3.0, False)), "ARB", frozenset()
    )
    assert rows(marks) == [(1, 10.75)]


def test_liquidations_and_the_liquidator_give_no_price():
    fills = fills_of((1, "a", 10.0, 1.0, False), (2, "a", 5.0, 1.0, True), (3, "liq", 5.0, 1.0, False))
    assert rows(marks_from_fills(fills, "ARB", frozenset({"liq"}))) == [(1, 10.0)]
    assert rows(marks_from_fills(fills, "BTC", frozenset())) == []


def test_an_extreme_printed_by_a_liquidation_is_taken_out_of_the_bar():
    fills = fills_of((1, "a", 5.0, 1.0, True), (11, "liq", 15.0, 1.0, False), (12, "a", 9.0, 1.0, False))
    columns = [
        [0, 10, 20],
        [10.0, 10.0, 10.0],
        [12.0, 15.0, 15.0],
        [5.0, 9.0, 5.0],
        [11.0, 9.5, 11.0],
        [1.0] * 3,
    ]
    bars = pa.table([pa.array(c, f.type) for c, f in zip(columns, BARS, strict=True)], BARS)
    trimmed = trim_bars(bars, 10, fills, "ARB", frozenset({"liq"}))
    assert trimmed["low"].to_pylist() == [10.0, 9.0, 5.0]
    assert trimmed["high"].to_pylist() == [12.0, 10.0, 15.0]
    assert trim_bars(bars, 10, fills, "BTC", frozenset({"liq"})).equals(bars)


def test_a_lone_jump_is_dropped_and_a_move_that_stays_is_kept():
    lone = fills_of((1, "a", 10.0, 1.0, False), (2, "a", 11.0, 1.0, False), (3, "a", 10.1, 1.0, False))
    assert [ts for ts, _ in rows(marks_from_fills(lone, "ARB", frozenset()))] == [1, 3]
    stays = fills_of((1, "a", 10.0, 1.0, False), (2, "a", 11.0, 1.0, False), (3, "a", 11.1, 1.0, False))
    assert [ts for ts, _ in rows(marks_from_fills(stays, "ARB", frozenset()))] == [1, 2, 3]


def test_a_foreign_reference_lends_its_moves_not_its_level():
    reference = marks_of((0, 100.0), (10, 100.0), (20, 110.0), (30, 99.0))
    filled = fill_between(marks_of((12, 50.0)), reference, 5, scaled=True)
    assert rows(filled) == [(0, 100.0), (10, 100.0), (12, 50.0), (20, 55.0), (30, 49.5)]


def test_the_venues_own_reference_is_taken_as_it_is_once_prints_are_stale():
    reference = marks_of((0, 100.0), (14, 101.0), (30, 99.0))
    filled = fill_between(marks_of((12, 50.0)), reference, 5, scaled=False)
    assert rows(filled) == [(0, 100.0), (12, 50.0), (30, 99.0)]


TIMED = st.lists(
    st.tuples(st.integers(0, 60), st.floats(1, 9)), max_size=10, unique_by=lambda row: row[0]
).map(sorted)


@given(TIMED, TIMED, st.integers(0, 20), st.booleans(), st.integers(0, 60))
def test_what_comes_later_never_changes_what_was_known(prints, reference, stale_ns, scaled, now):
    def until(table):
        return [row for row in table if row[0] <= now]

    whole = fill_between(marks_of(*prints), marks_of(*reference), stale_ns, scaled=scaled)
    known = fill_between(marks_of(*until(prints)), marks_of(*until(reference)), stale_ns, scaled=scaled)
    assert until(rows(whole)) == rows(known)
