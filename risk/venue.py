"""What Hyperliquid tells us: fills, ended orders, the channel, and the loss of an account; each to its desk."""

from risk import external, external_close, hedge_desk, house_accounts, liquidation
from risk.checks import finite, twelve_decimals
from risk.core import Core
from risk.errors import AlreadySo, InvalidInput
from risk.events import Source
from risk.house_events import AlertLevel
from risk.inputs import (
    ChannelReported,
    HlAccount,
    HlHaltLifted,
    VenueAccountLiquidated,
    VenueFilled,
    VenueOrderEnded,
)
from risk.ledger import ZERO
from risk.numbers import round_money
from risk.state import Position, Purpose, VenueOrder


def filled(core: Core, fill: VenueFilled) -> None:
    """Book a fill of one of our orders."""
    order = _order(core, fill.cloid)
    for name in ("price", "size"):
        twelve_decimals(name, getattr(fill, name))
    finite("fee", fill.fee)
    if fill.size > order.left:
        raise InvalidInput(f"size was {fill.size}; order {fill.cloid} has {order.left} left to fill")
    fill = VenueFilled(fill.ts, fill.cloid, fill.price, fill.size, round_money(fill.fee), fill.maker)
    if order.purpose is Purpose.OPEN:
        external.filled_open(core, order, fill)
    elif order.purpose is Purpose.HEDGE:
        hedge_desk.filled_hedge(core, order, fill)
    elif order.purpose is Purpose.TAKEOVER:
        house_accounts.filled_takeover(core, order, fill)
    else:
        for leg, part in external_close.split_fill(order, fill):
            if leg.position_id in core.positions:
                external_close.filled_close(core, leg, part)
            else:  # its position was settled with our lost account
                house_accounts.filled_takeover(core, leg, part)


def ended(core: Core, end: VenueOrderEnded) -> None:
    """Finish one of our orders."""
    order = _order(core, end.cloid)
    del core.venue_orders[end.cloid]
    if order.user:
        core.users[order.user].in_flight.pop(end.cloid, None)
    if order.purpose is Purpose.OPEN:
        external.ended_open(core, order, end.refused, end.reason)
    elif order.purpose is Purpose.CLOSE:
        for leg in order.legs:
            external_close.ended_close(core, leg)
        external.tell_unfilled(core, order, end.refused, end.reason)
    elif order.purpose is Purpose.LIQUIDATION:
        for leg in order.legs:  # the one
            external_close.ended_close(core, leg)
            liquidation.ended_liquidation(core, leg, end.refused)
    elif order.purpose is Purpose.HEDGE:
        hedge_desk.ended_hedge(core, order)


def lift_halt(core: Core, given: HlHaltLifted) -> None:
    """Let HL opens of a symbol go on; raises AlreadySo for one that is not halted."""
    state = core.symbol(given.symbol)
    if not state.hl_halted:
        raise AlreadySo(f"symbol was {given.symbol!r}; it is not halted")
    state.hl_halted = False
    core.guard_changed("HL_HALT", given.symbol, "CLOSED", ZERO)


def _order(core: Core, cloid: str) -> VenueOrder:
    order = core.venue_orders.get(cloid)
    if order is None:
        raise InvalidInput(f"cloid was {cloid!r}; no such order of ours is at the venue")
    return order


def channel_reported(core: Core, report: ChannelReported) -> None:
    """Take the state of the channel; a change is recorded, and the hedger may act again."""
    if core.channel.report(core.now, report.connected, report.round_trip_ns):
        core.guard_changed("CHANNEL", "", "CLOSED" if report.connected else "OPEN", ZERO)
        core.hedge_requested = True
        if not report.connected:
            core.alert(AlertLevel.ALERT, "HL_DISCONNECTED", "", ZERO, "orders for Hyperliquid are refused")


def account_liquidated(core: Core, given: VenueAccountLiquidated) -> None:
    """Settle what stood on a liquidated account of ours (§4): users at mark, the cost from reserve and capital."""
    if given.account is HlAccount.TRADING:
        house_accounts.audit_users(core, given.account)
        house_accounts.account_liquidated(core, given.account)
        for position in [p for p in core.positions.values() if p.source is Source.HYPERLIQUID]:
            _settle_at_mark(core, position)
    else:
        house_accounts.account_liquidated(core, given.account)


def _settle_at_mark(core: Core, position: Position) -> None:
    state = core.symbols[position.symbol]
    order = VenueOrder(
        f"takeover:{position.position_id}",
        HlAccount.TRADING,
        Purpose.TAKEOVER,
        position.symbol,
        -position.side,
        position.size,
        state.mark,
        f"takeover:{position.position_id}",
        position.user,
        position_id=position.position_id,
        margin_mode=position.margin_mode,
    )
    position.closing += position.size
    fill = VenueFilled(core.now, order.cloid, state.mark, position.size, ZERO)
    external_close.filled_close(core, order, fill)
