"""Checks of the values inputs carry: each raises InvalidInput naming the value, before anything has changed."""

from decimal import Decimal, InvalidOperation

from risk.errors import InvalidInput
from risk.market import SymbolView
from risk.numbers import round_money, round_price, to_decimal

_LEAST, _MOST = Decimal("1e-24"), Decimal("1e24")  # within what to_decimal takes
_HIGHEST = Decimal("1e15")  # of a number that has decimals


def finite(name: str, value: Decimal) -> None:
    """Raise unless ``value`` is a finite Decimal of a sane magnitude."""
    if not isinstance(value, Decimal):
        raise InvalidInput(f"{name} was {value!r}; it must be a Decimal")
    to_decimal(value, name)


def positive(name: str, value: Decimal) -> None:
    """Raise unless ``value`` is a finite Decimal above 0."""
    try:
        if isinstance(value, Decimal) and _LEAST < value < _MOST:
            return
    except InvalidOperation:
        pass  # a NaN
    finite(name, value)
    if value <= 0:
        raise InvalidInput(f"{name} was {value}; it must be a number above 0")


def twelve_decimals(name: str, value: Decimal) -> None:
    """Raise unless ``value`` is above 0 and below 1e15 with at most 12 decimals: its products add up exactly."""
    positive(name, value)
    if value >= _HIGHEST or value != round_price(value):
        raise InvalidInput(f"{name} was {value}; it must be below 1e15 and have at most 12 decimals")


def money(name: str, amount: Decimal) -> None:
    """Raise unless ``amount`` is an amount of USDC above 0, with at most 6 decimals."""
    positive(name, amount)
    if amount != round_money(amount):
        raise InvalidInput(f"{name} was {amount}; it must have at most 6 decimals")


def market_view(view: SymbolView, now: int) -> None:
    """Raise unless a view's prices are positive, both sides are there and not crossed, and it is not of the future.

    What orders may be filled at, its mark and its levels' prices, has at most 12 decimals.
    """
    try:
        sound = _is_sound(view, now)
    except (InvalidOperation, TypeError, IndexError):  # a NaN, no Decimal, an empty side
        sound = False
    if not sound:
        _name_the_unsound(view, now)


def _is_sound(view: SymbolView, now: int) -> bool:
    """Say the same as ``_name_the_unsound`` in few comparisons: nearly every view is sound."""
    bids, asks = view.bids, view.asks
    return (
        _LEAST < view.mark < _MOST
        and _LEAST < view.prev_mark < _MOST
        and _LEAST < view.oracle < _MOST
        and _LEAST < view.low_60m <= view.high_60m < _MOST
        and _LEAST < bids[0][0] <= asks[0][0] < _MOST
        and _LEAST < bids[0][1] < _MOST
        and _LEAST < asks[0][1] < _MOST
        and view.seen_ns <= now
        and round_price(view.mark) == view.mark < _HIGHEST
        and round_price(bids[0][0]) == bids[0][0]
        and round_price(asks[0][0]) == asks[0][0] < _HIGHEST
        and (
            len(bids) == len(asks) == 1
            or all(
                _LEAST < price < _HIGHEST and _LEAST < size < _MOST and round_price(price) == price
                for price, size in bids[1:] + asks[1:]
            )
        )
    )


def _name_the_unsound(view: SymbolView, now: int) -> None:
    name = view.symbol
    for field in ("mark", "prev_mark", "oracle", "low_60m", "high_60m"):
        positive(f"{field} of {name}", getattr(view, field))
    twelve_decimals(f"mark of {name}", view.mark)
    if view.low_60m > view.high_60m:
        raise InvalidInput(
            f"low_60m of {name} was {view.low_60m}; it must not exceed high_60m {view.high_60m}"
        )
    for side, levels in (("bids", view.bids), ("asks", view.asks)):
        if not levels:
            raise InvalidInput(f"{side} of {name} were empty; the best level is needed")
        for price, size in levels:
            twelve_decimals(f"a price in {side} of {name}", price)
            positive(f"a size in {side} of {name}", size)
    if view.bids[0][0] > view.asks[0][0]:
        raise InvalidInput(
            f"bid of {name} was {view.bids[0][0]}; it must not exceed the ask, {view.asks[0][0]}"
        )
    if view.seen_ns > now:
        raise InvalidInput(
            f"seen_ns of {name} was {view.seen_ns}; it must not lie after the input's ts, {now}"
        )
