"""A pool within a driver of its own: a script without a guard, interrupted or killed, with quiet workers."""

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from .pool_jobs import job, long_job, outcomes_here

# It has no ``if __name__ == "__main__"``: workers that imported it would start pools of their own.
PREAMBLE = """
import pickle, sys
from pathlib import Path
import psutil
from backtest.tuning.pool import open_pool

jobs = pickle.loads(Path(sys.argv[1]).read_bytes())
def started():
    print(*(child.pid for child in psutil.Process().children()), flush=True)
"""
INTERRUPTED = """
with open_pool(1) as pool:
    pool.submit(0, jobs[0])
    try:
        started()
        pool.next_done()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    print(pool.next_done()[1].digest, flush=True)
    started()
"""
ABANDONED = """
with open_pool(2) as pool:
    for ticket, job in enumerate(jobs):
        pool.submit(ticket, job)
    print(pool.next_done()[0], flush=True)
    started()
    pool.next_done()
"""


def driver(text: str, folder: Path, *jobs: object) -> subprocess.Popen[str]:
    """Start a script that drives a pool, in a process group of its own; it stands in ``folder``."""
    script, asked = folder / "script" / "driver.py", folder / "jobs.pickle"
    script.parent.mkdir()
    script.write_text(PREAMBLE + text)
    asked.write_bytes(pickle.dumps(jobs))
    return subprocess.Popen(
        [sys.executable, str(script), str(asked)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        start_new_session=True,
        # Tests in the background inherit that interrupts are ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_an_interrupt_reaches_the_driver_and_not_its_workers(tmp_path: Path):
    """Ctrl-C goes to the whole process group; the job goes on, and its outcome can still be fetched."""
    asked = job("data.hours=12", "flow.users=60")
    with driver(INTERRUPTED, tmp_path, asked) as process:
        assert process.stdout is not None
        worker = process.stdout.readline().strip()
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    (expected,) = outcomes_here([asked])
    assert output.split() == ["interrupted", expected.digest, worker]
    assert errors == ""


def test_no_worker_outlives_a_killed_driver(tmp_path: Path):
    """One worker is idle then, the other amid its job."""
    with driver(ABANDONED, tmp_path, job(), long_job()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        workers = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
        assert len(workers) == 2
        process.kill()
        _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive


def test_a_folder_called_like_our_packages_is_not_imported_by_workers(tmp_path: Path):
    for name in ("backtest", "data"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('the wrong one')")
    text = "with open_pool(1) as pool:\n    pool.submit(0, jobs[0])\n    print(type(pool.next_done()[1]).__name__)"
    with driver(text, tmp_path, job()) as process:
        output, errors = process.communicate(timeout=60)
    assert (output, errors) == ("Finished\n", "")
