"""What became of each order of a flow, and through the orders of each source fill: none goes unmentioned."""

from collections.abc import Iterable, Mapping

import pyarrow as pa

from backtest.views import connect_to

WITHOUT_ORDER = "NO_ORDER"  # of a source fill that was not made into one

_ASKED = ("flow", "fills", "orders_refused", "orders_cancelled", "orders_rested")

# An order that closed old positions on one route may open on the other, and its rest may be refused.
_OUTCOMES = """
create view outcomes as
with filled as (
    select order_id, case when bool_and(source = 'INTERNAL') then 'FILLED_INTERNAL'
        when bool_and(source = 'HYPERLIQUID') then 'FILLED_HYPERLIQUID' else 'FILLED_ON_BOTH' end as name
    from fills where action <> 'LIQUIDATION' group by order_id
), ended as (
    select order_id, min(name) as name from (
        select order_id, 'REFUSED_' || code as name from orders_refused union all
        select order_id, 'CANCELLED_' || reason from orders_cancelled
    ) group by order_id
), rested as (select distinct order_id from orders_rested)
select flow.order_id, case
    when flow.intent = 'CANCEL' then 'CANCEL_REQUEST'
    when filled.name is not null and ended.name is not null then filled.name || '_REST_' || ended.name
    when filled.name is not null then filled.name
    when ended.name is not null then ended.name
    when rested.order_id is not null then 'RESTING_AT_END'
    else 'PENDING_AT_END' end as outcome
from flow left join filled using (order_id) left join ended using (order_id) left join rested using (order_id)
"""


def order_outcomes(tables: Mapping[str, pa.Table], orders: pa.Table) -> pa.Table:
    """Return (order_id, outcome) of every row of ``orders`` (schema FLOW_ORDERS), in their order.

    FILLED_INTERNAL, FILLED_HYPERLIQUID or FILLED_ON_BOTH, with _REST_ and what ended the rest where it was
    filled in part; REFUSED_ with the code, CANCELLED_ with the reason (UNFILLED: nothing to be had within the
    cap); RESTING_AT_END; PENDING_AT_END: a trigger never reached, or in flight; CANCEL_REQUEST.
    """
    asked = dict(tables) | {"flow": orders.select(["order_id", "intent"])}
    with connect_to(asked, _ASKED) as connection:
        connection.execute(_OUTCOMES)
        by_id = dict(connection.execute("select order_id, outcome from outcomes").fetchall())
    ids = orders["order_id"].to_pylist()  # a join keeps no order
    return pa.table({"order_id": ids, "outcome": pa.array([by_id[name] for name in ids], pa.string())})


def with_outcomes(accounting: pa.Table, outcomes: pa.Table) -> pa.Table:
    """Return the accounting of source fills with a column ``outcome``: that of the order each became."""
    by_id = dict(zip(outcomes["order_id"].to_pylist(), outcomes["outcome"].to_pylist(), strict=True))
    ids: Iterable[str | None] = accounting["order_id"].to_pylist()
    reached = [WITHOUT_ORDER if name is None else by_id.get(name, WITHOUT_ORDER) for name in ids]
    return accounting.append_column("outcome", pa.array(reached, pa.string()))
