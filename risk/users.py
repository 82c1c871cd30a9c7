"""What users and operators do besides trading: money in and out, isolated margin, settings (§4, §7)."""

from dataclasses import replace

from risk.account import (
    cash,
    free_collateral,
    isolated_equity,
    refile_cross,
    refile_isolated,
    settle_cross,
    settle_funding,
    withdrawable,
)
from risk.checks import finite, money
from risk.core import Core
from risk.errors import InvalidInput
from risk.events import MarginChanged, OrderRefused
from risk.inputs import ConfigChanged, DepositCredited, MarginAdjusted, WithdrawalEnded, WithdrawalSubmitted
from risk.ledger import CUSTODY, FEE_INCOME, ZERO, isolated_margin, move, withdrawals_pending
from risk.modes import change_mode
from risk.settings import RoutingConfig


def deposit(core: Core, given: DepositCredited) -> None:
    """Credit a deposit."""
    money("amount", given.amount)
    user = core.user(given.user)
    kind = given.label.lower()
    core.ledger.post(core.now, kind, given.ref, move(CUSTODY, user.cash_account, given.amount))
    if user.cross:
        refile_cross(core, user)


def withdraw(core: Core, given: WithdrawalSubmitted) -> None:
    """Take a withdrawal off the balance, or refuse it when margin needs the money."""
    money("amount", given.amount)
    if given.fee:
        money("fee", given.fee)
    if given.withdrawal_id in core.seen_withdrawals:
        raise InvalidInput(f"withdrawal_id was {given.withdrawal_id!r}; it must be new")
    user = core.user(given.user)
    if not core.ids_vouched_for:
        core.seen_withdrawals.add(given.withdrawal_id)
    if user.cross and core.channel.unreachable(core.now, core.risk):
        _refused(core, given.withdrawal_id, user.name, "HL_UNREACHABLE", "no safe price to value margin at")
        return
    settle_cross(core, user)
    total = given.amount + given.fee
    most = withdrawable(core, user) if user.cross else max(ZERO, cash(core, user))
    if total > most:
        _refused(
            core, given.withdrawal_id, user.name, "WITHDRAWAL_EXCEEDS_FREE", f"{total} asked, {most} free"
        )
        return
    pending = withdrawals_pending(user.name)
    core.ledger.post(
        core.now,
        "withdrawal_requested",
        given.withdrawal_id,
        (*move(user.cash_account, pending, given.amount), *move(user.cash_account, FEE_INCOME, given.fee)),
    )
    core.withdrawals[given.withdrawal_id] = (user.name, given.amount)
    if user.cross:
        refile_cross(core, user)


def end_withdrawal(core: Core, given: WithdrawalEnded) -> None:
    """Let a pending withdrawal leave custody, or give it back."""
    pending = core.withdrawals.get(given.withdrawal_id)
    if pending is None:
        raise InvalidInput(f"withdrawal_id was {given.withdrawal_id!r}; no such withdrawal is pending")
    del core.withdrawals[given.withdrawal_id]
    user = core.user(pending[0])
    target = CUSTODY if given.sent else user.cash_account
    kind = "withdrawal_sent" if given.sent else "withdrawal_refused"
    core.ledger.post(
        core.now, kind, given.withdrawal_id, move(withdrawals_pending(user.name), target, pending[1])
    )
    if user.cross:
        refile_cross(core, user)


def adjust_margin(core: Core, given: MarginAdjusted) -> None:
    """Move margin into or out of an isolated position.

    Adding needs free collateral; removing must leave max(initial at mark, 10 % of notional) (§4), and a safe
    price to measure that at.
    """
    finite("amount", given.amount)
    money("amount", abs(given.amount))
    user = core.user(given.user)
    position = user.isolated.get(given.position_id)
    if position is None:
        _refused(core, str(given.position_id), user.name, "UNKNOWN_POSITION", "no such isolated position")
        return
    if given.amount < 0 and core.channel.unreachable(core.now, core.risk):
        _refused(
            core, str(given.position_id), user.name, "HL_UNREACHABLE", "no safe price to value margin at"
        )
        return
    settle_funding(core, position)
    if given.amount > 0:
        room = free_collateral(core, user)
    else:
        notional = position.size * core.symbols[position.symbol].mark
        needed = max(notional / position.leverage, core.risk.withdrawal_margin_share * notional)
        room = min(position.margin, isolated_equity(core, position) - needed)
    if abs(given.amount) > room:
        _refused(
            core,
            str(given.position_id),
            user.name,
            "INSUFFICIENT_MARGIN",
            f"{abs(given.amount)} asked, {max(room, ZERO)} can be moved",
        )
        return
    position.margin += given.amount
    core.ledger.post(
        core.now,
        "margin_adjusted",
        str(position.position_id),
        move(user.cash_account, isolated_margin(position.position_id), given.amount),
    )
    core.emit(MarginChanged(position.position_id, core.now, user.name, given.amount, position.margin))
    refile_isolated(core, position)
    if user.cross:
        refile_cross(core, user)


def change_config(core: Core, given: ConfigChanged) -> None:
    """Put a new routing row or risk config in force; a row's new mode is a switch by that operator."""
    if given.routing is None and given.risk is None:
        raise InvalidInput("routing and risk were None; one of them must be given")
    if given.routing is not None:
        if given.symbol is None:
            raise InvalidInput("symbol was None; a routing row needs a symbol, or * for the default row")
        if given.symbol != "*":
            core.symbol(given.symbol)
        _change_row(core, given.symbol, given.routing, given.operator_id)
    if given.risk is not None:
        core.settings = replace(core.settings, risk=given.risk)
        core.risk = core.hedger.risk = given.risk


def _change_row(core: Core, symbol: str, row: RoutingConfig, operator: str) -> None:
    before = {name: core.settings.routing_of(name).routing_mode for name in core.symbols}
    core.settings.routing[symbol] = row
    for name, state in core.symbols.items():
        wanted = core.settings.routing_of(name).routing_mode
        if wanted is not before[name] and wanted is not state.mode and not state.pinned:
            change_mode(core, state, wanted, "MANUAL", operator)


def _refused(core: Core, ref: str, user: str, code: str, detail: str) -> None:
    core.emit(OrderRefused(ref, core.now, user, "", code, detail))
