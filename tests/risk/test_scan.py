"""The index against the obvious exact scan: nothing under water may be missed, whatever happened before."""

import itertools
import math
from dataclasses import dataclass
from decimal import Decimal

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from risk.margin import liquidation_price, maintenance_margin
from risk.margin_tiers import MarginTiers
from risk.numbers import round_money
from risk.scan import CrossLeg, LiquidationIndex

ZERO = Decimal(0)
TIERS = {
    "ONE": MarginTiers.of([(0, 40)]),
    "TWO": MarginTiers.of([(0, 10), (3000, 5)]),
    "MANY": MarginTiers.of([(0, 20), (500, 10), (2000, 3), (9000, 1)]),
}
SYMBOLS = sorted(TIERS)

sizes = st.integers(1, 50_000).map(lambda n: Decimal(n) / 1000)
marks = st.integers(10_000, 1_000_000).map(lambda n: Decimal(n) / 1000)
sides = st.sampled_from([1, -1])
symbols = st.sampled_from(SYMBOLS)
deltas = st.integers(-20_000, 20_000).map(lambda n: Decimal(n) / 1000)


@dataclass
class Held:
    """A position; ``index`` is the funding index it was last settled at."""

    symbol: str
    side: int
    size: Decimal
    cost: Decimal
    margin: Decimal
    index: Decimal

    def unrealised(self, mark: Decimal) -> Decimal:
        return self.side * (self.size * mark - self.cost)

    def owed(self, index: Decimal) -> Decimal:
        return round_money(self.side * self.size * (index - self.index))

    def maintenance(self, mark: Decimal) -> Decimal:
        return maintenance_margin(self.size * mark, TIERS[self.symbol])


class Scan(RuleBasedStateMachine):
    """Trade, move marks and funding: the plain scan looks at everybody every time, the index does not."""

    def __init__(self):
        super().__init__()
        self.scan = LiquidationIndex()
        self.marks = dict.fromkeys(SYMBOLS, Decimal(100))
        self.funding = dict.fromkeys(SYMBOLS, ZERO)
        self.isolated: dict[int, Held] = {}
        self.hourly_margin: dict[int, Decimal] = {}  # settled every hour, payments capped and not rounded
        self.cross: dict[str, list[Held]] = {"u1": [], "u2": []}
        self.cash = {"u1": Decimal(500), "u2": Decimal(50)}
        self.next_id = 1

    def file_isolated(self, position_id):
        held = self.isolated[position_id]
        self.scan.put_isolated(
            position_id, held.symbol, held.side, held.size, held.cost, held.margin, TIERS[held.symbol]
        )

    def settle_isolated(self, position_id):
        held = self.isolated[position_id]
        held.margin -= min(held.margin, held.owed(self.funding[held.symbol]))
        held.index = self.funding[held.symbol]
        self.file_isolated(position_id)

    def slack(self, user):
        value = self.cash[user]
        for held in self.cross[user]:
            mark = self.marks[held.symbol]
            value += held.unrealised(mark) - held.owed(self.funding[held.symbol]) - held.maintenance(mark)
        return value

    def settle_cross(self, user):
        net: dict[str, Decimal] = {}
        gross: dict[str, Decimal] = {}
        for held in self.cross[user]:
            self.cash[user] -= held.owed(self.funding[held.symbol])
            held.index = self.funding[held.symbol]
            net[held.symbol] = net.get(held.symbol, ZERO) + held.side * held.size
            gross[held.symbol] = gross.get(held.symbol, ZERO) + held.size
        if not net:
            self.scan.drop_cross(user)
            return
        legs = [CrossLeg(s, net[s], gross[s], self.marks[s], TIERS[s].rates[-1]) for s in sorted(net)]
        self.scan.put_cross(user, self.slack(user), legs)

    @rule(symbol=symbols, side=sides, size=sizes, leverage=st.sampled_from([1, 2, 3, 10, 40]))
    def open_isolated(self, symbol, side, size, leverage):
        cost = size * self.marks[symbol]
        margin = round_money(cost / leverage)
        self.isolated[self.next_id] = Held(symbol, side, size, cost, margin, self.funding[symbol])
        self.hourly_margin[self.next_id] = margin
        self.file_isolated(self.next_id)
        self.next_id += 1

    @rule(user=st.sampled_from(["u1", "u2"]), symbol=symbols, side=sides, size=sizes)
    def open_cross(self, user, symbol, side, size):
        cost = size * self.marks[symbol]
        self.cross[user].append(Held(symbol, side, size, cost, ZERO, self.funding[symbol]))
        self.settle_cross(user)

    @precondition(lambda self: self.isolated)
    @rule(data=st.data())
    def close_isolated(self, data):
        position_id = data.draw(st.sampled_from(sorted(self.isolated)))
        self.scan.drop_isolated(position_id)
        del self.isolated[position_id], self.hourly_margin[position_id]

    @rule(user=st.sampled_from(["u1", "u2"]), amount=st.integers(-200, 500))
    def move_cash(self, user, amount):
        self.cash[user] += amount
        self.settle_cross(user)

    @rule(user=st.sampled_from(["u1", "u2"]))
    def close_cross(self, user):
        self.cross[user] = self.cross[user][1:]
        self.settle_cross(user)

    @rule(symbol=symbols, mark=marks)
    def jump(self, symbol, mark):
        self.marks[symbol] = mark

    @rule(symbol=symbols, bps=st.integers(-300, 300))
    def drift_mark(self, symbol, bps):
        self.marks[symbol] *= 1 + Decimal(bps) / 10_000

    @rule(symbol=symbols, delta=deltas)
    def hour_passes(self, symbol, delta):
        self.funding[symbol] += delta
        self.scan.funding_moved(symbol, float(delta))
        for position_id, held in self.isolated.items():
            if held.symbol == symbol:
                margin = self.hourly_margin[position_id]
                self.hourly_margin[position_id] = margin - min(margin, held.side * held.size * delta)
        for position_id in self.scan.exhausted(symbol):
            self.settle_isolated(position_id)

    @rule()
    def confirm_candidates(self):
        """Settle what the index suspects and file the healthy anew, as the book does."""
        for symbol in SYMBOLS:
            isolated, users = self.scan.candidates(symbol, float(self.marks[symbol]))
            for position_id in isolated:
                self.settle_isolated(position_id)
            for user in users:
                self.settle_cross(user)

    def under_water(self, symbol):
        mark = self.marks[symbol]
        isolated = []
        for position_id, held in self.isolated.items():
            margin = held.margin - min(held.margin, held.owed(self.funding[symbol]))
            if held.symbol == symbol and margin + held.unrealised(mark) <= held.maintenance(mark):
                isolated.append(position_id)
        return isolated

    @invariant()
    def nothing_under_water_is_missed(self):
        found_users = set()
        for symbol in SYMBOLS:
            mark = float(self.marks[symbol])
            isolated, users = self.scan.candidates(symbol, mark)
            assert isolated == sorted(isolated)
            assert users == sorted(set(users))
            assert set(self.under_water(symbol)) <= set(isolated)
            low, high = self.scan.band(symbol)
            assert not (low < mark < high) or not (isolated or users)
            found_users.update(users)
        for user, positions in self.cross.items():
            if positions and self.slack(user) <= 0:
                assert user in found_users

    @invariant()
    def lazy_settlement_loses_no_capped_payment(self):
        for position_id, held in self.isolated.items():
            lazy = held.margin - held.owed(self.funding[held.symbol])
            assert abs(lazy - self.hourly_margin[position_id]) < Decimal("0.0001")


TestScan = Scan.TestCase
TestScan.settings = settings(max_examples=60, stateful_step_count=30)


@given(symbols, sides, sizes, marks, st.integers(1, 40), st.integers(-3, 3))
def test_an_isolated_trigger_is_the_exact_liquidation_price(symbol, side, size, price, leverage, ulps):
    margin = round_money(size * price / leverage)
    exact = liquidation_price(side=side, size=size, price=price, equity=margin, tiers=TIERS[symbol])
    assume(exact is not None)
    index = LiquidationIndex()
    index.put_isolated(1, symbol, side, size, size * price, margin, TIERS[symbol])
    assert index.candidates(symbol, float(exact))[0] == [1]
    # A micro-dollar of funding rounding is all it may be early by, besides the floats' own.
    early = float(price) * 1e-9 + 1e-5 / float(size)
    assert index.candidates(symbol, float(exact) + side * early)[0] == []


def just_inside(band, seen):
    """Give marks as near to the edges of a band as floats go, and far out where it has none."""
    low, high = band
    nearest = math.nextafter(max(low, 1e-3), math.inf), math.nextafter(min(high, 1e7), 0)
    return [Decimal(mark) for mark in (*nearest, seen) if low < mark < high]


@given(st.data())
def test_a_cross_account_is_healthy_in_every_corner_of_its_bands(data):
    index, funding = LiquidationIndex(), dict.fromkeys(SYMBOLS, ZERO)
    held = [
        Held(symbol, side, data.draw(sizes), ZERO, ZERO, ZERO)
        for symbol in data.draw(st.lists(symbols, min_size=1, max_size=3, unique=True))
        for side in data.draw(st.sampled_from([[1], [-1], [1, -1]]))
    ]
    put = {symbol: data.draw(marks) for symbol in SYMBOLS}
    needed = sum(p.maintenance(put[p.symbol]) for p in held)
    share = Decimal(data.draw(st.integers(1, 15))) / data.draw(st.sampled_from([10, 1000, 100_000]))
    value = needed + share * sum(p.size * put[p.symbol] for p in held)
    cash = value - sum(p.unrealised(put[p.symbol]) for p in held)
    legs = []
    for symbol in sorted({p.symbol for p in held}):
        net = sum(p.side * p.size for p in held if p.symbol == symbol)
        gross = sum(p.size for p in held if p.symbol == symbol)
        legs.append(CrossLeg(symbol, net, gross, put[symbol], TIERS[symbol].rates[-1]))
    index.put_cross("a", value - needed, legs)
    for delta in data.draw(st.lists(deltas, max_size=3)):
        for leg in legs:
            funding[leg.symbol] += delta
            index.funding_moved(leg.symbol, float(delta))
    corners = [just_inside(index.band(leg.symbol), float(leg.mark)) for leg in legs]
    for corner in itertools.product(*corners):
        at = {leg.symbol: mark for leg, mark in zip(legs, corner, strict=True)}
        slack = cash + sum(
            p.unrealised(at[p.symbol]) - p.owed(funding[p.symbol]) - p.maintenance(at[p.symbol]) for p in held
        )
        assert slack > 0


@example("ONE", 1, 1, Decimal(1000), 3, [Decimal("0.06")])  # pays 0.0000006, rounded 0.000001
@given(symbols, sides, st.integers(1, 1000), marks, st.sampled_from([1, 3, 40]), st.lists(deltas, max_size=3))
def test_an_isolated_position_is_healthy_just_inside_its_band(symbol, side, lots, price, leverage, moved):
    size = Decimal(lots) / 100_000  # so small that rounding a funding payment moves its trigger
    held = Held(symbol, side, size, size * price, round_money(size * price / leverage), ZERO)
    index = LiquidationIndex()
    index.put_isolated(1, symbol, side, size, held.cost, held.margin, TIERS[symbol])
    for delta in moved:
        index.funding_moved(symbol, float(delta))
    margin = held.margin - held.owed(sum(moved))
    assert margin > 0 or index.exhausted(symbol) == [1]
    for mark in just_inside(index.band(symbol), float(price)):
        assert margin + held.unrealised(mark) > held.maintenance(mark)


@pytest.mark.parametrize("delta", [2.0, -2.0])
def test_funding_moves_a_liquidation_price_by_what_was_paid(delta):
    index = LiquidationIndex()
    index.put_isolated(1, "BTC", 1, Decimal("0.1"), Decimal(8000), Decimal(800), TIERS["ONE"])
    index.put_isolated(2, "BTC", -1, Decimal("0.1"), Decimal(8000), Decimal(800), TIERS["ONE"])
    low, high = index.band("BTC")
    index.funding_moved("BTC", delta)
    moved_low, moved_high = index.band("BTC")
    assert moved_low - low == pytest.approx(delta / (1 - 0.0125) if delta > 0 else delta, rel=1e-6)
    assert moved_high - high == pytest.approx(delta / (1 + 0.0125) if delta > 0 else delta, rel=1e-6)


def test_the_rulebook_example_after_funding():
    index = LiquidationIndex()
    index.put_isolated(1, "BTC", 1, Decimal("0.1"), Decimal(8000), Decimal(800), TIERS["ONE"])
    assert index.band("BTC")[0] == pytest.approx(72_911.39, abs=0.01)
    index.funding_moved("BTC", 2000.0)  # 0.1 BTC pays 200
    assert index.band("BTC")[0] == pytest.approx(74_936.71, abs=0.01)


def test_margin_is_exhausted_when_funding_has_taken_it_all():
    index = LiquidationIndex()
    index.put_isolated(1, "ONE", 1, Decimal(2), Decimal(200), Decimal(10), TIERS["ONE"])
    index.put_isolated(2, "ONE", -1, Decimal(2), Decimal(200), Decimal(10), TIERS["ONE"])
    seen = []
    for delta in (4.0, 1.0, -9.9, -0.1):
        index.funding_moved("ONE", delta)
        seen.append(index.exhausted("ONE"))
    assert seen == [[], [1], [], [2]]


def test_a_cross_band_is_shared_by_notional():
    index = LiquidationIndex()
    legs = [
        CrossLeg("ONE", Decimal(1), Decimal(1), Decimal(1000), Decimal("0.0125")),
        CrossLeg("TWO", Decimal(10), Decimal(10), Decimal(300), Decimal("0.1")),
    ]
    index.put_cross("a", Decimal(400), legs)
    assert index.band("ONE")[0] == pytest.approx(900, rel=1e-5)
    assert index.band("TWO")[0] == pytest.approx(270, rel=1e-5)
    assert index.candidates("ONE", 950.0) == ([], [])
    assert index.candidates("TWO", 269.0) == ([], ["a"])
    assert index.candidates("ONE", 1e9) == ([], [])  # a long cannot be liquidated by a rise


def test_funding_beyond_the_slack_is_not_made_good_by_an_equal_rise():
    """A rise by what funding took leaves the maintenance of the rise unpaid."""
    index = LiquidationIndex()
    index.put_cross(
        "a", Decimal(1), [CrossLeg("ONE", Decimal(1), Decimal(1), Decimal(100), Decimal("0.0125"))]
    )
    index.funding_moved("ONE", 10.0)
    assert 1 + 9.05 - 10 - 9.05 / 80 < 0
    assert index.candidates("ONE", 109.05) == ([], ["a"])


def test_a_hedged_leg_is_watched_on_both_sides():
    index = LiquidationIndex()
    index.put_cross("a", 10, [CrossLeg("TWO", Decimal(0), Decimal(10), Decimal(100), Decimal("0.1"))])
    assert index.band("TWO") == pytest.approx((90, 110), rel=1e-3)


def test_a_steep_requirement_is_watched_on_both_sides():
    """A limit at three times maintenance can rise faster than the profit of a leg."""
    index = LiquidationIndex()
    index.put_cross("a", 100, [CrossLeg("MANY", Decimal(1), Decimal(1), Decimal(1000), Decimal("1.5"))])
    low, high = index.band("MANY")
    assert low == pytest.approx(960, rel=1e-3)
    assert high == pytest.approx(1040, rel=1e-3)


@pytest.mark.parametrize("slack", [Decimal(0), Decimal(-5), Decimal("-0.000001")])
def test_an_account_without_slack_is_always_a_candidate(slack):
    index = LiquidationIndex()
    index.put_cross("a", slack, [CrossLeg("ONE", Decimal(1), Decimal(1), Decimal(100), Decimal("0.0125"))])
    assert [index.candidates("ONE", mark)[1] for mark in (0.001, 100.0, 1e9)] == [["a"]] * 3


def test_an_account_without_positions_is_never_a_candidate():
    index = LiquidationIndex()
    for slack in (Decimal(5), Decimal(-5)):
        index.put_cross("a", slack, [])
        assert index.candidates("ONE", 1.0) == ([], [])


def test_an_unchanged_account_is_filed_afresh_once_funding_has_moved():
    index = LiquidationIndex()
    legs = [CrossLeg("ONE", Decimal(1), Decimal(1), Decimal(100), Decimal("0.0125"))]
    index.put_cross("a", Decimal(20), legs)
    fresh = index.band("ONE")
    index.funding_moved("ONE", 5.0)
    index.funding_moved("ONE", -5.0)
    assert index.band("ONE")[0] > fresh[0] + 9  # both hours narrowed it
    index.put_cross("a", Decimal(20), legs)
    assert index.band("ONE") == pytest.approx(fresh)


def test_a_leg_that_is_gone_leaves_no_trigger():
    index = LiquidationIndex()
    one = CrossLeg("ONE", Decimal(1), Decimal(1), Decimal(100), Decimal("0.0125"))
    two = CrossLeg("TWO", Decimal(-1), Decimal(1), Decimal(100), Decimal("0.1"))
    index.put_cross("a", Decimal(20), [one, two])
    index.put_cross("a", Decimal(20), [one])
    assert index.candidates("TWO", 1e9) == ([], [])
    index.drop_cross("a")
    index.drop_cross("a")
    assert index.candidates("ONE", 0.01) == ([], [])
