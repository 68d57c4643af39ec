"""What a server counts, as Prometheus reads it."""

from __future__ import annotations

from typing import Any

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

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
CONTENT_TYPE: str = CONTENT_TYPE_LATEST
disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each, of when it began


class Metrics:
    """Counters of one server; they grow while it runs.

    Attributes:
        num_requests: for predictions, those that were refused included.
        num_images: that were answered.
        num_failed: requests for predictions with a status of 400 or more.
    """

    def __init__(self, deployed: Deployed, classes: tuple[str, ...], version: str) -> None:
        self.num_requests = self.num_images = self.num_failed = 0
        self.registry = CollectorRegistry()
        made: dict[str, Any] = {"registry": self.registry, "namespace": "edgenas"}
        self._requests = Counter("requests", "Requests for predictions by status.", ["code"], **made)
        self._images = Counter("images", "Images by class, as decided.", ["decision"], **made)
        self._referred = Counter("referred_images", "Images that a person is to decide.", **made)
        self._errors = Counter("image_errors", "Images that could not be read, by status.", ["code"], **made)
        self._seconds = Histogram("request_seconds", "From the request to its answer.", buckets=BUCKETS, **made)
        self._model = Histogram("model_seconds", "In the model, of one request's images.", buckets=BUCKETS, **made)
        self.waiting = Gauge("requests_in_flight", "Requests for predictions that are not answered yet.", **made)
        for name in classes:
            self._images.labels(name)
        Info("artifact", "What answers.", **made).info(
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
        found: bytes = generate_latest(self.registry)
        return found
