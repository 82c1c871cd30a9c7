"""The inside of a worker process of ``local_pool``: jobs come through a socket, and answers go back."""

import os
import threading
from functools import partial
from multiprocessing.connection import Connection
from queue import SimpleQueue

from backtest.tuning.trial import Job
from backtest.tuning.worker import Source, Worker


def serve(descriptor: int) -> None:
    """Answer each (source, job) that comes through the socket ``descriptor``, until the driver is gone."""
    connection = Connection(descriptor)
    asked: SimpleQueue[tuple[Source, Job]] = SimpleQueue()
    threading.Thread(target=_listen, args=(connection, asked), daemon=True).start()
    worker = Worker()
    while True:
        source, job = asked.get()
        connection.send(worker.evaluate(job, partial(source.open, job.scenario)))


def _listen(connection: Connection, asked: "SimpleQueue[tuple[Source, Job]]") -> None:
    """Queue what comes; end the process, whatever it is doing, once the driver is gone."""
    try:
        while True:
            asked.put(connection.recv())
    except (EOFError, OSError):
        os._exit(0)
