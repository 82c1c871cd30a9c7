"""A whole study gives the same set of settings, digests and objectives wherever it runs."""

from pathlib import Path
from typing import Any

import pytest

from backtest.tuning.measures import measure_all
from backtest.tuning.pool import open_pool
from backtest.tuning.search import search
from backtest.tuning.space import settings_to_json
from backtest.tuning.store import open_store
from backtest.tuning.trial import Finished

from .made_studies import PROVENANCE, run_study


def searched(folder: Path, trials: int, **where: Any) -> dict[str, tuple[str, Any]]:
    """Return digest and measures by settings of a study."""
    study = run_study(sampler="tpe", trials=trials, lag=4)
    with open_store(f"sqlite:///{folder / 'studies.db'}") as store:
        stored = store.create(study, PROVENANCE)
        with open_pool(**where) as pool:
            search(stored, pool, study.space, lambda _: None)
        found = {}
        for trial in stored.trials():
            assert isinstance(trial.outcome, Finished), trial.outcome
            found[settings_to_json(trial.values)] = (trial.outcome.digest, measure_all(trial.outcome.slots))
    return found


ONE, TWO, RAY = {"workers": 1}, {"workers": 2}, {"workers": 2, "ray": ""}


def test_one_worker_two_workers_and_ray_give_the_same_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # or Ray would write a token into the home folder
    trials = 12  # TPE draws its first ten at random
    (tmp_path / "one").mkdir()
    alone = searched(tmp_path / "one", trials, **ONE)
    assert len(alone) == trials
    assert len({digest for digest, _ in alone.values()}) > trials // 2  # the settings matter
    for number, where in enumerate((TWO, RAY)):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert searched(folder, trials, **where) == alone
