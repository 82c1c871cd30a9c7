"""What operators do to the books: settings, and corrections of balances (§1, §7, §8)."""

from dataclasses import replace

from risk.account import free_collateral, refile_cross, settle_cross
from risk.checks import finite, money
from risk.core import Core
from risk.errors import AlreadySo, InvalidInput
from risk.inputs import BalanceAdjusted, ConfigChanged
from risk.ledger import PLATFORM_CAPITAL, move
from risk.modes import change_mode
from risk.settings import RoutingConfig


def adjust_balance(core: Core, given: BalanceAdjusted) -> None:
    """Correct a user's cash out of platform capital, or into it: then no more than is free.

    Raises InvalidInput without a reason, or unless two different people asked and approved.
    """
    finite("amount", given.amount)
    money("amount", abs(given.amount))
    approver = given.approval.approver_id
    for name, text in (
        ("reason", given.reason),
        ("operator_id", given.operator_id),
        ("approver_id", approver),
    ):
        if not text:
            raise InvalidInput(f"{name} was empty; a correction needs a reason and two operators")
    if given.operator_id == approver:
        raise InvalidInput(f"approver_id was {approver!r}, who asked for it; another one must approve")
    user, ref = core.user(given.user), given.adjustment_id
    if given.amount < 0:
        if user.cross and core.channel.unreachable(core.now, core.risk):
            core.refuse_act(ref, user.name, "HL_UNREACHABLE", "no safe price to value margin at")
            return
        settle_cross(core, user)
        free = free_collateral(core, user)
        if -given.amount > free:
            core.refuse_act(ref, user.name, "ADJUSTMENT_EXCEEDS_FREE", f"{-given.amount} asked, {free} free")
            return
    entries = move(PLATFORM_CAPITAL, user.cash_account, given.amount)
    core.ledger.post(core.now, "balance_adjusted", ref, entries)
    if user.cross:
        refile_cross(core, user)


def change_config(core: Core, given: ConfigChanged) -> None:
    """Put a new routing row or risk config in force; a row's new mode is a switch by that operator.

    Raises AlreadySo where all of it is in force: a row as the default one has it is new to a symbol without its own.
    """
    if given.routing is None and given.risk is None:
        raise InvalidInput("routing and risk were None; one of them must be given")
    if given.routing is not None:
        if given.symbol is None:
            raise InvalidInput("symbol was None; a routing row needs a symbol, or * for the default row")
        if given.symbol != "*":
            core.symbol(given.symbol)
    if _is_in_force(core, given):
        raise AlreadySo("changes were what is in force already")
    if given.routing is not None and given.symbol is not None:
        _change_row(core, given.symbol, given.routing, given.operator_id)
    if given.risk is not None:
        core.settings = replace(core.settings, risk=given.risk)
        core.risk = core.hedger.risk = given.risk


def _is_in_force(core: Core, given: ConfigChanged) -> bool:
    row, risk = given.routing, given.risk
    return row in (None, core.settings.routing.get(given.symbol or "")) and risk in (None, core.risk)


def _change_row(core: Core, symbol: str, row: RoutingConfig, operator: str) -> None:
    before = {name: core.settings.routing_of(name).routing_mode for name in core.symbols}
    core.settings.routing[symbol] = row
    for name, state in core.symbols.items():
        wanted = core.settings.routing_of(name).routing_mode
        if wanted is not before[name] and wanted is not state.mode and not state.pinned:
            change_mode(core, state, wanted, "MANUAL", operator)
