"""The played world as a NautilusTrader actor: its rows arrive as custom data, its alerts by the engine's clock."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from nautilus_trader.common import DataActor, DataActorConfig
from nautilus_trader.model import ActorId, DataType

from backtest.played_world import PlayedWorld
from risk.events import Event
from strategies.driver import CoreDriver
from strategies.flow_types import USER_TRANSFER
from strategies.guard import FailureKeeper, guarded
from venues.hyperliquid.instruments import instrument_id

FUNDING_SETTLEMENT = DataType("FundingSettlement")
CHANNEL_CHANGE = DataType("ChannelChange")


class SimulatedExchange(DataActor):
    """Let a ``PlayedWorld`` happen in an engine's time; its operator answers after ``response_ns``."""

    def __new__(cls, *_: Any) -> "SimulatedExchange":
        """Make the native object, which takes its configuration in ``__init__``."""
        return super().__new__(cls)

    def __init__(self, driver: CoreDriver, failures: FailureKeeper, response_ns: int) -> None:
        super().__init__(DataActorConfig(actor_id=ActorId("EXCHANGE-001")))
        self.failures = failures
        self._world = PlayedWorld(driver, response_ns, self._alert, self._mark_of)

    @guarded
    def on_start(self) -> None:
        """Subscribe to the data that tells what happened."""
        for kind in (FUNDING_SETTLEMENT, CHANNEL_CHANGE, USER_TRANSFER):
            self.subscribe_data(kind)

    @guarded
    def on_data(self, data: Any) -> None:
        """Take one row."""
        self._world.take(data.data, self.clock.timestamp_ns())

    def watch(self, events: tuple[Event, ...]) -> None:
        """Let the world answer events."""
        self._world.watch(events)

    def _alert(self, name: str, due_ns: int, act: Callable[[int], None]) -> None:
        @guarded
        def ring(_: SimulatedExchange, __: Any) -> None:
            act(self.clock.timestamp_ns())

        self.clock.set_time_alert_ns(name, due_ns, lambda event: ring(self, event))

    def _mark_of(self, symbol: str) -> Decimal | None:
        mark = self.cache.mark_price(instrument_id(symbol))
        return None if mark is None else mark.value.as_decimal()
