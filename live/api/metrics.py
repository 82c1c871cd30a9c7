"""What is measured for Prometheus: requests, commands and how the books keep up."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST
_BUCKETS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """Hold the measures of one application."""

    def __init__(self) -> None:
        disable_created_metrics()  # a series more for each, which nobody reads
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "hybrid_perps_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "hybrid_perps_request_seconds",
            "Time from a request's arrival to the end of its answer.",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._commands = Counter(
            "hybrid_perps_commands",
            "Commands and queries to the books, by outcome.",
            ("kind", "outcome"),
            registry=self._registry,
        )
        self._command_seconds = Histogram(
            "hybrid_perps_command_seconds",
            "Time from asking the books to their answer.",
            ("kind",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note a request that was answered; ``route`` is the template of its path."""
        found = self._known.get((method, route, status))
        if found is None:  # looking labels up costs more than counting
            counter = self._requests.labels(method, route, str(status))
            found = self._known[method, route, status] = counter, self._seconds.labels(method, route)
        found[0].inc()
        found[1].observe(seconds)

    def command(self, kind: str, outcome: str, seconds: float) -> None:
        """Note what became of a command."""
        self._commands.labels(kind, outcome).inc()
        self._command_seconds.labels(kind).observe(seconds)

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Measure something whenever it is asked for."""
        Gauge(f"hybrid_perps_{name}", text, registry=self._registry).set_function(read)

    def text(self) -> bytes:
        """Return all of it as Prometheus reads it."""
        return generate_latest(self._registry)
