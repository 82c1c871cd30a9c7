"""How much to hedge, at which leverage, and what the hedge account can carry (rulebook §6)."""

from collections.abc import Mapping
from decimal import Decimal

from risk.record import record
from risk.settings import RiskConfig

_ZERO = Decimal(0)
_ONE = Decimal(1)


@record
class HedgeLine:
    """Hold one symbol as the hedger sees it: signed sizes in base coin, + where users are net long.

    ``net_size`` is the users' INTERNAL net, ``hedge_size`` what stands on the hedge account, ``max_leverage``
    the most Hyperliquid allows there. Not ``hedgeable`` while orders cannot or must not go out.
    """

    net_size: Decimal
    mark: Decimal
    hedge_size: Decimal
    lot: Decimal
    min_notional: Decimal
    max_leverage: int
    hedgeable: bool = True


@record
class HedgeDecision:
    """One decision: what to hold and what to send (signed coins; ``order_size`` 0 sends nothing).

    ``uncovered`` marks the one decision with which capital first fell short of the symbol's target.
    """

    symbol: str
    net_exposure: Decimal
    ratio: Decimal
    target_size: Decimal
    current_size: Decimal
    order_size: Decimal
    limit_price: Decimal
    mark: Decimal
    leverage: int
    uncovered: bool


@record
class Allocation:
    """Hold what the hedge account covers: USDC per symbol; ``uncovered`` symbols get less than they want."""

    covered: dict[str, Decimal]
    uncovered: tuple[str, ...]
    leverage: int


def hedge_tier(exposure_abs: Decimal, current_tier: int, risk: RiskConfig) -> int:
    """Give the row of the hedge table for ``exposure_abs`` USDC: 0 no hedge, n the n-th tier.

    Upwards a row is entered at its lower edge; downwards it is left at ``hedge_tier_release`` of that edge.
    """
    tiers = risk.hedge_tiers
    if not current_tier and (not tiers or exposure_abs < tiers[0].lower):
        return 0
    reached = 0
    for tier in tiers:
        if exposure_abs >= tier.lower:
            reached += 1
    row = min(current_tier, len(tiers))
    while row > reached and exposure_abs <= tiers[row - 1].lower * risk.hedge_tier_release:
        row -= 1
    return max(row, reached)


def hedge_ratio(tier: int, risk: RiskConfig) -> Decimal:
    """Give the share of the exposure to hedge in that row."""
    return risk.hedge_tiers[tier - 1].ratio if tier else _ZERO


def exposure_edges(risk: RiskConfig) -> tuple[Decimal, ...]:
    """Give the |exposures| (USDC, ascending) at which ``hedge_tier`` may change its answer."""
    lowers = [tier.lower for tier in risk.hedge_tiers]
    return tuple(sorted({*lowers, *(lower * risk.hedge_tier_release for lower in lowers)}))


def ladder_leverage(total_notional: Decimal, risk: RiskConfig) -> int:
    """Give the leverage for that many USDC of hedges in total."""
    for step in risk.hedge_leverage:
        if step.upto is None or total_notional <= step.upto:
            return step.leverage
    return risk.hedge_leverage[-1].leverage


def allocate(
    wanted: Mapping[str, Decimal], max_leverages: Mapping[str, int], equity: Decimal, risk: RiskConfig
) -> Allocation:
    """Share ``equity`` USDC of the hedge account over the notionals ``wanted`` per symbol.

    The ladder gives the leverage; where equity does not suffice it rises as far as needed, at most to the
    ladder's highest, per symbol at most to ``max_leverages``. If even that is too little, the largest
    notional is served first, ties by symbol.
    """
    covered = dict.fromkeys(wanted, _ZERO)
    hedged = {symbol: notional for symbol, notional in wanted.items() if notional}
    highest = max([step.leverage for step in risk.hedge_leverage])
    leverage = ladder_leverage(sum(hedged.values(), _ZERO), risk)
    while leverage < highest and _margin(hedged, max_leverages, leverage) > equity:
        leverage += 1
    uncovered = []
    left = max(equity, _ZERO)
    for symbol in sorted(hedged, key=lambda name: (-hedged[name], name)):
        symbol_leverage = min(leverage, max_leverages[symbol])
        covered[symbol] = min(wanted[symbol], left * symbol_leverage)
        left -= covered[symbol] / symbol_leverage
        if covered[symbol] < wanted[symbol]:
            uncovered.append(symbol)
    return Allocation(covered, tuple(uncovered), leverage)


def _margin(notionals: Mapping[str, Decimal], max_leverages: Mapping[str, int], leverage: int) -> Decimal:
    return sum((n / min(leverage, max_leverages[symbol]) for symbol, n in notionals.items()), _ZERO)


def deleverage_share(
    equity: Decimal, maintenance: Decimal, unrealised_loss: Decimal, risk: RiskConfig
) -> Decimal:
    """Give the share (0 … 1) of every hedge to close when the hedge account is critical (§6); else 0.

    Margin ratio critical: back to the top-up level, since maintenance falls at least in step with size.
    Unrealised loss L critical against margin M = equity + L: closing a share s realises s·L, and
    (1 − s)·L = k·(M − s·L) solves to the s that leaves k; k keeps as much room below the critical share as
    the top-up level keeps above the critical ratio.
    """
    if equity <= 0:
        return _ONE if maintenance else _ZERO
    share = _ZERO
    if equity < risk.hedge_ratio_critical * maintenance:
        share = 1 - equity / (risk.margin_ratio_topup * maintenance)
    margin = equity + unrealised_loss
    if unrealised_loss > risk.hedge_loss_critical_share * margin:
        kept = risk.hedge_loss_critical_share * risk.hedge_ratio_critical / risk.margin_ratio_topup
        share = max(share, (unrealised_loss - kept * margin) / (unrealised_loss * (1 - kept)))
    return share
