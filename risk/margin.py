"""Margin and liquidation price: Hyperliquid's own arithmetic (rulebook §4), exact."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from risk.errors import InvalidInput
from risk.json_fields import JsonNode
from risk.margin_tiers import MarginTiers, Number, Tiers, tiers_from_meta
from risk.numbers import to_decimal

__all__ = [
    "AccountSummary",
    "MarginTiers",
    "Number",
    "PositionSummary",
    "Tiers",
    "account_summary",
    "initial_margin",
    "liquidation_mark",
    "liquidation_price",
    "maintenance_margin",
    "max_leverage",
    "tiers_from_meta",
]


@dataclass(frozen=True, slots=True)
class PositionSummary:
    """Hold one open position: ``size`` in coins (negative is short), ``liquidation_price`` in USDC per coin.

    Everything else is USDC at mark; ``margin_used`` of an isolated position is its equity.
    """

    coin: str
    size: Decimal
    isolated: bool
    notional: Decimal
    margin_used: Decimal
    maintenance_margin: Decimal
    unrealized_pnl: Decimal
    liquidation_price: Decimal | None


@dataclass(frozen=True, slots=True)
class AccountSummary:
    """Hold an account at mark, in USDC; what begins with ``cross_`` leaves the isolated positions out.

    ``reported_cross_maintenance`` is Hyperliquid's own figure, where the state has it: a difference from
    ``cross_maintenance_margin`` means that state and meta are not of one time.
    """

    account_value: Decimal
    notional: Decimal
    margin_used: Decimal
    maintenance_margin: Decimal
    cross_account_value: Decimal
    cross_maintenance_margin: Decimal
    reported_cross_maintenance: Decimal | None
    withdrawable: Decimal | None
    positions: tuple[PositionSummary, ...]

    @property
    def margin_ratio(self) -> Decimal | None:
        """Equity / maintenance of the whole account; None when maintenance is zero."""
        return self.account_value / self.maintenance_margin if self.maintenance_margin else None

    @property
    def cross_margin_ratio(self) -> Decimal | None:
        """Equity / maintenance of the cross positions: at 1 they are liquidated."""
        return (
            self.cross_account_value / self.cross_maintenance_margin
            if self.cross_maintenance_margin
            else None
        )

    def to_dict(self) -> dict[str, object]:
        """Give JSON-ready values: numbers as decimal strings, as Hyperliquid writes them, or None."""
        return {
            "account": {
                "account_value": _text(self.account_value),
                "notional": _text(self.notional),
                "margin_used": _text(self.margin_used),
                "maintenance_margin": _text(self.maintenance_margin),
                "margin_ratio": _text(self.margin_ratio),
                "cross_account_value": _text(self.cross_account_value),
                "cross_maintenance_margin": _text(self.cross_maintenance_margin),
                "cross_margin_ratio": _text(self.cross_margin_ratio),
                "withdrawable": _text(self.withdrawable),
            },
            "positions": [
                {
                    "coin": position.coin,
                    "size": _text(position.size, 24),
                    "maintenance_margin": _text(position.maintenance_margin),
                    "unrealized_pnl": _text(position.unrealized_pnl),
                    "liquidation_price": _text(position.liquidation_price, 12),
                }
                for position in self.positions
            ],
        }


def maintenance_margin(notional: Number, tiers: Tiers | MarginTiers) -> Decimal:
    """Give the maintenance margin, in USDC and unrounded, of a position of ``notional`` USDC at mark.

    notional × rate − deduction of the tier it lies in (rulebook §4). Raises InvalidInput for a negative or
    non-finite notional and for broken tiers.
    """
    return MarginTiers.of(tiers).maintenance(_at_least_zero(notional, "notional"))


def max_leverage(notional: Number, tiers: Tiers | MarginTiers) -> int:
    """Give the highest leverage that ``notional`` USDC may be opened with."""
    table = MarginTiers.of(tiers)
    return table.leverages[table.index(_at_least_zero(notional, "notional"))]


def initial_margin(notional: Number, leverage: int) -> Decimal:
    """Give the margin, in USDC and unrounded, that opening ``notional`` USDC at ``leverage`` needs."""
    if not isinstance(leverage, int) or isinstance(leverage, bool) or leverage < 1:
        raise InvalidInput(f"leverage was {leverage!r}; it must be an integer ≥ 1")
    return _at_least_zero(notional, "notional") / leverage


def liquidation_price(
    *,
    side: int,
    size: Number,
    price: Number,
    equity: Number,
    tiers: Tiers | MarginTiers,
    other_maintenance: Number = 0,
) -> Decimal | None:
    """Give the mark at which a position is liquidated, other marks unchanged; None where none is positive.

    ``side`` +1 long or −1 short; ``size`` coins > 0; ``price`` USDC per coin; ``equity`` USDC at ``price``:
    the isolated equity, or the cross account value; ``other_maintenance`` USDC of the account's other cross
    positions. Solves equity(x) = maintenance(x) + other_maintenance with the tier at x (rulebook §4).
    Raises InvalidInput naming the value that is out of range.
    """
    if side not in (1, -1):
        raise InvalidInput(f"side was {side!r}; it must be +1 (long) or -1 (short)")
    return liquidation_mark(
        int(side),
        _above_zero(size, "size"),
        _above_zero(price, "price"),
        to_decimal(equity, "equity"),
        MarginTiers.of(tiers),
        _at_least_zero(other_maintenance, "other_maintenance"),
    )


def liquidation_mark(
    side: int, size: Decimal, price: Decimal, equity: Decimal, tiers: MarginTiers, other_maintenance: Decimal
) -> Decimal | None:
    """Return what ``liquidation_price`` does, of values that are known to be right."""
    # equity(x) = balance + side·size·x, so ``needed`` is what side·size·x − maintenance(x) must stay above.
    needed = side * size * price - equity + other_maintenance
    # Leverage falls from tier to tier, so maintenance is convex: the largest of size·x·rate − deduction over
    # all tiers. Hence the trigger holds as soon as any tier's line says so, and the first root met is the one
    # whose notional lies in its own tier: the highest for a long, the lowest for a short.
    roots = [
        (needed - deduction) * (2 * leverage) / (size * (2 * side * leverage - 1))
        for leverage, deduction in zip(tiers.leverages, tiers.deductions, strict=True)
    ]
    nearest = max(roots) if side > 0 else min(roots)
    return nearest if nearest > 0 else None


def account_summary(clearinghouse_state: object, meta: object) -> AccountSummary:
    """Work out an account's margins and liquidation prices from Hyperliquid's own JSON.

    ``clearinghouse_state`` is the answer to ``clearinghouseState``, or a ``webData2`` object that holds it;
    ``meta`` as in ``tiers_from_meta``. Position values, account values and isolated equities are taken as
    Hyperliquid gives them; maintenance and liquidation prices are ours (rulebook §4). Positions of size zero
    are left out. Raises InvalidInput naming the field that is missing or wrong, or the coin not in ``meta``.
    """
    state = JsonNode(clearinghouse_state, "state")
    state = state.find("clearinghouseState") or state
    items = [item.get("position") for item in state.get("assetPositions")]
    nodes = [node for node in items if node.get("szi").decimal()]
    tables = [tiers_from_meta(meta, node.get("coin").text()) for node in nodes]
    positions = [_position(node, table) for node, table in zip(nodes, tables, strict=True)]
    account_value, cross_value = _account_values(state, positions)
    cross = [p for p in positions if not p.isolated]
    return AccountSummary(
        account_value=account_value,
        notional=_total(p.notional for p in positions),
        margin_used=_total(p.margin_used for p in positions),
        maintenance_margin=_total(p.maintenance_margin for p in positions),
        cross_account_value=cross_value,
        cross_maintenance_margin=_total(p.maintenance_margin for p in cross),
        reported_cross_maintenance=_optional(state, "crossMaintenanceMarginUsed"),
        withdrawable=_optional(state, "withdrawable"),
        positions=tuple(
            _liquidated_at(p, table, cross_value, cross) for p, table in zip(positions, tables, strict=True)
        ),
    )


def _position(node: JsonNode, table: MarginTiers) -> PositionSummary:
    """Read one open position, its liquidation price still unknown."""
    mode = node.get("leverage").get("type")
    if mode.text() not in ("cross", "isolated"):
        raise InvalidInput(f"{mode.path} was {mode.value!r}; it must be 'cross' or 'isolated'")
    notional = node.get("positionValue")
    return PositionSummary(
        coin=node.get("coin").text(),
        size=node.get("szi").decimal(),
        isolated=mode.value == "isolated",
        notional=_above_zero(notional.decimal(), notional.path),
        margin_used=node.get("marginUsed").decimal(),
        maintenance_margin=table.maintenance(notional.decimal()),
        unrealized_pnl=node.get("unrealizedPnl").decimal(),
        liquidation_price=None,
    )


def _liquidated_at(
    position: PositionSummary, table: MarginTiers, cross_value: Decimal, cross: list[PositionSummary]
) -> PositionSummary:
    coins = abs(position.size)
    others = [] if position.isolated else [p for p in cross if p is not position]
    price = liquidation_price(
        side=1 if position.size > 0 else -1,
        size=coins,
        price=position.notional / coins,
        equity=position.margin_used if position.isolated else cross_value,
        tiers=table,
        other_maintenance=_total(p.maintenance_margin for p in others),
    )
    return replace(position, liquidation_price=price)


def _account_values(state: JsonNode, positions: list[PositionSummary]) -> tuple[Decimal, Decimal]:
    """Give the value of the whole account and of its cross part; either summary is enough to know both."""
    isolated_equity = _total(p.margin_used for p in positions if p.isolated)
    whole, cross = state.find("marginSummary"), state.find("crossMarginSummary")
    if cross is None:
        value = state.get("marginSummary").get("accountValue").decimal()
        return value, value - isolated_equity
    cross_value = cross.get("accountValue").decimal()
    if whole is None:
        return cross_value + isolated_equity, cross_value
    return whole.get("accountValue").decimal(), cross_value


def _optional(node: JsonNode, key: str) -> Decimal | None:
    found = node.find(key)
    return None if found is None else found.decimal()


def _total(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, Decimal(0))


def _text(number: Decimal | None, places: int = 6) -> str | None:
    """Write a number plainly, rounded to ``places``, without an exponent or idle zeros."""
    if number is None:
        return None
    return f"{number:z.{places}f}".rstrip("0").rstrip(".")


def _above_zero(value: Number, name: str) -> Decimal:
    number = to_decimal(value, name)
    if number <= 0:
        raise InvalidInput(f"{name} was {value!r}; it must be above 0")
    return number


def _at_least_zero(value: Number, name: str) -> Decimal:
    number = to_decimal(value, name)
    if number < 0:
        raise InvalidInput(f"{name} was {value!r}; it must be at least 0")
    return number
