"""What a real study is worth, from search to summary."""

from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from itertools import pairwise

import pytest

from backtest.tuning.checks import examine
from backtest.tuning.findings import PARTS, SEARCHED, Findings
from backtest.tuning.measures import measure_all
from backtest.tuning.runs import run_all
from backtest.tuning.search import search, search_job
from backtest.tuning.store import open_store
from backtest.tuning.trial import Finished, Job, Outcome

from .made_studies import NORMAL, PROVENANCE, TINY, InlinePool, Runner, made_study, unseen

D = Decimal


@cache
def runner() -> Runner:
    return Runner()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[Findings, list[list[Job]]]:
    folder = tmp_path_factory.mktemp("study")
    (folder / "tiny.toml").write_text(TINY)
    (folder / "nowhere.toml").write_text('data.source = "dataset"\ndata.dataset = "not-on-this-machine"\n')
    stress = [str(folder / "tiny.toml"), str(folder / "nowhere.toml")]
    study = made_study(
        set=["flow.users=24", "data.hours=9", "data.step=60s", "routing.*.auto_switch_enabled=false"],
        sampler="random",
        space={
            NORMAL: {"low": 0, "high": 20_000, "step": 4_000},
            "routing.BTC.normal_threshold": {"choices": [100, 50_000]},
        },
        objectives={"house_pnl": "maximize", "max_drawdown": "minimize"},
        constraints={"bad_debt": {"max": 10**6}},
        checks={"finalists": 2, "bootstrap": 200, "stress": stress},
    )
    batches: list[list[Job]] = []

    def run(jobs: Sequence[Job]) -> list[Outcome]:
        batches.append(list(jobs))
        return run_all(stored, InlinePool(runner()), jobs, unseen)

    with open_store(f"sqlite:///{folder / 'studies.db'}") as store:
        stored = store.create(study, PROVENANCE)
        search(stored, InlinePool(runner()), study.space, unseen)
        return examine(stored, run), batches


def test_a_real_study_is_examined_in_two_batches(real: tuple[Findings, list[list[Job]]]) -> None:
    findings, batches = real
    assert findings.counts == {"finished": 12, "stopped": 0, "refused": 0, "failed": 0}
    assert len(batches) == 2
    assert len(batches[0]) == (2 + 1) * 4  # two finalists and everything on Hyperliquid, on every part
    assert all(job.cells and not job.limits for job in batches[0])
    assert findings.provenance == PROVENANCE
    assert findings.reason == ""


def test_real_finalists_are_judged_on_every_part(real: tuple[Findings, list[list[Job]]]) -> None:
    findings, batches = real
    assert findings.finalists[0].point.number == findings.recommended in findings.front
    assert len({finalist.point.digest for finalist in findings.finalists}) == 2
    for finalist in findings.finalists:
        assert finalist.veto == ""
        assert tuple(finalist.parts) == PARTS
        assert finalist.parts[SEARCHED].figures == finalist.point.figures
        assert finalist.parts[SEARCHED].digest == finalist.point.digest
        low, high = finalist.parts[SEARCHED].intervals["house_pnl"]
        assert low < float(finalist.point.figures["house_pnl"]) < high
    assert tuple(findings.baseline) == PARTS
    assert findings.baseline[SEARCHED].figures["internal_share"] == 0
    held = {
        (job.scenario.data.from_share, job.scenario.data.to_share, job.scenario.flow.keep_groups)
        for job in batches[0]
    }
    early, late = (D(0), D("0.75")), (D("0.75"), D(1))
    assert held == {(*time, groups) for time in (early, late) for groups in ((0, 1, 2), (3,))}


def test_real_significance_walk_and_users(real: tuple[Findings, list[list[Job]]]) -> None:
    findings, _ = real
    sure = findings.significance
    assert sure is not None
    assert sure.trials == 12
    chosen = findings.finalists[0].parts[SEARCHED].figures["house_pnl"]
    gained = chosen - findings.baseline[SEARCHED].figures["house_pnl"]
    assert sure.gain_per_slot * sure.slots == pytest.approx(float(gained))
    assert sure.interval[0] < sure.gain_per_slot < sure.interval[1]
    assert len(findings.walk) == 4
    for earlier, later in pairwise(findings.walk):
        assert earlier.start_ns == later.start_ns < earlier.edge_ns < earlier.end_ns == later.edge_ns
    assert findings.user_intervals.keys() == {"house_pnl", "max_drawdown"}
    low, high = findings.user_intervals["house_pnl"]
    assert (low + high) / 2 == pytest.approx(float(chosen))
    assert sum(findings.importance["house_pnl"].values()) == pytest.approx(1)


def test_real_neighbours_and_stress(real: tuple[Findings, list[list[Job]]]) -> None:
    findings, batches = real
    point = findings.finalists[0].point
    assert {each.path for each in findings.neighbours} == set(point.values)
    for each in findings.neighbours:
        again = runner()(search_job(findings.study, {**point.values, each.path: each.value}))
        assert isinstance(again, Finished)
        assert each.figures == measure_all(again.slots)
    tiny, nowhere = findings.stress
    assert tiny.description == "Two quiet hours."
    assert tiny.message == ""
    assert tiny.chosen["house_pnl"] != tiny.own["house_pnl"]
    assert nowhere.chosen is nowhere.own is None
    assert "not-on-this-machine" in nowhere.message
    (chosen,) = [
        job.scenario for job in batches[1] if job.scenario.name == "tiny" and "BTC" in job.scenario.routing
    ]
    assert chosen.routing["*"].normal_threshold == point.values[NORMAL]
    assert "ETH" not in chosen.routing  # the scenario's own rows do not mix with the recommended ones
    assert chosen.flow.users == 15
    assert not chosen.report.counterfactuals


def test_the_summary_says_what_changes_and_how_sure_that_is(
    real: tuple[Findings, list[list[Job]]],
) -> None:
    findings, _ = real
    said = " ".join(findings.summary)
    for path, _, _ in findings.changes:
        assert path in said
    for words in ("is recommended", "House PnL: searched", "p = ", "neighbours", "tiny", "nowhere could not"):
        assert words in said
