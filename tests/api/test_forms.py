"""How values are written in JSON."""

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

from hypothesis import example, given
from hypothesis import strategies as st

from live.api.reads.forms import decimal_text, quotient_text

NUMBERS = st.builds(
    lambda sign, digits, exponent: Decimal((sign, tuple(map(int, str(digits))), exponent)),
    st.sampled_from((0, 1)),
    st.integers(0, 10**34 - 1),
    st.integers(-30, 12),
)


@given(NUMBERS)
@example(Decimal("1E+5"))
@example(Decimal("0.0000001"))
@example(Decimal("-0.000000"))
@example(Decimal("0E+3"))
def test_a_decimal_is_written_with_every_digit_and_never_with_an_exponent(number: Decimal) -> None:
    assert decimal_text(number) == format(number if number else abs(number), "f")


@given(NUMBERS.filter(lambda number: number.adjusted() < 20), st.sampled_from((6, 12)))
@example(Decimal("100000"), 12)
@example(Decimal("-1E-9"), 6)
@example(Decimal("1E-12"), 12)
def test_a_quotient_is_rounded_and_has_no_idle_zeros(number: Decimal, places: int) -> None:
    for rounding in (ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN):
        plain = number.quantize(Decimal(1).scaleb(-places), rounding).normalize()
        assert quotient_text(number, rounding, places) == format(plain if plain else Decimal(0), "f")
