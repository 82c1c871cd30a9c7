"""Page through Hyperliquid's info endpoint: every item once, within its page and weight limits.

Limits (Hyperliquid docs, "Info endpoint" and "Rate limits"): 1200 weight a minute per IP; a request is 20
and each 20 items of fills or funding, or 60 candles, one more; 500 settlements or 2000 fills an answer;
only the 5000 newest candles and the 10 000 newest fills of a user exist at all.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from data.sources.http import AnswerError, FetchError, attempts, failure
from data.sources.hyperliquid_info import Item
from data.sources.limiter import WeightLimiter
from data.sources.raw import interval_ns
from risk.errors import InvalidInput

BASE_URL = "https://api.hyperliquid.xyz"
KINDS = ("candles", "funding", "fills")
MAX_FILLS = 10_000
MAX_CANDLES = 5_000
_REQUEST_WEIGHT = 20
_MS = 1_000_000
_PAGE_ITEMS = {"candles": MAX_CANDLES, "funding": 500, "fills": 2_000}
_ITEMS_PER_WEIGHT = {"candles": 60, "funding": 20, "fills": 20}
_COIN = re.compile(r"[\w:@/-]+")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """Ask for candles or funding of a coin, or for fills of a user (``subject``)."""

    kind: str
    subject: str
    interval: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidInput(f"kind was {self.kind!r}, must be one of {', '.join(KINDS)}")
        if self.kind == "candles":
            interval_ns(self.interval or "")
        elif self.interval is not None:
            raise InvalidInput(f"interval was {self.interval!r}, but {self.kind} have none")
        if not (_ADDRESS if self.kind == "fills" else _COIN).fullmatch(self.subject):
            wanted = "an address (0x and 40 hex digits)" if self.kind == "fills" else "a coin such as BTC"
            raise InvalidInput(f"{self.kind}: subject was {self.subject!r}, must be {wanted}")

    @property
    def page_items(self) -> int:
        """Give the most items one answer holds."""
        return _PAGE_ITEMS[self.kind]

    @property
    def window_ms(self) -> int | None:
        """Give the longest span to ask for at once: candles beyond the limit are cut at the old end."""
        return MAX_CANDLES * self._interval_ms if self.kind == "candles" else None

    @property
    def _interval_ms(self) -> int:
        return interval_ns(self.interval or "") // _MS

    def body(self, start_ms: int, end_ms: int) -> Body:
        """Build the request for a span, both ends included."""
        span = {"startTime": start_ms, "endTime": end_ms}
        if self.kind == "candles":
            request = {"coin": self.subject, "interval": self.interval} | span
            return {"type": "candleSnapshot", "req": request}
        if self.kind == "funding":
            return {"type": "fundingHistory", "coin": self.subject} | span
        return {"type": "userFillsByTime", "user": self.subject} | span

    def time_of(self, item: Item) -> int:
        """Give an item's time in ms; raise AnswerError when it has none."""
        time_ms = item.get("t" if self.kind == "candles" else "time")
        if not isinstance(time_ms, int):
            raise AnswerError(f"{self.kind}: time was {time_ms!r} in {str(item)[:80]!r}")
        return time_ms

    def is_final(self, item: Item, end_ms: int) -> bool:
        """Tell whether an item will not change any more: a candle must have closed by ``end_ms``."""
        return self.kind != "candles" or self.time_of(item) + self._interval_ms - 1 <= end_ms

    def extra_weight(self, items: int) -> int:
        """Give what an answer with so many items weighs on top of its request."""
        return items // _ITEMS_PER_WEIGHT[self.kind]


class InfoClient:
    """Post queries to an info endpoint, within its weight limit and with retries."""

    def __init__(self, client: httpx.Client, url: str, limiter: WeightLimiter) -> None:
        self._client, self._url, self._limiter = client, url, limiter

    def ask(self, query: Query, start_ms: int, end_ms: int) -> list[Item]:
        """Give the items of one answer as they came; raise FetchError when there is none to be had."""
        try:
            for attempt in attempts():
                with attempt:
                    self._limiter.acquire(_REQUEST_WEIGHT)
                    answer = self._client.post(self._url, json=query.body(start_ms, end_ms))
                    answer.raise_for_status()
                    items = _items(query, answer)
        except (httpx.HTTPError, AnswerError) as error:
            raise failure(self._url, error) from error
        self._limiter.charge(query.extra_weight(len(items)))
        return items


def _items(query: Query, answer: httpx.Response) -> list[Item]:
    try:
        items = answer.json()
    except ValueError as error:
        raise AnswerError(f"expected JSON, was {answer.text[:80]!r}") from error
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise AnswerError(f"expected a list of {query.kind}, was {answer.text[:80]!r}")
    for item in items:
        query.time_of(item)
    return items


@dataclass(frozen=True, slots=True)
class Cursor:
    """Hold what is left to ask for, and the items at its edge that are already taken."""

    start_ms: int
    end_ms: int
    taken: tuple[str, ...] = ()


Ask = Callable[[Query, int, int], list[Item]]


def pages(ask: Ask, query: Query, cursor: Cursor) -> Iterator[tuple[list[Item], Cursor]]:
    """Yield (new items, what is left) until nothing is; resuming from any of the cursors loses nothing.

    The next page starts *at* the last time seen, since a page may end amid one millisecond; what was
    taken there is subtracted as a multiset, for equal items are separate ones. Answers may come oldest or
    newest first. The end is where an answer brings nothing new, whatever the page limit is today.
    """
    while cursor.start_ms <= cursor.end_ms:
        last_ms = cursor.end_ms
        if query.window_ms is not None:
            last_ms = min(last_ms, cursor.start_ms + query.window_ms - 1)
        answer = ask(query, cursor.start_ms, last_ms)
        within = [item for item in answer if cursor.start_ms <= query.time_of(item) <= last_ms]
        new = _subtract(within, cursor.taken)
        if not new:
            _require_end(query, answer, within, cursor)
            cursor = Cursor(last_ms + 1, cursor.end_ms)
        else:
            cursor = _advance(query, within, cursor)
        yield new, cursor


def _subtract(items: list[Item], taken: tuple[str, ...]) -> list[Item]:
    left = Counter(taken)
    new = []
    for item in items:
        name = _name(item)
        if left[name]:
            left[name] -= 1
        else:
            new.append(item)
    return new


def _advance(query: Query, within: list[Item], cursor: Cursor) -> Cursor:
    times = [query.time_of(item) for item in within]
    newest_first = times[0] > times[-1]
    edge = min(times) if newest_first else max(times)
    taken = tuple(_name(item) for item, time in zip(within, times, strict=True) if time == edge)
    if newest_first:
        return Cursor(cursor.start_ms, edge, taken)
    return Cursor(edge, cursor.end_ms, taken)


def _require_end(query: Query, answer: list[Item], within: list[Item], cursor: Cursor) -> None:
    """Raise FetchError when an answer without news is not the end but a server that does not page."""
    # A span may well hold nothing but the candle that began before it.
    if answer and not within and query.kind != "candles":
        raise FetchError(
            f"{query.kind} of {query.subject}: answer lay outside the span asked for, "
            f"{cursor.start_ms} to {cursor.end_ms} ms"
        )
    if len(within) >= query.page_items:
        raise FetchError(
            f"{query.kind} of {query.subject}: {len(within)} items at {cursor.start_ms} ms fill a whole "
            "answer, so those after them cannot be reached"
        )


def _name(item: Item) -> str:
    return json.dumps(item, sort_keys=True, separators=(",", ":"))
