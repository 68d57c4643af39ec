"""What a server counts, as Prometheus reads it."""

from __future__ import annotations

from functools import partial

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
    generate_latest,
)

from edgenas.records import Deployed, Prediction

NAMESPACE = "edgenas"  # begins every name
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
CONTENT_TYPE: str = CONTENT_TYPE_LATEST
disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each, of when it began


class ServingMetrics:
    """Counters of one server; they grow while it runs.

    Attributes:
        num_requests: for predictions, those that were refused included.
        num_images: that were answered.
        num_failed: requests for predictions with a status of 400 or more.
    """

    def __init__(self, deployed: Deployed, classes: tuple[str, ...], version: str) -> None:
        self.num_requests = self.num_images = self.num_failed = 0
        registry = self.registry = CollectorRegistry()
        counter = partial(Counter, namespace=NAMESPACE, registry=registry)
        histogram = partial(Histogram, namespace=NAMESPACE, registry=registry, buckets=BUCKETS)
        waiting = "Requests for predictions that are not answered yet."
        self._requests = counter("requests", "Requests for predictions by status.", ("code",))
        self._images = counter("images", "Images by class, as decided.", ("decision",))
        self._referred = counter("referred_images", "Images that a person is to decide.")
        self._errors = counter("image_errors", "Images that could not be read, by status.", ("code",))
        self._seconds = histogram("request_seconds", "From the request to its answer.")
        self._model = histogram("model_seconds", "In the model, of one request's images.")
        self.waiting = Gauge("requests_in_flight", waiting, namespace=NAMESPACE, registry=registry)
        for name in classes:
            self._images.labels(name)
        Info("artifact", "What answers.", namespace=NAMESPACE, registry=registry).info(
            {
                "artifact": deployed.artifact,
                "file": deployed.file,
                "runtime": deployed.runtime,
                "device": deployed.device,
                "version": version,
            }
        )

    def request(self, code: int, seconds: float) -> None:
        """One request for predictions was answered."""
        self.num_requests += 1
        self.num_failed += code >= 400
        self._requests.labels(str(code)).inc()
        self._seconds.observe(seconds)

    def answered(self, rows: list[Prediction], seconds: float) -> None:
        """The model answered about images."""
        self._model.observe(seconds)
        for row in rows:
            if row.decision is not None:
                self.num_images += 1
                self._images.labels(row.decision).inc()
                self._referred.inc(bool(row.referred))

    def refused(self, code: int) -> None:
        """One image could not be read."""
        self._errors.labels(str(code)).inc()

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        text: bytes = generate_latest(self.registry)
        return text
