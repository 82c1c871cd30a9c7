"""Jobs through a worker and through local processes: the same outcomes, each world opened once, faults survived."""

import contextlib
import os
import threading
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from backtest.sources import open_feed
from backtest.tuning.pool import open_pool
from backtest.tuning.tasks import ATTEMPTS, Tasks
from backtest.tuning.trial import Failed, Finished, Material, Refused, Stopped
from backtest.tuning.worker import ROOM, Kept, Raised, Source, Worker
from data.flow import write_flow
from risk.errors import InvalidInput

from .pool_jobs import job, long_job, outcomes_here, outcomes_of, raising_job, scenario, varied_jobs


def processes() -> list[psutil.Process]:
    """Return the worker processes of this one that live."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if any("local_worker" in part for part in child.cmdline()):
                found.append(child)
    return found


def test_what_is_kept_is_made_once_and_the_least_recently_used_goes_first():
    kept: Kept[str] = Kept(room=2)
    made = []

    def get(name: str) -> None:
        assert kept.get(name, lambda: made.append(name) or name.upper()) == name.upper()

    for name in "abacab":
        get(name)
    assert made == ["a", "b", "c", "b"]


def test_making_what_is_kept_never_holds_more_than_there_is_room_for():
    class Large:
        alive = 0

        def __init__(self) -> None:
            Large.alive += 1
            assert Large.alive <= 2

        def __del__(self) -> None:
            Large.alive -= 1

    kept: Kept[Large] = Kept(room=2)
    for name in "abcd":
        kept.get(name, Large)


def test_a_worker_fetches_each_material_once():
    worker, fetched = Worker(), []

    def fetch(seed: int) -> Material:
        fetched.append(seed)
        return Source().open(scenario(f"seed={seed}"))

    for threshold in (1, 5000):
        for seed in range(ROOM):
            asked = job(f"seed={seed}", f"routing.*.betting_threshold={threshold}")
            assert isinstance(worker.evaluate(asked, partial(fetch, seed)), Finished)
    assert fetched == list(range(ROOM))


def test_an_unknown_symbol_is_refused_on_a_material_opened_for_another_job():
    worker, good, bad = Worker(), job(), job("routing.NONE.normal_threshold=1")
    material = Material.of(open_feed(good.scenario))
    assert isinstance(worker.evaluate(good, lambda: material), Finished)
    refused = worker.evaluate(bad, lambda: material)
    assert isinstance(refused, Refused)
    assert "'NONE'" in refused.message


def test_what_a_job_raises_is_told_in_one_line():
    assert Raised.of(ValueError("first\nsecond")).message == "ValueError: first"
    assert Raised.of(KeyboardInterrupt()).message == "KeyboardInterrupt"
    assert isinstance(Worker().evaluate(raising_job(), lambda: pytest.fail("fetched")), Raised)


def test_a_task_is_tried_before_new_ones_and_fails_after_its_last_attempt():
    tasks = Tasks()
    tasks.add(1, job())
    tasks.add(2, job())
    for attempt in range(1, ATTEMPTS + 1):
        task = tasks.waiting.popleft()
        assert (task.ticket, task.attempt) == (1, attempt)
        tasks.retry(task, f"fault {attempt}")
    assert [task.ticket for task in tasks.waiting] == [2]
    assert list(tasks.done) == [(1, Failed(f"fault {ATTEMPTS}", ATTEMPTS))]


def test_outcomes_are_the_same_with_one_worker_and_with_two():
    expected = outcomes_here(varied_jobs())
    assert {type(outcome) for outcome in expected} == {Finished, Stopped, Refused}
    for workers in (1, 2):
        with open_pool(workers) as pool:
            assert outcomes_of(pool, varied_jobs()) == expected
    assert not processes()


def test_processes_are_started_for_jobs_and_no_more_than_asked_for():
    with open_pool(2) as pool:
        assert not processes()
        pool.submit(0, job())
        assert len(processes()) == 1
        for ticket in range(1, 5):
            pool.submit(ticket, job(f"seed={ticket}"))
        assert len(processes()) == 2
        assert sorted(pool.next_done()[0] for _ in range(5)) == list(range(5))
        assert len(processes()) == 2


def test_there_is_one_worker_per_core_by_default():
    with open_pool() as pool:
        assert pool.workers == os.process_cpu_count()


def test_a_pool_without_workers_is_refused():
    with pytest.raises(InvalidInput, match="workers was 0; it must be at least 1"):
        open_pool(0)


def test_asking_for_more_outcomes_than_jobs_is_an_error():
    with open_pool(1) as pool, pytest.raises(LookupError):
        pool.next_done()


def test_a_worker_reads_its_data_once(tmp_path: Path):
    """The users' orders are gone after the first job; the others run on what the worker holds."""
    write_flow(open_feed(scenario()).flow, tmp_path)
    asked = [job(f"flow.source={tmp_path}", f"routing.*.betting_threshold={n}") for n in (1, 5000, 20000)]
    expected = outcomes_here(asked)
    with open_pool(1) as pool:
        first = outcomes_of(pool, asked[:1])
        for file in tmp_path.iterdir():
            file.unlink()
        assert first + outcomes_of(pool, asked[1:]) == expected
        assert all(isinstance(outcome, Finished) for outcome in expected)
    assert all(isinstance(outcome, Refused) for outcome in outcomes_here(asked))


def test_a_job_that_raises_fails_and_the_rest_goes_on():
    with open_pool(1) as pool:
        failed, finished = outcomes_of(pool, [raising_job(), job()])
    assert isinstance(failed, Failed)
    assert failed.attempts == ATTEMPTS
    assert failed.message.startswith("AttributeError: ")
    assert [finished] == outcomes_here([job()])


def test_the_job_of_a_worker_killed_at_its_start_is_run_again():
    with open_pool(1) as pool:
        pool.submit(7, job())
        (process,) = processes()
        process.kill()
        assert pool.next_done() == (7, outcomes_here([job()])[0])


def test_the_job_of_a_worker_killed_at_work_is_run_again():
    asked = job("data.hours=12", "flow.users=60")
    with open_pool(1) as pool:
        outcomes_of(pool, [job()])
        (process,) = processes()
        idle_s = process.cpu_times().user
        pool.submit(7, asked)
        while process.cpu_times().user < idle_s + 0.02:  # a small part of the job
            time.sleep(0.001)
        process.kill()
        assert pool.next_done() == (7, outcomes_here([asked])[0])
        assert processes() != [process]


def test_a_worker_killed_while_idle_is_replaced():
    with open_pool(1) as pool:
        before = outcomes_of(pool, [job()])
        (process,) = processes()
        process.kill()
        process.wait(60)
        assert outcomes_of(pool, [job()]) == before


def test_a_job_whose_every_worker_is_killed_fails():
    over = threading.Event()

    def kill_all() -> None:
        while not over.wait(0.02):
            for process in processes():
                with contextlib.suppress(psutil.Error):
                    process.kill()

    killer = threading.Thread(target=kill_all)
    killer.start()
    try:
        with open_pool(1) as pool:
            assert outcomes_of(pool, [job()]) == [Failed("the worker ended with SIGKILL", ATTEMPTS)]
    finally:
        over.set()
        killer.join()


def test_a_worker_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "pyarrow.py").write_text("raise ImportError('a broken one')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with open_pool(1) as pool:
        failed = outcomes_of(pool, [job()])
    assert failed == [Failed("the worker ended with exit code 1: ImportError: a broken one", ATTEMPTS)]


def test_leaving_a_pool_amid_jobs_is_prompt_and_leaves_no_process():
    with open_pool(2) as pool:
        pool.submit(0, job())
        pool.submit(1, long_job())
        pool.next_done()
        began_s = time.monotonic()
    assert time.monotonic() - began_s < 30  # the job under way takes longer
    assert not processes()


def test_a_worker_does_not_grow_from_job_to_job():
    with open_pool(1) as pool:
        outcomes_of(pool, [job(f"routing.*.betting_threshold={n}", cells=True) for n in range(1, 7)])
        (process,) = processes()
        before = process.memory_info().rss
        outcomes_of(pool, [job(f"routing.*.betting_threshold={n}", cells=True) for n in range(7, 21)])
        assert processes() == [process]
        assert process.memory_info().rss < before + (4 << 20)  # keeping every run would take twice that
