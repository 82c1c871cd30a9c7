"""Deviation of HYPERLIQUID closes: the worked example, grades at their edges, day totals."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.deviation import DayGrade, DeviationDay, DeviationGrade, deviation
from risk.settings import DAY_NS, RiskConfig

D = Decimal
RISK = RiskConfig()


def test_worked_example_of_the_rulebook():
    found = deviation(+1, D(4_000), D(3_996), D(10), D(38_000), RISK)
    assert (found.xbit_pnl, found.actual_pnl) == (2_000, 1_960)
    assert (found.deviation, found.rate) == (-40, D("0.001"))
    assert found.grade is DeviationGrade.LOGGED


@pytest.mark.parametrize(
    ("size", "receipt", "grade"),
    [
        ("1", "990", None),  # 10 USDC exactly is not logged
        ("0.1", "1099", None),  # 9.9 USDC: not graded though the rate is 9.9 %
        ("10", "990", DeviationGrade.LOGGED),  # 1 % exactly
        ("10", "989.99", DeviationGrade.ALERT),
        ("10", "1050", DeviationGrade.ALERT),  # 5 % exactly, in our favour
        ("10", "1050.01", DeviationGrade.CRITICAL),
    ],
)
def test_grades_start_above_their_limits(size, receipt, grade):
    assert deviation(+1, D(1_000), D(receipt), D(size), D(0), RISK).grade is grade


@given(
    side=st.sampled_from([1, -1]),
    reference=st.decimals("0.01", 100_000, places=2),
    receipt=st.decimals("0.01", 100_000, places=2),
    size=st.decimals("0.001", 1_000, places=3),
    cost=st.decimals(0, 10_000_000, places=6),
)
def test_the_cost_cancels_and_a_short_mirrors_a_long(side, reference, receipt, size, cost):
    found = deviation(side, reference, receipt, size, cost, RISK)
    assert found.deviation == side * (receipt - reference) * size
    assert found.actual_pnl - found.xbit_pnl == found.deviation
    mirrored = deviation(-side, reference, receipt, size, cost, RISK)
    assert (mirrored.deviation, mirrored.rate) == (-found.deviation, found.rate)


def test_the_day_total_is_graded_once_per_grade_and_day():
    day = DeviationDay()
    assert day.add(1, D(-600), RISK) == ()
    assert day.add(2, D(400), RISK) == ()  # 1 000 exactly
    assert day.add(3, D("-0.01"), RISK) == (DayGrade.REVIEW,)
    assert day.add(4, D(3_999), RISK) == ()
    assert day.add(5, D(1), RISK) == (DayGrade.CRITICAL,)
    assert day.add(6, D(9_000), RISK) == ()
    assert day.add(DAY_NS, D(-6_000), RISK) == (DayGrade.REVIEW, DayGrade.CRITICAL)
    assert (day.total, day.state()) == (6_000, (1, D(6_000), ("REVIEW", "CRITICAL")))
