"""The info endpoint: every item once, whatever the order and size of the answers, within the limits."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.sources.detect import read_source
from data.sources.http import FetchError
from data.sources.info_fetch import fetch_info, file_name
from data.sources.info_query import Cursor, InfoClient, Query, pages
from data.sources.limiter import WeightLimiter
from risk.errors import InvalidInput

FUNDING = Query("funding", "BTC")
CANDLES = Query("candles", "BTC", "1m")
FILLS = Query("fills", "0x" + "ab" * 20)
MINUTE_MS = 60_000
T0 = 1_704_067_200_000


def settlement(time_ms, rate="0.0001"):
    return {"coin": "BTC", "fundingRate": rate, "premium": "0", "time": time_ms}


def candle(time_ms):
    prices = dict.fromkeys("ohlc", "100.0")
    return prices | {"t": time_ms, "T": time_ms + MINUTE_MS - 1, "s": "BTC", "i": "1m", "v": "3.0", "n": 2}


def venue(items, limit, *, newest_first=False, key="time"):
    """An endpoint that holds ``items`` and answers at most ``limit`` of a span."""

    def answer(query, start_ms, end_ms):
        span = sorted((item for item in items if start_ms <= item[key] <= end_ms), key=lambda item: item[key])
        return span[::-1][:limit] if newest_first else span[:limit]

    return answer


def canonical(items):
    return Counter(json.dumps(item, sort_keys=True) for item in items)


def gather(ask, query, start_ms, end_ms):
    return [item for new, _ in pages(ask, query, Cursor(start_ms, end_ms)) for item in new]


@given(
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["a", "b"])), max_size=40),
    st.booleans(),
    st.integers(0, 3),
)
def test_every_item_arrives_once_across_pages(times, newest_first, spare):
    items = [settlement(T0 + time, rate) for time, rate in times]
    # A page that a single millisecond could fill is refused (tested below), so leave room for one more.
    limit = max(Counter(time for time, _ in times).values(), default=0) + 1 + spare
    ask = venue(items, limit, newest_first=newest_first)
    got = gather(ask, FUNDING, T0, T0 + 12)
    assert canonical(got) == canonical(items)


@given(st.sets(st.integers(0, 30), max_size=30), st.integers(1, 6), st.data())
def test_a_fetch_broken_after_any_page_loses_nothing(minutes, limit, data):
    items = [settlement(T0 + minute) for minute in minutes]
    ask = venue(items, limit + 1)
    whole = Cursor(T0, T0 + 30)
    steps = list(pages(ask, FUNDING, whole))
    stop = data.draw(st.integers(0, len(steps)))
    before = [item for new, _ in steps[:stop] for item in new]
    left = steps[stop - 1][1] if stop else whole
    after = [item for new, _ in pages(ask, FUNDING, left) for item in new]
    assert canonical(before + after) == canonical(items)


def test_candles_are_asked_in_spans_that_one_answer_holds():
    asked = []
    items = [candle(T0 + n * MINUTE_MS) for n in range(12_000)]
    inner = venue(items, 5_000, newest_first=True, key="t")

    def newest_kept(query, start_ms, end_ms):  # as Hyperliquid cuts: old end first, answered oldest first
        asked.append((end_ms - start_ms + 1) // MINUTE_MS)
        return inner(query, start_ms, end_ms)[::-1]

    got = gather(newest_kept, CANDLES, T0, T0 + 12_000 * MINUTE_MS - 1)
    assert [item["t"] for item in got] == [item["t"] for item in items]
    assert max(asked) <= 5_000


def test_candles_from_before_the_oldest_kept_are_skipped():
    items = [candle(T0 + n * MINUTE_MS) for n in range(20_000, 20_010)]
    got = gather(venue(items, 5_000, key="t"), CANDLES, T0, T0 + 20_010 * MINUTE_MS - 1)
    assert len(got) == 10


def test_a_server_that_repeats_its_page_is_an_error_not_a_loop():
    page = [settlement(T0 + n) for n in range(500)]
    with pytest.raises(FetchError, match="lay outside the span"):
        gather(
            lambda query, start_ms, end_ms: page if start_ms == T0 else page[:499], FUNDING, T0, T0 + 10_000
        )


def test_more_items_in_one_millisecond_than_an_answer_holds_is_an_error():
    items = [settlement(T0)] * 501
    with pytest.raises(FetchError, match=r"500 items at 1704067200000 ms fill a whole answer"):
        gather(venue(items, 500), FUNDING, T0, T0 + 10)


class Clock:
    def __init__(self):
        self.now_s = 0.0
        self.slept = []

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now_s += seconds

    def limiter(self, **options):
        return WeightLimiter(clock=lambda: self.now_s, sleep=self.sleep, **options)


def test_the_limiter_waits_only_when_the_bucket_is_empty():
    clock = Clock()
    limiter = clock.limiter(per_minute=800, burst=100, largest_charge=100)  # 10 a second
    for _ in range(5):
        limiter.acquire(20)
    assert clock.slept == []
    limiter.acquire(20)
    limiter.charge(50)
    limiter.acquire(20)
    assert clock.slept == [2.0, 7.0]


@given(st.lists(st.tuples(st.integers(0, 100), st.floats(0, 10)), min_size=1, max_size=150))
def test_no_minute_ever_weighs_more_than_the_limit(calls):
    clock = Clock()
    limiter = clock.limiter()
    spent = []
    for charge, pause_s in calls:
        limiter.acquire(20)
        spent.append((clock.now_s, 20 + charge))
        limiter.charge(charge)
        clock.now_s += pause_s
    for start_s, _ in spent:
        weight = sum(weight for at_s, weight in spent if start_s <= at_s < start_s + 60)
        assert weight <= 1200 + 1e-6


@pytest.fixture
def ask(client, server):
    return InfoClient(client, f"{server.url}/info", Clock().limiter()).ask


def ignore(amount):
    pass


def serve(server, items, limit):
    inner = venue(items, limit)
    server.info = lambda body: inner(None, body["startTime"], body["endTime"])


def test_a_fetch_stores_what_the_reader_reads(ask, server, tmp_path):
    items = [settlement(T0 + hour * 3_600_000 + 48) for hour in range(40)]
    serve(server, items, 7)
    dest = tmp_path / file_name(FUNDING, "2024-01-01_2024-01-02")
    outcome = fetch_info(ask, FUNDING, T0, T0 + 2 * 86_400_000 - 1, dest, ignore)
    assert (outcome.status, outcome.detail) == ("fetched", "40 items")
    assert [json.loads(line) for line in dest.read_text().splitlines()] == items
    assert [path.name for path in tmp_path.iterdir()] == [dest.name]
    (part,) = read_source(dest)
    assert (part.symbol, part.table.num_rows) == ("BTC", 40)
    assert fetch_info(ask, FUNDING, T0, T0, dest, ignore).status == "kept"


def test_requests_are_those_of_the_api(ask, server):
    server.info = lambda body: []
    for query in (FUNDING, CANDLES, FILLS):
        ask(query, 1, 2)
    assert [json.loads(body) for _, _, body in server.requests] == [
        {"type": "fundingHistory", "coin": "BTC", "startTime": 1, "endTime": 2},
        {"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1m", "startTime": 1, "endTime": 2}},
        {"type": "userFillsByTime", "user": FILLS.subject, "startTime": 1, "endTime": 2},
    ]


def test_a_broken_fetch_goes_on_where_it_was(ask, server, tmp_path, fault):
    items = [settlement(T0 + n) for n in range(30)]
    serve(server, items, 10)
    dest = tmp_path / "funding-BTC.jsonl"
    server.faults["/info"] += [fault(), fault(), *[fault(status=500)] * 4]
    outcome = fetch_info(ask, FUNDING, T0, T0 + 100, dest, ignore)
    assert outcome.status == "failed"
    assert "answer was 500" in outcome.detail
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{dest.name}.part",
        f"{dest.name}.state.json",
    ]
    # Bytes written after the last state, as by a crash between the two, must not count.
    with dest.with_name(f"{dest.name}.part").open("ab") as part:
        part.write(b'{"coin": "half')
    server.requests.clear()
    assert fetch_info(ask, FUNDING, T0, T0 + 100, dest, ignore).status == "fetched"
    assert json.loads(server.requests[0][2])["startTime"] == T0 + 18
    assert [json.loads(line) for line in dest.read_text().splitlines()] == items


def test_another_span_does_not_resume_a_foreign_state(ask, server, tmp_path, fault):
    serve(server, [settlement(T0 + n) for n in range(30)], 10)
    dest = tmp_path / "funding-BTC.jsonl"
    server.faults["/info"] += [fault(), *[fault(status=500)] * 4]
    assert fetch_info(ask, FUNDING, T0, T0 + 100, dest, ignore).status == "failed"
    assert fetch_info(ask, FUNDING, T0, T0 + 5, dest, ignore).detail == "6 items"


def test_a_spoilt_state_is_named(ask, tmp_path):
    dest = tmp_path / "funding-BTC.jsonl"
    dest.with_name(f"{dest.name}.part").touch()
    dest.with_name(f"{dest.name}.state.json").write_text("{")
    outcome = fetch_info(ask, FUNDING, T0, T0 + 5, dest, ignore)
    assert outcome.status == "failed"
    assert "delete it to start over" in outcome.detail


def test_nothing_published_leaves_nothing(ask, server, tmp_path):
    server.info = lambda body: []
    outcome = fetch_info(ask, CANDLES, T0, T0 + MINUTE_MS, tmp_path / "c.jsonl", ignore)
    assert (outcome.status, outcome.detail) == ("missing", "only the 5000 newest candles are published")
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_candle_is_left_out(ask, server, tmp_path):
    server.info = lambda body: [candle(T0), candle(T0 + MINUTE_MS)]
    fetch_info(ask, CANDLES, T0, T0 + 2 * MINUTE_MS - 2, tmp_path / "c.jsonl", ignore)
    assert len((tmp_path / "c.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize("body", [b"<html>", b'{"error": "x"}', b"[1]", b'[{"coin": "BTC"}]', b"null"])
def test_garbage_is_asked_again_and_then_named(ask, server, fault, body):
    server.info = lambda asked: [settlement(T0)]
    server.faults["/info"].append(fault(body=body))
    assert ask(FUNDING, T0, T0) == [settlement(T0)]
    server.faults["/info"] += [fault(body=body)] * 4
    with pytest.raises(FetchError) as caught:
        ask(FUNDING, T0, T0)
    assert "\n" not in str(caught.value)


def test_a_busy_endpoint_is_asked_again_and_each_try_weighs(client, server, fault):
    clock = Clock()
    server.info = lambda body: [settlement(T0)] * 40
    server.faults["/info"] += [fault(status=429, headers={"Retry-After": "3"})] * 3
    limiter = clock.limiter(per_minute=260, burst=100, largest_charge=100)  # 1 a second
    assert len(InfoClient(client, f"{server.url}/info", limiter).ask(FUNDING, T0, T0)) == 40
    limiter.acquire(20)
    # Four tries of 20, and 40 items of one per 20, left 18 of the 20 wanted.
    assert clock.slept == [2.0]


def test_recorded_answers_pass_through(ask, server, payloads, tmp_path):
    recorded = json.loads((payloads / "hl_user_fills_by_time.json").read_text())
    serve(server, recorded, 2_000)
    dest = tmp_path / file_name(FILLS, "2023-05-05_2023-05-05")
    assert fetch_info(ask, FILLS, 1683245555699, 1683245884863, dest, ignore).detail == "40 items"
    assert read_source(dest)[0].table.num_rows == 40


def test_a_full_history_of_fills_says_that_older_ones_are_gone(tmp_path):
    items = [{"time": T0 + n, "coin": "BTC"} for n in range(10_000)]
    outcome = fetch_info(venue(items, 2_000), FILLS, T0, T0 + 10_000, tmp_path / "f.jsonl", ignore)
    assert outcome.detail.startswith("10000 fills: only the 10000 newest are published")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("trades", "BTC"), "kind was 'trades'"),
        (("candles", "BTC"), "interval was ''"),
        (("funding", "BTC", "1h"), "funding have none"),
        (("fills", "BTC"), "must be an address"),
        (("funding", "../x y"), "must be a coin"),
    ],
)
def test_impossible_queries_are_refused(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        Query(*arguments)


def test_file_names_are_safe_on_every_disk():
    assert file_name(Query("candles", "xyz:NVDA", "1h"), "a_b") == "candles-xyz_NVDA-1h-a_b.jsonl"
    assert file_name(Query("funding", "PURR/USDC"), "a_b") == "funding-PURR_USDC-a_b.jsonl"
