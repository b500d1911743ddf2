"""What Prometheus reads at /metrics: the only place that knows its client library."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from service.inference.batching import Batch
from service.records import Identity

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20)
ROWS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The numbers of one process. Labels are few and never come from outside: routes, not paths."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, identity: Identity, *, waiting: Callable[[], int], ready: Callable[[], bool]) -> None:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._registry = registry
        labels = ("method", "route", "status")
        self._requests = Counter("slipway_requests", "Requests that were answered", labels, registry=registry)
        self._seconds = Histogram(
            "slipway_request_seconds", "From a request to its answer", ("route",), buckets=SECONDS, registry=registry
        )
        self._predictions = Counter("slipway_predictions", "Pictures that were answered", registry=registry)
        self._refusals = Counter("slipway_refusals", "Requests that were refused, by code", ("code",), registry=registry)
        self._decode = Histogram("slipway_decode_seconds", "Decoding and scaling a picture", buckets=SECONDS, registry=registry)
        self._wait = Histogram("slipway_queue_wait_seconds", "A picture's wait for the model", buckets=SECONDS, registry=registry)
        self._batch = Histogram("slipway_batch_size", "Pictures that were answered together", buckets=ROWS, registry=registry)
        self._inference = Histogram("slipway_inference_seconds", "One pass of the model", buckets=SECONDS, registry=registry)
        Gauge("slipway_waiting", "Pictures in the queue or being answered", registry=registry).set_function(waiting)
        Gauge("slipway_ready", "1 once the model is loaded and warmed", registry=registry).set_function(ready)
        about = {
            "release": identity.release,
            "commit": identity.commit,
            "model": identity.model,
            "model_sha256": identity.model_sha256,
        }
        Gauge("slipway_info", "What runs here", tuple(about), registry=registry).labels(**about).set(1)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request came to its end."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def refused(self, code: str) -> None:
        """A request was refused with this problem code."""
        self._refusals.labels(code).inc()

    def decoded(self, seconds: float) -> None:
        """A picture was decoded."""
        self._decode.observe(seconds)

    def predicted(self) -> None:
        """A picture was answered."""
        self._predictions.inc()

    def passed(self, batch: Batch) -> None:
        """The model did a pass."""
        self._batch.observe(batch.size)
        self._inference.observe(batch.seconds)
        for seconds in batch.waits:
            self._wait.observe(seconds)

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry)
