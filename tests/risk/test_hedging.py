"""The hedge table, the leverage ladder, allocation and de-leveraging: pure rules of rulebook §6."""

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.hedging import allocate, deleverage_share, exposure_edges, hedge_ratio, hedge_tier, ladder_leverage
from risk.settings import HedgeTier, RiskConfig

D = Decimal
RISK = RiskConfig()
exposures = st.decimals(0, 1_500_000, places=2)
notionals = st.dictionaries(st.sampled_from("ABCDE"), exposures, max_size=5)


@pytest.mark.parametrize(
    ("exposure", "before", "row"),
    [
        ("99999.99", 0, 0),
        ("100000", 0, 1),
        ("499999.99", 1, 1),
        ("500000", 1, 2),
        ("500000", 0, 2),  # several rows at once
        ("1000000.01", 2, 2),
        ("450000.01", 2, 2),  # left downwards at 90 % of the lower edge
        ("450000", 2, 1),
        ("90000.01", 1, 1),
        ("90000", 1, 0),
        ("90000.01", 2, 1),
        ("0", 2, 0),
    ],
)
def test_rows_are_entered_at_their_edge_and_left_at_ninety_percent(exposure, before, row):
    assert hedge_tier(D(exposure), before, RISK) == row


def test_ratios_follow_the_rows():
    assert [hedge_ratio(row, RISK) for row in (0, 1, 2)] == [0, D("0.5"), D("0.8")]
    assert exposure_edges(RISK) == (90_000, 100_000, 450_000, 500_000)


def test_a_shorter_table_set_later_is_followed_at_once():
    one_row = replace(RISK, hedge_tiers=(HedgeTier(D(200_000), D(1)),))
    assert hedge_tier(D(900_000), 2, one_row) == 1


@given(row=st.integers(0, 2), edge=st.sampled_from([100_000, 500_000]), wobble=st.lists(st.integers(-50, 50)))
def test_a_wobble_of_five_percent_around_an_edge_changes_the_row_at_most_once(row, edge, wobble):
    rows = [hedge_tier(D(edge), row, RISK)]
    for per_mille in wobble:
        rows.append(hedge_tier(D(edge) * (1000 + per_mille) / 1000, rows[-1], RISK))
    assert sum(before != after for before, after in pairwise(rows)) <= 1


@given(row=st.integers(0, 2), low=exposures, high=exposures)
def test_between_two_edges_the_row_does_not_change(row, low, high):
    low, high = sorted((low, high))
    if not any(low <= edge <= high for edge in exposure_edges(RISK)):
        assert hedge_tier(low, row, RISK) == hedge_tier(high, row, RISK)


@pytest.mark.parametrize(
    ("total", "leverage"), [("300000", 2), ("300000.01", 3), ("600000", 3), ("600000.01", 5), ("9000000", 5)]
)
def test_the_ladder(total, leverage):
    assert ladder_leverage(D(total), RISK) == leverage


def test_enough_equity_covers_all_at_the_ladders_leverage():
    got = allocate({"BTC": D(250_000), "ETH": D(150_000)}, {"BTC": 40, "ETH": 25}, D(200_000), RISK)
    assert got.covered == {"BTC": 250_000, "ETH": 150_000}
    assert (got.uncovered, got.leverage) == ((), 3)


def test_leverage_rises_only_as_far_as_needed():
    got = allocate({"BTC": D(280_000)}, {"BTC": 40}, D(100_000), RISK)
    assert (got.covered, got.uncovered, got.leverage) == ({"BTC": 280_000}, (), 3)


def test_too_little_capital_serves_the_largest_first_and_ties_by_symbol():
    wanted = {"SOL": D(300_000), "BTC": D(600_000), "ETH": D(300_000)}
    got = allocate(wanted, dict.fromkeys(wanted, 20), D(150_000), RISK)
    assert got.covered == {"BTC": 600_000, "ETH": 150_000, "SOL": 0}
    assert (got.uncovered, got.leverage) == (("ETH", "SOL"), 5)


def test_a_symbol_is_never_levered_beyond_what_its_venue_allows():
    got = allocate({"LOW": D(600_000)}, {"LOW": 3}, D(150_000), RISK)
    assert (got.covered["LOW"], got.uncovered) == (450_000, ("LOW",))


@given(
    wanted=notionals,
    equity=st.decimals(-100_000, 500_000, places=2),
    most=st.lists(st.integers(1, 50), min_size=5, max_size=5),
)
def test_allocation_stays_within_equity_and_wastes_none(wanted, equity, most):
    max_leverages = dict(zip("ABCDE", most, strict=True))
    got = allocate(wanted, max_leverages, equity, RISK)
    assert set(got.covered) == set(wanted)
    assert 2 <= got.leverage <= 5
    used = sum(n / min(got.leverage, max_leverages[s]) for s, n in got.covered.items())
    tolerance = D("1e-20")  # thirds of a USDC
    assert used <= max(equity, D(0)) + tolerance
    assert all(0 <= got.covered[s] <= wanted[s] for s in wanted)
    assert set(got.uncovered) == {s for s in wanted if got.covered[s] < wanted[s]}
    if got.uncovered:
        assert got.leverage == 5
        assert used >= max(equity, D(0)) - tolerance


def test_deleveraging_brings_the_ratio_back_to_the_topup_level():
    share = deleverage_share(D(19_000), D(10_000), D(0), RISK)  # ratio 190 %
    assert D(19_000) == 3 * D(10_000) * (1 - share)
    assert deleverage_share(D(20_000), D(10_000), D(0), RISK) == 0
    assert deleverage_share(D(0), D(10_000), D(0), RISK) == 1
    assert deleverage_share(D(0), D(0), D(0), RISK) == 0


def test_a_critical_unrealised_loss_deleverages_though_the_ratio_is_fine():
    assert deleverage_share(D(100_000), D(1_000), D(100_000), RISK) == 0  # exactly half of the margin
    share = deleverage_share(D(90_000), D(1_000), D(110_000), RISK)
    left, margin = 110_000 * (1 - share), 200_000 - 110_000 * share
    assert abs(left / margin - D(1) / 3) < D("1e-30")


@given(
    equity=st.decimals(-1_000, 500_000, places=2),
    maintenance=st.decimals(0, 100_000, places=2),
    loss=st.decimals(0, 500_000, places=2),
)
def test_the_share_to_close_is_a_share_and_leaves_the_account_uncritical(equity, maintenance, loss):
    share = deleverage_share(equity, maintenance, loss, RISK)
    assert 0 <= share <= 1
    if equity > 0:
        left = maintenance * (1 - share)
        assert equity >= 2 * left
        assert loss * (1 - share) <= D("0.5") * (equity + loss - share * loss) + D("1e-20")
