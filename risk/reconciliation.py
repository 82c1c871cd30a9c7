"""Our accounts' positions at Hyperliquid against what the books say they must be (§3, §8)."""

from decimal import Decimal

from risk.checks import finite
from risk.core import Core
from risk.errors import InvalidInput
from risk.house_events import AlertLevel
from risk.inputs import HlAccount, VenuePositionsReported
from risk.ledger import ZERO


def compare_positions(core: Core, report: VenuePositionsReported) -> None:
    """Compare Σ virtual with actual per symbol, relative to max(|Σ|, one lot); tell each change once.

    A critical difference on the trading account stops new HL opens until a later report agrees. Symbols with
    an order in flight on the account are left for the next report: a fill may be on its way.
    """
    actual: dict[str, Decimal] = {}
    for symbol, size in report.positions:
        core.symbol(symbol)
        finite(f"size of {symbol}", size)
        if symbol in actual:
            raise InvalidInput(f"positions named {symbol} twice; each symbol has one net size")
        actual[symbol] = size
    busy = {order.symbol for order in core.venue_orders.values() if order.account is report.account}
    for symbol, state in core.symbols.items():
        if symbol in busy:
            continue
        expected = core.venue_size(report.account, state)
        difference = abs(actual.get(symbol, ZERO) - expected)
        if not difference and not core.position_differences:
            continue
        share = difference / max(abs(expected), state.spec.lot)
        _note(core, report.account, symbol, share)


def opens_allowed(core: Core) -> bool:
    """Tell whether the trading account's positions agree well enough for new HL opens."""
    return not any(
        account is HlAccount.TRADING and level == "CRITICAL"
        for (account, _), level in core.position_differences.items()
    )


def _note(core: Core, account: HlAccount, symbol: str, share: Decimal) -> None:
    risk = core.risk
    level = ""
    if share > risk.position_difference_critical:
        level = "CRITICAL"
    elif share > risk.position_difference_alert:
        level = "ALERT"
    if level == core.position_differences.get((account, symbol), ""):
        return
    if not level:
        del core.position_differences[account, symbol]
        core.guard_changed(f"HL_{account}_POSITIONS", symbol, "CLOSED", share)
        return
    core.position_differences[account, symbol] = level
    core.guard_changed(f"HL_{account}_POSITIONS", symbol, "OPEN", share)
    grade = AlertLevel.P0 if level == "CRITICAL" else AlertLevel.ALERT
    core.alert(
        grade, f"{account}_POSITIONS_DIFFER", symbol, share, "books and Hyperliquid disagree, share of size"
    )
