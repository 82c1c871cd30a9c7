"""A user's account in figures: what the rules go by, worked out at the marks of a core (§4)."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from risk.account import beyond_margin, cash, equity_of, holds
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


class _Worth(NamedTuple):
    """Hold what a position comes to at mark, each figure worked out once."""

    position: Position
    state: SymbolState
    notional: Decimal
    unrealised: Decimal
    owed: Decimal  # of funding
    maintenance: Decimal


def account_figures(core: Core, name: str) -> AccountFigures:
    """Return the figures of a user, all zero for one who has nothing."""
    user = core.users.get(name) or User.named(name)
    cross = [_worth(core, p) for p in user.cross.values()]
    isolated = [_isolated(_worth(core, p)) for p in user.isolated.values()]
    own, held = cash(core, user), holds(core, user)
    value = sum((w.unrealised - w.owed for w in cross), own + held)
    maintenance = sum((w.maintenance for w in cross), ZERO)
    ratio = value / maintenance if maintenance else None
    triggers = _cross_triggers(cross, value, maintenance)
    crossing = [_cross(w, value, ratio, triggers[w.position.symbol][w.position.side]) for w in cross]
    initial = sum((figures.initial_margin for figures in crossing), ZERO)
    margins = sum((p.margin for p in user.isolated.values()), ZERO)
    return AccountFigures(
        own,
        held,
        core.ledger.balance(withdrawals_pending(name)),
        margins,
        own + held + margins,
        value,
        value + sum((figures.equity for figures in isolated), ZERO),
        max(ZERO, value - held - initial),
        beyond_margin(core.risk, value - held, initial, sum((w.notional for w in cross), ZERO)),
        initial,
        maintenance,
        ratio,
        tuple(sorted(crossing + isolated, key=lambda figures: figures.position.position_id)),
    )


def _worth(core: Core, position: Position) -> _Worth:
    state = core.symbols[position.symbol]
    notional = position.size * state.mark
    return _Worth(
        position,
        state,
        notional,
        position.unrealised(state.mark),
        position.accrued(state.funding_index),
        state.spec.tiers.maintenance(notional),
    )


def _isolated(worth: _Worth) -> PositionFigures:
    position, state = worth.position, worth.state
    equity = equity_of(position.margin, worth.owed, worth.unrealised)
    price = liquidation_mark(position.side, position.size, state.mark, equity, state.spec.tiers, ZERO)
    ratio = equity / worth.maintenance if worth.maintenance else None
    return _figures(worth, position.margin, equity, ratio, price)


def _cross(worth: _Worth, value: Decimal, ratio: Decimal | None, price: Decimal | None) -> PositionFigures:
    return _figures(worth, worth.notional / worth.position.leverage, value, ratio, price)


def _figures(
    worth: _Worth, initial: Decimal, equity: Decimal, ratio: Decimal | None, price: Decimal | None
) -> PositionFigures:
    return PositionFigures(
        worth.position,
        worth.state.mark,
        worth.notional,
        worth.unrealised,
        worth.owed,
        initial,
        worth.maintenance,
        equity,
        ratio,
        price,
    )


def _cross_triggers(
    cross: Sequence[_Worth], value: Decimal, maintenance: Decimal
) -> dict[str, dict[int, Decimal | None]]:
    """Return by symbol and side at which mark of it, others unchanged, the cross account is liquidated."""
    by_symbol: dict[str, list[_Worth]] = {}
    for worth in cross:
        by_symbol.setdefault(worth.position.symbol, []).append(worth)
    triggers: dict[str, dict[int, Decimal | None]] = {}
    for symbol, held in by_symbol.items():
        tiers, mark = held[0].state.spec.tiers, held[0].state.mark
        others = maintenance - sum((w.maintenance for w in held), ZERO)
        if len(held) == 1:
            only = held[0].position
            price = liquidation_mark(only.side, only.size, mark, value, tiers, max(ZERO, others))
            triggers[symbol] = {only.side: price}
            continue
        legs = [(w.position.side, w.position.size, tiers) for w in held]
        low, high = liquidation_range(legs, mark, value, others)
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
    slopes = [[size / (2 * leverage) for leverage in tiers.leverages] for size, tiers in legs]
    taken = [of_tiers[0] for of_tiers in slopes]
    deductions = [tiers.deductions[0] for _, tiers in legs]
    yield sum(taken, ZERO), sum(deductions, ZERO)
    for _, at, tier in boundaries:
        taken[at], deductions[at] = slopes[at][tier], legs[at][1].deductions[tier]
        yield sum(taken, ZERO), sum(deductions, ZERO)


def _if_positive(price: Decimal | None) -> Decimal | None:
    return price if price is not None and price > 0 else None
