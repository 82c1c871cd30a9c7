"""The house's guards, each at its edges."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.guards import (
    ChannelGuard,
    DailyLossBreaker,
    LossChange,
    PriceGuard,
    RangeGuard,
    ReserveState,
    reserve_state,
)
from risk.settings import DAY_NS, SECOND_NS, RiskConfig

D = Decimal
RISK = RiskConfig()
LIMIT = D("0.05")


def feed(guard, marks, prev):
    """Give the guard the marks one by one; return whether each changed its state."""
    changes = []
    for mark in marks:
        changes.append(guard.update(D(mark), D(prev), LIMIT, 5))
        prev = mark
    return changes


def test_a_jump_is_quarantined_until_the_fifth_calm_update():
    guard = PriceGuard(D(100))
    assert feed(guard, [101], 100) == [False]
    assert feed(guard, [110, 111, 112, 111, 110], 101) == [True, False, False, False, False]
    assert (guard.quarantined, guard.valid_mark) == (True, D(101))
    assert feed(guard, [111], 110) == [True]
    assert (guard.quarantined, guard.valid_mark) == (False, D(111))


def test_a_second_jump_starts_the_count_again():
    guard = PriceGuard(D(100))
    feed(guard, [110, 110, 110, 110, 110, 100, 100, 100, 100, 100], 100)
    assert (guard.quarantined, guard.valid_mark) == (True, D(100))
    assert feed(guard, [101], 100) == [True]


@pytest.mark.parametrize(
    ("mark", "jumped"), [("105", False), ("105.01", True), ("95", False), ("94.99", True)]
)
def test_only_more_than_the_limit_is_a_jump(mark, jumped):
    guard = PriceGuard(D(100))
    assert feed(guard, [mark], 100) == [jumped]


def naive_quarantine(marks):
    """Judge every mark by the rule's words over the whole history: (quarantined, last valid mark)."""
    quarantined, valid, run = False, marks[0], 0
    for before, mark in pairwise(marks):
        calm = abs(D(mark) / D(before) - 1) <= LIMIT
        run = run + 1 if calm else 0
        quarantined = not calm or (quarantined and run < 5)
        valid = valid if quarantined else mark
    return quarantined, valid


@given(steps=st.lists(st.sampled_from([-8, -6, -4, 0, 1, 4, 8]), min_size=1, max_size=30))
def test_quarantine_is_what_the_rules_words_say(steps):
    marks = [D(100)]
    for step in steps:
        marks.append(marks[-1] * (100 + step) / 100)
    guard = PriceGuard(marks[0])
    feed(guard, marks[1:], marks[0])
    assert (guard.quarantined, guard.valid_mark) == naive_quarantine(marks)


def test_the_range_guard_opens_above_five_and_closes_under_three_percent():
    guard = RangeGuard()
    seen = []
    for high in ("105", "105.01", "103", "102.99", "105"):
        changed = guard.update(D(100), D(high), RISK.price_range_limit, RISK.price_range_release)
        seen.append((changed, guard.open))
    assert seen == [(False, False), (True, True), (False, True), (True, False), (False, False)]


@pytest.mark.parametrize(
    ("reserve", "expected"),
    [
        ("500000", ReserveState.NORMAL),
        ("499999.999999", ReserveState.HALVED),
        ("200000", ReserveState.HALVED),
        ("199999.999999", ReserveState.STOPPED),
        ("0", ReserveState.STOPPED),
    ],
)
def test_the_reserve_has_three_states(reserve, expected):
    assert reserve_state(D(reserve), RISK) is expected


def test_the_breaker_counts_what_users_realised_and_the_change_of_what_they_have_not():
    breaker = DailyLossBreaker(5, D(30_000))
    breaker.realised(D(60_000))
    assert breaker.loss(D(70_000)) == 100_000
    assert breaker.check(6, D(70_000), RISK) == ()
    assert breaker.check(7, D("70000.01"), RISK) == (LossChange.ALERTED,)
    assert breaker.check(8, D(80_000), RISK) == ()  # told once
    breaker.realised(D(390_000))
    assert breaker.check(9, D("80000.01"), RISK) == (LossChange.OPENED,)
    assert breaker.check(10, D(-900_000), RISK) == ()  # open until the day ends, whatever comes
    assert breaker.open


def test_the_breaker_closes_at_midnight_and_measures_the_new_day_from_there():
    breaker = DailyLossBreaker(0, D(0))
    assert breaker.check(1, D(600_000), RISK) == (LossChange.ALERTED, LossChange.OPENED)
    assert breaker.ends_ns == DAY_NS
    assert breaker.check(DAY_NS - 1, D(600_000), RISK) == ()
    assert breaker.check(DAY_NS, D(600_000), RISK) == (LossChange.CLOSED,)
    assert (breaker.open, breaker.loss(D(600_000)), breaker.ends_ns) == (False, 0, 2 * DAY_NS)
    assert breaker.check(DAY_NS + 1, D("700000.01"), RISK) == (LossChange.ALERTED,)


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 12), st.integers(-300_000, 300_000), st.integers(-300_000, 300_000)),
        max_size=25,
    )
)
def test_the_breaker_agrees_with_the_sum_over_the_day(steps):
    """The oracle keeps every realised amount with its time and adds up the day's afterwards."""
    breaker = DailyLossBreaker()
    ts, history, starts, told = 0, [], {0: D(0)}, {}
    for hours, realised, unrealised in steps:
        ts += hours * DAY_NS // 24
        day = ts // DAY_NS
        changes = breaker.check(ts, D(unrealised), RISK)
        starts.setdefault(day, D(unrealised))
        breaker.realised(D(realised))
        history.append((day, D(realised)))
        changes += breaker.check(ts, D(unrealised), RISK)
        loss = sum(amount for d, amount in history if d == day) + D(unrealised) - starts[day]
        assert breaker.loss(D(unrealised)) == loss
        told[day] = told.get(day, ()) + tuple(c for c in changes if c is not LossChange.CLOSED)
        assert (LossChange.ALERTED in told[day]) >= (loss > 100_000)
        assert breaker.open is (LossChange.OPENED in told[day])
        assert breaker.open >= (loss > 500_000)
        assert len(set(told[day])) == len(told[day])


def test_the_channel_is_unhealthy_when_slow_silent_or_gone():
    guard, silence = ChannelGuard(), 5 * SECOND_NS
    assert not guard.unhealthy(10, 10, silence, RISK)
    assert not guard.unhealthy(10 + silence, 10, silence, RISK)
    assert guard.unhealthy(11 + silence, 10, silence, RISK)
    assert guard.report(20, connected=True, round_trip_ns=500_000_000) is False
    assert not guard.unhealthy(20, 20, silence, RISK)
    guard.report(21, connected=True, round_trip_ns=500_000_001)
    assert guard.unhealthy(21, 21, silence, RISK)
    assert guard.report(22, connected=False, round_trip_ns=0) is True
    assert guard.unhealthy(22, 22, silence, RISK)
    assert not guard.connected


def test_the_channel_is_unreachable_after_a_minute_down_however_often_that_is_reported():
    guard = ChannelGuard()
    assert guard.unreachable_ns(RISK) is None
    guard.report(100, connected=False, round_trip_ns=0)
    guard.report(30 * SECOND_NS, connected=False, round_trip_ns=0)
    due = 100 + 60 * SECOND_NS
    assert guard.unreachable_ns(RISK) == due
    assert not guard.unreachable(due - 1, RISK)
    assert guard.unreachable(due, RISK)
    assert guard.report(due + 1, connected=True, round_trip_ns=0) is True
    assert not guard.unreachable(due + 2, RISK)


def test_states_differ_where_behaviour_would():
    """A digest made of ``state()`` tells apart guards that would act differently later."""
    one, other = PriceGuard(D(100)), PriceGuard(D(100))
    feed(one, [110, 110], 100)
    feed(other, [110, 110, 110], 100)
    assert one.state() != other.state()
    fresh, used = DailyLossBreaker(), DailyLossBreaker()
    used.realised(D(1))
    assert fresh.state() != used.state()
    up, down = ChannelGuard(), ChannelGuard()
    down.report(1, connected=False, round_trip_ns=0)
    assert up.state() != down.state()
    wide, calm = RangeGuard(), RangeGuard()
    wide.update(D(1), D(2), LIMIT, LIMIT)
    assert wide.state() != calm.state()
