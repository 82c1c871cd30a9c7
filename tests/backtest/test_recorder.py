import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest import recorder
from backtest.recorder import DECIMAL, TABLES, Recorder, digest_of, schema_of
from risk.errors import InvariantBroken
from risk.events import Event, FillAction, OrderFilled, OrderRouted, RouteReason, Source, Transferred
from risk.house_events import HouseSnapshot
from risk.settings import RoutingMode

ROOT = Path(__file__).parents[2]
ROUTED = OrderRouted(
    "o1",
    5,
    "u1",
    "BTC",
    1,
    Decimal(5000),
    RoutingMode.NORMAL_MODE,
    None,
    Source.INTERNAL,
    RouteReason.WITHIN_THRESHOLD,
)
MOVED = Transferred(1, 5, "FEE", "o1", (("cash:u1", Decimal("-2.5")), ("fee_income", Decimal("2.5"))))


def fill(fill_id: int, price: Decimal) -> OrderFilled:
    size, zero = Decimal("0.05"), Decimal(0)
    return OrderFilled(
        *(fill_id, "o1", 1, 5, "u1", "BTC", 1, price, size, zero, Source.INTERNAL, price, False),
        *(FillAction.OPEN, zero, price),
    )


def test_every_kind_of_event_has_a_table() -> None:
    assert {Transferred, *TABLES} == set(get_args(Event))
    assert len(set(TABLES.values())) == len(TABLES)


def test_a_row_holds_what_the_event_said() -> None:
    recording = Recorder()
    recording.record((ROUTED, MOVED))
    tables = recording.tables()
    assert tables["routing_records"].to_pylist() == [
        {
            "order_id": "o1",
            "ts": 5,
            "user": "u1",
            "symbol": "BTC",
            "side": 1,
            "notional": Decimal(5000),
            "mode": "NORMAL_MODE",
            "threshold": None,
            "route": "INTERNAL",
            "reason": "WITHIN_THRESHOLD",
        }
    ]
    assert tables["journal"].to_pylist() == [
        {"seq": 1, "ts": 5, "kind": "FEE", "ref": "o1", "account": "cash:u1", "amount": Decimal("-2.5")},
        {"seq": 1, "ts": 5, "kind": "FEE", "ref": "o1", "account": "fee_income", "amount": Decimal("2.5")},
    ]


def test_tables_without_a_row_have_their_columns() -> None:
    tables = Recorder().tables()
    assert list(tables) == sorted([*TABLES.values(), "journal"])
    assert tables["house"].schema == schema_of(HouseSnapshot)
    assert tables["house"].schema.field("trading_ratio").type == DECIMAL


def test_averages_are_rounded_half_even_and_money_never() -> None:
    recording = Recorder()
    recording.record((fill(1, Decimal(2) / 3), fill(2, Decimal("0.0000000000005")), fill(3, Decimal("1.5"))))
    prices = recording.tables()["fills"]["price"].to_pylist()
    assert prices == [Decimal("0.666666666667"), Decimal(0), Decimal("1.5")]
    third = Decimal(1) / 3
    recording.record((Transferred(1, 5, "FEE", "o1", (("a", third), ("b", -third))),))
    with pytest.raises(InvariantBroken):
        recording.tables()


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8))
def test_chunks_change_neither_rows_nor_digest(sizes: list[int]) -> None:
    whole, parts = Recorder(), Recorder()
    made = [fill(i, Decimal(i)) for i in range(sum(sizes))]
    whole.record(made)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorder, "_PENDING_LIMIT", 20)
        for size in sizes:
            parts.record(made[:size])
            del made[:size]
    assert parts.tables()["fills"].to_pydict() == whole.tables()["fills"].to_pydict()
    assert digest_of(parts.tables()) == digest_of(whole.tables())


def test_the_digest_sees_every_value_order_and_name() -> None:
    def digest(*events: Event, book: str = "b") -> str:
        recording = Recorder()
        recording.record(events)
        return digest_of(recording.tables(), book)

    one, two = fill(1, Decimal(1)), fill(2, Decimal(2))
    seen = [digest(), digest(one), digest(two), digest(one, two), digest(two, one), digest(book="c")]
    assert len(set(seen)) == len(seen)
    table = pa.table({"x": [1]})
    assert digest_of({"a": table}) != digest_of({"b": table})


def test_the_digest_is_the_same_in_another_process_with_another_hash_seed() -> None:
    program = (
        "from tests.backtest.test_recorder import ROUTED, MOVED; from backtest.recorder import *\n"
        "r = Recorder(); r.record((ROUTED, MOVED)); print(digest_of(r.tables()))"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    recording = Recorder()
    recording.record((ROUTED, MOVED))
    assert digests == {f"{digest_of(recording.tables())}\n"}
