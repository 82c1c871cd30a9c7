"""Which symbols a scenario runs on, known before its data is opened."""

from pathlib import Path

from backtest.scenario import Scenario
from data.dataset import open_dataset
from data.synthetic.dataset import DEFAULT_SYMBOLS


def symbols_of(
    scenario: Scenario, data_dir: Path | None = None, catalog_dir: Path | None = None
) -> list[str]:
    """Return the symbols that ``scenario`` runs on; raise InvalidInput when its dataset is missing."""
    data = scenario.data
    if data.symbols or data.source == "synthetic":
        return list(data.symbols or DEFAULT_SYMBOLS)
    return list(open_dataset(data.dataset, catalog_dir, data_dir).symbols)
