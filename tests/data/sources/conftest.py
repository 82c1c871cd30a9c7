"""Files in the public formats, built on the spot, and a server on this machine that serves them badly."""

import hashlib
import io
import json
import zipfile
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import lz4.frame
import pytest
import stamina

PAYLOADS = Path(__file__).parents[1] / "payloads"


def zip_bytes(name: str, text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        # A fixed date: the bytes, and so their checksum, are the same in every run.
        archive.writestr(zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0)), text)
    return buffer.getvalue()


@pytest.fixture
def make_zip(tmp_path: Path) -> Callable[[str, str], Path]:
    def make(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(zip_bytes(path.with_suffix(".csv").name, text))
        return path

    return make


@pytest.fixture
def make_lz4(tmp_path: Path) -> Callable[[str, str], Path]:
    def make(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(lz4.frame.compress(text.encode()))
        return path

    return make


@pytest.fixture
def payloads() -> Path:
    return PAYLOADS


@pytest.fixture
def make_zip_bytes() -> Callable[[str, str], bytes]:
    return zip_bytes


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request: another status, a cut after some bytes, silence, other bytes."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    cut_after: int | None = None
    silent: bool = False


class ArchiveServer:
    """Serve ``files`` with ETag and ranges, and ``info`` as POST /info; ``faults`` hit request by request."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.etag: Callable[[bytes], str | None] = lambda body: f'"{hashlib.md5(body).hexdigest()}"'
        self.faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self.info: Callable[[dict[str, Any]], Any] = lambda body: []
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.release = Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.release.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def paths(self) -> list[str]:
        return [path for path, _, _ in self.requests]

    def publish(self, key: str, body: bytes, checksum: str | None = None) -> str:
        digest = checksum or hashlib.sha256(body).hexdigest()
        self.files[f"/{key}"] = body
        self.files[f"/{key}.CHECKSUM"] = f"{digest}  {key.rsplit('/', 1)[-1]}\n".encode()
        return f"{self.url}/{key}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                self._answer(*server.ranged(self.path, self._note(b"")))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._note(body)
                self._answer(200, {}, json.dumps(server.info(json.loads(body))).encode())

            def _note(self, body: bytes) -> dict[str, str]:
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.requests.append((self.path, headers, body))
                return headers

            def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
                waiting = server.faults[self.path]
                fault = waiting.popleft() if waiting else Fault()
                if fault.silent:
                    server.release.wait(60)
                    self.close_connection = True
                    return
                body = fault.body if fault.body is not None else body
                self.send_response(fault.status or status)
                for name, value in (headers | fault.headers | {"Content-Length": str(len(body))}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body[: fault.cut_after])
                self.close_connection = fault.cut_after is not None or self.close_connection

        return Handler

    def ranged(self, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        if path not in self.files:
            return 404, {}, b"no such key"
        body = self.files[path]
        etag = self.etag(body)
        tagged = {"ETag": etag} if etag else {}
        if "range" not in headers or headers.get("if-range", etag) != etag:
            return 200, tagged, body
        start = int(headers["range"].removeprefix("bytes=").removesuffix("-"))
        if start >= len(body):
            return 416, {"Content-Range": f"bytes */{len(body)}"}, b""
        span = f"bytes {start}-{len(body) - 1}/{len(body)}"
        return 206, tagged | {"Content-Range": span}, body[start:]


@pytest.fixture
def fault() -> type[Fault]:
    return Fault


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    running = ArchiveServer()
    yield running
    running.close()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=60.0) as http:
        yield http


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=4, cap=True):
        yield
