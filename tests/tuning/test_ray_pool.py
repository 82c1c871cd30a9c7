"""Jobs on a real Ray cluster of one node: the outcomes of local workers, its faults survived or told in one line."""

import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from backtest.sources import open_feed
from backtest.tuning.pool import Pool, open_pool
from backtest.tuning.provenance import provenance_of
from backtest.tuning.tasks import ATTEMPTS
from backtest.tuning.trial import Failed, Finished, Job, Outcome
from backtest.tuning.worker import Source
from data.flow import write_flow
from risk.errors import InvalidInput

from ..ports import free_port
from .pool_jobs import job, outcomes_here, raising_job, scenario, varied_jobs


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    """Start Ray on this machine for all the tests: two workers at work leave room for one of another driver."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")  # or it would write a token into the home folder
        with open_pool(3, ray="") as opened:
            assert opened.workers == 3
            started = ray_processes()
            assert started
            yield opened
    assert psutil.wait_procs(started, timeout=60)[1] == []


def ray_processes() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if "ray" in child.name()]


def actors() -> list[psutil.Process]:
    return [process for process in ray_processes() if "_Actor" in process.name()]


def outcomes_by_two(pool: Pool, jobs: list[Job]) -> list[Outcome]:
    """Evaluate ``jobs`` two at a time."""
    done: dict[int, Outcome] = {}
    for ticket, each in enumerate(jobs):
        pool.submit(ticket, each)
        if ticket:
            done |= [pool.next_done()]
    done |= [pool.next_done()]
    return [done[ticket] for ticket in range(len(jobs))]


def test_outcomes_are_those_of_local_workers(pool: Pool):
    *outcomes, failed = outcomes_by_two(pool, [*varied_jobs(), raising_job()])
    assert outcomes == outcomes_here(varied_jobs())
    assert isinstance(failed, Failed)
    assert failed.attempts == ATTEMPTS
    assert failed.message.startswith("AttributeError: ")
    with pytest.raises(LookupError):
        pool.next_done()


def test_a_lost_actor_is_replaced_and_its_data_comes_from_the_store(pool: Pool, tmp_path: Path):
    """The users' orders are gone after the first job: only what the driver had placed can serve the last."""
    write_flow(open_feed(scenario()).flow, tmp_path)
    asked = [job(f"flow.source={tmp_path}", f"routing.*.betting_threshold={n}") for n in (1, 5000)]
    expected = outcomes_here(asked)
    outcomes = outcomes_by_two(pool, asked[:1])
    for file in tmp_path.iterdir():
        file.unlink()
    pool.submit(1, asked[1])
    killed = actors()
    for actor in killed:
        actor.kill()
    outcomes.append(pool.next_done()[1])
    assert outcomes == expected
    assert all(isinstance(outcome, Finished) for outcome in outcomes)
    assert not {*killed} & {*actors()}


DRIVER = """
import pickle, sys
from pathlib import Path
from backtest.tuning.pool import open_pool
with open_pool(ray=sys.argv[1]) as pool:
    pool.submit(0, pickle.loads(Path(sys.argv[2]).read_bytes()))
    print(pool.workers, pool.next_done()[1].digest)
"""


def test_a_driver_joins_a_cluster_by_its_address(pool: Pool, tmp_path: Path):
    import ray

    script, asked = tmp_path / "driver.py", tmp_path / "job.pickle"
    script.write_text(DRIVER)
    asked.write_bytes(pickle.dumps(job()))
    command = [sys.executable, str(script), ray.get_runtime_context().gcs_address, str(asked)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert (found.stdout.split(), found.stderr) == (["3", outcomes_here([job()])[0].digest], "")


def test_a_node_with_other_versions_is_refused(pool: Pool, monkeypatch: pytest.MonkeyPatch):
    from backtest.tuning.ray_pool import RayPool

    ours = provenance_of({})
    ours["versions"]["numpy"] = "9.9"
    monkeypatch.setattr("backtest.tuning.ray_pool.provenance_of", lambda _: ours)
    other = RayPool(1, Source())
    other.submit(0, job())
    with pytest.raises(InvalidInput, match=r"a node of the Ray cluster has numpy .*; here it is 9\.9"):
        other.next_done()


@pytest.mark.parametrize("address", ["head", "head:", ":6379", "head:port", "127.0.0.1:65536"])
def test_what_is_no_address_is_refused(address: str):
    with (
        pytest.raises(InvalidInput, match=r"it must be HOST:PORT of a Ray cluster"),
        open_pool(1, ray=address),
    ):
        pass


def test_an_address_where_nothing_is_is_refused():
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(InvalidInput, match=f"no Ray cluster answers at {address}: Connection refused"):
        open_pool(1, ray=address).__enter__()


def test_an_address_that_keeps_silent_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("backtest.tuning.ray_pool._ANSWER_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(InvalidInput, match=f"no Ray cluster answers at {address}: timed out"):
            open_pool(1, ray=address).__enter__()


def test_an_address_of_something_else_is_refused():
    def answer() -> None:
        talk, _ = server.accept()
        with talk:
            talk.recv(1024)
            talk.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer)
        thread.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(InvalidInput, match=f"what answers at {address} is no Ray cluster"):
            open_pool(1, ray=address).__enter__()
        thread.join()


def test_without_ray_installed_one_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "backtest.tuning.ray_pool", raising=False)
    with pytest.raises(InvalidInput, match=r"pip install 'hybrid-perps\[cluster\]'"):
        open_pool(1, ray="")
