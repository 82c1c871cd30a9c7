"""Choosing among points: the front against a brute-force one, and what is nearest to the best of everything."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.tuning.choice import broken, front, loss, rank
from backtest.tuning.findings import Figures
from backtest.tuning.study import Limit

D = Decimal
BOTH = {"house_pnl": "maximize", "max_drawdown": "minimize"}
ALL = BOTH | {"margin_ratio": "maximize", "pnl_bps": "maximize"}
FEW = st.integers(-3, 3).map(D)  # few values, many ties
POINTS = st.lists(
    st.fixed_dictionaries(
        {"house_pnl": FEW, "max_drawdown": FEW, "margin_ratio": st.none() | FEW, "pnl_bps": st.none() | FEW}
    ),
    max_size=14,
).map(lambda rows: dict(enumerate(rows)))


def better(one: Figures, other: Figures, name: str, direction: str) -> bool:
    a, b = one[name], other[name]
    if a is None or b is None:
        if a is b:
            return False
        return (a is None) == (name == "margin_ratio")  # never in need of margin; against nothing traded
    return a > b if direction == "maximize" else a < b


def beats(one: Figures, other: Figures, objectives: dict[str, str]) -> bool:
    wins, losses = (
        sum(better(*pair, name, direction) for name, direction in objectives.items())
        for pair in ((one, other), (other, one))
    )
    return wins > 0 and losses == 0


@given(POINTS, st.sampled_from([BOTH, ALL, {"max_drawdown": "minimize"}]))
def test_the_front_is_what_no_other_point_beats(points, objectives) -> None:
    slow = {
        number
        for number, own in points.items()
        if not any(beats(other, own, objectives) for other in points.values())
    }
    assert set(front(points, objectives)) == slow


@given(POINTS, st.integers(1, 20))
def test_ranks_go_front_by_front_and_are_a_matter_of_figures_alone(points, count: int) -> None:
    ranked = rank(points, ALL, count)
    assert len(ranked) == len(set(ranked)) == min(count, len(points))
    left = dict(points)
    for number in rank(points, ALL, len(points)):
        assert number in front(left, ALL)
        del left[number]
    assert rank(dict(reversed(points.items())), ALL, count) == ranked
    assert ranked[: len(front(points, ALL))] == front(points, ALL)[:count]


def point(pnl: int, drawdown: int) -> dict[str, Decimal]:
    return {"house_pnl": D(pnl), "max_drawdown": D(drawdown)}


def test_the_nearest_to_the_best_of_each_objective_is_first() -> None:
    # Scaled over the front: (0, 1), (¼, ½), (1, 0), squared distances 1, 5/16 and 1.
    points = {4: point(100, 20), 7: point(75, 10), 2: point(0, 0), 9: point(70, 15)}
    assert front(points, BOTH) == [7, 2, 4]
    assert rank(points, BOTH, 9) == [7, 2, 4, 9]


def test_a_beaten_point_does_not_move_the_scales() -> None:
    points = {1: point(100, 40), 2: point(60, 10), 3: point(0, 0)}
    far = points | {4: point(-(10**9), 10**9)}
    assert front(far, BOTH) == front(points, BOTH) == [2, 1, 3]
    assert rank(far, BOTH, 4) == [2, 1, 3, 4]


def test_one_objective_ranks_by_its_figures_and_ties_by_number() -> None:
    points = {5: point(1, 0), 3: point(2, 0), 8: point(2, 9), 1: point(0, 0)}
    assert rank(points, {"house_pnl": "maximize"}, 3) == [3, 8, 5]
    assert front(points, {"house_pnl": "maximize"}) == [3, 8]


def test_the_least_digit_decides() -> None:
    points = {1: {"house_pnl": D("1e15")}, 2: {"house_pnl": D("1e15") + D("0.000000000001")}}
    assert rank(points, {"house_pnl": "maximize"}, 1) == [2]


def test_where_nothing_happened_there_is_nothing_to_fear_and_nothing_earned() -> None:
    assert loss("margin_ratio", None, "maximize") < loss("margin_ratio", D(10**9), "maximize")
    assert loss("pnl_bps", None, "maximize") > loss("pnl_bps", D(-(10**9)), "maximize")
    assert front({1: {"pnl_bps": None}, 2: {"pnl_bps": D(-5)}}, {"pnl_bps": "maximize"}) == [2]
    nowhere = {1: {"pnl_bps": None}, 2: {"pnl_bps": None}}
    assert rank(nowhere, {"pnl_bps": "maximize"}, 2) == [1, 2]


@pytest.mark.parametrize(("ratio", "excess"), [(D("1.5"), None), (D("1.499"), D("0.001")), (None, None)])
def test_a_point_breaks_what_lies_beyond_its_limits(ratio: Decimal | None, excess: Decimal | None) -> None:
    limits = {"margin_ratio": Limit(min=D("1.5")), "bad_debt": Limit(max=D(0))}
    expected = {} if excess is None else {"margin_ratio": excess}
    assert broken({"margin_ratio": ratio, "bad_debt": D(0)}, limits) == expected
    assert broken({"margin_ratio": ratio, "bad_debt": D(7)}, limits) == expected | {"bad_debt": D(7)}


def test_no_points_no_front() -> None:
    assert front({}, BOTH) == rank({}, BOTH, 5) == []
