"""Downloads against a server with faults: resumed, verified, and never half in place."""

import hashlib

import httpx
import pytest
import stamina

from data.sources import binance
from data.sources.download import Job, fetch, fetch_all
from data.sources.http import AnswerError, FetchError, attempts, backoff
from risk.errors import HybridPerpsError

BODY = bytes(range(256)) * 4000
KEY = "data/BTC.zip"


def ignore(amount):
    pass


@pytest.fixture
def job(server, tmp_path):
    """A published file with a checksum, not fetched yet."""
    return Job(server.publish(KEY, BODY), tmp_path / "out" / "BTC.zip", binance.parse_checksum)


def leftovers(job):
    return sorted(path.name for path in job.dest.parent.iterdir())


def ranges(server):
    return [headers["range"] for path, headers, _ in server.requests if "range" in headers]


def test_a_file_arrives_whole_with_its_checksum_beside_it(client, job):
    seen = []
    assert fetch(client, job, seen.append) == "fetched"
    assert job.dest.read_bytes() == BODY
    assert sum(seen) == len(BODY)
    assert leftovers(job) == ["BTC.zip", "BTC.zip.CHECKSUM"]


def test_a_verified_file_costs_no_request(client, job, server):
    fetch(client, job, ignore)
    server.requests.clear()
    assert fetch(client, job, ignore) == "kept"
    assert server.requests == []


def test_a_file_damaged_on_disk_is_fetched_again(client, job):
    fetch(client, job, ignore)
    job.dest.write_bytes(b"rotten")
    assert fetch(client, job, ignore) == "fetched"
    assert job.dest.read_bytes() == BODY


def test_a_cut_connection_resumes_by_range(client, job, server, fault):
    server.faults[f"/{KEY}"].append(fault(cut_after=300_000))
    assert fetch(client, job, ignore) == "fetched"
    assert job.dest.read_bytes() == BODY
    (asked,) = ranges(server)
    assert 0 < int(asked.removeprefix("bytes=").removesuffix("-")) <= 300_000


def test_the_next_run_resumes_what_this_one_left(client, job, server, fault):
    server.faults[f"/{KEY}"] += [fault(cut_after=200_000), *[fault(status=503, body=b"")] * 3]
    with pytest.raises(FetchError, match="answer was 503 Service Unavailable"):
        fetch(client, job, ignore)
    assert leftovers(job) == ["BTC.zip.part", "BTC.zip.part.etag"]
    rest = []
    assert fetch(client, job, rest.append) == "fetched"
    assert 0 < sum(rest) < len(BODY)
    assert job.dest.read_bytes() == BODY


def test_a_new_version_on_the_server_starts_over(client, job, server, fault):
    server.faults[f"/{KEY}"] += [fault(cut_after=200_000), *[fault(status=500)] * 3]
    with pytest.raises(FetchError):
        fetch(client, job, ignore)
    newer = BODY[::-1]
    server.publish(KEY, newer)
    assert fetch(client, job, ignore) == "fetched"
    assert job.dest.read_bytes() == newer


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_strong_etag_nothing_is_appended(client, job, server, fault, etag):
    server.etag = lambda body: etag
    server.faults[f"/{KEY}"].append(fault(cut_after=200_000))
    assert fetch(client, job, ignore) == "fetched"
    assert job.dest.read_bytes() == BODY
    assert ranges(server) == []


def test_a_part_longer_than_the_file_starts_over(client, job):
    job.dest.parent.mkdir()
    job.dest.with_name("BTC.zip.part").write_bytes(BODY + b"more")
    job.dest.with_name("BTC.zip.part.etag").write_text(f'"{hashlib.md5(BODY).hexdigest()}"')
    assert fetch(client, job, ignore) == "fetched"
    assert job.dest.read_bytes() == BODY


def test_a_server_that_answers_another_range_is_not_believed(client, job, server, fault):
    wrong = fault(status=206, headers={"Content-Range": "bytes 7-9/10"}, body=b"abc")
    server.faults[f"/{KEY}"] += [fault(cut_after=200_000), wrong]
    assert fetch(client, job, ignore) == "fetched"
    assert job.dest.read_bytes() == BODY


def test_a_wrong_checksum_is_tried_once_more(client, job, server, fault):
    server.faults[f"/{KEY}"].append(fault(body=b"truncated zip"))
    assert fetch(client, job, ignore) == "fetched"
    assert job.dest.read_bytes() == BODY


def test_a_checksum_wrong_twice_leaves_nothing(client, job, server):
    server.publish(KEY, BODY, checksum="00" * 32)
    with pytest.raises(
        FetchError, match=rf"sha256 was {hashlib.sha256(BODY).hexdigest()} twice, must be 0000"
    ):
        fetch(client, job, ignore)
    assert leftovers(job) == []
    assert server.paths().count(f"/{KEY}") == 2


def test_a_checksum_of_another_file_is_refused(client, job, server):
    server.files[f"/{KEY}.CHECKSUM"] = b"00  ETH.zip\n"
    with pytest.raises(HybridPerpsError, match=r"BTC\.zip\.CHECKSUM: expected"):
        fetch(client, job, ignore)


def test_what_is_not_published_is_missing(client, job, server):
    del server.files[f"/{KEY}"]
    assert fetch(client, job, ignore) == "missing"
    del server.files[f"/{KEY}.CHECKSUM"]
    assert fetch(client, job, ignore) == "missing"
    assert leftovers(job) == []


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_busy_servers_are_asked_again(client, job, server, fault, status):
    server.faults[f"/{KEY}"].append(fault(status=status, body=b"later"))
    server.faults[f"/{KEY}.CHECKSUM"].append(fault(status=status, body=b"later"))
    assert fetch(client, job, ignore) == "fetched"
    assert job.dest.read_bytes() == BODY


def test_a_refusal_is_not_asked_again(client, job, server, fault):
    server.faults[f"/{KEY}"].append(
        fault(status=403, headers={"x-amz-bucket-region": "eu-west-1"}, body=b"<Code>AccessDenied</Code>\n")
    )
    with pytest.raises(FetchError, match=r"403 Forbidden <Code>AccessDenied.*lies in region eu-west-1"):
        fetch(client, job, ignore)
    assert server.paths().count(f"/{KEY}") == 1


def test_a_slow_first_byte_is_a_timeout_and_asked_again(job, server, fault):
    server.faults[f"/{KEY}"].append(fault(silent=True))
    with httpx.Client(trust_env=False, timeout=httpx.Timeout(60.0, read=1.0)) as impatient:
        assert fetch(impatient, job, ignore) == "fetched"
    assert server.paths().count(f"/{KEY}") == 2


def test_no_server_at_all_is_one_line(client, tmp_path):
    with pytest.raises(FetchError, match="ConnectError") as caught:
        fetch(client, Job("http://127.0.0.1:9/x", tmp_path / "x"), ignore)
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_written_is_one_line(client, server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FetchError, match="could not be written"):
        fetch(client, Job(server.publish(KEY, BODY), tmp_path / "file" / "BTC.zip"), ignore)


def test_without_a_checksum_a_whole_file_is_kept(client, server, tmp_path):
    job = Job(server.publish(KEY, BODY), tmp_path / "BTC.zip")
    assert [fetch(client, job, ignore), fetch(client, job, ignore)] == ["fetched", "kept"]
    assert server.paths() == [f"/{KEY}"]


def test_one_failure_stops_no_other_file(client, server, tmp_path):
    jobs = [Job(server.publish(f"{name}.zip", BODY), tmp_path / f"{name}.zip") for name in "abcdef"]
    del server.files["/c.zip"]
    jobs[4] = Job(jobs[4].url, jobs[4].dest, lambda text, name: "00")
    files = []
    outcomes = fetch_all(client, jobs, ignore, files.append)
    assert [outcome.status for outcome in outcomes] == [
        *["fetched"] * 2,
        "missing",
        "fetched",
        "failed",
        "fetched",
    ]
    assert "sha256 was" in outcomes[4].detail
    assert len(files) == 6


def test_an_unreachable_server_is_given_up_for_all_files(client, tmp_path):
    jobs = [Job(f"http://127.0.0.1:9/{n}", tmp_path / str(n)) for n in range(40)]
    details = [outcome.detail for outcome in fetch_all(client, jobs, ignore, ignore)]
    assert "ConnectError" in details[0]
    assert "not tried" in details[-1]


def answer(status, **headers):
    response = httpx.Response(status, headers=headers, request=httpx.Request("GET", "http://x"))
    return httpx.HTTPStatusError("", request=response.request, response=response)


DATE = "Fri, 24 May 2013 00:00:00 GMT"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (answer(429), True),
        (answer(429, **{"Retry-After": "7"}), 7.0),
        (answer(503, **{"Retry-After": "Fri, 24 May 2013 00:01:30 GMT", "Date": DATE}), 90.0),
        (answer(503, **{"Retry-After": DATE, "Date": "Fri, 24 May 2013 00:01:30 GMT"}), 0.0),
        (answer(503, **{"Retry-After": "soon"}), True),
        (answer(429, **{"Retry-After": "86400"}), False),
        (answer(404), False),
        (answer(403), False),
        (httpx.ReadTimeout("slow"), True),
        (httpx.ReadError("reset"), True),
        (httpx.UnsupportedProtocol("ftp"), False),
        (AnswerError("garbage"), True),
        (KeyError("bug"), False),
    ],
)
def test_backoff_decides_by_the_error(error, expected):
    assert backoff(error) == expected
    assert isinstance(backoff(error), type(expected))


def test_retry_after_is_what_is_waited():
    waits, tries = [], []

    def refuse_once():
        for attempt in attempts():
            with attempt:
                tries.append(len(tries))
                if len(tries) == 1:
                    raise answer(429, **{"Retry-After": "0"})

    stamina.instrumentation.set_on_retry_hooks([lambda details: waits.append(details.wait_for)])
    try:
        with stamina.set_testing(False):
            refuse_once()
    finally:
        stamina.instrumentation.set_on_retry_hooks(None)
    # The usual first wait is a second or more.
    assert (waits, tries) == ([0.0], [0, 1])
