"""Margin arithmetic against the rulebook's examples, real prices, and a slow search for the trigger."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from risk.errors import InvalidInput
from risk.margin import (
    MarginTiers,
    initial_margin,
    liquidation_price,
    maintenance_margin,
    max_leverage,
    tiers_from_meta,
)

BTC = [(0, 40), (150_000_000, 20)]
TESTNET_BTC = [(0, 40), (10_000, 25), (50_000, 10), (100_000, 5), (300_000, 3)]


def money(low: int, high: int) -> st.SearchStrategy[Decimal]:
    return st.integers(low * 10**6, high * 10**6).map(lambda micros: Decimal(micros).scaleb(-6))


@st.composite
def tables(draw: st.DrawFn) -> list[tuple[Decimal, int]]:
    leverages = sorted(draw(st.sets(st.integers(1, 50), min_size=1, max_size=5)), reverse=True)
    lowers = sorted(draw(st.sets(money(1, 10**6), min_size=len(leverages) - 1, max_size=len(leverages) - 1)))
    return list(zip([Decimal(0), *lowers], leverages, strict=True))


def exact_maintenance(notional: Fraction, tiers: list[tuple[Decimal, int]]) -> Fraction:
    """Add up each tier's rate over the part of the notional that lies in that tier."""
    uppers = [Fraction(lower) for lower, _ in tiers[1:]] + [notional]
    parts = (
        (min(notional, upper) - Fraction(lower)) / (2 * leverage)
        for (lower, leverage), upper in zip(tiers, uppers, strict=True)
        if notional > Fraction(lower)
    )
    return sum(parts, Fraction(0))


def rulebook_liquidation_price(
    side: int,
    size: Decimal,
    price: Decimal,
    equity: Decimal,
    tiers: list[tuple[Decimal, int]],
    other: Decimal,
) -> Fraction | None:
    """Solve each tier exactly and keep the x whose notional lies in that tier, as rulebook §4 words it."""
    coins = Fraction(size)
    deduction = Fraction(0)
    for i, (lower, leverage) in enumerate(tiers):
        rate = Fraction(1, 2 * leverage)
        if i:
            deduction += Fraction(lower) * (rate - Fraction(1, 2 * tiers[i - 1][1]))
        balance = Fraction(equity) - side * coins * Fraction(price)
        x = (Fraction(other) - deduction - balance) / (coins * (side - rate))
        within = i + 1 == len(tiers) or coins * x < Fraction(tiers[i + 1][0])
        if x > 0 and Fraction(lower) <= coins * x and within:
            return x
    return None


class TestMaintenanceMargin:
    @pytest.mark.parametrize(
        ("notional", "tiers", "expected"),
        [
            (0, BTC, "0"),
            (8_000, [(0, 40)], "100"),
            ("50.26905", [(0, 3)], "8.378175"),  # 1/6 is no finite decimal, this quotient is
            (54, [(0, 3)], "9"),
            (150_000_000, BTC, "1875000"),
            (200_000_000, BTC, "3125000"),  # 200 M × 2.5 % − 1 875 000
            (3_045_000, [(0, 10), (3_000_000, 5)], "154500"),
            ("400000", TESTNET_BTC, "40091.666666666666666666666666666666667"),
        ],
    )
    def test_examples(self, notional: object, tiers: list[tuple[int, int]], expected: str) -> None:
        assert abs(maintenance_margin(notional, tiers) - Decimal(expected)) < Decimal("1e-27")

    @given(tables(), money(0, 2 * 10**6))
    def test_is_the_sum_over_the_tiers_passed(
        self, tiers: list[tuple[Decimal, int]], notional: Decimal
    ) -> None:
        ours = Fraction(maintenance_margin(notional, tiers))
        assert abs(ours - exact_maintenance(Fraction(notional), tiers)) < Fraction(1, 10**24)

    @given(tables(), money(0, 2 * 10**6))
    def test_rate_and_deduction_say_the_same(
        self, tiers: list[tuple[Decimal, int]], notional: Decimal
    ) -> None:
        table = MarginTiers.of(tiers)
        by_tier = [notional * rate - cut for rate, cut in zip(table.rates, table.deductions, strict=True)]
        own = by_tier[table.index(notional)]
        assert abs(own - max(by_tier)) < Decimal("1e-24")  # convex: the own tier's line is the highest
        assert abs(own - table.maintenance(notional)) < Decimal("1e-24")


class TestLeverage:
    def test_initial_margin_of_the_rulebook_example(self) -> None:
        assert initial_margin(5_000, 10) == 500

    @pytest.mark.parametrize(
        ("notional", "expected"), [(0, 40), (149_999_999, 40), (150_000_000, 20), (10**12, 20)]
    )
    def test_max_leverage_is_that_of_the_tier(self, notional: int, expected: int) -> None:
        assert max_leverage(notional, BTC) == expected

    @pytest.mark.parametrize("leverage", [0, -1, 1.5, True, "10"])
    def test_leverage_must_be_a_positive_integer(self, leverage: object) -> None:
        with pytest.raises(InvalidInput, match="leverage was"):
            initial_margin(1, leverage)


class TestLiquidationPrice:
    @pytest.mark.parametrize(
        ("side", "size", "price", "equity", "tiers", "expected"),
        [
            (1, "0.1", 80_000, 800, [(0, 40)], "72911.39"),
            (1, "0.1", 80_000, 600, [(0, 40)], "74936.71"),  # after 200 of funding paid
            (-1, 29_000, 100, 290_000, [(0, 10), (3_000_000, 5)], "104.702"),
            (-1, 29_000, 100, 290_000, [(0, 10)], "104.762"),  # what the tier at 100 alone would say
        ],
    )
    def test_rulebook_examples(
        self, side: int, size: object, price: int, equity: int, tiers: list[tuple[int, int]], expected: str
    ) -> None:
        x = liquidation_price(side=side, size=size, price=price, equity=equity, tiers=tiers)
        assert x is not None
        assert x.quantize(Decimal(expected)) == Decimal(expected)

    def test_a_price_published_for_a_position_beside_many_others(self) -> None:
        # A testnet account of which only this position is known: the rest is in the two totals.
        x = liquidation_price(
            side=-1,
            size="103774.5",
            price=Decimal("2527.94682") / Decimal("103774.5"),
            equity="3155203.7660619998",
            tiers=[(0, 50)],
            other_maintenance=Decimal("43452.918775") - Decimal("2527.94682") / 100,
        )
        assert x is not None
        assert abs(x - Decimal("29.713170189")) < Decimal("0.0000001")

    def test_a_long_can_fall_back_into_a_lower_tier(self) -> None:
        tiers = [(0, 40), (10_000, 25)]
        x = liquidation_price(side=1, size=1, price=20_000, equity=15_000, tiers=tiers)
        assert x == Decimal(5_000) * 80 / 79

    def test_on_a_tier_boundary_both_tiers_agree(self) -> None:
        # Maintenance at 10 000 is 125 by either tier, so equity 125 there is the trigger itself.
        assert liquidation_price(side=1, size=1, price=10_000, equity=125, tiers=TESTNET_BTC) == 10_000
        assert liquidation_price(side=-1, size=1, price=10_000, equity=125, tiers=TESTNET_BTC) == 10_000

    @pytest.mark.parametrize(("side", "equity"), [(1, 101), (1, 100), (-1, -100), (-1, -200)])
    def test_none_where_no_positive_mark_triggers_first(self, side: int, equity: int) -> None:
        assert liquidation_price(side=side, size=1, price=100, equity=equity, tiers=[(0, 1)]) is None

    @given(
        side=st.sampled_from([1, -1]),
        size=money(1, 1_000),
        price=money(1, 5_000),
        equity=money(-100_000, 3_000_000),
        tiers=tables(),
        other=money(0, 10_000),
    )
    def test_is_the_rulebooks_x(
        self,
        side: int,
        size: Decimal,
        price: Decimal,
        equity: Decimal,
        tiers: list[tuple[Decimal, int]],
        other: Decimal,
    ) -> None:
        ours = liquidation_price(
            side=side, size=size, price=price, equity=equity, tiers=tiers, other_maintenance=other
        )
        expected = rulebook_liquidation_price(side, size, price, equity, tiers, other)
        if expected is None:
            assert ours is None
        else:
            assert ours is not None
            assert abs(Fraction(ours) - expected) <= expected / 10**24 + Fraction(1, 10**20)

    @given(
        side=st.sampled_from([1, -1]),
        size=money(1, 1_000),
        price=money(1, 5_000),
        equity=money(-10_000, 1_000_000),
        tiers=tables(),
        other=money(0, 10_000),
    )
    def test_parts_the_marks_that_trigger_from_those_that_do_not(
        self,
        side: int,
        size: Decimal,
        price: Decimal,
        equity: Decimal,
        tiers: list[tuple[Decimal, int]],
        other: Decimal,
    ) -> None:
        x = liquidation_price(
            side=side, size=size, price=price, equity=equity, tiers=tiers, other_maintenance=other
        )

        def triggers(mark: Decimal) -> bool:
            value = equity + side * size * (mark - price)
            return value <= maintenance_margin(size * mark, tiers) + other

        assume(x is None or x > Decimal("1e-6"))
        if x is None:
            # A long is then safe at every mark, a short under water at every mark.
            assert {triggers(Decimal(mark)) for mark in ("1e-6", "1", "1e6")} == {side < 0}
        else:
            away = side * x * Decimal("1e-12")
            assert triggers(x - away)
            assert not triggers(x + away)

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"side": 0}, "side was 0"),
            ({"side": "long"}, "side was 'long'"),
            ({"size": 0}, "size was 0; it must be above 0"),
            ({"size": -1}, "size was -1"),
            ({"size": "1e30"}, "size was '1e30'; it must lie between"),
            ({"price": 0}, "price was 0"),
            ({"price": float("nan")}, "price was nan; it must be finite"),
            ({"price": Decimal("sNaN")}, "price was .*; it must be finite"),
            ({"equity": float("inf")}, "equity was inf; it must be finite"),
            ({"equity": None}, "equity was None; it must be a decimal number"),
            ({"other_maintenance": -1}, "other_maintenance was -1; it must be at least 0"),
        ],
    )
    def test_bad_input_is_named(self, wrong: dict[str, object], message: str) -> None:
        right = {"side": 1, "size": 1, "price": 100, "equity": 10, "tiers": [(0, 40)]}
        with pytest.raises(InvalidInput, match=message):
            liquidation_price(**right | wrong)


class TestTiers:
    def test_members_may_be_strings_and_equal_tables_are_one_object(self) -> None:
        table = MarginTiers.of([("0.0", "40"), ("150000000.0", "20")])
        assert table is MarginTiers.of(BTC)
        assert (
            str(table.lowers[1])
            == str(MarginTiers.of([(0, 40), ("150000000.00", 20)]).lowers[1])
            == "150000000"
        )
        assert table is MarginTiers.of(table)
        assert table.lowers == (0, 150_000_000)
        assert table.leverages == (40, 20)
        assert table.rates == (Decimal("0.0125"), Decimal("0.025"))
        assert table.deductions == (0, 1_875_000)

    @pytest.mark.parametrize(
        ("tiers", "message"),
        [
            ([], "tiers.0..lower_bound was missing"),
            ([(1, 40)], "tiers.0..lower_bound was 1"),
            ([(0, 40), (0, 20)], "tiers.1..lower_bound was 0; it must be above 0"),
            ([(0, 20), (10, 40)], "tiers.1..max_leverage was 40; it must not exceed the 20"),
            ([(0, 0)], "tiers.0..max_leverage was 0"),
            ([(0, "2.5")], "tiers.0..max_leverage was 2.5"),
            ([(0, "NaN")], "tiers.0..max_leverage was 'NaN'; it must be finite"),
            ([(0, 40, 1)], "it must be pairs"),
            (7, "tiers was 7; it must be pairs"),
        ],
    )
    def test_broken_tables_are_refused(self, tiers: object, message: str) -> None:
        with pytest.raises(InvalidInput, match=message):
            MarginTiers.of(tiers)


META = {
    "universe": [
        {"name": "BTC", "maxLeverage": 40, "marginTableId": 56},
        {"name": "GMX", "maxLeverage": 3, "marginTableId": 3},
        {"name": "MATIC", "maxLeverage": 20, "isDelisted": True},
        {"name": "xyz:TSLA", "maxLeverage": 10, "marginTableId": 10, "onlyIsolated": True},
        {"name": "LOST", "maxLeverage": 10, "marginTableId": 99},
    ],
    "marginTables": [[56, {"description": "tiered 40x", "marginTiers": [
        {"lowerBound": "0.0", "maxLeverage": 40},
        {"lowerBound": "150000000.0", "maxLeverage": 20},
    ]}]],
}  # fmt: skip


class TestTiersFromMeta:
    @pytest.mark.parametrize(
        ("coin", "expected"),
        [("BTC", BTC), ("GMX", [(0, 3)]), ("MATIC", [(0, 20)]), ("xyz:TSLA", [(0, 10)])],
    )
    def test_reads_the_coins_table(self, coin: str, expected: list[tuple[int, int]]) -> None:
        assert tiers_from_meta(META, coin) is MarginTiers.of(expected)

    def test_reads_the_answers_of_related_endpoints(self) -> None:
        assert tiers_from_meta([META, [{"markPx": "1"}]], "BTC") is MarginTiers.of(BTC)
        other_dex = {"universe": [{"name": "km:US500", "maxLeverage": 20}], "marginTables": []}
        assert tiers_from_meta([META, other_dex], "km:US500") is MarginTiers.of([(0, 20)])

    def test_a_meta_without_tables_has_one_tier_of_the_max_leverage(self) -> None:
        meta = {"universe": [{"name": "BTC", "maxLeverage": 50, "marginTableId": 56}]}
        assert tiers_from_meta(meta, "BTC") is MarginTiers.of([(0, 50)])

    @pytest.mark.parametrize(
        ("meta", "coin", "message"),
        [
            (META, "DOGE", "coin was 'DOGE'; the universe of meta does not list it"),
            (META, "LOST", r"meta.universe\[4\].marginTableId was 99; meta.marginTables has no such table"),
            ({}, "BTC", "meta.universe was missing"),
            ({"universe": 5}, "BTC", "meta.universe was 5; it must be a JSON array"),
            ({"universe": [{"name": "BTC"}]}, "BTC", r"meta.universe\[0\].maxLeverage was missing"),
            ("hello", "BTC", "meta was 'hello'; it must be a JSON object"),
            (
                {"universe": [{"name": "A", "marginTableId": 51}], "marginTables": [[51]]},
                "A",
                r"meta.marginTables\[0\] had 1 items",
            ),
        ],
    )
    def test_broken_metas_are_refused(self, meta: object, coin: str, message: str) -> None:
        with pytest.raises(InvalidInput, match=message):
            tiers_from_meta(meta, coin)
