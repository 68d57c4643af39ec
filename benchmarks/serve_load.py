"""A server under load, in turn with the bare runtime: errors, and how long answers take.

    python -m benchmarks.serve_load ARTEFACT --clients 8 --seconds 60 --output docs/measurements/serve_NAME_DATE.md

Every round lets the clients send images to a server in a process of its own, then asks the same model in this process, one image a
call, with nothing beside it. Clients keep their connections and send the next image when the last one is answered.
"""

from __future__ import annotations

import argparse
import http.client
import io
import os
import platform
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from edgenas.predicting.predictor import Predictor

ROUNDS = 6
QUANTILES = (0.5, 0.9, 0.99)


@dataclass(slots=True)
class Timed:
    """Milliseconds of every answer, and what went wrong; it grows while clients run.

    Attributes:
        seconds: that were measured.
    """

    milliseconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def row(self, name: str) -> str:
        """A line of the report's table."""
        values = np.quantile(self.milliseconds, QUANTILES) if self.milliseconds else [float("nan")] * len(QUANTILES)
        shown = " | ".join(f"{value:.2f}" for value in values)
        rate = len(self.milliseconds) / self.seconds
        return f"| {name} | {len(self.milliseconds):,} | {len(self.errors)} | {rate:,.0f} | {shown} |"


def pictures(num: int, side: int) -> list[bytes]:
    """PNG files of noise in cells, which compress about as photographs do."""
    rng = np.random.default_rng(0)
    files = []
    for _ in range(num):
        small = Image.fromarray(rng.integers(0, 256, size=(side // 8, side // 8, 3), dtype=np.uint8))
        stream = io.BytesIO()
        small.resize((side, side), Image.Resampling.BICUBIC).save(stream, "PNG")
        files.append(stream.getvalue())
    return files


@contextmanager
def served(artefact: Path) -> Iterator[int]:
    """The port of a server."""
    command = [sys.executable, "-m", "edgenas", "serve", str(artefact), "--port", "0"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "400"}
    )
    assert process.stderr is not None
    said = ""
    try:
        while (found := re.search(r"answers at http://[^ ]*:(\d+) ", said)) is None:
            line = process.stderr.readline()
            if not line:
                raise SystemExit(f"the server did not start: {said}")
            said += line
        yield int(found.group(1))
    finally:
        process.terminate()
        process.communicate()


def load(port: int, files: Sequence[bytes], clients: int, seconds: float, timed: Timed) -> None:
    """Let clients send images for some seconds."""
    ends = time.monotonic() + seconds

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        at = number
        while time.monotonic() < ends:
            began = time.perf_counter()
            try:
                connection.request("POST", "/predict", files[at % len(files)], {"Content-Type": "image/png"})
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    timed.errors.append(f"status {answer.status}")
                    continue
            except (OSError, http.client.HTTPException) as error:
                timed.errors.append(type(error).__name__)
                connection.close()
                continue
            timed.milliseconds.append(1e3 * (time.perf_counter() - began))
            at += 1
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    timed.seconds += time.monotonic() - began


def _opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def bare(predictor: Predictor, files: Sequence[bytes], seconds: float, model: Timed, whole: Timed) -> None:
    """Ask the model in this process: its calls alone, and decoding and preparing with them."""
    began, at = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        first = time.perf_counter()
        prepared = predictor.prepared(partial(_opened, files[at % len(files)]))
        assert not isinstance(prepared, str)
        second = time.perf_counter()
        predictor.logits(prepared[None])
        last = time.perf_counter()
        model.milliseconds.append(1e3 * (last - second))
        whole.milliseconds.append(1e3 * (last - first))
        at += 1
    whole.seconds += time.monotonic() - began
    model.seconds = sum(model.milliseconds) / 1e3


def measured(artefact: Path, *, clients: int, seconds: float, side: int, rounds: int = ROUNDS) -> tuple[str, int]:
    """The report, and how many errors there were.

    Args:
        artefact: its folder.
        clients: at a time.
        seconds: of load in all; the bare runtime gets a quarter of it.
        side: of the images, in pixels.
        rounds: that server and bare runtime take turns.
    """
    files, http_timed, alone, model, whole = pictures(32, side), Timed(), Timed(), Timed(), Timed()
    predictor = Predictor.open(artefact)
    with predictor.closing(), served(artefact) as port:
        load(port, files, 1, 1.0, Timed())  # warms it up
        for _ in range(rounds):
            load(port, files, clients, seconds / rounds, http_timed)
            load(port, files, 1, seconds / rounds / 4, alone)
            bare(predictor, files, seconds / rounds / 4, model, whole)
        deployed = predictor.deployed
        shape = " x ".join(map(str, predictor.manifest.input.shape[1:]))
    kilobytes = sum(map(len, files)) / len(files) / 1e3
    lines = [
        "# A server under load",
        "",
        f"Command: `python -m benchmarks.serve_load ARTEFACT --clients {clients} --seconds {seconds:g} --side {side}`.",
        f"{datetime.now(UTC):%Y-%m-%d}, {deployed.device}, {len(os.sched_getaffinity(0))} cores, "
        f"Python {platform.python_version()},",
        f"{deployed.runtime}, batch 1; clients and server on the same machine; its load average was {os.getloadavg()[1]:.1f}.",
        f"Images: PNG of {side} x {side} px, {kilobytes:.0f} kB; the net reads {shape}.",
        "",
        "| asked | answers | errors | a second | p50 ms | p90 ms | p99 ms |",
        "|---|---:|---:|---:|---:|---:|---:|",
        http_timed.row(f"server, {clients} clients"),
        alone.row("server, 1 client"),
        whole.row("bare: decode, prepare, model"),
        model.row("bare: model alone"),
        "",
        f"Rounds: {rounds}, in turn. With more clients than cores, an answer's time is mostly the wait for others.",
    ]
    return "\n".join(lines) + "\n", len(http_timed.errors) + len(alone.errors)


def main() -> None:
    """Measure and print, or write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("artefact", type=Path)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    text, num_errors = measured(arguments.artefact, clients=arguments.clients, seconds=arguments.seconds, side=arguments.side)
    if arguments.output is None:
        sys.stdout.write(text)
    else:
        arguments.output.write_text(text, encoding="utf-8")
    sys.exit(1 if num_errors else 0)


if __name__ == "__main__":
    main()
