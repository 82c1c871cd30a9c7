"""What happened to orders and positions, as rows."""

from dataclasses import dataclass, field
from decimal import Decimal

from live.ledger.batch import Batch
from live.ledger.project_money import MoneyProjection
from live.ledger.project_orders import SIDES, OrdersProjection
from live.ledger.rows import Moment
from live.ledger.rows_trading import FillRow, FundingSettlementRow, LiquidationRow, OrderRow, PositionRow
from risk.book import Book
from risk.events import (
    FillAction,
    FundingAccrued,
    FundingSettled,
    MarginChanged,
    OrderFilled,
    PositionClosed,
    PositionLiquidated,
    PositionOpened,
)
from risk.ledger import ZERO
from risk.numbers import round_money
from risk.state import Position

DIRECTIONS = {1: "LONG", -1: "SHORT"}


@dataclass(slots=True)
class TradingState:
    """Hold the rows that can still change, and what funding rates have come to.

    ``rates`` sums each symbol's published rates; ``rates_at`` is what it was when a position last settled.
    """

    orders: dict[str, OrderRow] = field(default_factory=dict)
    positions: dict[int, PositionRow] = field(default_factory=dict)
    rates: dict[str, Decimal] = field(default_factory=dict)
    rates_at: dict[int, Decimal] = field(default_factory=dict)
    liquidations: int = 0
    funding_settlements: int = 0


class TradingProjection:
    """Turn events of users' trading into rows of a batch."""

    def __init__(self, state: TradingState, book: Book, money: MoneyProjection) -> None:
        self.state = state
        self._book = book
        self._money = money
        self.orders = OrdersProjection(state.orders, book)
        self._openings: dict[int, PositionOpened] = {}
        self._opened_by: dict[int, str] = {}
        self._positions: dict[int, None] = {}  # touched, in order
        self._liquidated: set[int] = set()

    def filled(self, batch: Batch, seq: int, event: OrderFilled) -> None:
        """Add a fill, and to its order's filled size."""
        batch.append(
            FillRow(
                event.fill_id,
                event.order_id,
                event.price,
                event.size,
                event.fee,
                event.source,
                event.hl_fill_price,
                event.position_id,
                event.user,
                event.symbol,
                SIDES[event.side],
                event.action,
                event.maker,
                event.pnl,
                event.mark,
                seq,
                Moment(event.ts),
            )
        )
        self._opened_by[event.position_id] = event.order_id
        if event.action == FillAction.LIQUIDATION:
            self._liquidated.add(event.position_id)
        self.orders.filled(event)

    def opened(self, event: PositionOpened) -> None:
        """Note a new position, or one that grew by a further fill of its order."""
        self._positions[event.position_id] = None
        self._openings[event.position_id] = event
        rates = self.state.rates
        self.state.rates_at.setdefault(event.position_id, rates.get(event.symbol, ZERO))

    def changed(self, event: PositionClosed | MarginChanged) -> None:
        """Note that a position must be written again."""
        self._positions[event.position_id] = None

    def liquidated(self, batch: Batch, seq: int, event: PositionLiquidated) -> None:
        """Add a liquidation; one at the venue is told of when its order ends, after the position is gone."""
        self.state.liquidations += 1
        batch.append(
            LiquidationRow(
                self.state.liquidations,
                event.position_id,
                event.user,
                event.trigger_price,
                event.close_price,
                event.margin_zeroed,
                event.symbol,
                event.size,
                event.source,
                event.margin_mode,
                event.pnl,
                event.bad_debt,
                seq,
                Moment(event.triggered_ns),
                Moment(event.ts),
            )
        )

    def accrued(self, event: FundingAccrued) -> None:
        """Add a published rate to its symbol's sum."""
        rates = self.state.rates
        rates[event.symbol] = rates.get(event.symbol, ZERO) + event.rate

    def settled(self, batch: Batch, seq: int, event: FundingSettled) -> None:
        """Add a funding payment, at the sum of the rates it covers."""
        state = self.state
        state.funding_settlements += 1
        self._positions[event.position_id] = None
        rate = state.rates.get(event.symbol, ZERO)
        since = rate - state.rates_at.get(event.position_id, ZERO)
        state.rates_at[event.position_id] = rate
        batch.append(
            FundingSettlementRow(
                state.funding_settlements,
                event.position_id,
                since,
                event.payment,
                Moment(event.ts),
                event.user,
                event.symbol,
                event.uncollected,
                event.source,
                seq,
            )
        )

    def finish(self, batch: Batch, seq: int, ts: int) -> None:
        """Set the rows of every order and position that the input touched."""
        for position_id in self._positions:
            self._write_position(batch, position_id, seq, Moment(ts))
        self.orders.finish(batch, seq, Moment(ts))
        self._positions.clear()
        self._openings.clear()
        self._opened_by.clear()
        self._liquidated.clear()

    def _write_position(self, batch: Batch, position_id: int, seq: int, now: Moment) -> None:
        state, position = self.state, self._book.positions.get(position_id)
        row = state.positions.get(position_id)
        if position is None:
            row = row or self._row_of(self._openings[position_id], ZERO, seq, now)
            row = self._closed(row, seq, now)
        else:
            if row is None:
                row = self._row_of(position, position.funding_index, seq, now)
            else:
                row = row._replace(
                    size=position.size,
                    entry_price=position.cost / position.size,
                    margin=position.margin,
                    cost=position.cost,
                    funding_index=position.funding_index,
                    updated_at=now,
                    updated_seq=seq,
                )
            state.positions[position_id] = row
            if not position.isolated:
                initial = round_money(position.cost / position.leverage)
                self._money.cross_changed(position_id, row.user_id, initial)
        batch.replace(row)

    def _closed(self, row: PositionRow, seq: int, now: Moment) -> PositionRow:
        """Forget a position that is gone, and return its last row."""
        self.state.positions.pop(row.id, None)
        self.state.rates_at.pop(row.id, None)
        if row.margin_mode == "CROSS":
            self._money.cross_changed(row.id, row.user_id, ZERO)
        self._money.closed(row.id)
        status = "LIQUIDATED" if row.id in self._liquidated else "CLOSED"
        return row._replace(size=ZERO, cost=ZERO, margin=ZERO, status=status, updated_at=now, updated_seq=seq)

    def _row_of(
        self, opened: Position | PositionOpened, funding_index: Decimal, seq: int, now: Moment
    ) -> PositionRow:
        return PositionRow(
            opened.position_id,
            opened.user,
            opened.symbol,
            DIRECTIONS[opened.side],
            opened.size,
            opened.cost / opened.size,
            opened.margin_mode,
            opened.source,
            "OPEN",
            opened.leverage,
            opened.margin,
            opened.cost,
            funding_index,
            self._opened_by[opened.position_id],
            seq,
            now,
            now,
            seq,
        )
