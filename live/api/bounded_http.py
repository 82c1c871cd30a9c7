"""How bytes become requests: the server's own way, with bounds on what comes and how slowly, and answers sent whole.

A request that never becomes one, or stays half of one, is refused here with a problem document, and its connection
closed. Time counts while we wait for its client alone: not while it waits for us.
"""

import asyncio
import re
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from live.api.problems import Problem
from live.api.refusals import REFUSED, refusal

LARGEST_HEAD = 65_536  # and what comes beside a body: chunks' extensions and trailers
HEAD_S = 10.0  # from a connection's beginning, or a head's, to the end of the head
BODY_S = 30.0  # from there to the end of the body
TAKE_S = 60.0  # for a client to take what fills the buffer before it
STOPPING_S = 5.0  # the same once the server stops, which waits for requests a little longer

# What a request line, a header and a chunk have at the least besides what the parser tells of them.
_LINE = len(b"GET  HTTP/1.1\r\n\r\n")
_HEADER = len(b":\r\n")
_CHUNK = len(b"1\r\n\r\n")

# RFC 9112 3.2: a host, in brackets where it is an address of IPv6, and a port; empty for a target without one.
_HOST = re.compile(rb"(\[[0-9A-Za-z:.]+\]|[\w.~%!$&'()*+,;=-]*)(:[0-9]*)?")

_LARGE_HEAD = "the head of the request is too large"
_LARGE_REST = "what came beside the body is too large: extensions of its chunks, or trailers"
_SLOW_HEAD = Problem(408, "too-slow", f"the head of the request did not come within {HEAD_S:g} s")
_SLOW_BODY = Problem(408, "too-slow", f"the body did not come within {BODY_S:g} s")
_STOPPING = Problem(
    503, "stopping", "the server stops, and the request was not complete", headers={"Retry-After": "1"}
)


class Joined:
    """Be a transport whose writes of one turn of the loop leave together: an answer's head and body in one packet.

    Each write by itself would be a system call, which takes longer than most of what a request does here.
    """

    def __init__(self, transport: asyncio.BaseTransport) -> None:
        self.whole: Any = transport
        self._waiting: list[bytes] = []
        self._call_soon = asyncio.get_running_loop().call_soon

    def __getattr__(self, name: str) -> Any:
        """Leave all else to the transport itself."""
        return getattr(self.whole, name)

    def write(self, data: bytes) -> None:
        """Write with what else this turn brings."""
        if not self._waiting:
            self._call_soon(self.flush)
        self._waiting.append(data)

    def flush(self) -> None:
        """Write now what waits."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self.whole.write(b"".join(waiting))

    def close(self) -> None:
        """Close once all is written."""
        self.flush()
        self.whole.close()


class Bounded(HttpToolsProtocol):
    """Count what came of a head or beside a body, which the parser keeps or skips however long it is.

    Wait for the rest so long: a request that comes in one piece, as nearly all do, sets no timer. ``_came``
    counts all bytes, less those of heads and bodies that are known.
    """

    _in_head = False
    _in_body = False
    _came = 0
    _trailers = 0
    _handed_over = False
    _timer: asyncio.TimerHandle | None = None
    _stopping = False
    _wrong: str | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, with answers sent whole."""
        super().connection_made(Joined(transport))  # type: ignore[arg-type]
        self._wait(HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._wait_no_more()
        super().connection_lost(exc)  # which resumes writing

    def pause_writing(self) -> None:
        """Give the client some time to read on: an answer that waits for ever holds what it is made of."""
        super().pause_writing()
        self._stalled = self.loop.call_later(TAKE_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Write on."""
        self._take_no_time()
        super().resume_writing()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection itself over."""
        self._handed_over = True
        self._wait_no_more()
        self._take_no_time()
        self.transport.flush()  # type: ignore[attr-defined]
        self.transport = self.transport.whole  # type: ignore[attr-defined]
        super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        """Begin."""
        self._in_head, self._trailers = True, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, and no trailer: it would pass for a header that a proxy before us has looked at."""
        if self._in_head:
            super().on_header(name, value)
            return
        self._trailers += len(name) + len(value) + _HEADER
        if self._trailers > LARGEST_HEAD:
            self._wrong = _LARGE_REST
            raise ValueError(_LARGE_REST)

    def on_headers_complete(self) -> None:
        """Count the head no more."""
        self._came -= _LINE + len(self.url)
        hosts = []
        for name, value in self.headers:
            self._came -= len(name) + len(value) + _HEADER
            if name == b"host":
                hosts.append(value)
        self._check_hosts(hosts)
        if self.parser.should_upgrade():
            self._check_upgrade()
        super().on_headers_complete()
        self._in_head, self._in_body = False, True
        self._wait_no_more()

    def on_chunk_header(self) -> None:
        """Count its extensions alone."""
        self._came -= _CHUNK

    def on_body(self, body: bytes) -> None:
        """Count it not: it has a bound of its own."""
        self._came -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for nothing more."""
        self._in_body = False
        self._wait_no_more()
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Read on, unless it was too much; wait for what is missing."""
        self._came += len(data)
        super().data_received(data)
        if self._handed_over:
            return
        if not (self._in_head or self._in_body):
            self._came = 0
        elif self._came > LARGEST_HEAD and not self.transport.is_closing():
            self.send_400_response(_LARGE_HEAD if self._in_head else _LARGE_REST)
        if self._timer is None and (
            self._in_head or self._in_body or self.cycle is None or self.cycle.response_complete
        ):
            self._wait(BODY_S if self._in_body else HEAD_S)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request."""
        self._refuse(Problem(400, "malformed", self._wrong or msg))

    def _check_hosts(self, hosts: list[bytes]) -> None:
        """Have a request refused that a proxy before us may take for another host's than we do."""
        if len(hosts) == 1 and _HOST.fullmatch(hosts[0]):
            return
        if not hosts and self.parser.get_http_version() == "1.0":
            return
        self._wrong = "a request must have one header Host, with a host and, if need be, a port"
        raise ValueError(self._wrong)

    def _check_upgrade(self) -> None:
        """Have a request refused whose body the parser would take for the new protocol."""
        if self.parser.get_method() == b"CONNECT":
            self._wrong = "this is no proxy"
        elif any(
            name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0 "))
            for name, value in self.headers
        ):
            self._wrong = "a request that asks for an upgrade must have no body"
        if self._wrong is not None:
            raise ValueError(self._wrong)

    def shutdown(self) -> None:
        """Have the request that is half here refused in time."""
        super().shutdown()
        if self._in_body:
            self._stopping = True
            self._wait(STOPPING_S)

    # -- what is missing

    def _wait(self, seconds: float) -> None:
        self._wait_no_more()
        self._timer = self.loop.call_later(seconds, self._waited, seconds)

    def _wait_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _take_no_time(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _waited(self, seconds: float) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self._is_waited_for():
            self._wait(seconds)
        elif self._in_body:
            self._refuse(_STOPPING if self._stopping else _SLOW_BODY)
        elif self._in_head:
            self._refuse(_SLOW_HEAD)
        else:  # nothing came that could be answered
            self.transport.close()

    def _is_waited_for(self) -> bool:
        """Tell whether the client waits for us: to read on, to let it send, or to answer what came before."""
        cycle = self.cycle
        answering = cycle is not None and not cycle.response_complete
        return self.flow.read_paused or (
            answering and (not self._in_body or cycle.waiting_for_100_continue or bool(self.pipeline))
        )

    # -- refusals

    def _refuse(self, problem: Problem) -> None:
        """Tell the problem and close, unless an answer is on its way: then close after it."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not self._in_body:  # what came before is answered first, and what follows it not at all
                cycle.keep_alive = False
                self.flow.pause_reading()
                return
            cycle.scope[REFUSED] = problem  # type: ignore[literal-required]
            cycle.disconnected = True
            cycle.message_event.set()
        if not (self._in_body and (self.pipeline or cycle.response_started)):
            self._tell(problem)
        self.transport.close()

    def _tell(self, problem: Problem) -> None:
        known: Any = self.scope if self._in_body else {}
        answer = refusal(
            problem,
            request_id=known.get("request_id"),
            address=self.client[0] if self.client else "",
            scheme=self.scheme or "http",
            headers=self.server_state.default_headers,
        )
        self.transport.write(answer)
