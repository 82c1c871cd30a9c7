import io
import json
import zipfile

import pytest

from data.import_files import ImportOptions, import_files
from hybrid_perps import run
from risk.errors import InvalidInput

MINUTE_MS = 60_000
START_MS = 1_722_816_000_000


def klines(folder, name, first, count, price=50_000.0):
    """Write Binance one-minute bars, ``count`` of them from minute ``first``."""
    rows = []
    for minute in range(first, first + count):
        at = START_MS + minute * MINUTE_MS
        row = [at, price, price + 30, price - 20, price + 10, 5, at + MINUTE_MS - 1, 0, 1, 0, 0, 0]
        rows.append(",".join(map(str, row)))
    return archive(folder, name, "\n".join(rows))


def archive(folder, name, text):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr(name.replace(".zip", ".csv"), text)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.getvalue())
    return path


def user_fills(folder, *sides):
    rows = [
        {"coin": "ETH", "px": "2000.0", "sz": "0.5", "side": side, "time": START_MS + number, "tid": number,
         "crossed": True, "dir": "Open Long", "startPosition": "0.0", "closedPnl": "0.0", "hash": "0x0",
         "oid": number, "fee": "0.1", "feeToken": "USDC"}
        for number, side in enumerate(sides, start=1)
    ]  # fmt: skip
    path = folder / f"fills-0x{'ab' * 20}.json"
    path.write_text(json.dumps(rows))
    return path


def test_bars_become_marks_and_quotes_of_a_new_dataset(tmp_path):
    catalog = import_files(
        [klines(tmp_path, "BTCUSDT-1m-2024-08-05.zip", 0, 3)], tmp_path / "set", ImportOptions()
    )
    assert [(e.kind, e.symbol, e.rows) for e in catalog.imports] == [
        ("quotes", "BTC", 12),
        ("marks", "BTC", 12),
    ]
    assert catalog.frame("marks", "BTC")["mark"].to_pylist()[:4] == [50_000.0, 49_980.0, 50_030.0, 50_010.0]


def test_true_mark_bars_are_preferred_over_last_prices(tmp_path):
    last = klines(tmp_path / "klines", "BTCUSDT-1m-2024-08-05.zip", 0, 2)
    true = klines(tmp_path / "markPriceKlines", "BTCUSDT-1m-2024-08-05.zip", 0, 2, price=49_000.0)
    catalog = import_files([last, true], tmp_path / "set", ImportOptions())
    assert catalog.frame("marks", "BTC")["mark"].to_pylist()[0] == 49_000.0
    assert catalog.frame("quotes", "BTC")["bid"].to_pylist()[0] > 49_900.0


def test_a_dataset_grows_by_later_files_and_refuses_the_same_time_twice(tmp_path):
    first = klines(tmp_path, "BTCUSDT-1m-2024-08-05.zip", 0, 3)
    later = klines(tmp_path, "BTCUSDT-1m-2024-08-06.zip", 3, 3)
    import_files([first], tmp_path / "set", ImportOptions())
    assert import_files([later], tmp_path / "set", ImportOptions()).imports[-1].rows == 12
    with pytest.raises(InvalidInput, match="overlaps what is there"):
        import_files([later], tmp_path / "set", ImportOptions())
    replaced = import_files([later], tmp_path / "set", ImportOptions(replace=True))
    assert [entry.rows for entry in replaced.imports] == [12, 12]
    assert replaced.frame("marks", "BTC").num_rows == 12


def test_files_that_overlap_each_other_are_refused_whole(tmp_path):
    paths = [
        klines(tmp_path / "a", "BTCUSDT-1m-2024-08-05.zip", 0, 3),
        klines(tmp_path / "b", "BTCUSDT-1m-2024-08-05.zip", 2, 3),
    ]
    with pytest.raises(InvalidInput, match="in time: import one of them"):
        import_files(paths, tmp_path / "set", ImportOptions())
    assert not (tmp_path / "set").exists()
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] != []


def test_quotes_that_share_a_stamp_give_one_mark(tmp_path):
    header = "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time\n"
    rows = [f"{n},{50_000 + n},1,{50_010 + n},1,{START_MS + n // 2},{START_MS}" for n in range(4)]
    path = archive(tmp_path, "BTCUSDT-bookTicker-2024-08-05.zip", header + "\n".join(rows))
    catalog = import_files([path], tmp_path / "set", ImportOptions())
    assert catalog.frame("quotes", "BTC").num_rows == 4
    assert catalog.frame("marks", "BTC")["mark"].to_pylist() == [50_006.0, 50_008.0]


def test_users_fills_become_a_flow_that_is_paid_for(tmp_path):
    bars = klines(tmp_path, "ETHUSDT-1m-2024-08-05.zip", 0, 3, price=2_000.0)
    import_files([bars, user_fills(tmp_path, "B", "B", "A")], tmp_path / "set", ImportOptions())
    from data.dataset import open_dataset

    flow = open_dataset(tmp_path / "set").flow
    assert flow.orders["side"].to_pylist() == ["BUY", "BUY", "SELL"]
    assert set(flow.orders["leverage"].to_pylist()) == {25}
    assert flow.transfers.to_pylist()[0]["kind"] == "OPENING_BALANCE"
    assert flow.transfers.to_pylist()[0]["amount"] == "80"  # 1 ETH at 2000, 25x


def test_fills_alone_bring_their_own_prices_and_spot_is_accounted_for(tmp_path):
    path = user_fills(tmp_path, "B", "A")
    rows = json.loads(path.read_text())
    rows.append(rows[0] | {"coin": "@107", "tid": 9})
    path.write_text(json.dumps(rows))
    catalog = import_files([path], tmp_path / "set", ImportOptions())
    quotes = catalog.frame("quotes", "ETH")
    assert quotes["bid"].to_pylist() == quotes["ask"].to_pylist() == [2000.0, 2000.0]
    from data.dataset import open_dataset

    dataset = open_dataset(tmp_path / "set")
    assert dataset.flow.orders.num_rows == 2
    assert sorted(dataset.accounting["fate"].to_pylist()) == ["SPOT", "TAKER_ORDER", "TAKER_ORDER"]


def test_the_commands_import_list_and_check(tmp_path, capsys):
    path = str(klines(tmp_path, "BTCUSDT-1m-2024-08-05.zip", 0, 3))
    catalog = ["--catalog", str(tmp_path / "catalog")]
    assert run(["data", "import", path, "--into", "mine", *catalog]) == 0
    capsys.readouterr()
    assert run(["data", "list", "--json", *catalog]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(e["dataset"], e["kind"], e["symbol"], e["rows"]) for e in listed] == [
        ("mine", "quotes", "BTC", 12), ("mine", "marks", "BTC", 12),
    ]  # fmt: skip
    assert run(["data", "check", "mine", path, "--json", *catalog]) == 0
    assert [report["kind"] for report in json.loads(capsys.readouterr().out)] == ["marks", "quotes", "bars"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "missing.zip", "--into", "mine"], "missing.zip"),
        (["import", "BTCUSDT-1m-2024-08-05.zip"], "--into was missing"),
        (["import", "BTCUSDT-1m-2024-08-05.zip", "--into", "../up"], "--into was '../up'"),
        (["import", "BTCUSDT-1m-2024-08-05.zip", "--into", "flow-2023"], "--into was 'flow-2023'"),
        (["import", "BTCUSDT-1m-2024-08-05.zip", "--into", "m", "--symbol", "NOPE"], "symbol was 'NOPE'"),
        (["import", "BTCUSDT-1m-2024-08-05.zip", "--into", "m", "--spread-bps", "-1"], "spread_bps was -1"),
        (["import", "BTCUSDT-1m-2024-08-05.zip", "--into", "m", "--format", "x"], "format was 'x'"),
        (["import", "broken.zip", "--into", "m", "--format", "binance-klines"], "broken.zip"),
        (["check", "nothing"], "dataset was 'nothing'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    klines(tmp_path, "BTCUSDT-1m-2024-08-05.zip", 0, 3)
    (tmp_path / "broken.zip").write_bytes(b"not a zip")
    assert run(["data", *arguments, "--catalog", "catalog"]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1
    assert [path.name for path in tmp_path.glob("catalog/*") if not path.name.startswith(".")] == []
    assert list(tmp_path.glob("catalog/.*partial*")) == []
