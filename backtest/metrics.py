"""What a run came to, computed from its tables alone: one plain dict, as ``result.json`` holds it.

Money is exact and written as decimal strings; shares, ratios, seconds and basis points are floats.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from duckdb import DuckDBPyConnection

from backtest.estimates import estimates
from backtest.house_pnl import house_pnl, reserve_path
from backtest.scenario import Scenario
from backtest.toxicity import toxicity
from backtest.views import connect, rows

Metrics = dict[str, Any]


def compute_metrics(
    tables: Mapping[str, pa.Table], scenario: Scenario, resolution_ns: Mapping[str, int]
) -> Metrics:
    """Compute every metric of a run; ``tables`` are the recorder's, with ``marks`` (ts, symbol, mark)."""
    connection = connect(tables)
    try:
        found = {
            "house_pnl": house_pnl(connection),
            "estimates": estimates(connection, scenario.risk.config()),
            "solvency": _solvency(connection),
            "routing": _routing(connection),
            "execution": _execution(connection),
            "exposure": _exposure(connection),
            "hedging": _hedging(connection),
            "accounts": _accounts(connection),
            "liquidations": _liquidations(connection),
            "reserve": _reserve(connection, scenario),
            "guards": _guards(connection),
            "modes": _modes(connection),
            "deviation": _deviation(connection),
            "toxicity": _toxicity(tables, resolution_ns),
            "symbols": rows(connection, "select * from symbols order by volume desc, symbol"),
            "users": _users(connection),
        }
    finally:
        connection.close()
    return {name: plain(value) for name, value in found.items()}


def plain(value: Any) -> Any:
    """Turn Decimals into strings with the digits they need, all the way down."""
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _one(connection: DuckDBPyConnection, sql: str, *parameters: Any) -> dict[str, Any]:
    return rows(connection, sql, *parameters)[0]


def _solvency(connection: DuckDBPyConnection) -> Metrics:
    path = """
        select ts, solvency, max(solvency) over (order by ts rows unbounded preceding) - solvency as drawdown
        from house
    """
    found = _one(
        connection,
        f"""select (select last(solvency) from house) as last, min(solvency) as lowest,
            arg_min(ts, solvency) as lowest_ts, coalesce(max(drawdown), 0) as max_drawdown,
            arg_max(ts, drawdown) as max_drawdown_ts from ({path})""",
    )
    return found | {"solvent": found["lowest"] is None or found["lowest"] >= 0}


def _routing(connection: DuckDBPyConnection) -> Metrics:
    total = _one(
        connection, "select count(*) as orders, coalesce(sum(notional), 0) as notional from routing_records"
    )
    reasons = rows(
        connection,
        """select route, reason, mode, count(*) as orders, sum(notional) as notional
           from routing_records group by all order by route, reason, mode""",
    )
    for row in reasons:
        row["orders_share"] = row["orders"] / total["orders"]
        row["notional_share"] = float(row["notional"] / total["notional"]) if total["notional"] else 0.0
    refused = rows(
        connection, "select code, count(*) as orders from orders_refused group by code order by code"
    )
    cancelled = rows(
        connection, "select reason, count(*) as orders from orders_cancelled group by reason order by reason"
    )
    return total | {"reasons": reasons, "refused": refused, "cancelled": cancelled}


def _execution(connection: DuckDBPyConnection) -> Metrics:
    """Count fills by counterparty, role and action, and INTERNAL taker fills worse than their reference."""
    volumes = rows(
        connection,
        """select source, maker, action, count(*) as fills, sum(price * size) as volume, sum(fee) as fees
           from fills group by all order by source, maker, action""",
    )
    worse = _one(
        connection,
        """select count(*) as fills from fills
           where source = 'INTERNAL' and not maker and side * (price - hl_fill_price) > 0""",
    )
    return {"volumes": volumes, "worse_than_reference": worse["fills"]}


def _exposure(connection: DuckDBPyConnection) -> Metrics:
    symbols = rows(
        connection,
        """select symbol, max(abs(net_exposure)) as largest, arg_max(ts, abs(net_exposure)) as largest_ts,
               max(abs(hedge_notional)) as largest_hedge
           from exposure group by symbol order by largest desc, symbol""",
    )
    return {
        "largest_total": _one(connection, "select max(total_exposure) as x from house")["x"],
        "symbols": symbols,
    }


def _hedging(connection: DuckDBPyConnection) -> Metrics:
    """Measure coverage, and efficiency = 1 − var(house + hedge) / var(house) of price results per interval.

    Each interval's result is of the sizes held at its start, so money and size changes do not enter.
    """
    moved = """
        select ts, mark - lag(mark) over w as move, lag(net_size) over w as net, lag(hedge_size) over w as hedge
        from exposure window w as (partition by symbol order by ts)
    """
    results = f"""
        select ts, sum(-(move * net)::double) as house, sum((move * hedge)::double) as hedge
        from ({moved}) where move is not null group by ts order by ts
    """
    found = _one(
        connection,
        f"""select 1 - var_pop(house + hedge) / nullif(var_pop(house), 0) as efficiency,
               stddev_pop(house) as unhedged_deviation, stddev_pop(house + hedge) as hedged_deviation
            from ({results})""",
    )
    coverage = _one(
        connection,
        """select sum(abs(hedge_notional))::double / nullif(sum(abs(net_exposure)), 0)::double as coverage
           from exposure""",
    )
    orders = _one(
        connection,
        """select count(*) as fills, coalesce(sum(price * size), 0) as volume, coalesce(sum(fee), 0) as fees,
               coalesce(sum(slippage), 0) as slippage from venue_fills where account = 'HEDGE'""",
    )
    decisions = _one(connection, "select count(*) as decisions from hedge_targets")
    return found | coverage | orders | decisions


def _accounts(connection: DuckDBPyConnection) -> Metrics:
    """Find the lowest margin ratios, at snapshots and whenever an account's level changed, and top-ups."""
    return {
        account: _one(
            connection,
            f"""select min(ratio) as lowest_ratio, arg_min(ts, ratio) as lowest_ratio_ts,
                    (select min({account}_equity) from house) as lowest_equity,
                    (select last({account}_equity) from house) as last_equity,
                    (select coalesce(sum(-amount), 0) from journal
                     where kind = 'top_up' and account = 'hl_{account}') as topped_up
                from (select ts, {account}_ratio as ratio from house union all
                      select ts, value from guards
                      where guard = 'HL_{account.upper()}_MARGIN' and state <> 'NORMAL')""",
        )
        for account in ("trading", "hedge")
    }


def _liquidations(connection: DuckDBPyConnection) -> Metrics:
    latency = "(ts - triggered_ns) / 1e9"
    measures = f"""count(*) as count, coalesce(sum(notional), 0) as notional, count(distinct "user") as users,
        quantile_cont({latency}, 0.5) as latency_p50_s, quantile_cont({latency}, 0.99) as latency_p99_s,
        max({latency}) as latency_max_s"""
    parts = rows(
        connection,
        f"select source, margin_mode, {measures} from liquidations group by all order by source, margin_mode",
    )
    return _one(connection, f"select {measures} from liquidations") | {"parts": parts}


def _reserve(connection: DuckDBPyConnection, scenario: Scenario) -> Metrics:
    path = reserve_path(connection, scenario.risk.reserve_capital)
    lowest = min(path, key=lambda point: point[1], default=(None, scenario.risk.reserve_capital))
    return {
        "start": scenario.risk.reserve_capital,
        "last": path[-1][1] if path else scenario.risk.reserve_capital,
        "lowest": min(lowest[1], scenario.risk.reserve_capital),
        "lowest_ts": lowest[0] if lowest[1] < scenario.risk.reserve_capital else None,
    }


def _guards(connection: DuckDBPyConnection) -> Metrics:
    changes = rows(
        connection,
        "select guard, state, count(*) as times from guards group by all order by guard, state",
    )
    alerts = rows(
        connection,
        "select level, code, count(*) as times from alerts group by all order by level, code",
    )
    breaker = [
        row["times"] for row in changes if row["guard"] == "DAILY_LOSS_BREAKER" and row["state"] == "OPEN"
    ]
    return {"changes": changes, "alerts": alerts, "breaker_openings": sum(breaker)}


def _modes(connection: DuckDBPyConnection) -> Metrics:
    switches = rows(
        connection,
        """select symbol, from_mode, to_mode, "trigger", count(*) as times
           from routing_mode_logs group by all order by symbol, from_mode, to_mode, "trigger" """,
    )
    recommended = _one(connection, "select count(*) as times from routing_mode_recommendations")["times"]
    return {"switches": switches, "count": sum(row["times"] for row in switches), "recommended": recommended}


def _deviation(connection: DuckDBPyConnection) -> Metrics:
    return _one(
        connection,
        """select count(*) as logged, count(*) filter (grade = 'ALERT') as alerts,
               count(*) filter (grade = 'CRITICAL') as critical, coalesce(sum(deviation), 0) as net,
               coalesce(sum(abs(deviation)), 0) as turnover, max(deviation_rate)::double as highest_rate
           from deviation_logs""",
    )


def _toxicity(tables: Mapping[str, pa.Table], resolution_ns: Mapping[str, int]) -> Metrics:
    fills = tables["fills"]
    chosen = pc.and_(pc.equal(fills["source"], "INTERNAL"), pc.not_equal(fills["action"], "LIQUIDATION"))
    return toxicity(fills.filter(chosen), tables["marks"], resolution_ns)


def _users(connection: DuckDBPyConnection) -> Metrics:
    counts = """count(*) as traded, count(*) filter (pnl - fees - funding_paid > 0) as won,
        count(*) filter (pnl - fees - funding_paid < 0) as lost"""
    largest = 'select * from users order by volume desc, "user" limit 100'
    return _one(connection, f"select {counts} from users") | {"largest": rows(connection, largest)}
