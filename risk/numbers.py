"""Exact numbers: the one decimal context of the core, and the ways into and out of it."""

from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DefaultContext,
    DivisionByZero,
    InvalidOperation,
    Overflow,
    setcontext,
)
from functools import lru_cache

from risk.errors import InvalidInput

# 34 digits (IEEE decimal128) hold every product of a size, a price and a rate that venues publish; Python's
# usual 28 do not. A NaN or an infinity must stop the run where it arises, not where it is found.
CONTEXT = Context(prec=34, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow])

# No price, size or amount of money is larger or smaller; beyond, products of three could overflow.
_MAX_EXPONENT = 24

_MICRO = Decimal("0.000001")  # USDC's own precision

# Sums are kept by adding and taking away, so no term may ever be rounded where it is multiplied. A price of at
# most 12 decimals, or an index of 18, times a size of a venue's 6 has 24 at most: of 34 digits that leaves ten.
_PRICE_STEP = Decimal("1e-12")
_INDEX_STEP = Decimal("1e-18")


def install_context() -> None:
    """Make ``CONTEXT`` the arithmetic of this thread and of every thread started later."""
    setcontext(CONTEXT.copy())
    DefaultContext.prec = CONTEXT.prec
    DefaultContext.rounding = CONTEXT.rounding
    for signal, trapped in CONTEXT.traps.items():
        DefaultContext.traps[signal] = trapped


def to_decimal(value: object, name: str) -> Decimal:
    """Give ``value`` (int, decimal string, Decimal, or a float at its shortest repr) as a finite Decimal.

    Raises InvalidInput naming ``name`` and the value for anything else: NaN, infinities, absurd magnitudes.
    """
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            raise InvalidInput(f"{name} was {value!r}; it must be a decimal number") from None
    else:
        raise InvalidInput(f"{name} was {value!r}; it must be a decimal number")
    if not number.is_finite():
        raise InvalidInput(f"{name} was {value!r}; it must be finite")
    if number and abs(number.adjusted()) > _MAX_EXPONENT:
        raise InvalidInput(
            f"{name} was {value!r}; it must lie between 1e-{_MAX_EXPONENT} and 1e{_MAX_EXPONENT}"
        )
    return number


# Most prices of one look at a market were there at the last one, too.
@lru_cache(maxsize=1 << 16)
def exact(value: float, places: int) -> Decimal:
    """Give a float that lies on a step of ``places`` decimals as that Decimal, trailing zeros included."""
    return Decimal(f"{value:.{places}f}")


def round_price(price: Decimal) -> Decimal:
    """Round a price to 12 decimals, half-even: the finest that the books take."""
    return price.quantize(_PRICE_STEP, ROUND_HALF_EVEN)


def round_index(index: Decimal) -> Decimal:
    """Round what a funding index moves by, USDC per coin, to 18 decimals, half-even: once per settlement.

    One that has no more stays as it is written: users read what is computed with it, without added zeros.
    """
    rounded = index.quantize(_INDEX_STEP, ROUND_HALF_EVEN)
    return index if index == rounded else rounded


def round_money(amount: Decimal) -> Decimal:
    """Round ``amount`` USDC to 6 places, half-even: once per journal entry (rulebook, units)."""
    return amount.quantize(_MICRO, ROUND_HALF_EVEN)
