"""What is measured for Prometheus: requests, commands and how the books keep up."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, Gauge, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

CONTENT_TYPE = CONTENT_TYPE_LATEST
_BUCKETS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_BOUNDS = [floatToGoString(bound) for bound in (*_BUCKETS, float("inf"))]


class Counts(Collector):
    """Count by labels.

    A plain dictionary, for one thread: the library's own counters lock, and cost more than the request's route.
    """

    def __init__(self, name: str, text: str, labels: Sequence[str]) -> None:
        self._about = name, text, labels
        self._counts: dict[tuple[str, ...], int] = {}

    def add(self, labels: tuple[str, ...]) -> None:
        """Count one more."""
        self._counts[labels] = self._counts.get(labels, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """Give what was counted."""
        name, text, names = self._about
        family = CounterMetricFamily(name, text, labels=names)
        for labels, count in self._counts.items():
            family.add_metric(labels, count)
        yield family


class Times(Collector):
    """Sort times in seconds into buckets, by labels; for one thread, as ``Counts`` is."""

    def __init__(self, name: str, text: str, labels: Sequence[str]) -> None:
        self._about = name, text, labels
        self._buckets: dict[
            tuple[str, ...], list[int]
        ] = {}  # each with the place for what is beyond all bounds
        self._sums: dict[tuple[str, ...], float] = {}

    def add(self, labels: tuple[str, ...], seconds: float) -> None:
        """Note one more."""
        found = self._buckets.get(labels)
        if found is None:
            found = self._buckets[labels] = [0] * len(_BOUNDS)
            self._sums[labels] = 0.0
        found[bisect_left(_BUCKETS, seconds)] += 1
        self._sums[labels] += seconds

    def collect(self) -> Iterator[Metric]:
        """Give what was noted."""
        name, text, names = self._about
        family = HistogramMetricFamily(name, text, labels=names)
        for labels, buckets in self._buckets.items():
            so_far = zip(_BOUNDS, accumulate(buckets), strict=True)
            family.add_metric(labels, list(so_far), self._sums[labels])
        yield family


class Metrics:
    """Hold the measures of one application."""

    def __init__(self) -> None:
        disable_created_metrics()  # a series more for each gauge, which nobody reads
        self._registry = CollectorRegistry()
        self._requests = Counts("hybrid_perps_requests", "Requests answered.", ("method", "route", "status"))
        self._seconds = Times(
            "hybrid_perps_request_seconds",
            "Time from a request's arrival to the end of its answer.",
            ("method", "route"),
        )
        self._commands = Counts(
            "hybrid_perps_commands", "Commands and queries to the books, by outcome.", ("kind", "outcome")
        )
        self._command_seconds = Times(
            "hybrid_perps_command_seconds", "Time from asking the books to their answer.", ("kind",)
        )
        self._streams_opened = Counts("hybrid_perps_streams_opened", "Streams that began.", ())
        self._streams_closed = Counts(
            "hybrid_perps_streams_closed", "Streams that ended, by our close code.", ("code",)
        )
        self._streams = 0
        measures = (self._requests, self._seconds, self._commands, self._command_seconds)
        for measure in (*measures, self._streams_opened, self._streams_closed):
            self._registry.register(measure)
        self.gauge("streams", "Streams that are open.", lambda: self._streams)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note a request that was answered; ``route`` is the template of its path."""
        self._requests.add((method, route, str(status)))
        self._seconds.add((method, route), seconds)

    def command(self, kind: str, outcome: str, seconds: float) -> None:
        """Note what became of a command."""
        self._commands.add((kind, outcome))
        self._command_seconds.add((kind,), seconds)

    def stream_opened(self) -> None:
        """Note that a stream began."""
        self._streams += 1
        self._streams_opened.add(())

    def stream_closed(self, code: str) -> None:
        """Note that one ended, by which close code of ours; ``left`` says that its client went."""
        self._streams -= 1
        self._streams_closed.add((code,))

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Measure something whenever it is asked for."""
        Gauge(f"hybrid_perps_{name}", text, registry=self._registry).set_function(read)

    def text(self) -> bytes:
        """Return all of it as Prometheus reads it."""
        return generate_latest(self._registry)
