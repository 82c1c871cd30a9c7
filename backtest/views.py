"""DuckDB over the tables of a run: one view per table, times readable, and a few joined ones."""

from collections.abc import Iterable, Mapping
from typing import Any

import duckdb
import pyarrow as pa

from data.storage import first_line
from risk.errors import InvalidInput

# One row per position, from what opened it and what closed it.
_POSITIONS = """
create view positions as
with opened as (
    select position_id, min(ts) as opened_ts, any_value("user") as "user", any_value(symbol) as symbol,
        any_value(side) as side, any_value(source) as source, any_value(leverage) as leverage,
        any_value(margin_mode) as margin_mode, sum(size) as size, sum(cost) as cost
    from positions_opened group by position_id
), closed as (
    select position_id, max(ts) as last_close_ts, sum(size) as size_closed, sum(pnl) as pnl,
        bool_or(liquidation) as liquidated
    from positions_closed group by position_id
)
select opened.*, coalesce(size_closed, 0) as size_closed, coalesce(pnl, 0) as pnl,
    case when size_closed = size then last_close_ts end as closed_ts,
    coalesce(liquidated, false) as liquidated
from opened left join closed using (position_id)
"""

# What each user and each symbol brought: ``house_result`` is of INTERNAL fills and funding alone.
_BY_FILLS = """
create view {name} as
with traded as (
    select {key}, count(*) as fills, count(distinct {other}) as {other}s, sum(price * size) as volume,
        coalesce(sum(price * size) filter (source = 'INTERNAL'), 0) as internal_volume,
        coalesce(sum(price * size) filter (maker), 0) as maker_volume,
        sum(pnl) as pnl, sum(fee) as fees,
        coalesce(sum(fee - pnl) filter (source = 'INTERNAL'), 0) as internal_result
    from fills group by {key}
), funded as (
    select {key}, sum(payment) as funding_paid,
        coalesce(sum(payment) filter (source = 'INTERNAL'), 0) as internal_funding
    from funding_settlements group by {key}
), liquidated as (
    select {key}, count(*) as liquidations, sum(notional) as liquidated_notional
    from liquidations group by {key}
)
select {key}, fills, {other}s, volume, internal_volume, maker_volume, pnl, fees,
    coalesce(funding_paid, 0) as funding_paid, coalesce(liquidations, 0) as liquidations,
    coalesce(liquidated_notional, 0) as liquidated_notional,
    internal_result + coalesce(internal_funding, 0) as house_result
from traded left join funded using ({key}) left join liquidated using ({key})
"""
_JOINED = (
    _POSITIONS,
    _BY_FILLS.format(name="users", key='"user"', other="symbol"),
    _BY_FILLS.format(name="symbols", key="symbol", other='"user"').replace('"user"s', "users"),
)


def connect(tables: Mapping[str, pa.Table]) -> duckdb.DuckDBPyConnection:
    """Open an in-memory database with a view per table of a run, and ``positions``, ``users``, ``symbols``.

    A table with a column ``ts`` also has it as ``time`` (UTC).
    """
    connection = connect_to(tables, tables)
    for view in _JOINED:
        connection.execute(view)
    return connection


def connect_to(tables: Mapping[str, pa.Table], names: Iterable[str]) -> duckdb.DuckDBPyConnection:
    """Open a database with views of the tables ``names`` alone: what asks little of a run starts at once."""
    connection = duckdb.connect()
    # Rows stay in the order they were recorded, and sums of floats do not depend on who shared them.
    connection.execute("set threads = 1")
    for name in names:
        table = tables[name]
        time = "make_timestamp_ns(ts) as time, " if "ts" in table.column_names else ""
        connection.from_arrow(table).project(f"{time}*").create_view(name)
    return connection


def select(tables: Mapping[str, pa.Table], sql: str) -> pa.Table:
    """Run one SELECT over ``tables``; raise InvalidInput for anything else, or for what DuckDB refuses.

    The query sees neither files nor the network.
    """
    connection = connect(tables)
    connection.execute("set enable_external_access = false; set lock_configuration = true")
    try:
        statements = connection.extract_statements(sql)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise InvalidInput(f"the query was {sql!r}; it must be one SELECT")
        return connection.sql(sql).to_arrow_table()
    except duckdb.Error as error:
        raise InvalidInput(f"the query was refused: {first_line(error)}") from None
    finally:
        connection.close()


def rows(connection: duckdb.DuckDBPyConnection, sql: str, *parameters: Any) -> list[dict[str, Any]]:
    """Run ``sql`` and return its rows as dicts."""
    found = connection.execute(sql, parameters)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
