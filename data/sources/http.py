"""HTTP as the fetchers need it: what is worth another attempt, how long to wait, how to say it failed."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from email.utils import parsedate_to_datetime

import httpx
import stamina

from risk.errors import HybridPerpsError

TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_ATTEMPTS = 6
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 30.0
# A server that asks for more than this is closed for us today; the next run resumes.
_LONGEST_RETRY_AFTER_S = 300.0
_TRANSIENT_STATUS = frozenset((408, 425, 429, 500, 502, 503, 504))
_HOPELESS = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)


class FetchError(HybridPerpsError):
    """Say that something could not be fetched; what had arrived is kept, the next run resumes."""


class AnswerError(Exception):
    """Say that an answer was unusable but another attempt may bring a good one."""


def attempts() -> Iterable[AbstractContextManager[object]]:
    """Give the attempts of one request, with exponential backoff between them; loop over it."""
    return stamina.retry_context(
        on=backoff, attempts=_ATTEMPTS, timeout=None, wait_initial=_FIRST_WAIT_S, wait_max=_LONGEST_WAIT_S
    )


def backoff(error: Exception) -> bool | float:
    """Decide whether to try again (True or False), or say after how many seconds the server wants it."""
    if isinstance(error, httpx.HTTPStatusError):
        if error.response.status_code not in _TRANSIENT_STATUS:
            return False
        wait_s = _retry_after_s(error.response)
        return True if wait_s is None else wait_s if wait_s <= _LONGEST_RETRY_AFTER_S else False
    return isinstance(error, httpx.TransportError | AnswerError) and not isinstance(error, _HOPELESS)


def failure(url: str, error: Exception) -> FetchError:
    """Put the last error of a request into one line."""
    if isinstance(error, httpx.HTTPStatusError):
        answer = error.response
        text = " ".join(answer.text.split())[:200] if answer.is_closed and answer.is_stream_consumed else ""
        region = answer.headers.get("x-amz-bucket-region")
        hint = f"; the bucket lies in region {region}" if region else ""
        return FetchError(
            f"{url}: answer was {answer.status_code} {answer.reason_phrase} {text}".rstrip() + hint
        )
    return FetchError(f"{url}: {type(error).__name__}: {' '.join(str(error).split()) or 'no answer'}")


def _retry_after_s(response: httpx.Response) -> float | None:
    value = response.headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    try:
        # The server's own clock decides, not ours.
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(response.headers.get("Date", ""))
    except (TypeError, ValueError):
        return None
    return max(wait.total_seconds(), 0.0)
