"""User orders travel through a real engine, in time order with the market, as the objects that went in."""

from decimal import Decimal

import pyarrow as pa
from nautilus_trader.backtest import BacktestEngine, BacktestEngineConfig
from nautilus_trader.common import LoggerConfig, LogLevel
from nautilus_trader.execution import MakerTakerFeeModel
from nautilus_trader.model import AccountType, ClientId, Currency, Money, OmsType, Venue
from nautilus_trader.trading import Strategy, StrategyConfig

from data.catalog import to_mark_updates
from data.flow import FLOW_ORDERS, FLOW_TRANSFERS, to_orders, to_transfers
from data.frames import MARKS
from strategies.flow_types import USER_ORDER, USER_TRANSFER, wrap_orders, wrap_transfers
from venues.hyperliquid.instruments import TRADING_VENUE, instrument_id, perpetual
from venues.hyperliquid.specs import bundled_specs

BTC = bundled_specs()["BTC"]


class Listener(Strategy):
    """Write down what arrives, and when by the engine's clock."""

    heard: list

    def on_start(self):
        self.subscribe_mark_prices(instrument_id("BTC"))
        self.subscribe_data(USER_ORDER)
        self.subscribe_data(USER_TRANSFER)

    def on_mark_price(self, mark):
        self.heard.append((self.clock.timestamp_ns(), "mark"))

    def on_data(self, data):
        self.heard.append((self.clock.timestamp_ns(), data.data))


def order_rows(*times):
    row = dict.fromkeys(FLOW_ORDERS.names) | {
        "user": "u", "symbol": "BTC", "intent": "NET", "side": "BUY", "type": "MARKET", "size": "0.1",
        "leverage": 5, "margin_mode": "CROSS", "reduce_only": False, "source_fills": 0,
    }  # fmt: skip
    return pa.Table.from_pylist([row | {"order_id": f"o{ts}", "ts": ts} for ts in times], FLOW_ORDERS)


def test_orders_and_transfers_arrive_between_the_marks_they_belong_to():
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggerConfig(stdout_level=LogLevel.ERROR)))
    engine.add_venue(
        venue=Venue(TRADING_VENUE),
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        starting_balances=[Money(1000, Currency.from_str("USDC"))],
        fee_model=MakerTakerFeeModel(Decimal(0), Decimal(0)),
    )
    engine.add_instrument(perpetual(BTC))
    listener = Listener(StrategyConfig())
    heard = listener.heard = []
    engine.add_strategy(listener)
    transfers = pa.Table.from_pylist(
        [{"ts": 5, "user": "u", "amount": "7", "kind": "DEPOSIT"}], FLOW_TRANSFERS
    )
    orders = list(to_orders(order_rows(15, 25)))
    marks = pa.Table.from_pylist([{"ts": ts, "mark": 100.0} for ts in (10, 20, 30)], MARKS)
    engine.add_data(to_mark_updates(marks, BTC), sort=False)
    engine.add_data(wrap_transfers(to_transfers(transfers)), client_id=ClientId("FLOW"), sort=False)
    engine.add_data(wrap_orders(orders), client_id=ClientId("FLOW"), sort=False)
    engine.sort_data()
    engine.run()
    engine.dispose()
    assert [ts for ts, _ in heard] == [5, 10, 15, 20, 25, 30]
    assert heard[0][1].amount == Decimal(7)
    assert heard[2][1] is orders[0]
    assert heard[4][1] is orders[1]
