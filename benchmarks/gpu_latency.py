"""Latency tables of a GPU in ten minutes: every runtime that works on it, with a study of how well each table predicts.

Runs PyTorch CUDA graphs, ONNX Runtime CUDA and TensorRT, whichever are there, in half precision, and writes each table (to be
shipped) and each report. Clocks are recorded, never set.

    python -m benchmarks.gpu_latency --space pvt-covidx --minutes 10 --output docs/measurements --tables latency_tables

``--dry-run`` takes the same way on a CPU with little work, to see that it goes through.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.latency_report import stem_of, write
from benchmarks.latency_study import Study, run, say, study_of
from benchmarks.latency_study import parser as study_parser
from edgenas.deploy.plugins import get_runtime
from edgenas.errors import EdgeNASError
from edgenas.latency import LatencyTable, find_tables
from edgenas.runs import RunFolder
from edgenas.spaces import get_space

WANTED = (("torch-cuda-graph", "fp16"), ("onnxruntime-cuda", "fp16"), ("tensorrt", "fp16"), ("tensorrt-rtx", "fp16"))
DRY = (("torch-cpu", "fp32"), ("onnxruntime-cpu", "fp32"))
LITTLE = {"num": 8, "pause_s": 0.0}


def working(wanted: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those that load and run a net here; why the others do not is said."""
    found = []
    for name, precision in wanted:
        probe = get_runtime(name).probe()
        sys.stderr.write(f"{name}: {'works' if probe.works else probe.reason}\n")
        if probe.works:
            found.append((name, precision))
    return found


def small(study: Study) -> Study:
    """The same study with little work."""
    timing = replace(study.profile.timing, visits=2)
    settings = replace(study.profile, calibration_nets=10, bound_nets=4, validation_nets=4, timing=timing)
    return replace(study, profile=settings, threads=1, **LITTLE)  # type: ignore[arg-type]


def main(arguments: Sequence[str] | None = None) -> int:
    """Study every runtime in turn; 1 if none works here or one failed."""
    options = parser().parse_args(arguments)
    if not options.minutes > 0:
        raise SystemExit(f"--minutes is {options.minutes:g}; minutes above 0 are allowed")
    try:
        get_space(options.space)
    except EdgeNASError as error:
        raise SystemExit(str(error)) from error
    runtimes = working(DRY if options.dry_run else WANTED)
    if not runtimes:
        sys.stderr.write("no runtime works on a GPU here; --dry-run tries the same on the CPU\n")
        return 1
    for name in ("output", "tables"):
        if options.dry_run and getattr(options, name) == parser().get_default(name):  # what it measures is not meant to be kept
            setattr(options, name, options.run / f"dry-{name}")
    options.budget_min = 0.45 * options.minutes / len(runtimes)
    failed = []
    for name, precision in runtimes:
        study = replace(study_of(options), runtime=name, precision=precision)
        folder = RunFolder(options.run / f"{name}-{precision}")
        try:
            report = run(small(study) if options.dry_run else study, folder, log=say)
        except EdgeNASError as error:
            failed.append(f"{name}: {error}")
            continue
        for path in write(report, options.output, stem_of(report)):
            sys.stdout.write(f"{path}\n")
        for path in find_tables(folder.path):
            LatencyTable.load(path)
            options.tables.mkdir(parents=True, exist_ok=True)
            sys.stdout.write(f"{shutil.copy(path, options.tables)}\n")
    sys.stderr.write("".join(f"failed: {line}\n" for line in failed))
    return 1 if failed else 0


def parser() -> argparse.ArgumentParser:
    """Those of a study, and how long everything may take."""
    result = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[study_parser()],
        conflict_handler="resolve",
    )
    result.set_defaults(num_subnets=200, pause_s=20.0)
    result.add_argument("--minutes", type=float, default=10.0, help="of profiling and timing, over all runtimes, about")
    result.add_argument("--tables", type=Path, default=Path("latency_tables"), help="where tables are copied to")
    result.add_argument("--dry-run", action="store_true", help="little work, on the CPU")
    return result


if __name__ == "__main__":
    sys.exit(main())
