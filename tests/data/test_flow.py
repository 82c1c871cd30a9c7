from decimal import Decimal

import pyarrow as pa
import pytest

from data.flow import (
    FLOW_ORDERS,
    FLOW_TRANSFERS,
    Flow,
    read_flow,
    to_orders,
    to_transfers,
    validate,
    write_flow,
)
from risk.errors import InvalidInput

ORDER = {
    "order_id": "o1", "ts": 10, "user": "u1", "symbol": "BTC", "intent": "NET", "side": "BUY",
    "type": "MARKET", "size": "0.5", "limit_price": None, "trigger_price": None, "leverage": 10,
    "margin_mode": "CROSS",
    "reduce_only": False, "position_id": None, "cancels": None, "source_effect": None, "source_role": None,
    "source_fills": 0, "ref_price": None,
}  # fmt: skip
CANCEL = ORDER | {"order_id": "c1", "ts": 20, "intent": "CANCEL", "cancels": "o1"} | dict.fromkeys(
    ("side", "type", "size", "leverage", "margin_mode")
)  # fmt: skip
DEPOSIT = {"ts": 5, "user": "u1", "amount": "100.5", "kind": "DEPOSIT"}


def flow_of(*orders, transfers=(DEPOSIT,)):
    return Flow(
        pa.Table.from_pylist(list(orders), FLOW_ORDERS), pa.Table.from_pylist(list(transfers), FLOW_TRANSFERS)
    )


def test_a_flow_comes_back_from_its_files_as_it_was(tmp_path):
    flow = flow_of(ORDER, CANCEL)
    write_flow(flow, tmp_path / "flow")
    again = read_flow(tmp_path / "flow", symbols=["BTC"])
    assert again.orders.equals(flow.orders)
    assert again.transfers.equals(flow.transfers)
    assert again.span == (5, 20)
    assert again.users == ["u1"]


def test_rows_become_custom_data_with_exact_decimals():
    flow = flow_of(ORDER | {"type": "LIMIT", "limit_price": "0.1"}, CANCEL)
    first, second = to_orders(flow.orders)
    assert (first.ts_event, first.ts_init, first.order_type) == (10, 10, "LIMIT")
    assert (first.size, first.limit_price) == (Decimal("0.5"), Decimal("0.1"))
    assert (second.intent, second.cancels, second.size) == ("CANCEL", "o1", None)
    assert next(to_transfers(flow.transfers)).amount == Decimal("100.5")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": "-1"}, "size was '-1', it must be a decimal above 0"),
        ({"size": "0.00"}, "size was '0.00'"),
        ({"size": "NaN"}, "size was 'NaN'"),
        ({"size": "1e3"}, "size was '1e3'"),
        ({"size": None}, "size was None"),
        ({"symbol": "XYZ"}, "symbol was 'XYZ', it must be one of"),
        ({"side": "Bid"}, "side was 'Bid', it must be BUY or SELL"),
        ({"leverage": 0}, "leverage was 0"),
        ({"leverage": None}, "leverage was None"),
        ({"type": "LIMIT"}, "limit_price was None"),
        ({"limit_price": "5"}, "limit_price was '5', it must be null"),
        ({"type": "STOP_LOSS"}, "trigger_price was None"),
        ({"trigger_price": "5"}, "trigger_price was '5', it must be null"),
        ({"intent": "CLOSE"}, "reduce_only was False, it must be true exactly with CLOSE"),
        ({"position_id": 7}, "position_id was 7"),
        ({"cancels": "o9"}, "cancels was 'o9'"),
        ({"intent": "CANCEL"}, "cancels was None"),
        ({"reduce_only": True}, "reduce_only was True"),
        ({"type": "STOP_LOSS", "trigger_price": "5"}, "intent was 'NET', it must be CLOSE with"),
        ({"ts": 9}, "ts was 9, it must not go back before 10"),
        ({"ts": -3}, "ts was -3"),
        ({"order_id": "o1"}, "order_id was 'o1', it must be unique"),
        ({"user": ""}, "user was ''"),
        ({"margin_mode": "x"}, "margin_mode was 'x'"),
        ({"source_effect": "x"}, "source_effect was 'x'"),
        ({"ref_price": "0"}, "ref_price was '0'"),
    ],
)
def test_a_bad_order_is_named_by_row_and_value(change, message):
    bad = ORDER | {"order_id": "o2"} | change
    with pytest.raises(InvalidInput, match="order row 1: ") as error:
        validate(flow_of(ORDER, bad), ["BTC"])
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"amount": "0"}, "amount was '0'"),
        ({"amount": "inf"}, "amount was 'inf'"),
        ({"amount": "-5"}, "amount was '-5', it must be negative exactly in withdrawals"),
        ({"kind": "GIFT"}, "kind was 'GIFT'"),
        ({"ts": 1}, "ts was 1, it must not go back before 5"),
    ],
)
def test_a_bad_transfer_is_named_by_row_and_value(change, message):
    with pytest.raises(InvalidInput, match="transfer row 1: ") as error:
        validate(flow_of(ORDER, transfers=(DEPOSIT, DEPOSIT | change)))
    assert message in str(error.value)


def test_a_position_can_be_closed_whole():
    validate(flow_of(ORDER | {"intent": "CLOSE", "reduce_only": True, "position_id": 7, "size": None}))


def test_files_that_are_no_flow_are_refused_with_their_name(tmp_path):
    with pytest.raises(InvalidInput, match=r"orders\.parquet"):
        read_flow(tmp_path)
    (tmp_path / "orders.parquet").write_bytes(b"no parquet")
    with pytest.raises(InvalidInput, match="not a readable Parquet file"):
        read_flow(tmp_path)


def test_a_refused_flow_writes_nothing(tmp_path):
    with pytest.raises(InvalidInput):
        write_flow(flow_of(ORDER | {"size": "-1"}), tmp_path / "flow")
    assert not (tmp_path / "flow").exists()
