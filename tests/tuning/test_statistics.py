"""Intervals and p-values: against exact measures, textbook figures, and what simulated luck should show."""

import math
from decimal import Decimal
from itertools import combinations, product
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.tuning.bootstrap import (
    counts,
    mean_block,
    measured,
    pigeonhole,
    slot_bootstrap,
    stationary_indices,
)
from backtest.tuning.cells import Cells
from backtest.tuning.measures import MEASURES
from backtest.tuning.slots import Slots
from backtest.tuning.statistics import (
    deflated_sharpe,
    expected_best_sharpe,
    jackknife,
    mean_interval,
    overfit_probability,
    probabilistic_sharpe,
    reality_check_p,
    sign_flip_p,
    student_quantile,
)
from data.flow_scale import COPY_MARK
from risk.settings import HOUR_NS

D = Decimal
MONEY = st.decimals(-1_000, 1_000, places=2)
AMOUNT = st.decimals(0, 1_000, places=2)
RATIO = st.none() | st.decimals("1.01", 9, places=2)


def generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def slots_of(gains: list[Decimal], **columns: list) -> Slots:
    """Return slots of an hour each that gained so much, quiet but for ``columns``."""
    count = len(gains)
    amounts = ("drawdown", "reserve_gain", "reserve_low", "exposure", "hedge_cost", "bad_debt", "volume")
    nothing = {name: [D(0)] * count for name in (*amounts, "internal_volume")}
    rest = {
        "start_ns": [n * HOUR_NS for n in range(count)],
        "gain": gains,
        "low": [min(gain, D(0)) for gain in gains],
        "high": [max(gain, D(0)) for gain in gains],
        "trading_ratio": [None] * count,
        "hedge_ratio": [None] * count,
        "over_limit_ns": [0] * count,
        "liquidations": [0] * count,
        "breaker_openings": [0] * count,
    }
    return Slots(slot_ns=HOUR_NS, **(nothing | rest | columns))


@st.composite
def any_slots(draw: st.DrawFn) -> Slots:
    count = draw(st.integers(1, 6))

    def column(of: st.SearchStrategy) -> list:
        return draw(st.lists(of, min_size=count, max_size=count))

    gains = column(MONEY)
    columns = {
        name: column(AMOUNT) for name in ("drawdown", "exposure", "bad_debt", "volume", "internal_volume")
    }
    columns |= {name: column(RATIO) for name in ("trading_ratio", "hedge_ratio")}
    columns |= {name: column(st.integers(0, 9)) for name in ("liquidations", "breaker_openings")}
    columns |= {name: column(MONEY) for name in ("hedge_cost", "reserve_gain")}
    columns["reserve_low"] = [min(gain, D(0)) for gain in columns["reserve_gain"]]
    columns["over_limit_ns"] = column(st.integers(0, HOUR_NS))
    columns["low"] = [min(gain, D(0)) - extra for gain, extra in zip(gains, column(AMOUNT), strict=True)]
    columns["high"] = [max(gain, D(0)) + extra for gain, extra in zip(gains, column(AMOUNT), strict=True)]
    return slots_of(gains, **columns)


@given(any_slots(), st.integers(0, 2**32))
def test_measures_of_many_draws_are_the_exact_ones_of_each(slots: Slots, seed: int) -> None:
    drawn = stationary_indices(len(slots), 2, 4, generator(seed))
    for name, measure in MEASURES.items():
        exact = [measure.of(slots.take(row.tolist())) for row in drawn]
        expected = [math.nan if figure is None else float(figure) for figure in exact]
        assert measured(name, slots, drawn) == pytest.approx(expected, rel=1e-9, abs=1e-6, nan_ok=True)


def slow_indices(slots: int, block: int, rng: np.random.Generator) -> list[int]:
    """Draw one row of the stationary bootstrap as its definition goes, one slot after another."""
    found: list[int] = []
    while len(found) < slots:
        if not found or rng.random() < 1 / block:
            found.append(int(rng.integers(slots)))
        else:
            found.append((found[-1] + 1) % slots)
    return found


def test_blocks_are_as_the_definition_draws_them() -> None:
    slots, block, rows = 30, 4, 3_000
    drawn = stationary_indices(slots, block, rows, generator(1))
    rng = generator(2)
    slow = np.array([slow_indices(slots, block, rng) for _ in range(rows)])
    followed = [((each[:, 1:] - each[:, :-1]) % slots == 1).mean() for each in (drawn, slow)]
    # A block goes on, or the new one happens to begin at the next slot.
    assert followed == pytest.approx([1 - 1 / block + 1 / block / slots] * 2, abs=0.01)
    assert counts(drawn, slots).mean(axis=0) == pytest.approx(np.ones(slots), abs=0.15)
    means = [each.mean(axis=1).std() for each in (drawn, slow)]
    assert means[0] == pytest.approx(means[1], rel=0.08)


def test_counts_are_how_often_each_was_drawn() -> None:
    assert counts(np.array([[0, 2, 2], [1, 1, 1]]), 3).tolist() == [[1, 0, 2], [0, 3, 0]]


def test_blocks_grow_with_the_cube_root() -> None:
    assert [mean_block(slots) for slots in (1, 8, 27, 216)] == [1, 2, 3, 6]


def test_nine_in_ten_intervals_hold_the_true_sum() -> None:
    slots, tries, held = 60, 300, 0
    rng = generator(3)
    for each in range(tries):
        gains = [D(repr(float(gain))) for gain in rng.normal(2, 10, slots)]
        low, high = slot_bootstrap(slots_of(gains), ["house_pnl"], 300, each)["house_pnl"]
        held += low <= 2 * slots <= high
    assert 0.83 <= held / tries <= 0.94  # a percentile interval of few slots holds a little less than it says


def test_intervals_are_the_same_every_time_and_absent_where_there_is_nothing_to_say() -> None:
    slots = slots_of([D(n % 5) for n in range(12)])
    names = ["house_pnl", "margin_ratio"]
    found = slot_bootstrap(slots, names, 200, 7)
    assert found == slot_bootstrap(slots, names, 200, 7) != slot_bootstrap(slots, names, 200, 8)
    assert found.keys() == {"house_pnl"}  # no margin was needed in any slot
    assert slot_bootstrap(slots.take(range(4)), names, 200, 7) == {}
    assert slot_bootstrap(slots, names, 0, 7) == {}


def cells_of(brought: np.ndarray) -> Cells:
    """Return cells of (users, slots) amounts."""
    places = list(np.ndindex(brought.shape))
    return Cells(
        [f"user-{user}" for user, _ in places],
        [slot * HOUR_NS for _, slot in places],
        [D(repr(float(brought[place]))) for place in places],
    )


def slow_pigeonhole(brought: np.ndarray, rest: np.ndarray, rng: np.random.Generator) -> float:
    """Draw one total as the definition goes: users and slots by themselves, cell by cell."""
    users, slots = brought.shape
    chosen = [int(rng.integers(users)) for _ in range(users)]
    times = slow_indices(slots, mean_block(slots), rng)
    return sum(rest[slot] + sum(brought[user, slot] for user in chosen) for slot in times)


def test_users_and_slots_are_drawn_by_themselves() -> None:
    rng = generator(4)
    brought, rest = rng.normal(1, 5, (12, 9)) + rng.normal(0, 8, (12, 1)), rng.normal(0, 3, 9)
    slots = slots_of([D(repr(float(gain))) for gain in brought.sum(axis=0) + rest])
    found = pigeonhole(slots, cells_of(brought), 4_000, 1)
    slow = [slow_pigeonhole(brought, rest, rng) for _ in range(4_000)]
    width = np.subtract(*np.quantile(slow, [0.95, 0.05]))
    assert found == pytest.approx(np.quantile(slow, [0.05, 0.95]), abs=0.06 * width)
    alone = slot_bootstrap(slots, ["house_pnl"], 4_000, 1)["house_pnl"]
    assert found[1] - found[0] > 1.5 * (alone[1] - alone[0])  # a few users made most of it


def test_copies_of_a_user_are_drawn_with_their_original() -> None:
    rng = generator(5)
    brought = rng.normal(1, 5, (6, 8))
    slots = slots_of([D(repr(float(gain))) for gain in 2 * brought.sum(axis=0)])
    once, twice = cells_of(brought), cells_of(2 * brought)
    copied = Cells(
        once.users + [f"{user}{COPY_MARK}1" for user in once.users], once.start_ns * 2, once.amounts * 2
    )
    assert pigeonhole(slots, copied, 500, 1) == pytest.approx(pigeonhole(slots, twice, 500, 1))


def test_no_interval_over_users_without_users() -> None:
    slots = slots_of([D(1)] * 8)
    assert pigeonhole(slots, Cells([], [], []), 100, 1) is None
    assert pigeonhole(slots, Cells(["a", "a"], [0, HOUR_NS], [D(1), D(1)]), 100, 1) is None


def slow_sign_flip(differences: np.ndarray) -> float:
    """Return the p-value over every way to turn signs."""
    observed = differences.sum() - 1e-9
    totals = [np.dot(signs, differences) for signs in product((-1, 1), repeat=len(differences))]
    return float(np.mean([total >= observed for total in totals]))


def test_the_permutation_test_is_that_over_all_signs() -> None:
    differences = generator(6).normal(0.7, 1, 9)
    exact = slow_sign_flip(differences)
    assert 0.005 < exact < 0.2
    assert sign_flip_p(differences, 1, 20_000, 1) == pytest.approx(exact, abs=0.006)
    blocks = np.array([differences[n : n + 2].sum() for n in range(0, 9, 2)])
    assert sign_flip_p(differences, 2, 20_000, 1) == pytest.approx(slow_sign_flip(blocks), abs=0.01)


def test_no_difference_has_a_p_value_of_one_and_none_is_zero() -> None:
    assert sign_flip_p(np.zeros(20), 2, 500, 1) == 1
    assert sign_flip_p(np.ones(40), 1, 500, 1) == 1 / 501


def test_permutation_p_values_are_even_under_luck_and_small_under_an_effect() -> None:
    rng = generator(7)
    lucky = np.array([sign_flip_p(rng.normal(0, 1, 30), 1, 300, n) for n in range(300)])
    assert np.quantile(lucky, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.06)
    real = np.array([sign_flip_p(rng.normal(0.8, 1, 30), 1, 300, n) for n in range(100)])
    assert (real < 0.05).mean() > 0.9


def test_trying_many_points_does_not_make_luck_significant() -> None:
    rng = generator(8)
    lucky, alone = [], []
    for each in range(200):
        gains = rng.normal(0, 1, (20, 40))
        best = int(gains.mean(axis=1).argmax())
        lucky.append(reality_check_p(gains, best, 1, 300, each))
        alone.append(sign_flip_p(gains[best], 1, 300, each))
    assert np.mean(np.array(alone) < 0.1) > 0.6  # what the test is for
    assert np.mean(np.array(lucky) < 0.1) < 0.17
    assert 0.35 < np.mean(lucky) < 0.62


def test_a_real_gain_is_significant_among_many() -> None:
    gains = generator(9).normal(0, 1, (30, 60))
    gains[3] += 1
    assert reality_check_p(gains, 3, 2, 500, 1) < 0.01
    assert reality_check_p(gains, 4, 2, 500, 1) > 0.2
    assert reality_check_p(np.zeros((3, 10)), 0, 2, 500, 1) == 1


def slow_reality_check(gains: np.ndarray, chosen: int, block: int, resamples: int) -> float:
    """Return the share of draws whose best point, every mean moved to none, gains as much as ``chosen`` did."""
    rng = generator(10)
    means = [float(np.mean(row)) for row in gains]
    reached = 0
    for _ in range(resamples):
        drawn = slow_indices(gains.shape[1], block, rng)
        best = max(float(np.mean(row[drawn])) - mean for row, mean in zip(gains, means, strict=True))
        reached += best >= means[chosen]
    return (1 + reached) / (1 + resamples)


def test_the_reality_check_is_its_definition() -> None:
    gains = generator(11).normal(0.2, 1, (6, 25))
    best = int(gains.mean(axis=1).argmax())
    fast = reality_check_p(gains, best, 3, 5_000, 1)
    assert 0.02 < fast < 0.5
    assert fast == pytest.approx(slow_reality_check(gains, best, 3, 3_000), abs=0.02)


def test_the_interval_of_a_mean_lies_around_it() -> None:
    differences = generator(12).normal(3, 1, 400)
    low, high = mean_interval(differences, 2_000, 1)
    reach = NormalDist().inv_cdf(0.95) / 20
    assert (low, high) == pytest.approx((differences.mean() - reach, differences.mean() + reach), abs=0.03)


def test_the_deflated_sharpe_ratio_is_that_of_its_authors_example() -> None:
    # Bailey and López de Prado (2014): annual ratio 2.5 over five years of days, the best of 100 tried, whose
    # annual ratios have a variance of ½; skewness -3, kurtosis 10.
    above = expected_best_sharpe(0.5 / 250, 100)
    assert above == pytest.approx(0.1132, abs=5e-5)
    assert probabilistic_sharpe(2.5 / math.sqrt(250), above, 1_250, -3, 10) == pytest.approx(0.9004, abs=5e-4)


def test_the_expected_best_is_about_the_mean_of_simulated_ones() -> None:
    drawn = generator(13).normal(0, 2, (4_000, 50)).max(axis=1).mean()
    assert expected_best_sharpe(4, 50) == pytest.approx(drawn, rel=0.02)
    assert expected_best_sharpe(4, 1) == 0


def test_one_trial_alone_is_not_deflated() -> None:
    gains = generator(14).normal(0.3, 1, (1, 50))
    own = gains[0]
    scaled = (own - own.mean()) / own.std()
    sharpe = own.mean() / own.std()
    plain = probabilistic_sharpe(sharpe, 0, 50, (scaled**3).mean(), (scaled**4).mean())
    assert deflated_sharpe(gains, 0) == pytest.approx(plain)
    many = np.concatenate([gains, generator(15).normal(0, 1, (40, 50))])
    assert deflated_sharpe(many, 0) < plain
    assert deflated_sharpe(np.ones((2, 9)), 0) is None


def slow_overfit(gains: np.ndarray, blocks: int) -> float:
    """Return the probability of overfitting by its definition, split by split."""
    parts = np.array_split(np.arange(gains.shape[1]), blocks)
    lost = []
    for half in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([parts[n] for n in half])
        outside = np.concatenate([parts[n] for n in range(blocks) if n not in half])
        best = gains[:, inside].mean(axis=1).argmax()
        later = gains[:, outside].mean(axis=1)
        rank = 1 + (later < later[best]).sum()
        share = rank / (len(gains) + 1)
        lost.append(math.log(share / (1 - share)) <= 0)
    return float(np.mean(lost))


def test_overfitting_is_counted_split_by_split() -> None:
    gains = generator(16).normal(0.1, 1, (7, 21))
    assert overfit_probability(gains) == pytest.approx(slow_overfit(gains, 10))
    gains = generator(17).normal(0, 1, (5, 33)) + np.arange(5)[:, None] / 4
    assert overfit_probability(gains) == pytest.approx(slow_overfit(gains, 16))


def test_overfitting_is_a_toss_up_under_luck_and_rare_where_one_point_is_better() -> None:
    rng = generator(18)
    lucky = [overfit_probability(rng.normal(0, 1, (10, 32))) for _ in range(12)]
    assert np.mean(lucky) == pytest.approx(0.5, abs=0.15)
    gains = rng.normal(0, 1, (10, 64))
    gains[2] += 2
    assert overfit_probability(gains) == 0
    assert overfit_probability(gains[:1]) is None
    assert overfit_probability(gains[:, :7]) is None
    assert overfit_probability(np.concatenate([gains, gains])) == 0  # the same point twice is one


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 6.3138), (2, 2.9200), (3, 2.3534), (7, 1.8946), (30, 1.6973)]
)
def test_student_quantiles_are_those_of_the_tables(freedom: int, quantile: float) -> None:
    assert student_quantile(0.95, freedom) == pytest.approx(quantile, abs=1e-4)


def test_the_jackknife_of_a_mean_is_the_t_interval_of_a_mean() -> None:
    values = generator(19).normal(5, 2, 8)
    left_out = np.array([np.delete(values, n).mean() for n in range(8)])
    reach = student_quantile(0.95, 7) * values.std(ddof=1) / math.sqrt(8)
    assert jackknife(left_out, values.mean()) == pytest.approx((values.mean() - reach, values.mean() + reach))
