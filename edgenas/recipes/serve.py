"""`edgenas serve`: an artefact behind HTTP, until it is told to stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgenas import __version__
from edgenas.predicting.predictor import Predictor
from edgenas.records import ServeResult
from edgenas.runs import Note, Outcome, Record
from edgenas.serving.packages import require_packages

if TYPE_CHECKING:
    from edgenas.serving.desk import Desk
    from edgenas.serving.running import Running
    from edgenas.serving.uploads import Limits

LOOPBACK = ("127.0.0.1", "localhost", "::1")
TICK_S = 0.1


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """What `edgenas serve` was asked for.

    Attributes:
        folder: of an artefact, or of a run.
        net: of a run; None takes its own.
        host, port: where to listen; port 0 takes a free one.
        max_mb: of a request.
        max_pixels: of an image.
        most_waiting: requests for predictions at a time.
    """

    folder: Path
    net: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    max_mb: float = 32.0
    max_pixels: int = 40_000_000
    most_waiting: int = 32

    def limits(self) -> Limits:
        """As the server takes them."""
        from edgenas.serving.uploads import Limits

        return Limits(max_bytes=int(self.max_mb * (1 << 20)), max_pixels=self.max_pixels, most_waiting=self.most_waiting)


@dataclass(slots=True)
class _Asked:
    """How often the server was told to stop; signals add to it."""

    times: int = 0

    def hear(self, number: int, frame: object) -> None:
        """Note a signal."""
        self.times += 1


def run(config: ServeConfig) -> Iterator[Record]:
    """Load the artefact, answer requests until SIGINT or SIGTERM, then finish what has begun; a second signal does not wait.

    Raises:
        MissingBackendError: without the packages of the extra ``serve``, or if no file of the artefact can run here.
        MissingInputError, ArtefactError: if there is no artefact that can be used.
        EdgeNASError: if the port is taken.
    """
    require_packages()
    from edgenas.serving.app import build_app
    from edgenas.serving.desk import Desk
    from edgenas.serving.metrics import ServingMetrics
    from edgenas.serving.running import Running, address_of, bind

    with bind(config.host, config.port) as bound:
        predictor = Predictor.open(config.folder, net=config.net)
        for warning in predictor.warnings:
            yield Note(warning, is_warning=True)
        metrics = ServingMetrics(predictor.deployed, predictor.manifest.classes, __version__)
        desk, address = Desk(predictor, metrics, config.limits()), address_of(config.host, bound)
        try:
            desk.warm_up()
            if config.host not in LOOPBACK:
                yield Note(f"whoever reaches {config.host} may send images: there is no password", is_warning=True)
            with _heard() as asked:
                running, began = Running(build_app(desk), bound), time.monotonic()
                try:
                    running.start()
                    yield Note(f"{predictor.deployed.artifact}/{predictor.deployed.file} answers at {address} (Ctrl-C stops it)")
                    _until_stopped(running, desk, asked)
                finally:
                    running.stop()
                    running.join()
        finally:
            desk.close()
    result = ServeResult(
        deployed=predictor.deployed,
        address=address,
        seconds=time.monotonic() - began,
        num_requests=metrics.num_requests,
        num_images=metrics.num_images,
        num_errors=metrics.num_failed,
    )
    yield Outcome(result)


@contextmanager
def _heard() -> Iterator[_Asked]:
    """Take over the signals that stop a server, within the block."""
    asked = _Asked()
    before = {number: signal.signal(number, asked.hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _until_stopped(running: Running, desk: Desk, asked: _Asked) -> None:
    """Wait for the end of the server, which a signal begins."""
    while running.is_alive(TICK_S):
        if asked.times:
            desk.is_open = False
            running.stop(at_once=asked.times > 1)
