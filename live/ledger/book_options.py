"""How a book is opened, as plain data that a journal can hold and a replay can open the same book with."""

from decimal import Decimal

from risk.book import Book
from risk.margin import MarginTiers
from risk.market import SymbolSpec
from risk.record import record
from risk.settings import RiskConfig, RoutingConfig, Settings


@record
class SymbolOptions:
    """Describe one perpetual; ``tiers`` are (lower bound of notional, max leverage)."""

    symbol: str
    size_decimals: int
    price_decimals: int
    tiers: tuple[tuple[Decimal, int], ...]
    taker_fee_rate: Decimal
    maker_fee_rate: Decimal
    min_notional: Decimal


@record
class BookOptions:
    """Hold what a book is opened with: its symbols, the routing table and the risk config."""

    symbols: tuple[SymbolOptions, ...]
    routing: dict[str, RoutingConfig]
    risk: RiskConfig
    channel_silence_ns: dict[str, int]
    sanity_limit: dict[str, Decimal]

    @classmethod
    def of(cls, specs: dict[str, SymbolSpec], settings: Settings) -> "BookOptions":
        """Take the options of a book with these symbols and settings."""
        symbols = tuple(
            SymbolOptions(
                spec.symbol,
                spec.size_decimals,
                spec.price_decimals,
                tuple(zip(spec.tiers.lowers, spec.tiers.leverages, strict=True)),
                spec.taker_fee_rate,
                spec.maker_fee_rate,
                spec.min_notional,
            )
            for _, spec in sorted(specs.items())
        )
        return cls(
            symbols,
            dict(settings.routing),
            settings.risk,
            dict(settings.channel_silence_ns),
            dict(settings.sanity_limit),
        )

    def specs(self) -> dict[str, SymbolSpec]:
        """Return the symbols as the core knows them."""
        return {
            each.symbol: SymbolSpec(
                each.symbol,
                each.size_decimals,
                each.price_decimals,
                MarginTiers.of(list(each.tiers)),
                each.taker_fee_rate,
                each.maker_fee_rate,
                each.min_notional,
            )
            for each in self.symbols
        }

    def settings(self) -> Settings:
        """Return the settings as the core knows them."""
        return Settings(dict(self.routing), self.risk, dict(self.channel_silence_ns), dict(self.sanity_limit))

    def open(self, opened_ns: int) -> Book:
        """Open a book of these options."""
        return Book(self.specs(), self.settings(), opened_ns=opened_ns, ids_vouched_for=True)
