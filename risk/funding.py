"""Funding: a cumulative index per symbol, settled on touch (§5)."""

from decimal import Decimal

from risk.account import settle_funding
from risk.checks import finite, positive
from risk.core import Core
from risk.errors import InvalidInput
from risk.events import FundingAccrued, FundingSettled, Source
from risk.house_events import AlertLevel
from risk.inputs import FundingCorrected, FundingPublished, HlAccount
from risk.internal import refile
from risk.ledger import DEVIATION, FUNDING_INCOME, PLATFORM_CAPITAL, RISK_RESERVE, ZERO, isolated_margin, move
from risk.numbers import round_index, round_money
from risk.settings import HOUR_NS
from risk.state import Position

_MOST_AN_HOUR = Decimal("1e12")  # USDC per coin


def publish(core: Core, funding: FundingPublished) -> None:
    """Move a symbol's index by oracle × rate, rounded to 18 decimals.

    Only positions whose margin it could use up are settled now.
    """
    state = core.symbol(funding.symbol)
    finite("rate", funding.rate)
    positive("oracle", funding.oracle)
    hour = funding.oracle * funding.rate
    if abs(hour) >= _MOST_AN_HOUR:
        raise InvalidInput(
            f"rate was {funding.rate}; at an oracle of {funding.oracle} it must cost less than 1e12 USDC per coin"
        )
    delta = state.funding_pending + round_index(hour)
    if funding.ts // HOUR_NS % core.risk.funding_interval_hours:
        state.funding_pending = delta  # this hour is settled together with those up to the interval's end
        return
    state.funding_pending = ZERO
    state.funding_index += delta
    state.hl_funding_expected -= state.hl_size * delta
    core.index.funding_moved(funding.symbol, float(delta))
    core.emit(FundingAccrued(core.now, funding.symbol, funding.rate, funding.oracle, state.funding_index))
    for position_id in core.index.exhausted(funding.symbol):
        position = core.positions[position_id]
        settle_funding(core, position)
        refile(core, core.users[position.user], position)
    core.touched.add(funding.symbol)
    if state.hl_size:
        core.accounts_touched.add(HlAccount.TRADING)


def correct(core: Core, correction: FundingCorrected) -> None:
    """Book a rate corrected later: the reserve absorbs what users paid too little, too much is refunded (§5).

    It applies to the positions open now that were open at that hour's settlement as well as can be told: all.
    """
    state = core.symbol(correction.symbol)
    finite("delta_rate", correction.delta_rate)
    positive("oracle", correction.oracle)
    delta = correction.oracle * correction.delta_rate
    short = {Source.INTERNAL: ZERO, Source.HYPERLIQUID: ZERO}
    for position in list(core.positions.values()):
        if position.symbol != correction.symbol:
            continue
        owed = round_money(position.side * position.size * delta)
        if owed > 0:
            short[position.source] += owed
        elif owed < 0:
            _refund(core, position, -owed)
    for source, amount in short.items():
        target = FUNDING_INCOME if source is Source.INTERNAL else DEVIATION
        from_reserve = min(amount, max(ZERO, core.ledger.balances[RISK_RESERVE]))
        core.ledger.post(
            core.now,
            "funding_correction",
            correction.symbol,
            (
                *move(RISK_RESERVE, target, from_reserve),
                *move(PLATFORM_CAPITAL, target, amount - from_reserve),
            ),
        )
    core.alert(
        AlertLevel.ALERT, "FUNDING_CORRECTED", state.spec.symbol, correction.delta_rate, "rate corrected"
    )


def _refund(core: Core, position: Position, amount: Decimal) -> None:
    settle_funding(core, position)
    user = core.users[position.user]
    target = isolated_margin(position.position_id) if position.isolated else user.cash_account
    payer = FUNDING_INCOME if position.source is Source.INTERNAL else DEVIATION
    core.ledger.post(core.now, "funding_correction", str(position.position_id), move(payer, target, amount))
    if position.isolated:
        position.margin += amount
    core.emit(
        FundingSettled(
            position.position_id, core.now, user.name, position.symbol, -amount, ZERO, position.source
        )
    )
    refile(core, user, position)
