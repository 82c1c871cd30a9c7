"""Search a study in children that are killed at their first commit, their second, and so on, until one ends.

``python die_and_resume.py URL SAMPLER TRIALS`` prints one JSON line per life: the jobs it ran, by key, the keys
whose outcomes were kept when it died, and whether it was killed. Only a process without threads may fork so.
"""

import json
import os
import signal
import sys
import tempfile
import time
from itertools import count

from made_studies import PROVENANCE, InlinePool, computed, made_study, unseen
from sqlalchemy import event
from sqlalchemy.engine import Engine

from backtest.tuning.search import search
from backtest.tuning.store import open_store
from risk.errors import InvalidInput


def live(url, study, dies_at, log):
    commits = count(1)

    @event.listens_for(Engine, "commit")
    def _(_connection):
        if next(commits) == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def run(job):
        os.write(log, f"{job.key}\n".encode())
        return computed(job)

    while True:
        try:
            with open_store(url) as store:
                stored = store.create(study, PROVENANCE)
                search(stored, InlinePool(run), study.space, unseen)
            return
        except InvalidInput as error:
            # PostgreSQL notices a moment later that the process before is gone.
            if "another process" not in str(error):
                raise
            time.sleep(0.01)


def main(url, sampler, trials):
    study = made_study(sampler=sampler, trials=trials, lag=3, constraints={"max_drawdown": {"max": 10}})
    for dies_at in count(1):
        with tempfile.TemporaryFile() as log:
            child = os.fork()
            if child == 0:
                live(url, study, dies_at, log.fileno())
                os._exit(0)
            status = os.waitpid(child, 0)[1]
            log.seek(0)
            ran = log.read().decode().split()
        with open_store(url) as store:
            trials = [trial for each in store.studies() for trial in each.trials()]
        kept = [trial.key for trial in trials if trial.outcome is not None]
        killed = os.WIFSIGNALED(status)
        print(json.dumps({"ran": ran, "kept": kept, "killed": killed, "exit": os.WEXITSTATUS(status)}))
        if not killed:
            return


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
