"""What users do besides trading: money in and out, isolated margin (§4, §7)."""

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
from risk.events import MarginChanged
from risk.inputs import DepositCredited, MarginAdjusted, WithdrawalEnded, WithdrawalSubmitted
from risk.ledger import CUSTODY, FEE_INCOME, ZERO, isolated_margin, move, withdrawals_pending
from risk.service import CLOSE_ONLY, CLOSED, refuse_while_closed


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
    if refuse_while_closed(core, given.withdrawal_id, user.name):
        return
    if user.cross and core.channel.unreachable(core.now, core.risk):
        core.refuse_act(given.withdrawal_id, user.name, "HL_UNREACHABLE", "no safe price to value margin at")
        return
    settle_cross(core, user)
    total = given.amount + given.fee
    most = withdrawable(core, user) if user.cross else max(ZERO, cash(core, user))
    if total > most:
        core.refuse_act(
            given.withdrawal_id, user.name, "WITHDRAWAL_EXCEEDS_FREE", f"{total} asked, {most} free"
        )
        return
    pending = withdrawals_pending(user.name)
    name = given.withdrawal_id
    core.ledger.post(core.now, "withdrawal_requested", name, move(user.cash_account, pending, given.amount))
    if given.fee:
        core.ledger.post(core.now, "withdrawal_fee", name, move(user.cash_account, FEE_INCOME, given.fee))
    core.withdrawals[given.withdrawal_id] = (user.name, given.amount, given.fee)
    if user.cross:
        refile_cross(core, user)


def end_withdrawal(core: Core, given: WithdrawalEnded) -> None:
    """Let a pending withdrawal leave custody, or give it back with its fee: nothing was done for that."""
    pending = core.withdrawals.pop(given.withdrawal_id, None)
    if pending is None:
        raise InvalidInput(f"withdrawal_id was {given.withdrawal_id!r}; no such withdrawal is pending")
    name, amount, fee = pending
    user, held = core.user(name), withdrawals_pending(name)
    if given.sent:
        core.ledger.post(core.now, "withdrawal_sent", given.withdrawal_id, move(held, CUSTODY, amount))
    else:
        back = move(held, user.cash_account, amount)
        core.ledger.post(core.now, "withdrawal_refused", given.withdrawal_id, back)
        if fee:
            back = move(FEE_INCOME, user.cash_account, fee)
            core.ledger.post(core.now, "withdrawal_fee_returned", given.withdrawal_id, back)
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
        why = "no such isolated position"
        if given.position_id in user.cross:
            why = f"position {given.position_id} is CROSS; margin is moved at ISOLATED ones alone"
        core.refuse_act(str(given.position_id), user.name, "UNKNOWN_POSITION", why)
        return
    if refuse_while_closed(
        core, str(given.position_id), user.name, CLOSED if given.amount > 0 else CLOSE_ONLY
    ):
        return
    if given.amount < 0 and core.channel.unreachable(core.now, core.risk):
        core.refuse_act(
            str(given.position_id), user.name, "HL_UNREACHABLE", "no safe price to value margin at"
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
        core.refuse_act(
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
