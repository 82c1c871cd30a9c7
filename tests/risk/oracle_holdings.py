"""What the naive books remember: positions, users, Hyperliquid's view of our accounts, and rulebook §4's margins."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from risk.events import Source
from risk.market import SymbolSpec

ZERO = Decimal(0)


def cents(amount: Decimal) -> Decimal:
    """Round to USDC's six places."""
    return amount.quantize(Decimal("0.000001"))


@dataclass
class Holding:
    """One position as the oracle knows it."""

    user: str
    symbol: str
    side: int
    source: Source
    isolated: bool
    leverage: int
    size: Decimal = ZERO
    cost: Decimal = ZERO
    margin: Decimal = ZERO
    unpaid: Decimal = ZERO  # funding per coin since the last settlement


@dataclass
class Account:
    """One user: ``wallet`` is cash and order holds together."""

    wallet: Decimal = ZERO
    losses: list[tuple[Source, Decimal]] = field(default_factory=list)
    liquidating: bool = False


@dataclass
class Venue:
    """Hyperliquid's own view of one account: cash and netted positions."""

    cash: Decimal = ZERO
    sizes: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))

    def trade(self, symbol: str, signed: Decimal, price: Decimal, fee: Decimal) -> None:
        """Book a fill."""
        self.sizes[symbol] += signed
        self.cash -= signed * price + fee

    def value(self, marks: dict[str, Decimal]) -> Decimal:
        """Return ``accountValue``."""
        return self.cash + sum((size * marks[symbol] for symbol, size in self.sizes.items()), ZERO)


class Margins:
    """Equity and maintenance at given marks, worked out position by position."""

    def __init__(self, specs: dict[str, SymbolSpec]) -> None:
        self.specs = specs

    def isolated_under_water(self, h: Holding, marks: dict[str, Decimal]) -> bool:
        """Tell whether an isolated position's equity ≤ its maintenance."""
        margin = max(ZERO, h.margin - h.side * h.size * h.unpaid)
        return margin + unrealised(h, marks) <= self.maintenance(h, marks)

    def cross_under_water(
        self, wallet: Decimal, crosses: Iterable[Holding], marks: dict[str, Decimal]
    ) -> bool:
        """Tell whether the value of an account with these cross positions ≤ their maintenance."""
        value, needed = wallet, ZERO
        for h in crosses:
            value += unrealised(h, marks) - h.side * h.size * h.unpaid
            needed += self.maintenance(h, marks)
        return value <= needed

    def maintenance(self, h: Holding, marks: dict[str, Decimal]) -> Decimal:
        """Find the tier of the position's notional, adding the deductions up from the first."""
        notional, deduction, previous, found = h.size * marks[h.symbol], ZERO, None, ZERO
        tiers = self.specs[h.symbol].tiers
        for lower, leverage in zip(tiers.lowers, tiers.leverages, strict=True):
            rate = 1 / Decimal(2 * leverage)
            deduction += lower * (rate - previous) if previous is not None else ZERO
            previous = rate
            if notional >= lower:
                found = notional * rate - deduction
        return found


def unrealised(h: Holding, marks: dict[str, Decimal]) -> Decimal:
    """Return price PnL at the mark."""
    return h.side * (marks[h.symbol] * h.size - h.cost)
