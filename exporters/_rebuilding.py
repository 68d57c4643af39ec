"""The same net built several times: builders time kernels and choose, so that engines of one file may differ in speed and answers.

(NVIDIA/TensorRT issues 4730, 3316 and 4798: one command, different engines, different outputs.)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from statistics import median

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.artefact import run_in_batches
from edgenas.deploy.contracts import ExportSpec, Runner

from ._trt import Built

_IMAGES, _VISITS, _CALLS, _WARMING = 32, 3, 20, 5


def build_repeatedly(build: Callable[[], Built], spec: ExportSpec, *, load: Callable[[Built], Runner] | None) -> Built:
    """Build ``spec.rebuilds`` times and return the first engine, with what differed between them in its notes.

    Args:
        build: one build, with kernel timings of its own.
        spec: how often, and for which images.
        load: opens an engine on this machine's GPU; None, where it is not built for one, compares files and networks alone.
    """
    start = time.perf_counter()
    builds = [build()]
    seconds = round(time.perf_counter() - start, 2)
    builds += [build() for _ in range(1, spec.rebuilds)]
    notes = builds[0].notes | {"build_seconds": seconds}
    if len(builds) > 1:
        notes |= _compared(builds, spec, load)
    return Built(builds[0].engine, builds[0].timing_cache, notes)


def _compared(builds: Sequence[Built], spec: ExportSpec, load: Callable[[Built], Runner] | None) -> dict[str, str | int | float]:
    """What differs between the builds, in numbers and in ``rebuild_words``."""
    sizes, layers = ([len(built.engine) for built in builds], {int(built.notes["num_layers"]) for built in builds})
    num_files = len({sha256(built.engine).digest() for built in builds})
    notes: dict[str, str | int | float] = {
        "rebuilds": len(builds),
        "rebuild_files": num_files,
        "rebuild_size_bytes_low": min(sizes),
        "rebuild_size_bytes_high": max(sizes),
    }
    words = [
        f"{len(builds)} builds",
        "byte-identical" if num_files == 1 else f"{num_files} different files of {_range(min(sizes), max(sizes))} bytes",
        "one network" if len(layers) == 1 else f"networks of {_range(min(layers), max(layers))} layers",
    ]
    if load is None:
        words.append("latency and outputs not compared (not built for a GPU of this machine)")
        return notes | {"rebuild_words": ", ".join(words)}
    measured = _measured(builds, spec, load)
    words.append(
        f"{measured['rebuild_ms_low']:.3g} to {measured['rebuild_ms_high']:.3g} ms a call, logits up to "
        f"{measured['rebuild_logits_max_abs']:.2g} apart, {measured['rebuild_flips']} of {_IMAGES} decisions on noise differ"
    )
    return notes | measured | {"rebuild_words": ", ".join(words)}


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"


def _measured(builds: Sequence[Built], spec: ExportSpec, load: Callable[[Built], Runner]) -> dict[str, int | float]:
    """Latency by engine, each visited several times in turn with no other one loaded, and its logits on seeded noise."""
    images_NCHW = np.random.default_rng(0).standard_normal((_IMAGES, *spec.input_shape)).astype(np.float32)
    calls_ms: list[list[float]] = [[] for _ in builds]
    answers: dict[int, NDArray[np.float32]] = {}
    for _ in range(_VISITS):
        for number, built in enumerate(builds):
            runner = load(built)
            try:
                if number not in answers:
                    answers[number] = run_in_batches(runner, images_NCHW, spec.batch_size)
                calls_ms[number] += _timed(runner, images_NCHW[: spec.batch_size or 1])
            finally:
                runner.close()
    medians = [median(calls) for calls in calls_ms]
    first_NK = answers[0]
    apart = [float(np.abs(logits_NK - first_NK).max()) for logits_NK in answers.values()]
    decided = np.stack([logits_NK.argmax(axis=1) for logits_NK in answers.values()])
    return {
        "rebuild_ms_low": round(min(medians), 4),
        "rebuild_ms_high": round(max(medians), 4),
        "rebuild_logits_max_abs": float(np.max(apart)),  # NaN stays NaN
        "rebuild_flips": int((decided != decided[0]).any(axis=0).sum()),
    }


def _timed(runner: Runner, images_NCHW: NDArray[np.float32]) -> list[float]:
    """Milliseconds of calls without copies, where the runtime can tell; else of whole calls."""
    for _ in range(_WARMING):
        runner(images_NCHW)
    calls = []
    for _ in range(_CALLS):
        compute_ms = runner.compute_ms(images_NCHW)
        if compute_ms is None:
            start = time.perf_counter()
            runner(images_NCHW)
            compute_ms = 1e3 * (time.perf_counter() - start)
        calls.append(compute_ms)
    return calls
