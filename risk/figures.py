"""A user's account in figures: what the rules go by, worked out at the marks of a core (§4)."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from risk.account import (
    account_value,
    cash,
    cross_initial,
    cross_maintenance,
    free_collateral,
    holds,
    isolated_equity,
    withdrawable,
)
from risk.core import Core
from risk.ledger import ZERO, withdrawals_pending
from risk.margin import liquidation_mark
from risk.margin_tiers import MarginTiers
from risk.record import record
from risk.state import Position, SymbolState, User

Leg = tuple[int, Decimal, MarginTiers]  # side, size in coins, margin table


@record
class PositionFigures:
    """Hold a position at mark; ``equity`` and ``margin_ratio`` of an isolated one are its own, else the account's.

    ``initial_margin`` is what a cross position binds at mark, or what is posted on an isolated one.
    """

    position: Position
    mark: Decimal
    notional: Decimal
    unrealised: Decimal
    funding_owed: Decimal
    initial_margin: Decimal
    maintenance: Decimal
    equity: Decimal
    margin_ratio: Decimal | None
    liquidation_price: Decimal | None


@record
class AccountFigures:
    """Hold an account at mark, in USDC; the ratio is cross account value / cross maintenance, liquidated at 1."""

    cash: Decimal
    holds: Decimal
    withdrawals_pending: Decimal
    isolated_margin: Decimal
    total_balance: Decimal  # cash, holds and isolated margins
    account_value: Decimal
    equity: Decimal  # account value, and the equity of isolated positions
    free: Decimal
    withdrawable: Decimal
    initial_margin: Decimal
    maintenance: Decimal
    margin_ratio: Decimal | None
    positions: tuple[PositionFigures, ...]


def account_figures(core: Core, name: str) -> AccountFigures:
    """Return the figures of a user, all zero for one who has nothing."""
    user = core.users.get(name) or User.named(name)
    value, maintenance = account_value(core, user), cross_maintenance(core, user)
    ratio = value / maintenance if maintenance else None
    triggers = _cross_triggers(core, user, value, maintenance)
    positions = [
        _isolated(core, p) if p.isolated else _cross(core, p, value, ratio, triggers[p.symbol][p.side])
        for p in sorted((user.isolated | user.cross).values(), key=lambda p: p.position_id)
    ]
    own, held = cash(core, user), holds(core, user)
    margins = sum((p.margin for p in user.isolated.values()), ZERO)
    return AccountFigures(
        own,
        held,
        core.ledger.balance(withdrawals_pending(name)),
        margins,
        own + held + margins,
        value,
        value + sum((p.equity for p in positions if p.position.isolated), ZERO),
        free_collateral(core, user),
        withdrawable(core, user) if user.cross else max(ZERO, own),
        cross_initial(core, user),
        maintenance,
        ratio,
        tuple(positions),
    )


def _isolated(core: Core, position: Position) -> PositionFigures:
    state = core.symbols[position.symbol]
    tiers, notional = state.spec.tiers, position.size * state.mark
    equity, maintenance = isolated_equity(core, position), tiers.maintenance(notional)
    price = liquidation_mark(position.side, position.size, state.mark, equity, tiers, ZERO)
    ratio = equity / maintenance if maintenance else None
    return _position(state, position, notional, position.margin, maintenance, equity, ratio, price)


def _cross(
    core: Core, position: Position, value: Decimal, ratio: Decimal | None, price: Decimal | None
) -> PositionFigures:
    state = core.symbols[position.symbol]
    notional = position.size * state.mark
    maintenance = state.spec.tiers.maintenance(notional)
    initial = notional / position.leverage
    return _position(state, position, notional, initial, maintenance, value, ratio, price)


def _position(
    state: SymbolState,
    position: Position,
    notional: Decimal,
    initial: Decimal,
    maintenance: Decimal,
    equity: Decimal,
    ratio: Decimal | None,
    price: Decimal | None,
) -> PositionFigures:
    return PositionFigures(
        position,
        state.mark,
        notional,
        position.unrealised(state.mark),
        position.accrued(state.funding_index),
        initial,
        maintenance,
        equity,
        ratio,
        price,
    )


def _cross_triggers(
    core: Core, user: User, value: Decimal, maintenance: Decimal
) -> dict[str, dict[int, Decimal | None]]:
    """Return by symbol and side at which mark of it, others unchanged, the cross account is liquidated."""
    triggers: dict[str, dict[int, Decimal | None]] = {}
    for symbol in user.legs:
        state = core.symbols[symbol]
        held = [p for p in user.by_symbol[symbol].values() if not p.isolated]
        tiers, mark = state.spec.tiers, state.mark
        others = maintenance - sum((tiers.maintenance(p.size * mark) for p in held), ZERO)
        if len(held) == 1:
            (only,) = held
            price = liquidation_mark(only.side, only.size, mark, value, tiers, max(ZERO, others))
            triggers[symbol] = {only.side: price}
            continue
        low, high = liquidation_range([(p.side, p.size, tiers) for p in held], mark, value, others)
        triggers[symbol] = {1: high if low is None else low, -1: low if high is None else high}
    return triggers


def liquidation_range(
    legs: Sequence[Leg], mark: Decimal, equity: Decimal, other_maintenance: Decimal = ZERO
) -> tuple[Decimal | None, Decimal | None]:
    """Return the marks of one symbol below and above which an account is liquidated; None where none is positive.

    ``equity`` USDC at ``mark``; other marks, of maintenance ``other_maintenance``, stay. Equity less maintenance
    is a concave line of pieces, one for each way the ``legs`` lie in their tiers (rulebook §4, per leg). Every
    piece, drawn on, lies above it: so it is zero where the first of the pieces is, on either side.
    """
    net = sum((side * size for side, size, _ in legs), ZERO)
    at_zero = equity - net * mark - other_maintenance
    low = high = None
    for slope_taken, deduction in _pieces([(size, tiers) for _, size, tiers in legs]):
        slope = net - slope_taken
        if not slope:
            continue
        root = -(at_zero + deduction) / slope
        if slope > 0 and (low is None or root > low):
            low = root
        elif slope < 0 and (high is None or root < high):
            high = root
    return _if_positive(low), _if_positive(high)


def _pieces(legs: Sequence[tuple[Decimal, MarginTiers]]) -> Iterable[tuple[Decimal, Decimal]]:
    """Give for each way the legs lie in their tiers, from price 0 up, maintenance per USDC of price and deduction."""
    boundaries = sorted(
        (lower / size, at, tier)
        for at, (size, tiers) in enumerate(legs)
        for tier, lower in enumerate(tiers.lowers)
        if tier
    )
    tier_of = [0] * len(legs)
    yield _piece(legs, tier_of)
    for _, at, tier in boundaries:
        tier_of[at] = tier
        yield _piece(legs, tier_of)


def _piece(legs: Sequence[tuple[Decimal, MarginTiers]], tier_of: Sequence[int]) -> tuple[Decimal, Decimal]:
    taken = deduction = ZERO
    for (size, tiers), tier in zip(legs, tier_of, strict=True):
        taken += size / (2 * tiers.leverages[tier])
        deduction += tiers.deductions[tier]
    return taken, deduction


def _if_positive(price: Decimal | None) -> Decimal | None:
    return price if price is not None and price > 0 else None
