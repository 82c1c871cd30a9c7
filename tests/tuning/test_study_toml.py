import tomllib
from decimal import Decimal

import pytest

from backtest.tuning.study import parse_study
from backtest.tuning.study_toml import dump_study

from .made_findings import made_study


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"exposure_limit": Decimal("150000.5"), "prune": False, "sampler": "nsga2"},
        {"constraints": {"bad_debt": {"max": 0}, "internal_share": {"min": 0, "max": Decimal("0.9")}}},
        {"space": {"risk.daily_loss_alert": {"low": 0, "high": 900}, "seed": {"choices": [0, 1]}}},
        {"split": {"test_share": 0, "test_groups": []}, "checks": {"stress": []}},
        {"presearch": {"settings": 50}, "description": 'a "quoted"\nname \\ <b>'},
    ],
)
def test_a_study_written_out_parses_to_an_equal_study(changes) -> None:
    study = made_study(**changes)
    assert parse_study(tomllib.loads(dump_study(study), parse_float=Decimal)) == study
