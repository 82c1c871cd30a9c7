"""The search: the same points and outcomes whatever finishes first, however often it stops."""

import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.tuning.progress import Best, Progress
from backtest.tuning.runs import run_all
from backtest.tuning.search import search, search_job
from backtest.tuning.space import grid, text_of
from backtest.tuning.store import Store, StoredStudy, StoredTrial, open_store
from backtest.tuning.study import Study
from backtest.tuning.trial import Failed, Finished, Job, Outcome, Refused, Stopped
from risk.errors import InvalidInput

from .made_studies import (
    DEBOUNCE,
    NORMAL,
    PROVENANCE,
    SPACE,
    SPLIT,
    InlinePool,
    MemoryStudy,
    Runner,
    computed,
    made_slots,
    made_study,
    run_study,
    told,
    unseen,
)

TWO = {"house_pnl": "maximize", "max_drawdown": "minimize"}
SAMPLERS = ["tpe", "nsga2", "random", "grid"]
STEPS = {NORMAL: {"low": 1000, "high": 5000, "step": 2000}, SPLIT: {"choices": [False, True]}}


MEMORY = Path("/dev/shm")  # a real file whose every commit costs nothing


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        yield Path(name)


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{folder}/studies.db") as opened:
        yield opened


def searched(store: Store, study: Study, pool: InlinePool | None = None, tell: Any = unseen) -> StoredStudy:
    stored = store.create(study, PROVENANCE)
    search(stored, pool or InlinePool(), study.space, tell)
    return stored


def in_memory(study: Study, pool: InlinePool | None = None) -> list[StoredTrial]:
    stored: Any = MemoryStudy(study)
    search(stored, pool or InlinePool(), study.space, unseen)
    return stored.trials()


def of_sampler(sampler: str, **changes: Any) -> Study:
    space = STEPS if sampler == "grid" else SPACE
    return made_study(name=sampler, sampler=sampler, space=space, objectives=TWO, **changes)


class Stop(Exception):
    pass


def stopping_after(count: int) -> InlinePool:
    left = [count]

    def outcome(job: Job) -> Outcome:
        if not left[0]:
            raise Stop
        left[0] -= 1
        return computed(job)

    return InlinePool(outcome)


# ── what is proposed does not depend on what happens to finish first ──


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_order_of_completion_changes_nothing(sampler: str, store: Store) -> None:
    study = of_sampler(sampler, trials=30, lag=7)
    first = told(in_memory(study, InlinePool(pick=lambda _: 0)))
    pool = InlinePool(pick=lambda count: count - 1)
    last = told(searched(store, study, pool).trials())
    assert first == last
    assert pool.most > 1  # or there was no order to speak of


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
@settings(max_examples=12)
@given(data=st.data())
def test_any_order_of_completion_proposes_the_same(sampler: str, data: st.DataObject) -> None:
    study = of_sampler(sampler, trials=26, lag=4, constraints={"max_drawdown": {"max": 30}})
    runs = []
    for pick in (lambda _: 0, lambda count: data.draw(st.integers(0, count - 1))):
        runs.append(told(in_memory(study, InlinePool(pick=pick))))
    assert runs[0] == runs[1]
    assert len(runs[0]) == 26


def test_a_point_knows_the_outcomes_up_to_lag_before_it_and_no_later_ones() -> None:
    """Change the outcome of trial 12 alone: point 12 + lag is the first that can differ."""
    study = made_study(trials=24, lag=5)
    plain = in_memory(study)
    twelfth = plain[12].values

    def changed(job: Job) -> Outcome:
        if job.key == search_job(study, twelfth).key:
            return Finished("better", made_slots(10**6))
        return computed(job)

    other = in_memory(study, InlinePool(changed))
    same = [a.values == b.values for a, b in zip(plain, other, strict=True)]
    assert same[:17] == [True] * 17
    assert not same[17]


def test_samplers_learn() -> None:
    def best(sampler: str) -> Decimal:
        study = made_study(name=sampler, sampler=sampler, trials=60, lag=4)
        gains = [t.outcome.slots.gain[0] for t in in_memory(study)]  # type: ignore[union-attr]
        return sum(sorted(gains)[-15:], Decimal(0))

    plain = best("random")
    assert best("tpe") > plain
    assert best("nsga2") > plain


def test_another_seed_proposes_other_points() -> None:
    one, other = (in_memory(made_study(seed=seed)) for seed in (1, 2))
    assert not {text_of(t.values) for t in one} & {text_of(t.values) for t in other}


# ── going on after a stop ──


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("stops", [(1,), (5, 0, 3)])
def test_a_search_that_stopped_goes_on_as_if_it_had_not(
    store: Store, sampler: str, stops: tuple[int, ...]
) -> None:
    study = of_sampler(sampler, trials=26)
    whole = told(in_memory(study))
    computed_before = 0
    for count in stops:
        if computed_before + count < len(whole):
            with pytest.raises(Stop):
                searched(store, study, stopping_after(count))
            computed_before += count
    pool = InlinePool()
    assert told(searched(store, study, pool).trials()) == whole
    different = len({text_of(values) for _, values, _ in whole})
    assert len(pool.submitted) == different - computed_before  # none that was there is run again


def test_more_trials_lengthen_a_study(store: Store) -> None:
    for sampler, few, many in (("tpe", 11, 15), ("nsga2", 21, 25)):
        whole = told(in_memory(of_sampler(sampler, trials=many)))
        study = of_sampler(sampler, trials=few)
        searched(store, study)
        stored = searched(store, study.model_copy(update={"trials": many}))
        assert told(stored.trials()) == whole
        assert stored.study.trials == many


# ── what becomes of trials ──


def test_equal_settings_run_once(store: Store) -> None:
    study = made_study(space={SPLIT: {"choices": [False, True]}}, trials=12, lag=4)
    pool = InlinePool(pick=lambda count: count - 1)
    stored = searched(store, study, pool)
    assert len(pool.submitted) == 2
    for trial in stored.trials():
        assert trial.outcome == computed(search_job(stored.study, trial.values))


def test_a_grid_ends_with_its_last_point(store: Store) -> None:
    said: list[Progress] = []
    study = of_sampler("grid", trials=100)
    trials = searched(store, study, tell=said.append).trials()
    assert [t.values for t in trials] == list(grid(study.space))
    assert (said[-1].done, said[-1].total) == (6, 6)


def test_settings_that_clash_are_refused_and_kept_away_from() -> None:
    # A tier must begin above the one before: of the space only a part makes a scenario.
    first, second = "risk.hedge_tiers.0.lower", "risk.hedge_tiers.1.lower"
    space = {first: {"low": 10000, "high": 900000}, second: {"low": 20000, "high": 500000}}
    study = made_study(space=space, trials=60)
    trials = in_memory(study)
    clash = [t.values[first] >= t.values[second] for t in trials]
    assert [isinstance(t.outcome, Refused) for t in trials] == clash
    assert sum(clash[-20:]) < sum(clash[:20])
    message = next(t.outcome.message for t in trials if isinstance(t.outcome, Refused))
    assert "each must begin above the one before" in message


def scripted(*kinds: Outcome) -> InlinePool:
    left = list(kinds)
    return InlinePool(lambda job: left.pop(0) if left else computed(job))


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_stopped_failed_and_unmeasured_trials_are_kept_and_searched_past(store: Store, sampler: str) -> None:
    outcomes = (
        Stopped("max_drawdown", Decimal(5000), 9),
        Failed("worker lost", 3),
        Refused("no such thing"),
        Finished("nothing happened", made_slots(0)),
    )
    study = made_study(
        sampler=sampler,
        trials=26,
        objectives={"pnl_bps": "maximize", "margin_ratio": "maximize", "house_pnl": "maximize"},
        constraints={"max_drawdown": {"max": 100}},
    )
    said: list[Progress] = []
    trials = searched(store, study, scripted(*outcomes), said.append).trials()
    assert tuple(t.outcome for t in trials[:4]) == outcomes
    assert all(isinstance(t.outcome, Finished) for t in trials[4:])
    assert said[-1] == Progress(26, 26, 0, 1, None)  # pnl_bps is None throughout: there is no best


def test_the_search_comes_away_from_where_runs_are_stopped() -> None:
    def outcome(job: Job) -> Outcome:
        threshold = job.scenario.routing["*"].normal_threshold
        if threshold > 2000:
            return Stopped("max_drawdown", threshold, 1)
        return Finished("fine", made_slots(threshold))

    for sampler in ("tpe", "nsga2"):
        study = made_study(
            name=sampler, sampler=sampler, trials=60, lag=4, constraints={"max_drawdown": {"max": 2000}}
        )
        trials = in_memory(study, InlinePool(outcome))
        late = [isinstance(t.outcome, Finished) for t in trials]
        assert sum(late[-20:]) > sum(late[:20])


def test_the_best_is_feasible_and_the_earliest_of_equals() -> None:
    first, second = Best(4, Decimal(5), {}), Best(9, Decimal(5), {})
    assert first.beats(None, "maximize")
    assert first.beats(second, "maximize")
    assert not second.beats(first, "minimize")
    assert Best(9, Decimal(4), {}).beats(first, "minimize")


def test_progress_counts_and_names_the_best(store: Store) -> None:
    said: list[Progress] = []
    study = made_study(constraints={"max_drawdown": {"max": 10}})
    trials = searched(store, study, tell=said.append).trials()
    feasible = [t for t in trials if t.outcome.slots.drawdown[0] <= 10]  # type: ignore[union-attr]
    best = max(feasible, key=lambda t: t.outcome.slots.gain[0])  # type: ignore[union-attr]
    assert 0 < len(feasible) < len(trials)
    assert said[-1].best is not None
    assert (said[-1].best.number, said[-1].best.values) == (best.number, best.values)
    assert [p.done for p in said[:-1]] == list(range(1, 13))
    again: list[Progress] = []
    searched(store, study, tell=again.append)
    assert again == [Progress(12, 12, 12, 0, said[-1].best)]


def test_an_interrupt_keeps_what_is_done(store: Store) -> None:
    left = [4]

    def outcome(job: Job) -> Outcome:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return computed(job)

    with pytest.raises(KeyboardInterrupt):
        searched(store, made_study(), InlinePool(outcome))
    kept = [t for t in store.open("made").trials() if t.outcome is not None]
    assert len(kept) == 4


def test_a_search_over_other_ranges_than_it_began_on_is_refused(store: Store) -> None:
    stored = searched(store, made_study())
    narrower = dict(stored.study.space) | {
        NORMAL: stored.study.space[NORMAL].model_copy(update={"high": 900})
    }
    with pytest.raises(InvalidInput, match="begun on other ranges"):
        search(stored, InlinePool(), narrower, unseen)
    assert stored.space == stored.study.space


# ── runs beside the search ──


def test_runs_are_kept_and_equal_ones_run_once(store: Store) -> None:
    stored = searched(store, made_study())
    study, trial = stored.study, stored.trials()[3]
    new = [search_job(study, trial.values | {NORMAL: Decimal(number)}) for number in (600, 700, 600)]
    known = search_job(study, trial.values)
    pool = InlinePool(pick=lambda count: count - 1)
    said: list[Progress] = []
    found = run_all(stored, pool, [*new, known], said.append)
    assert found == [computed(job) for job in [*new, known]]
    assert len(pool.submitted) == 2  # one is there twice, one the search has run
    assert said == [Progress(2, 3, 1, 0), Progress(3, 3, 1, 0)]
    idle = InlinePool()
    assert run_all(store.open("made"), idle, [*new, known], unseen) == found
    assert not idle.submitted


def test_a_failed_run_is_tried_again(store: Store) -> None:
    stored = store.create(made_study(), PROVENANCE)
    job = search_job(stored.study, {DEBOUNCE: "4s"})
    assert run_all(stored, scripted(Failed("lost", 3)), [job], unseen) == [Failed("lost", 3)]
    assert run_all(stored, scripted(Stopped("bad_debt", Decimal(1), 2)), [job], unseen)[0] != Failed(
        "lost", 3
    )


# ── for real ──


def test_real_runs_have_the_digests_their_settings_have_alone(store: Store) -> None:
    runner = Runner()
    study = run_study(trials=6, constraints={"bad_debt": {"max": 10**6}})
    trials = searched(store, study, InlinePool(runner, pick=lambda count: count - 1)).trials()
    digests = {t.outcome.digest for t in trials if isinstance(t.outcome, Finished)}
    assert len(digests) == 6
    assert runner(search_job(study, trials[4].values)) == trials[4].outcome
