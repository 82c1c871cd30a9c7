"""Run ``hybrid-perps`` and sample where it spends its CPU time: ``python _sampled.py FILE ARGUMENTS…``.

SIGUSR1 begins anew; at the end FILE gets, as JSON, how many samples fell into which part. A sample belongs to the first
frame, from the innermost out, whose file is one of a part's.
"""

import atexit
import json
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

from hybrid_perps import run

_EVERY_S = 0.001
PARTS = (
    ("authentication", ("/live/identity/", "/live/api/auth.py", "/jwt/")),
    ("rate limits", ("/live/api/rates.py", "/live/api/shared_state.py")),
    ("log", ("/live/api/logs.py", "/live/api/request_log.py", "/structlog/")),
    ("metrics", ("/live/api/metrics.py", "/prometheus_client/", "/middleware/observed.py")),
    ("other middleware", ("/live/api/middleware/",)),
    ("route, body and answer", ("/live/api/",)),
    ("FastAPI and Starlette", ("/fastapi/", "/starlette/", "/pydantic/", "/contextlib.py")),
    ("HTTP (uvicorn)", ("/uvicorn/", "/bounded_http.py")),
    ("Book.handle", ("/risk/", "/strategies/")),
    ("journal, rows, statement", ("/live/ledger/",)),
    ("books process: keys, answers, commits", ("/live/books/",)),
    ("database driver", ("/asyncpg/",)),
)
OTHER = "event loop and the rest"
_of_file: dict[str, str | None] = {}
found: Counter[str] = Counter()


def part_of(name: str) -> str | None:
    """Return the part to which a file belongs."""
    if name not in _of_file:
        _of_file[name] = next((part for part, marks in PARTS if any(mark in name for mark in marks)), None)
    return _of_file[name]


def _sample(_: int, frame: FrameType | None) -> None:
    while frame is not None:
        part = part_of(frame.f_code.co_filename)
        if part is not None:
            found[part] += 1
            return
        frame = frame.f_back
    found[OTHER] += 1


def _end(out: Path) -> None:
    signal.setitimer(signal.ITIMER_PROF, 0)  # the next one would find no handler
    out.write_text(json.dumps(found))


def main() -> int:
    """Run the command."""
    out = Path(sys.argv[1])
    signal.signal(signal.SIGPROF, _sample)
    signal.signal(signal.SIGUSR1, lambda *_: found.clear())
    signal.setitimer(signal.ITIMER_PROF, _EVERY_S, _EVERY_S)
    atexit.register(_end, out)
    return run(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
