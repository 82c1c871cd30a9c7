"""The numbers of deposits and withdrawals: tiers, review, limits of each chain and asset."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from risk.errors import InvalidInput
from risk.settings import DAY_NS, MINUTE_NS


def _d(text: str) -> Decimal:
    return Decimal(text)


@dataclass(frozen=True, slots=True)
class AssetRule:
    """Bound one withdrawal of an asset on a chain, in USDC; a deposit is final after ``confirmations``."""

    minimum: Decimal
    maximum: Decimal
    fee: Decimal
    confirmations: int


def _chains() -> Mapping[str, Mapping[str, AssetRule]]:
    return {
        "arbitrum": {"USDC": AssetRule(_d("10"), _d("1000000"), _d("1"), 20)},
        "base": {"USDC": AssetRule(_d("10"), _d("1000000"), _d("1"), 20)},
        "ethereum": {"USDC": AssetRule(_d("50"), _d("5000000"), _d("5"), 12)},
    }


@dataclass(frozen=True, slots=True)
class WithdrawalRules:
    """Hold the settings of withdrawals; amounts are USDC without the fee, times nanoseconds.

    ``medium_from`` on needs one approval, more than ``large_above`` two. More than ``same_address_most`` to one
    address within ``same_address_window_ns`` are looked at.
    """

    medium_from: Decimal = _d("10000")
    large_above: Decimal = _d("100000")
    same_address_most: int = 3
    same_address_window_ns: int = DAY_NS
    address_lock_ns: int = DAY_NS
    addresses_most: int = 100
    confirm_within_ns: int = 30 * MINUTE_NS
    chains: Mapping[str, Mapping[str, AssetRule]] = field(default_factory=_chains)

    def asset(self, chain: str, asset: str) -> AssetRule:
        """Return the limits of an asset on a chain; raises InvalidInput where it is not carried."""
        self.check_chain(chain)
        rule = self.chains[chain].get(asset)
        if rule is None:
            carried = ", ".join(sorted(self.chains[chain]))
            raise InvalidInput(f"asset was {asset!r}; on {chain} it must be one of {carried}")
        return rule

    def check_chain(self, chain: str) -> None:
        """Raise InvalidInput for a chain that is not connected."""
        if chain not in self.chains:
            raise InvalidInput(f"chain was {chain!r}; it must be one of {', '.join(sorted(self.chains))}")

    def check_amount(self, chain: str, asset: str, amount: Decimal) -> AssetRule:
        """Return the rule an amount keeps; raises InvalidInput for one outside its limits."""
        rule = self.asset(chain, asset)
        if not rule.minimum <= amount <= rule.maximum:
            raise InvalidInput(
                f"amount was {amount}; of {asset} on {chain} it must be {rule.minimum} to {rule.maximum}"
            )
        return rule
