"""Margin tiers: Hyperliquid's margin tables in the compiled form that all margin arithmetic uses."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from risk.errors import InvalidInput
from risk.json_fields import JsonNode
from risk.numbers import to_decimal

type Number = int | str | float | Decimal
type Tiers = Sequence[tuple[Number, Number]]

SINGLE_TIER_IDS_BELOW = 50  # such a table id is itself the leverage of its only tier


@dataclass(frozen=True, slots=True)
class MarginTiers:
    """Hold one margin table: four columns, one row per tier, ascending by notional.

    ``lowers`` USDC of notional (inclusive), ``leverages`` the highest allowed, ``rates`` the maintenance rate
    1 / (2 × leverage), ``deductions`` USDC, chosen so that maintenance is continuous (rulebook §4).
    ``max_rate`` is the last and highest rate, for filters.
    """

    lowers: tuple[Decimal, ...]
    leverages: tuple[int, ...]
    rates: tuple[Decimal, ...]
    deductions: tuple[Decimal, ...]
    max_rate: float

    @classmethod
    def of(cls, tiers: "Tiers | MarginTiers") -> "MarginTiers":
        """Compile (lower bound of notional, max leverage) pairs; equal tables share one object.

        Raises InvalidInput unless lower bounds start at 0 and rise, and leverages are integers ≥ 1 that do
        not rise.
        """
        if isinstance(tiers, MarginTiers):
            return tiers
        try:
            pairs = [(lower, leverage) for lower, leverage in tiers]
        except (TypeError, ValueError):
            raise InvalidInput(
                f"tiers was {tiers!r}; it must be pairs of (lower bound of notional, max leverage)"
            ) from None
        return _compile(
            tuple(
                (
                    _shortest(to_decimal(lower, f"tiers[{i}].lower_bound")),
                    to_decimal(leverage, f"tiers[{i}].max_leverage"),
                )
                for i, (lower, leverage) in enumerate(pairs)
            )
        )

    def index(self, notional: Decimal) -> int:
        """Give the row of the tier that ``notional`` (USDC, ≥ 0) lies in."""
        return bisect_right(self.lowers, notional) - 1

    def maintenance(self, notional: Decimal) -> Decimal:
        """Give the maintenance margin of ``notional`` (USDC, ≥ 0), both unchecked and unrounded."""
        tier = self.index(notional)
        # Divide rather than multiply by the rate: 1/6 (3×) has no finite decimal, notional/6 often has.
        return notional / (2 * self.leverages[tier]) - self.deductions[tier]


def _shortest(bound: Decimal) -> Decimal:
    """Drop trailing zeros: which of two equal tables was compiled first must not show in any digit of ours."""
    return Decimal(format(bound.normalize(), "f")) if bound else Decimal(0)


@lru_cache(maxsize=1024)
def _compile(pairs: tuple[tuple[Decimal, Decimal], ...]) -> MarginTiers:
    if not pairs or pairs[0][0] != 0:
        first = pairs[0][0] if pairs else "missing"
        raise InvalidInput(f"tiers[0].lower_bound was {first}; the first tier must start at notional 0")
    leverages: list[int] = []
    deductions: list[Decimal] = []
    for i, (lower, leverage) in enumerate(pairs):
        if leverage < 1 or leverage != leverage.to_integral_value():
            raise InvalidInput(f"tiers[{i}].max_leverage was {leverage}; it must be an integer ≥ 1")
        divisor = 2 * int(leverage)
        if i == 0:
            deductions.append(Decimal(0))
        else:
            if lower <= pairs[i - 1][0]:
                raise InvalidInput(f"tiers[{i}].lower_bound was {lower}; it must be above {pairs[i - 1][0]}")
            previous = 2 * leverages[-1]
            if divisor > previous:
                raise InvalidInput(
                    f"tiers[{i}].max_leverage was {leverage}; it must not exceed the {leverages[-1]} below it"
                )
            # lower × (1/divisor − 1/previous), with one rounding instead of three
            deductions.append(deductions[-1] + lower * (previous - divisor) / (divisor * previous))
        leverages.append(int(leverage))
    return MarginTiers(
        lowers=tuple(lower for lower, _ in pairs),
        leverages=tuple(leverages),
        rates=tuple(1 / Decimal(2 * leverage) for leverage in leverages),
        deductions=tuple(deductions),
        max_rate=1 / (2 * leverages[-1]),
    )


def tiers_from_meta(meta: object, coin: str) -> MarginTiers:
    """Read ``coin``'s margin table out of Hyperliquid's ``meta`` JSON.

    ``meta`` is the answer to ``meta`` (of any dex), to ``metaAndAssetCtxs``, or to ``allPerpMetas``. A table
    id below 50 is one tier of that leverage, and an asset of a meta without tables has one tier of its
    ``maxLeverage``. Raises InvalidInput for an unknown coin, a missing table and a broken one.
    """
    parts = list(JsonNode(meta, "meta")) if isinstance(meta, list) else [JsonNode(meta, "meta")]
    for part in parts:
        if isinstance(part.value, list):
            continue  # the asset contexts of metaAndAssetCtxs
        for asset in part.get("universe"):
            if asset.get("name").value == coin:
                return _asset_tiers(part, asset)
    raise InvalidInput(f"coin was {coin!r}; the universe of meta does not list it")


def _asset_tiers(meta: JsonNode, asset: JsonNode) -> MarginTiers:
    tables = meta.find("marginTables")
    table_id = asset.find("marginTableId")
    if table_id is None:
        return MarginTiers.of([(0, asset.get("maxLeverage").decimal())])
    for entry in tables or ():
        known_id, table = _pair(entry)
        if known_id.decimal() == table_id.decimal():
            return MarginTiers.of(
                [
                    (t.get("lowerBound").decimal(), t.get("maxLeverage").decimal())
                    for t in table.get("marginTiers")
                ]
            )
    if table_id.decimal() < SINGLE_TIER_IDS_BELOW:
        return MarginTiers.of([(0, table_id.decimal())])
    if tables is None:
        return MarginTiers.of([(0, asset.get("maxLeverage").decimal())])
    raise InvalidInput(f"{table_id.path} was {table_id.value}; {tables.path} has no such table")


def _pair(entry: JsonNode) -> tuple[JsonNode, JsonNode]:
    items = list(entry)
    if len(items) != 2:
        raise InvalidInput(f"{entry.path} had {len(items)} items; a margin table is [id, table]")
    return items[0], items[1]
