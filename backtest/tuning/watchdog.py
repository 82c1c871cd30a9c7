"""Ending a run that cannot hold its constraints any more: the only pruning that is honest here.

A house's result half-way says little of its end, so no run is ended for earning less than others. But some
measures can only get worse as a run goes on, and once such a one has broken its limit no later day mends it.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal

from backtest.tuning.measures import MEASURES
from backtest.tuning.study import Limit
from risk.events import Event
from risk.house_events import HouseSnapshot

_ZERO = Decimal(0)


class LimitBroken(Exception):
    """Say which measure broke its limit for good, by how much and when."""

    def __init__(self, measure: str, figure: Decimal, ts: int) -> None:
        super().__init__(f"{measure} was {figure} at {ts}")
        self.measure, self.figure, self.ts = measure, figure, ts


class Watchdog:
    """Follow a run's snapshots and raise LimitBroken at the first that breaks a limit for good."""

    def __init__(self, limits: Mapping[str, Limit], capital: Decimal) -> None:
        """Watch those of ``limits`` whose measure can only worsen; ``capital`` is what the house began with."""
        self._limits = {name: limit for name, limit in limits.items() if name in _RUNNING}
        self._peak = capital
        self._worst: dict[str, Decimal] = {}

    def watch(self, events: tuple[Event, ...]) -> None:
        """Look at the snapshots among ``events``."""
        if not self._limits:
            return
        for event in events:
            if type(event) is HouseSnapshot:
                self._look(event)

    def _look(self, snapshot: HouseSnapshot) -> None:
        self._peak = max(self._peak, snapshot.solvency)
        for name, limit in self._limits.items():
            figure = _RUNNING[name](self._peak, snapshot)
            if figure is not None and limit.excess(self._worse(name, figure)) > 0:
                raise LimitBroken(name, self._worst[name], snapshot.ts)

    def _worse(self, name: str, figure: Decimal) -> Decimal:
        pick = max if MEASURES[name].better == "minimize" else min
        self._worst[name] = pick(self._worst.get(name, figure), figure)
        return self._worst[name]


type _Running = Callable[[Decimal, HouseSnapshot], Decimal | None]


def _lower_ratio(_: Decimal, snapshot: HouseSnapshot) -> Decimal | None:
    return min((x for x in (snapshot.trading_ratio, snapshot.hedge_ratio) if x is not None), default=None)


# Each is never worse than the measure of the whole run: (highest solvency so far, snapshot) → figure.
_RUNNING: dict[str, _Running] = {
    "max_drawdown": lambda peak, snapshot: peak - snapshot.solvency,
    "margin_ratio": _lower_ratio,
    "trading_margin_ratio": lambda _, snapshot: snapshot.trading_ratio,
    "hedge_margin_ratio": lambda _, snapshot: snapshot.hedge_ratio,
    "bad_debt": lambda _, snapshot: snapshot.bad_debt_turnover,
    "max_exposure": lambda _, snapshot: snapshot.total_exposure,
}
