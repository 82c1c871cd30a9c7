"""Our own two Hyperliquid accounts: margin ratios watched, topped up, and the end nobody wants (§4, §6)."""

from decimal import Decimal

from risk.checks import finite
from risk.core import Core
from risk.house_events import AlertLevel, VenueAccountAudited
from risk.inputs import FundingBooked, HlAccount, VenueFilled
from risk.ledger import (
    CUSTODY,
    DEVIATION,
    HEDGE_COST,
    HL_CAPITAL,
    HL_HEDGE,
    HL_TRADING,
    PLATFORM_CAPITAL,
    ZERO,
    Entry,
    move,
)
from risk.numbers import round_money
from risk.state import Purpose, VenueOrder

_INFINITE = Decimal("Infinity")
JOURNAL_ACCOUNT = {HlAccount.TRADING: HL_TRADING, HlAccount.HEDGE: HL_HEDGE}


def margin_ratio(core: Core, account: HlAccount) -> Decimal | None:
    """Return equity / maintenance of one of our accounts; None without maintenance."""
    maintenance = core.account_maintenance(account)
    return core.account_equity(account) / maintenance if maintenance else None


def watch_accounts(core: Core) -> None:
    """Look at those of our accounts that the input in hand could have brought to their next limit."""
    due = core.accounts_touched
    for name in core.marks_moved:
        due.update(map(HlAccount, core.account_index.candidates(name, core.symbols[name].mark_float)[1]))
    if due:
        for account in HlAccount:
            if account in due:
                watch_account(core, account)
        due.clear()


def watch_account(core: Core, account: HlAccount) -> None:
    """Top up an account under its limit, raise what must be raised, and file its next limit with the scan."""
    risk = core.risk
    maintenance = core.account_maintenance(account)
    if not maintenance:
        core.account_index.drop_cross(account)
        _set_level(core, account, "NORMAL", ZERO)
        return
    unrealised = core.account_unrealised(account)
    equity = unrealised - core.ledger.balances[JOURNAL_ACCOUNT[account]]
    if equity < risk.margin_ratio_topup * maintenance:
        equity += _top_up(core, account, risk.margin_ratio_normal * maintenance - equity)
    critical = risk.hedge_ratio_critical if account is HlAccount.HEDGE else risk.trading_ratio_critical
    room = _loss_room(core, unrealised) if account is HlAccount.HEDGE else _INFINITE
    if equity <= maintenance:
        level = "UNDER_WATER"
        step = None
    elif equity < critical * maintenance or room < 0:
        level, step = "CRITICAL", Decimal(1)
    elif equity < risk.margin_ratio_topup * maintenance:
        level, step = "LOW", critical
    else:
        level, step = "NORMAL", risk.margin_ratio_topup
    _set_level(core, account, level, equity / maintenance)
    if account is HlAccount.HEDGE and level in ("CRITICAL", "UNDER_WATER"):
        core.hedge_requested = True  # to de-leverage
    _file(core, account, equity - step * maintenance if step else ZERO, room, step or Decimal(1))


def _loss_room(core: Core, unrealised: Decimal) -> Decimal:
    """Return how much more the hedges may lose before their loss exceeds half of the account's margin (§6)."""
    return unrealised - core.risk.hedge_loss_critical_share * core.ledger.balances[HL_HEDGE]


def _file(core: Core, account: HlAccount, slack: Decimal, room: Decimal, step: Decimal) -> None:
    steps = float(step)
    legs = [
        (s.spec.symbol, size, abs(size), s.mark_float, steps * s.spec.tiers.max_rate)
        for s, size in core.held_on(account)
    ]
    # A loss limit already passed no longer needs watching: only the ratio can get worse.
    core.account_index.put_cross(account, min(slack, room) if room >= 0 else slack, legs)


def _set_level(core: Core, account: HlAccount, level: str, ratio: Decimal) -> None:
    before = core.account_level[account]
    if level == before:
        return
    core.account_level[account] = level
    core.guard_changed(f"HL_{account}_MARGIN", "", level, ratio)
    if level == "LOW":
        core.alert(
            AlertLevel.ALERT, f"{account}_MARGIN_LOW", "", ratio, "top-up did not reach; capital is short"
        )
    elif level == "CRITICAL":
        core.alert(AlertLevel.P0, f"{account}_MARGIN_CRITICAL", "", ratio, "margin ratio")
    elif level == "UNDER_WATER":
        core.alert(AlertLevel.P0, f"{account}_UNDER_WATER", "", ratio, "Hyperliquid may liquidate us")


def _top_up(core: Core, account: HlAccount, wanted: Decimal) -> Decimal:
    """Move up to ``wanted`` USDC to an HL account; return what was moved.

    On the trading account the users' net HL losses not yet swept come first: their money lies in custody.
    """
    target = JOURNAL_ACCOUNT[account]
    wanted = round_money(wanted)
    entries: list[Entry] = []
    swept = ZERO
    if account is HlAccount.TRADING:
        swept = min(wanted, max(ZERO, -core.user_hl_result - core.swept_hl_losses))
        core.swept_hl_losses += swept
        entries += move(target, CUSTODY, swept)
    capital = min(wanted - swept, max(ZERO, core.ledger.balances[PLATFORM_CAPITAL]))
    entries += move(target, CUSTODY, capital)
    entries += move(PLATFORM_CAPITAL, HL_CAPITAL, capital)
    core.ledger.post(core.now, "top_up", account, entries)
    if swept + capital:
        core.alert(AlertLevel.ALERT, f"{account}_TOPPED_UP", "", swept + capital, "USDC moved to the account")
    return swept + capital


def trading_opens_allowed(core: Core) -> bool:
    """Tell whether new HL opens may be sent: not under the critical margin ratio (§6)."""
    if core.account_level[HlAccount.TRADING] in ("CRITICAL", "UNDER_WATER"):
        watch_account(core, HlAccount.TRADING)  # it may have recovered since
    return core.account_level[HlAccount.TRADING] in ("NORMAL", "LOW")


def funding_booked(core: Core, booking: FundingBooked) -> None:
    """Book Hyperliquid's funding on our account: the hedge's is a cost, the users' must match theirs (§5)."""
    state = core.symbol(booking.symbol)
    finite("amount", booking.amount)
    amount = round_money(booking.amount)
    core.accounts_touched.add(booking.account)
    if booking.account is HlAccount.HEDGE:
        core.ledger.post(core.now, "hedge_funding", booking.symbol, move(HL_HEDGE, HEDGE_COST, amount))
        return
    difference = amount - round_money(state.hl_funding_expected)
    state.hl_funding_expected = ZERO
    core.ledger.post(core.now, "funding_difference", booking.symbol, move(HL_TRADING, DEVIATION, difference))


def account_liquidated(core: Core, account: HlAccount) -> None:
    """Halt everything on Hyperliquid, list the users concerned, and flatten the account (§4).

    Users' positions there close at mark; what the take-over costs beyond the mark is paid by the reserve, then
    capital, with each fill.
    """
    core.hl_halted = True
    core.guard_changed("HL_HALT", "", "OPEN", ZERO)
    core.alert(
        AlertLevel.P0, f"{account}_LIQUIDATED", "", ZERO, "all HL operations halted; audit the users listed"
    )
    for state, size in core.held_on(account):
        name = state.spec.symbol
        side = -1 if size > 0 else 1
        order = VenueOrder(
            core.new_cloid(f"takeover:{account}:{name}"),
            account,
            Purpose.TAKEOVER if account is HlAccount.TRADING else Purpose.HEDGE,
            name,
            side,
            abs(size),
            state.mark,
            f"takeover:{account}",
        )
        # Hyperliquid takes any price when it liquidates: half the mark is no limit in practice.
        core.send(order, state.mark * (Decimal("0.5") if side < 0 else Decimal("1.5")))


def audit_users(core: Core, account: HlAccount) -> None:
    """Record every user position that stood on a liquidated account."""
    for position in core.positions.values():
        if position.source.value == "HYPERLIQUID":
            core.emit(
                VenueAccountAudited(
                    core.now, account, position.user, position.position_id, position.symbol, position.size
                )
            )


def filled_takeover(core: Core, order: VenueOrder, fill: VenueFilled) -> None:
    """Book what Hyperliquid's take-over cost against the mark the users were settled at."""
    loss = round_money(order.side * (fill.price - order.mark) * fill.size) + fill.fee
    order.filled += fill.size
    order.notional += fill.price * fill.size
    if loss > 0:
        core.ledger.absorb(core.now, order.order_id, loss, HL_TRADING)
    else:
        core.ledger.post(core.now, "takeover", order.order_id, move(HL_TRADING, DEVIATION, -loss))
    core.accounts_touched.add(HlAccount.TRADING)
