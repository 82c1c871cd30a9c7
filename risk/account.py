"""A user's account: funding settled on touch, account value, free collateral, and its place in the scan (§4, §5)."""

from decimal import Decimal

from risk.core import Core
from risk.events import FundingSettled, Source
from risk.ledger import FUNDING_INCOME, HL_TRADING, PLATFORM_PROFIT, RISK_RESERVE, ZERO, isolated_margin, move
from risk.numbers import round_money
from risk.settings import RiskConfig
from risk.state import CrossLeg, Position, SymbolState, User


def settle_funding(core: Core, position: Position) -> None:
    """Settle what the symbol's index has accrued since the position was last touched (§5).

    Isolated positions pay from margin and no more than it; cross from cash. What cannot be collected is
    forgiven by the house (INTERNAL) or paid by the reserve (HYPERLIQUID).
    """
    state = core.symbols[position.symbol]
    index = state.funding_index
    if index == position.funding_index:
        return
    owed = round_money(position.accrued(index))
    indexed = position.side * position.size * (index - position.funding_index)
    if position.source is Source.INTERNAL:
        state.net_indexed += indexed
    else:
        state.hl_indexed += indexed
    if not position.isolated:
        core.users[position.user].legs[position.symbol].net_indexed += indexed
    position.funding_index = index
    paid = min(owed, position.margin) if position.isolated else owed
    uncollected = owed - paid
    payer = (
        isolated_margin(position.position_id) if position.isolated else core.users[position.user].cash_account
    )
    internal = position.source is Source.INTERNAL
    ref = str(position.position_id)
    core.ledger.post(core.now, "funding", ref, move(payer, FUNDING_INCOME if internal else HL_TRADING, paid))
    if not internal:
        core.user_hl_result -= paid
        if uncollected:
            core.ledger.absorb(core.now, ref, uncollected, HL_TRADING)
    if position.isolated:
        position.margin -= paid
    core.emit(
        FundingSettled(
            position.position_id, core.now, position.user, position.symbol, paid, uncollected, position.source
        )
    )
    core.touched.add(position.symbol)


def settle_cross(core: Core, user: User) -> None:
    """Settle the funding of all of a user's cross positions."""
    for position in user.cross.values():
        settle_funding(core, position)


def cash(core: Core, user: User) -> Decimal:
    """Return a user's free cash (negative only while cross positions are open)."""
    return core.ledger.balances.get(user.cash_account, ZERO)


def holds(core: Core, user: User) -> Decimal:
    """Return what a user's waiting orders hold."""
    return core.ledger.balances.get(user.holds_account, ZERO)


def account_value(core: Core, user: User) -> Decimal:
    """Return the cross account value: cash + holds + Σ cross unrealised PnL − funding not yet settled."""
    value = cash(core, user) + holds(core, user)
    symbols = core.symbols
    for position in user.cross.values():
        state = symbols[position.symbol]
        value += position.unrealised(state.mark)
        if position.funding_index != state.funding_index:
            value -= position.accrued(state.funding_index)
    return value


def cross_maintenance(core: Core, user: User) -> Decimal:
    """Sum the maintenance margin of a user's cross positions at mark."""
    symbols = core.symbols
    total = ZERO
    for position in user.cross.values():
        state = symbols[position.symbol]
        total += state.spec.tiers.maintenance(position.size * state.mark)
    return total


def cross_initial(core: Core, user: User) -> Decimal:
    """Sum the initial margin of a user's cross positions at mark."""
    symbols, total = core.symbols, ZERO
    for p in user.cross.values():
        total += p.size * symbols[p.symbol].mark / p.leverage
    return total


def free_collateral(core: Core, user: User) -> Decimal:
    """Return what a user may open with: max(0, account value − holds − Σ cross initial margin at mark) (§4)."""
    if not user.cross:
        return max(ZERO, cash(core, user))
    value, initial, symbols = cash(core, user), ZERO, core.symbols
    for position in user.cross.values():
        state = symbols[position.symbol]
        notional = position.size * state.mark
        value += position.side * (notional - position.cost)
        if position.funding_index != state.funding_index:
            value -= position.accrued(state.funding_index)
        initial += notional / position.leverage
    return max(ZERO, value - initial)


def withdrawable(core: Core, user: User) -> Decimal:
    """Return what a user may take out: the rest must cover max(Σ initial, 10 % of notional) of cross positions."""
    notional = sum((p.size * core.symbols[p.symbol].mark for p in user.cross.values()), ZERO)
    unheld = account_value(core, user) - holds(core, user)
    return beyond_margin(core.risk, unheld, cross_initial(core, user), notional)


def beyond_margin(risk: RiskConfig, unheld: Decimal, initial: Decimal, notional: Decimal) -> Decimal:
    """Return what of an account's value without holds its cross positions of these sums leave to be taken out."""
    return max(ZERO, unheld - max(initial, risk.withdrawal_margin_share * notional))


def isolated_equity(core: Core, position: Position) -> Decimal:
    """Return an isolated position's equity: margin, less funding not yet settled, plus unrealised PnL."""
    state = core.symbols[position.symbol]
    return equity_of(position.margin, position.accrued(state.funding_index), position.unrealised(state.mark))


def equity_of(margin: Decimal, owed: Decimal, unrealised: Decimal) -> Decimal:
    """Return the equity of margin that ``owed`` funding takes no more than all of."""
    return max(ZERO, margin - owed) + unrealised


def isolated_under_water(core: Core, position: Position) -> bool:
    """Tell whether equity ≤ maintenance, exactly (§4)."""
    state = core.symbols[position.symbol]
    maintenance = state.spec.tiers.maintenance(position.size * state.mark)
    return isolated_equity(core, position) <= maintenance


def cross_under_water(core: Core, user: User) -> bool:
    """Tell whether a user's account value ≤ maintenance of the cross positions, exactly (§4)."""
    return bool(user.cross) and account_value(core, user) <= cross_maintenance(core, user)


def refile_isolated(core: Core, position: Position) -> None:
    """Give the scan an isolated position's state of this moment; one being closed at the venue is left out."""
    if position.busy:
        core.index.drop_isolated(position.position_id)
        return
    core.index.put_isolated(
        position.position_id,
        position.symbol,
        position.side,
        position.size,
        position.cost,
        position.margin,
        core.symbols[position.symbol].spec.tiers,
    )
    core.touched.add(position.symbol)


def refile_cross(core: Core, user: User) -> None:
    """Note that a cross account's slack has changed: the scan gets it once, when the next sweep begins."""
    core.stale_accounts.add(user.name)


def file_stale(core: Core) -> None:
    """Give the scan the slack of every cross account that has changed."""
    if core.stale_accounts:
        for name in sorted(core.stale_accounts):
            _file_cross(core, core.users[name])
        core.stale_accounts.clear()


def _file_cross(core: Core, user: User) -> None:
    """File a cross account by its legs; one with a liquidation in flight is left out."""
    if not user.cross or (user.liquidating and any(p.busy for p in user.cross.values())):
        core.index.drop_cross(user.name)
        return
    slack = cash(core, user) + holds(core, user)
    legs = []
    for symbol, leg in sorted(user.legs.items()):
        state = core.symbols[symbol]
        slack += state.mark * leg.net_size - leg.net_cost - _leg_maintenance(user, state, leg)
        slack -= state.funding_index * leg.net_size - leg.net_indexed
        legs.append((symbol, leg.net_size, leg.gross_size, state.mark_float, state.spec.tiers.max_rate))
    if slack > 0:
        user.liquidating = False  # healthy with no close in flight: that liquidation is over (§4)
    core.index.put_cross(user.name, slack, legs)
    core.touched.update(user.legs)


def _leg_maintenance(user: User, state: SymbolState, leg: CrossLeg) -> Decimal:
    """Sum the maintenance of a user's cross positions of one symbol: in one step where no tier parts them."""
    tiers, mark = state.spec.tiers, state.mark
    notional = leg.gross_size * mark
    if len(tiers.lowers) == 1 or notional < tiers.lowers[1]:
        return notional / (2 * tiers.leverages[0])
    positions = user.by_symbol[state.spec.symbol].values()
    return sum((tiers.maintenance(p.size * mark) for p in positions if not p.isolated), ZERO)


def release(core: Core, user: User, amount: Decimal, ref: str) -> None:
    """Give a hold back to the user's cash; never more than is held (a deficit may have released it before)."""
    amount = min(amount, holds(core, user))
    core.ledger.post(core.now, "hold_released", ref, move(user.holds_account, user.cash_account, amount))


def hold(core: Core, user: User, amount: Decimal, ref: str) -> None:
    """Set cash aside for a waiting order."""
    core.ledger.post(core.now, "hold", ref, move(user.cash_account, user.holds_account, amount))


def settle_deficit(core: Core, user: User, ref: str, source: Source) -> None:
    """Set a user's negative cash to zero once the last cross position is closed (§4).

    Holds are released first. The deficit is shared over the losing closes in proportion to their loss: the
    INTERNAL share is given back by those who took the loss (80/20), the HYPERLIQUID share is bad debt. Where
    no close lost (fees or funding did it), the ``source`` of the last close decides.
    """
    if user.cross:
        return
    losses, user.cross_losses = user.cross_losses, []
    user.liquidating = False
    if cash(core, user) < 0:
        for order in user.orders.values():
            order.hold = ZERO
        for sent in user.in_flight.values():
            sent.hold = ZERO
        release(core, user, holds(core, user), ref)
    deficit = -cash(core, user)
    if deficit <= 0:
        return
    total = sum((loss for _, loss in losses), ZERO)
    internal = sum((loss for source, loss in losses if source is Source.INTERNAL), ZERO)
    if not total:
        total, internal = deficit, deficit if source is Source.INTERNAL else ZERO
    share = deficit if internal == total else round_money(deficit * internal / total)
    if share:
        platform = round_money(share * core.risk.platform_loss_share)
        core.ledger.post(
            core.now,
            "deficit_forgiven",
            ref,
            ((PLATFORM_PROFIT, -platform), (RISK_RESERVE, platform - share), (user.cash_account, share)),
        )
        core.breaker.realised(share)
    if deficit - share:
        core.ledger.absorb(core.now, ref, deficit - share, user.cash_account)
