"""Views of the books, from what they hold in memory; nothing in them is changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import singledispatch

from live.books.commands import answer_to, named, not_taken
from live.books.queries import (
    AccountQuery,
    AccountView,
    HouseQuery,
    HouseView,
    MarketQuery,
    MarketView,
    PositionView,
    PreviewQuery,
    PreviewView,
    SymbolHouse,
    SymbolMarket,
    View,
)
from live.books.writable import check_values
from live.ledger.machine import Machine
from risk.errors import InvalidInput
from risk.events import FillAction
from risk.figures import AccountFigures, PositionFigures, account_figures
from risk.inputs import OrderSubmitted
from risk.ledger import RISK_RESERVE, ZERO
from risk.margin import initial_margin
from risk.rehearsal import at_dearest, mean_price, rehearse, valued
from risk.watch import MarketWatch


@dataclass(frozen=True, slots=True)
class Seen:
    """Hold what views are made from: the books, the market, the time, and each symbol's last funding rate."""

    machine: Machine
    watch: MarketWatch
    now: int
    rates: Mapping[str, Decimal]


@singledispatch
def view(query: object, seen: Seen) -> View:
    """Return what ``query`` asks for; raises InvalidInput for a user or a symbol that is not there."""
    raise InvalidInput(f"query was {type(query).__name__}; the books know no such query")


@view.register
def _account(query: AccountQuery, seen: Seen) -> AccountView:
    seen.machine.users.known(query.user)
    book = seen.machine.book
    figures = account_figures(valued(book, seen.watch.unflushed(book.symbols_of(query.user))), query.user)
    return AccountView(
        seen.machine.seq,
        seen.now,
        query.user,
        figures.cash,
        figures.holds,
        figures.withdrawals_pending,
        figures.isolated_margin,
        figures.total_balance,
        figures.account_value,
        figures.equity,
        figures.free,
        figures.withdrawable,
        figures.initial_margin,
        figures.maintenance,
        figures.margin_ratio,
        tuple(map(_position, figures.positions)),
    )


def _position(figures: PositionFigures) -> PositionView:
    position = figures.position
    return PositionView(
        position.position_id,
        position.symbol,
        position.side,
        position.size,
        position.cost / position.size,
        figures.mark,
        figures.notional,
        position.leverage,
        position.margin_mode,
        figures.initial_margin,
        figures.maintenance,
        figures.equity,
        figures.margin_ratio,
        figures.unrealised,
        figures.funding_owed,
        figures.liquidation_price,
    )


@view.register
def _preview(query: PreviewQuery, seen: Seen) -> PreviewView:
    machine = seen.machine
    order = named(query.order, seen.now, machine.next_id(OrderSubmitted))
    try:
        check_values(order)
        machine.check(order)
        rehearsed = at_dearest(rehearse(machine.book, order, seen.watch.unflushed()))
    except InvalidInput as error:
        answer = not_taken(error)
        return PreviewView(
            machine.seq,
            seen.now,
            answer.status,
            answer.code,
            answer.detail,
            False,
            ZERO,
            None,
            ZERO,
            ZERO,
            ZERO,
            None,
            ZERO,
        )
    answer = answer_to(order, machine.seq + 1, rehearsed.events)
    fills = rehearsed.filled
    opened = [fill for fill in fills if fill.action is FillAction.OPEN]
    after = account_figures(rehearsed.after, order.user)
    return PreviewView(
        machine.seq,
        seen.now,
        answer.status,
        answer.code,
        answer.detail,
        answer.resting,
        sum((fill.size for fill in fills), ZERO),
        mean_price(fills),
        sum((fill.fee for fill in fills), ZERO),
        sum((fill.pnl for fill in fills), ZERO),
        sum((initial_margin(fill.price * fill.size, order.leverage) for fill in opened), ZERO),
        _liquidated_first(after, order.side, {fill.position_id for fill in opened}),
        after.free,
    )


def _liquidated_first(after: AccountFigures, side: int, ids: set[int]) -> Decimal | None:
    prices = [
        each.liquidation_price
        for each in after.positions
        if each.position.position_id in ids and each.liquidation_price is not None
    ]
    if not prices:
        return None
    return max(prices) if side > 0 else min(prices)


@view.register
def _market(query: MarketQuery, seen: Seen) -> MarketView:
    symbols = query.symbols or sorted(seen.machine.book.specs)
    return MarketView(seen.machine.seq, seen.now, tuple(_symbol(seen, symbol) for symbol in symbols))


def _symbol(seen: Seen, symbol: str) -> SymbolMarket:
    market = seen.watch.view(symbol)
    spec = seen.machine.book.specs[symbol]
    return SymbolMarket(
        symbol,
        None if market is None else market.mark,
        None if market is None else market.bids[0][0],
        None if market is None else market.asks[0][0],
        None if market is None else market.oracle,
        seen.rates.get(symbol),
        spec.tiers.leverages[0],
        tuple(zip(spec.tiers.lowers, spec.tiers.leverages, strict=True)),
        spec.lot,
        spec.size_decimals,
        spec.price_decimals,
        spec.min_notional,
    )


@view.register
def _house(_: HouseQuery, seen: Seen) -> HouseView:
    machine, book = seen.machine, seen.machine.book
    core = book._core
    return HouseView(
        machine.seq,
        seen.now,
        book.balance(RISK_RESERVE),
        core.reserve_level,
        book.solvency(),
        book.users_open(),
        core.total_exposure,
        core.breaker.loss(core.total_unrealised),
        core.breaker.open,
        core.hl_halted,
        machine.halted,
        book.service_level,
        tuple(_symbol_of_house(machine, symbol) for symbol in core.symbols),
    )


def _symbol_of_house(machine: Machine, symbol: str) -> SymbolHouse:
    core = machine.book._core
    state, row = core.symbols[symbol], core.settings.routing_of(symbol)
    return SymbolHouse(
        symbol,
        state.mode,
        state.pinned,
        row.internal_whitelisted,
        row.auto_switch_enabled,
        row.normal_threshold,
        row.betting_threshold,
        row.hl_mode_exposure_threshold,
        row.betting_mode_exposure_threshold,
        state.mark,
        state.net_size,
        state.exposure,
        state.hl_size,
        state.hedge_size,
        state.hedge_cost,
        state.hl_halted,
        state.guard.quarantined,
    )
