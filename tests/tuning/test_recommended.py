import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from backtest.scenario import load_scenario
from backtest.scenario_overrides import with_values
from backtest.tuning.recommended import write_recommended
from risk.errors import InvalidInput

from .made_findings import made_findings


def test_the_file_is_the_whole_scenario_with_the_recommended_settings(tmp_path: Path) -> None:
    findings = made_findings()
    point = next(p for p in findings.points if p.number == findings.recommended)
    path = tmp_path / "new" / "recommended.toml"
    write_recommended(findings, path)
    loaded, expected = load_scenario(str(path)), with_values(load_scenario("flow-2023"), point.values)
    assert loaded.name == "thresholds-recommended"
    assert loaded.settings() == expected.settings() != load_scenario("flow-2023").settings()
    assert (loaded.data, loaded.flow, loaded.venue) == (expected.data, expected.flow, expected.venue)
    assert loaded.routing["ETH"].betting_threshold == point.values["routing.ETH.betting_threshold"]
    head = path.read_text().splitlines()[:3]
    assert all(line.startswith("# ") for line in head)
    assert "thresholds" in head[0]
    assert f"trial {point.number}" in head[0]
    assert point.digest in head[1]


def test_the_study_s_own_changes_of_its_scenario_are_in_it(tmp_path: Path) -> None:
    path = tmp_path / "recommended.toml"
    write_recommended(made_findings(set=("risk.reserve_capital=7777", 'data.symbols=["ETH"]')), path)
    values = tomllib.loads(path.read_text(), parse_float=Decimal)
    assert values["risk"]["reserve_capital"] == 7777
    assert values["data"]["symbols"] == ["ETH"]


def test_nothing_is_written_where_nothing_is_recommended(tmp_path: Path) -> None:
    write_recommended(made_findings(recommends=False), tmp_path / "recommended.toml")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match=r"recommended\.toml could not be written"):
        write_recommended(made_findings(), tmp_path / "file" / "recommended.toml")
