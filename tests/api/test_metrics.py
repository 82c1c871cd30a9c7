"""What is measured, against the library's own counters and histograms."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from live.api.metrics import _BUCKETS, Metrics

_Seconds = st.one_of(st.floats(0, 20), st.sampled_from(_BUCKETS))
_Requests = st.tuples(
    st.sampled_from(("GET", "POST")),
    st.sampled_from(("/v1/orders", 'a"b\\c\nd')),
    st.sampled_from((200, 404)),
)


@given(st.lists(st.tuples(_Requests, _Seconds), max_size=30))
def test_the_text_is_what_the_library_would_write(noted: list[tuple[tuple[str, str, int], float]]) -> None:
    metrics, registry = Metrics(), CollectorRegistry()
    requests = Counter(
        "hybrid_perps_requests", "Requests answered.", ("method", "route", "status"), registry=registry
    )
    seconds = Histogram(
        "hybrid_perps_request_seconds",
        "Time from a request's arrival to the end of its answer.",
        ("method", "route"),
        buckets=_BUCKETS,
        registry=registry,
    )
    for (method, route, status), spent in noted:
        metrics.request(method, route, status, spent)
        requests.labels(method, route, str(status)).inc()
        seconds.labels(method, route).observe(spent)
    assert metrics.text().startswith(generate_latest(registry))


def test_commands_and_gauges_have_their_own() -> None:
    metrics = Metrics()
    metrics.command("HouseQuery", "DONE", 0.002)
    metrics.gauge("books_waiting", "Those that wait.", lambda: 3.0)
    text = metrics.text().decode()
    assert 'hybrid_perps_commands_total{kind="HouseQuery",outcome="DONE"} 1.0\n' in text
    assert 'hybrid_perps_command_seconds_bucket{kind="HouseQuery",le="0.001"} 0.0\n' in text
    assert 'hybrid_perps_command_seconds_bucket{kind="HouseQuery",le="0.002"} 1.0\n' in text
    assert "hybrid_perps_books_waiting 3.0\n" in text
