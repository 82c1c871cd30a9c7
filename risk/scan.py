"""Which positions and cross accounts could be under water at a mark: a float filter before the exact rule.

Everything here errs early, never late. The book confirms each candidate in exact decimal (rulebook §4) and
puts a healthy one back with fresh figures.
"""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from risk.margin_tiers import MarginTiers
from risk.triggers import PriceTriggers, Side

_ROUNDING = 1e-12  # relative: wider than the float arithmetic below can be off
# Settling funding rounds each payment to 6 places: at most half a micro-dollar per position.
_PAYMENT_ROUNDING = 1e-6
_LEG_ROUNDING = 1e-3  # USDC per leg of a cross account: two thousand such payments
_HIGHEST_RATE = 0.5  # maintenance of a tier of leverage 1

type Number = Decimal | float


class CrossLeg(NamedTuple):
    """Sum up one symbol of a cross account.

    ``net_size`` is signed, ``gross_size`` ≥ |net|, both in coins; ``mark`` is above 0, in USDC per coin;
    ``max_rate`` is what maintenance rises by at most per USDC of notional: the last tier's rate.
    """

    symbol: str
    net_size: Number
    gross_size: Number
    mark: Number
    max_rate: Number


type _Leg = CrossLeg | tuple[str, Number, Number, Number, Number]


class _Lines(NamedTuple):
    """Hold maintenance as (rate, deduction) per tier; being convex, it is the highest of these lines."""

    tiers: MarginTiers
    lines: tuple[tuple[float, float], ...]


class LiquidationIndex:
    """Index open positions by the mark that could liquidate them; put again after every change of a position.

    An isolated position has one trigger mark. A cross account has one band per symbol, so wide that while
    every mark stays inside its own the account cannot be under water. Hourly funding moves all triggers of a
    symbol at once, before anything is settled.
    """

    def __init__(self, narrowed: set[str] | None = None) -> None:
        """Start empty; ``narrowed`` is told the symbols whose band may have become narrower."""
        self._narrowed: set[str] = set() if narrowed is None else narrowed
        self._isolated: PriceTriggers[int] = PriceTriggers(narrowed)
        # What funding may still take per coin before the margin is gone, on an axis where 0 means gone.
        self._funding_room: PriceTriggers[int] = PriceTriggers()
        self._cross: PriceTriggers[str] = PriceTriggers(narrowed)
        self._cross_put: dict[str, tuple[Number, tuple[_Leg, ...], int]] = {}
        self._sides: dict[str, tuple[Side[int], Side[int], Side[str], Side[str]]] = {}
        self._lines: dict[str, _Lines] = {}
        self._highest_rate: dict[str, float] = {}  # of isolated positions
        self._funding_moves = 0

    def put_isolated(
        self,
        position_id: int,
        symbol: str,
        side: int,
        size: Decimal,
        cost: Decimal,
        margin: Decimal,
        tiers: MarginTiers,
    ) -> None:
        """File an isolated position, settled up to now, or file it anew.

        ``side`` ±1, ``size`` coins > 0, ``cost`` USDC paid for them, ``margin`` USDC without unrealised PnL.
        """
        lines = self._lines_of(symbol, tiers)
        coins, paid, posted = float(size), float(cost), float(margin)
        room = (posted - _PAYMENT_ROUNDING) / coins
        if side > 0:
            trigger = max((paid - posted - held) / (1.0 - rate) for rate, held in lines) / coins
        else:
            trigger = min((paid + posted + held) / (1.0 + rate) for rate, held in lines) / coins
        # Twice, because a rate of 1/2 (1× leverage) doubles what the numerator is off by.
        early = 2.0 * (_PAYMENT_ROUNDING + _ROUNDING * (paid + abs(posted) + lines[-1][1])) / coins
        if side > 0:
            self._isolated.add_below(symbol, trigger + early, position_id)
            self._funding_room.add_above(symbol, room, position_id)
        else:
            self._isolated.add_above(symbol, trigger - early, position_id)
            self._funding_room.add_below(symbol, -room, position_id)

    def drop_isolated(self, position_id: int) -> None:
        """Forget a position; one that is not filed is no error."""
        self._isolated.remove(position_id)
        self._funding_room.remove(position_id)

    def put_cross(self, user: str, slack: Number, legs: Sequence[_Leg]) -> None:
        """File a cross account, settled up to now, or file it anew.

        ``slack`` is account value − maintenance in USDC. Each leg may use it up in proportion to what a
        relative move of its mark costs, so all bands have one relative width: slack / Σ (loss × mark), loss
        being the slack lost per USDC of adverse move. Without slack it is a candidate at every mark.
        """
        put = (slack, tuple(legs), self._funding_moves)
        if self._cross_put.get(user) == put:
            return
        self._cross_put[user] = put
        reached = []  # (side, mark, how far off its trigger lies per unit of width)
        loss = 0.0
        for symbol, net, gross, mark, rate in legs:
            _, _, below, above = self.sides(symbol)
            price = float(mark)
            # A one-sided leg cannot lose on its winning side, where profit outgrows maintenance.
            one_sided = abs(net) == gross and rate <= _HIGHEST_RATE
            if one_sided and net > 0:
                loss += float(gross) * price  # a long's maintenance falls as it loses
                reached.append((below, price, -price))
            else:
                loss += (abs(float(net)) + float(gross) * float(rate)) * price
                reached.append((above, price, price))
                if not one_sided:
                    reached.append((below, price, -price))
            self._narrowed.add(symbol)
        usable = float(slack) * (1.0 - _ROUNDING) - _LEG_ROUNDING * len(legs)
        width = usable / loss * (1.0 - _ROUNDING) if usable > 0.0 and legs else -math.inf
        self._cross.put(user, {side: price + width * far for side, price, far in reached})

    def __contains__(self, user: str) -> bool:
        """Say whether a cross account is filed."""
        return user in self._cross_put

    def drop_cross(self, user: str) -> None:
        """Forget a cross account; one that is not filed is no error."""
        if self._cross_put.pop(user, None) is not None:
            self._cross.remove(user)

    def funding_moved(self, symbol: str, delta: float) -> None:
        """Move a symbol's triggers as its funding index moves by ``delta`` (USDC per coin, paid by longs).

        In constant time; ask for ``exhausted`` and then for ``candidates`` afterwards. An isolated trigger
        moves by delta / (1 − side × rate). With many rates in one list the cautious end is taken: the
        highest rate where a long's trigger comes nearer or a short's goes away, else 0. A cross band narrows
        whichever way funding went, since longs and shorts share the list.
        """
        rate = self._highest_rate.get(symbol, 0.0)
        if delta > 0.0:
            self._isolated.drift(symbol, delta / (1.0 - rate), delta / (1.0 + rate))
        else:
            self._isolated.drift(symbol, delta, delta)
        self._funding_room.drift(symbol, -delta, -delta)
        self._cross.drift(symbol, abs(delta) / (1.0 - _HIGHEST_RATE), -abs(delta))
        self._funding_moves += 1

    def exhausted(self, symbol: str) -> list[int]:
        """Return the isolated positions, ascending, whose margin unsettled funding may have used up.

        A payment is capped at the margin in its own hour, so these must be settled before the index moves on.
        """
        return sorted(self._funding_room.hit(symbol, 0.0))

    def candidates(self, symbol: str, mark: float) -> tuple[list[int], list[str]]:
        """Return the isolated positions and cross users that could be under water at ``mark``, ascending."""
        below, above, cross_below, cross_above = self.sides(symbol)
        if below.nearest < mark < above.nearest and cross_below.nearest < mark < cross_above.nearest:
            return [], []
        return sorted(self._isolated.hit(symbol, mark)), sorted(set(self._cross.hit(symbol, mark)))

    def band(self, symbol: str) -> tuple[float, float]:
        """Return (low, high): at a mark strictly between them there are no candidates."""
        below, above, cross_below, cross_above = self.sides(symbol)
        return max(below.nearest, cross_below.nearest), min(above.nearest, cross_above.nearest)

    def sides(self, symbol: str) -> tuple[Side[int], Side[int], Side[str], Side[str]]:
        """Return a symbol's triggers, isolated and cross, each BELOW and ABOVE: they are the same for ever."""
        sides = self._sides.get(symbol)
        if sides is None:
            sides = self._sides[symbol] = (*self._isolated.sides(symbol), *self._cross.sides(symbol))
        return sides

    def _lines_of(self, symbol: str, tiers: MarginTiers) -> tuple[tuple[float, float], ...]:
        known = self._lines.get(symbol)
        if known is None or known.tiers is not tiers:
            rates = [1.0 / (2 * leverage) for leverage in tiers.leverages]
            known = _Lines(tiers, tuple(zip(rates, map(float, tiers.deductions), strict=True)))
            self._lines[symbol] = known
            self._highest_rate[symbol] = max(rates[-1], self._highest_rate.get(symbol, 0.0))
        return known.lines
