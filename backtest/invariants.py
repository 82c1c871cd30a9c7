"""What must hold of every run, checked over what was recorded rather than believed of the code that recorded it."""

from collections.abc import Mapping
from decimal import Decimal

import pyarrow as pa

from backtest.views import connect_to
from risk.errors import InvariantBroken

# Each query finds the offenders of one rule; none may be found.
_RULES = {
    "journal entries that do not sum to zero": """
        select seq, kind, sum(amount) as off_by from journal group by seq, kind having sum(amount) <> 0""",
    "fills without a routing record": """
        select fill_id, order_id from fills
        where action <> 'LIQUIDATION' and order_id not like 'takeover:%'
            and order_id not in (select order_id from routing_records)""",
    "INTERNAL market fills worse than Hyperliquid's price": """
        select fill_id, price, hl_fill_price from fills
        where source = 'INTERNAL' and not maker and action <> 'LIQUIDATION'
            and side * (price - hl_fill_price) > 0""",
    "INTERNAL fills without a reference price": """
        select fill_id from fills where source = 'INTERNAL' and hl_fill_price <= 0""",
}


def check_invariants(tables: Mapping[str, pa.Table], balances: Mapping[str, Decimal]) -> None:
    """Raise InvariantBroken, naming the first offender, if the recorded run breaks a rule of the books.

    ``balances`` are the book's own at the end: each must be the sum of its journal entries.
    """
    connection = connect_to(tables, ("journal", "fills", "routing_records"))
    try:
        for rule, sql in _RULES.items():
            offenders = connection.sql(f"select * from ({sql}) order by 1 limit 1").fetchall()
            if offenders:
                raise InvariantBroken(f"{rule}: {', '.join(map(str, offenders[0]))}")
        sums = connection.sql("select account, sum(amount) from journal group by account").fetchall()
    finally:
        connection.close()
    journal = {account: amount for account, amount in sums if amount}
    for account in sorted(journal.keys() | {name for name, held in balances.items() if held}):
        in_journal, in_book = journal.get(account, Decimal(0)), balances.get(account, Decimal(0))
        if in_journal != in_book:
            raise InvariantBroken(f"balance of {account} is {in_book}, its journal sums to {in_journal}")
