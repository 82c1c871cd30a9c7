"""A dataset that was damaged after it was built: one clear error, from a run and from the check."""

import json
import shutil

import pytest

from data.dataset import open_dataset
from data.import_files import ImportOptions, import_files
from hybrid_perps import main
from risk.errors import InvalidInput
from tests.data.test_import_files import user_fills


@pytest.fixture
def root(tmp_path):
    import_files([user_fills(tmp_path, "B", "A")], tmp_path / "catalog/mine", ImportOptions())
    return tmp_path / "catalog/mine"


def test_prices_that_cannot_be_read_are_named(root):
    (file,) = (root / "nautilus/data/mark_prices").glob("*/*.parquet")
    file.write_bytes(b"x" * 300)
    dataset = open_dataset(root)
    with pytest.raises(InvalidInput, match="prices of ETH"):
        dataset.load(*dataset.span, ["ETH"])


def test_the_check_notices_a_missing_flow(root, monkeypatch, capsys):
    arguments = ["hybrid-perps", "data", "check", "mine", "--catalog", str(root.parent), "--json"]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)
    shutil.move(root / "flow/orders.parquet", root / "flow/elsewhere.parquet")
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "orders.parquet" in capsys.readouterr().err
