"""A run cut into slots of time: of each, just what is needed to judge any set of them put together.

A slot is a UTC day, or an hour in runs of less than ten days. Objectives are defined on slots alone, so that
one run answers for the whole, for the first part of it, for a later part, and for a bootstrap of its days.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from decimal import Decimal
from typing import Any

import pyarrow as pa
from duckdb import DuckDBPyConnection

from backtest.tuning.space import text_of
from backtest.views import connect_to
from risk.ledger import EQUITY_ACCOUNTS
from risk.settings import DAY_NS, HOUR_NS

MIN_DAYS = 10

_SLOTS = """
with path as (
    select ts // $slot as slot, ts, solvency, risk_reserve, total_exposure, trading_ratio, hedge_ratio,
        coalesce(lag(solvency) over w, $capital) as before,
        coalesce(lag(risk_reserve) over w, $reserve) as reserve_before,
        coalesce(lag(total_exposure) over w, 0) as exposure_before,
        ts - coalesce(lag(ts) over w, $start) as lasted
    from house window w as (order by ts)
), marked as (
    select *, first_value(before) over w as opened, first_value(reserve_before) over w as reserve_opened,
        greatest(max(solvency) over w, first_value(before) over w) - solvency as fallen
    from path window w as (partition by slot order by ts rows between unbounded preceding and current row)
)
select slot, last(solvency order by ts) - any_value(opened) as gain,
    least(min(solvency) - any_value(opened), 0) as low,
    greatest(max(solvency) - any_value(opened), 0) as high,
    greatest(max(fallen), 0) as drawdown,
    last(risk_reserve order by ts) - any_value(reserve_opened) as reserve_gain,
    least(min(risk_reserve) - any_value(reserve_opened), 0) as reserve_low,
    max(total_exposure) as exposure,
    min(trading_ratio) as trading_ratio, min(hedge_ratio) as hedge_ratio,
    coalesce(sum(lasted) filter (exposure_before > $limit), 0) as over_limit_ns
from marked group by slot order by slot
"""
_BOOKED = """
select ts // $slot as slot, -coalesce(sum(amount) filter (account = 'hedge_cost'), 0) as hedge_cost,
    -coalesce(sum(amount) filter (kind = 'bad_debt'), 0) as bad_debt
from journal where list_contains($equity, account) group by slot
"""
_TRADED = """
select ts // $slot as slot, sum(price * size) as volume,
    coalesce(sum(price * size) filter (source = 'INTERNAL'), 0) as internal_volume,
    count(*) filter (action = 'LIQUIDATION') as liquidations
from fills group by slot
"""
_ALARMS = """
select ts // $slot as slot,
    min(value) filter (guard = 'HL_TRADING_MARGIN' and state <> 'NORMAL') as trading_ratio,
    min(value) filter (guard = 'HL_HEDGE_MARGIN' and state <> 'NORMAL') as hedge_ratio,
    count(*) filter (guard = 'DAILY_LOSS_BREAKER' and state = 'OPEN') as breaker_openings
from guards group by slot
"""


@dataclass(frozen=True, slots=True)
class Slots:
    """Hold one value per slot in time order; money in USDC, exact.

    ``gain`` is what the house earned (Δ solvency); ``low`` ≤ 0 and ``high`` ≥ 0 are its extremes within the slot
    against its start, ``drawdown`` ≥ 0 the worst fall inside it, all as sampled. Ratios are None where an
    account stood without maintenance; ``over_limit_ns`` is time above the study's exposure limit.
    """

    slot_ns: int
    start_ns: list[int]
    gain: list[Decimal]
    low: list[Decimal]
    high: list[Decimal]
    drawdown: list[Decimal]
    reserve_gain: list[Decimal]
    reserve_low: list[Decimal]
    exposure: list[Decimal]
    trading_ratio: list[Decimal | None]
    hedge_ratio: list[Decimal | None]
    over_limit_ns: list[int]
    hedge_cost: list[Decimal]
    bad_debt: list[Decimal]
    volume: list[Decimal]
    internal_volume: list[Decimal]
    liquidations: list[int]
    breaker_openings: list[int]

    def __len__(self) -> int:
        return len(self.start_ns)

    def take(self, numbers: Sequence[int]) -> "Slots":
        """Return the slots so numbered, in that order, repeats allowed."""
        columns = {
            field.name: [getattr(self, field.name)[number] for number in numbers]
            for field in fields(self)
            if field.name != "slot_ns"
        }
        return Slots(slot_ns=self.slot_ns, **columns)

    def between(self, start_ns: int, end_ns: int) -> "Slots":
        """Return the slots that begin at start_ns ≤ ts < end_ns."""
        return self.take([n for n, start in enumerate(self.start_ns) if start_ns <= start < end_ns])

    def to_json(self) -> dict[str, Any]:
        """Return plain lists, decimals as text."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Slots":
        """Read what ``to_json`` wrote."""
        whole = {"slot_ns", "start_ns", "over_limit_ns", "liquidations", "breaker_openings"}
        columns: dict[str, Any] = {
            name: value if name in whole else _exact(value) for name, value in found.items()
        }
        return cls(**columns)


def slot_length(span_ns: tuple[int, int]) -> int:
    """Return the length of a slot in a run over ``span_ns``."""
    return DAY_NS if span_ns[1] - span_ns[0] >= MIN_DAYS * DAY_NS else HOUR_NS


def cut(
    tables: Mapping[str, pa.Table], capital: Decimal, reserve: Decimal, exposure_limit: Decimal, slot_ns: int
) -> Slots:
    """Cut a run's tables into slots; ``capital`` and ``reserve`` are what the house and its reserve began with."""
    connection = connect_to(tables, ("house", "journal", "fills", "guards"))
    try:
        (start,) = connection.execute("select min(ts) from journal").fetchall()[0]
        parameters = {
            "slot": slot_ns,
            "capital": capital,
            "reserve": reserve,
            "start": start,
            "limit": exposure_limit,
        }
        path = _by_slot(connection, _SLOTS, parameters)
        booked = _by_slot(connection, _BOOKED, {"slot": slot_ns, "equity": list(EQUITY_ACCOUNTS)})
        traded, alarms = (_by_slot(connection, sql, {"slot": slot_ns}) for sql in (_TRADED, _ALARMS))
    finally:
        connection.close()
    return _joined(slot_ns, path, booked, traded, alarms)


def _by_slot(
    connection: DuckDBPyConnection, sql: str, parameters: Mapping[str, Any]
) -> dict[int, dict[str, Any]]:
    found = connection.execute(sql, parameters)
    names = [column[0] for column in found.description or ()]
    return {row[0]: dict(zip(names, row, strict=True)) for row in found.fetchall()}


def _joined(slot_ns: int, path: Any, booked: Any, traded: Any, alarms: Any) -> Slots:
    """Join what was found by slot; a slot without a snapshot of the house belongs to none that is judged."""
    money = dict.fromkeys(("hedge_cost", "bad_debt", "volume", "internal_volume"), Decimal(0))
    counts = {"liquidations": 0, "breaker_openings": 0}
    found = []
    for slot, row in sorted(path.items()):
        others = money | counts | booked.get(slot, {}) | traded.get(slot, {})
        alarm = alarms.get(slot, {})
        ratios = {
            name: min((x for x in (row[name], alarm.get(name)) if x is not None), default=None)
            for name in ("trading_ratio", "hedge_ratio")
        }
        openings = alarm.get("breaker_openings", 0)
        found.append(others | row | ratios | {"breaker_openings": openings, "start_ns": slot * slot_ns})
    names = [field.name for field in fields(Slots) if field.name != "slot_ns"]
    return Slots(slot_ns, **{name: [row[name] for row in found] for name in names})


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return text_of(value) if isinstance(value, Decimal) else value


def _exact(value: list[str | None]) -> list[Decimal | None]:
    return [None if item is None else Decimal(item) for item in value]
