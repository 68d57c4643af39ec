"""What a GPU makes of exported nets: does every file answer as its source, in which precision, how fast, in turn.

Nets of `benchmarks.export_nets` in PyTorch (eager, CUDA graphs, torch.compile), ONNX Runtime CUDA, TensorRT and TensorRT-RTX,
whichever are installed, in fp32 and fp16 (and what else a format writes). Of each: its largest error against PyTorch on the CPU in
fp32, that of the graph which emulates its rounding, what its engine's inspector says, p50, p90 and p99 in turn, and the ratio to
eager fp32.

    python -m benchmarks.gpu_export --output gpu-export

``--dry-run`` takes the same way on a CPU, with stand-ins that are called so; what it times is not meant to be kept.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.export_nets import NAMES, Net, nets
from edgenas.deploy.contracts import ExportSpec, Precision, Probe, Runner, RunnerInfo, Runtime, SourceKind
from edgenas.deploy.plugins import get_exporter, get_runtime
from edgenas.errors import EdgeNASError, MissingBackendError
from edgenas.latency.timing import BENCH_TIMING, Entrant, Turns, take_turns
from edgenas.project.exporting.choosing import time_ratio
from edgenas.runs import write_json, write_text
from edgenas.runs.versions import versions

SCHEMA = 1  # first
NUM_IMAGES = 32
STAND_INS = {"torch-cuda": "torch-cpu", "torch-cuda-graph": "torch-cpu", "onnxruntime-cuda": "onnxruntime-cpu"}
Row = dict[str, Any]


class Compiled(nn.Module):
    """A module that is compiled at its first call, so that a copy of it on another device compiles for that."""

    def __init__(self, inner: nn.Module, backend: str) -> None:
        super().__init__()
        self.inner, self.backend = inner, backend
        self._fast: Any = None

    def forward(self, image_NCHW: torch.Tensor) -> torch.Tensor:
        """Logits."""
        if self._fast is None:
            options: dict[str, Any] = {"mode": "max-autotune-no-cudagraphs"} if self.backend == "inductor" else {}
            self._fast = torch.compile(self.inner, backend=self.backend, **options)
        logits: torch.Tensor = self._fast(image_NCHW)
        return logits


class Kept:
    """A runtime that loads once and keeps its session: compiling or building at every visit would be what takes the time.

    Sessions on a GPU leave each other alone; they hold memory, which `free` gives back.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.name, self.device_kind = runtime.name, runtime.device_kind
        self.accepts: tuple[SourceKind, ...] = runtime.accepts
        self.precisions: tuple[Precision, ...] = runtime.precisions
        self._runner: Runner | None = None

    def probe(self) -> Probe:
        """As the runtime's."""
        return self._runtime.probe()

    def load(
        self, source: Path | nn.Module, *, precision: Precision = "fp32", threads: int | None = None, spinning: bool = True
    ) -> Runner:
        """The one session, made at the first call."""
        if self._runner is None:
            self._runner = self._runtime.load(source, precision=precision, threads=threads, spinning=spinning)
        return Open(self._runner)

    def free(self) -> None:
        """Close the session."""
        if self._runner is not None:
            self._runner.close()
            self._runner = None


@dataclass(frozen=True, slots=True)
class Open:
    """A runner that stays open when it is closed."""

    runner: Runner

    @property
    def info(self) -> RunnerInfo:
        """What the live session says of itself."""
        return self.runner.info

    def __call__(self, images_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits."""
        return self.runner(images_NCHW)

    def compute_ms(self, images_NCHW: NDArray[np.float32]) -> float | None:
        """Time without copies."""
        return self.runner.compute_ms(images_NCHW)

    def close(self) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way to run a net.

    Attributes:
        label: for people; a stand-in says what for.
        runtime: by name.
        source: what it loads.
        precision: that is meant; a stand-in on a CPU loads the graph that emulates it, in fp32.
        loaded: precision that the runtime is asked for.
        emulation: graph with the same rounding, to compare with.
        notes: of the exporter.
    """

    label: str
    runtime: str
    source: Path | nn.Module
    precision: Precision
    loaded: Precision
    emulation: Path | None = None
    notes: Row = field(default_factory=dict)


def in_torch(net: Net, *, dry: bool) -> Iterator[Contestant]:
    """PyTorch eager, replayed as a CUDA graph, and compiled; the first one is what the others are compared with."""
    for runtime, how in (("torch-cuda", "eager"), ("torch-cuda-graph", "CUDA graph"), ("torch-cuda", "torch.compile")):
        backend = "aot_eager" if dry else "inductor"
        module = Compiled(net.module, backend) if how == "torch.compile" else net.module
        precisions: tuple[Precision, ...] = ("fp32",) if dry else ("fp32", "fp16")
        for precision in precisions:
            label = f"PyTorch {how} {precision}"
            yield Contestant(_stood_in(label, runtime, dry), _live(runtime, dry), module, precision, precision)


def in_files(net: Net, folder: Path, rebuilds: int, *, dry: bool) -> Iterator[Contestant | Row]:
    """Files of every format that a GPU runs, in every precision that it is written in; a row says why one is missing."""
    for format_name, runtimes in (
        ("onnx", ("onnxruntime-cuda",)),
        ("trt", ("tensorrt", "tensorrt-rtx")),
        ("trt-rtx", ("tensorrt-rtx",)),
    ):
        exporter = get_exporter(format_name)
        for precision in (each for each in exporter.precisions if each != "int8"):
            targets = ("sm86",) if dry and format_name != "onnx" else ()
            spec = ExportSpec(net.shape, 1, precision, targets=targets, rebuilds=1 if format_name == "onnx" else rebuilds)
            place = folder / net.name / format_name
            place.mkdir(parents=True, exist_ok=True)
            try:
                if format_name == "trt-rtx" and not dry:
                    spec = replace(spec, targets=(_this_gpu(),))
                (file, *_) = exporter.export(net.module, spec, place)
            except EdgeNASError as error:
                yield {"label": f"{format_name} {precision}", "precision": precision, "not_run": str(error)}
                continue
            runtime = file.runtime if file.runtime in runtimes else runtimes[0]
            label = f"{runtime} {precision}"
            if format_name != "onnx" and dry:
                yield {
                    "label": label,
                    "precision": precision,
                    "not_run": "built ahead of time; no GPU runs it",
                    "notes": file.notes,
                }
                continue
            is_emulated = dry and file.emulation is not None
            source = file.emulation if is_emulated and file.emulation is not None else file.path
            loaded: Precision = "fp32" if is_emulated else precision
            yield Contestant(
                _stood_in(label, runtime, dry), _live(runtime, dry), source, precision, loaded, file.emulation, dict(file.notes)
            )


def _this_gpu() -> str:
    if not torch.cuda.is_available():
        raise MissingBackendError("there is no usable CUDA GPU")
    major, minor = torch.cuda.get_device_capability()
    return f"sm{major}{minor}"


def _live(runtime: str, dry: bool) -> str:
    return STAND_INS.get(runtime, runtime) if dry else runtime


def _stood_in(label: str, runtime: str, dry: bool) -> str:
    return f"{label} [{STAND_INS[runtime]} stands in for {runtime}]" if dry and runtime in STAND_INS else label


def study(net: Net, folder: Path, visits: int, rebuilds: int, *, dry: bool) -> list[Row]:
    """All that can be said of one net, a row a contestant; its first is PyTorch eager in fp32."""
    images_NCHW = np.random.default_rng(0).standard_normal((NUM_IMAGES, *net.shape)).astype(np.float32)
    with torch.no_grad():
        expected_NK = net.module(torch.from_numpy(images_NCHW)).numpy()
    rows: list[Row] = []
    running: list[tuple[Row, Entrant, Kept]] = []
    for each in (*in_torch(net, dry=dry), *in_files(net, folder, rebuilds, dry=dry)):
        if not isinstance(each, Contestant):
            rows.append(each)
            continue
        row: Row = {"label": each.label, "precision": each.precision}
        rows.append(row)
        kept = Kept(get_runtime(each.runtime))
        entrant = Entrant(each.source, kept, images_NCHW[:1], each.loaded, 1 if dry else None)
        try:
            row |= _judged(entrant, each, images_NCHW, expected_NK)
        except (EdgeNASError, RuntimeError) as error:
            row["not_run"] = " ".join(str(error).split())[:300]
            kept.free()
            continue
        running.append((row, entrant, kept))
    if running:
        _time(running, visits)
    for _, _, kept in running:
        kept.free()
    return rows


def _judged(entrant: Entrant, each: Contestant, images_NCHW: NDArray[np.float32], expected_NK: NDArray[np.float32]) -> Row:
    """Errors of one contestant, relative to the largest logit, and what its live session says of itself."""
    runner = entrant.load()
    answered_NK = np.concatenate([runner(images_NCHW[i : i + 1]) for i in range(len(images_NCHW))])
    scale = max(1.0, float(np.abs(expected_NK).max()))
    row: Row = {
        "error": float(np.abs(answered_NK - expected_NK).max() / scale),
        "same_decisions": int((answered_NK.argmax(1) == expected_NK.argmax(1)).sum()),
        "num_images": len(images_NCHW),
        "device": runner.info.device,
        "runtime_version": runner.info.runtime_version,
        "details": dict(runner.info.details),
        "notes": each.notes,
    }
    if each.emulation is not None:
        emulated = get_runtime("onnxruntime-cpu").load(each.emulation, threads=1)
        emulated_NK = np.concatenate([emulated(images_NCHW[i : i + 1]) for i in range(len(images_NCHW))])
        emulated.close()
        row["error_to_emulation"] = float(np.abs(answered_NK - emulated_NK).max() / scale)
        row["error_of_emulation"] = float(np.abs(emulated_NK - expected_NK).max() / scale)
    return row


def _time(running: Sequence[tuple[Row, Entrant, Kept]], visits: int) -> None:
    """Time all in turn, the first one around each, and put what was found into the rows."""
    entrants = [entrant for _, entrant, _ in running]
    *_, turns = take_turns(entrants, entrants[0], replace(BENCH_TIMING, visits=visits), rng=np.random.default_rng(0))
    assert isinstance(turns, Turns)
    for (row, _, _), timing in zip(running, turns.timings, strict=True):
        row |= {f"p{share}_ms": timing.quantile_ms(share / 100) for share in (50, 90, 99)}
        ratio = time_ratio(timing.visit_ratios)
        row |= {"num_calls": timing.num_runs, "ratio": ratio.as_json(), "ratio_words": ratio.words}
        row["compute_ms"] = float(np.median(timing.compute_V)) if len(timing.compute_V) else None


def document(result: Row, command: str) -> str:
    """The page, from what is kept."""
    dry = result["is_dry_run"]
    paragraphs = [
        "# Exported nets on a GPU" if not dry else "# A dry run of exported nets on a GPU: on a CPU, by stand-ins",
        f"`{command}`, {result['date']}, {result['device']}; "
        + ", ".join(f"{name} {version}" for name, version in result["versions"].items())
        + f". {result['visits']} visits in turn; ratios are to PyTorch eager fp32, with 95 % intervals.",
    ]
    if dry:
        paragraphs.append("**Nothing here was measured on a GPU, and the machine need not have been idle: times mean nothing.**")
    paragraphs.append(
        "*Error*: largest difference from PyTorch on the CPU in fp32, relative to the largest logit, over noise; *emulated*: of "
        "the graph that emulates the rounding; *to it*: between the file and its emulation. *Same*: equal decisions."
    )
    for name, rows in result["nets"].items():
        paragraphs += [f"## {name}", _table(rows)]
        paragraphs += [f"- {row['label']}: not run: {row['not_run']}" for row in rows if "not_run" in row]
        words = ("precision_share", "precision_proof", "rebuild_words")
        said = {row["label"]: [str(row["notes"][key]) for key in words if key in row.get("notes", {})] for row in rows}
        paragraphs += [f"- {label}: {'; '.join(texts)}" for label, texts in said.items() if texts]
    return "\n\n".join(paragraphs) + "\n"


def _table(rows: Sequence[Row]) -> str:
    lines = [
        "| runtime | p50 ms | p90 | p99 | calls | ratio | error | emulated | to it | same |",
        "|---|--:|--:|--:|--:|---|--:|--:|--:|--:|",
    ]
    for row in (row for row in rows if "error" in row):
        cells = [f"{row[f'p{share}_ms']:.3f}" if f"p{share}_ms" in row else "–" for share in (50, 90, 99)]
        cells += [str(row.get("num_calls", "–"))]
        cells += [row.get("ratio_words", "–")]
        cells += [f"{row[key]:.2g}" if key in row else "–" for key in ("error", "error_of_emulation", "error_to_emulation")]
        lines.append(f"| {row['label']} | " + " | ".join(cells) + f" | {row['same_decisions']} of {row['num_images']} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Study one net after the other; 1 without a GPU, or if nothing ran."""
    options = parser().parse_args(arguments)
    dry = options.dry_run
    if not dry and not torch.cuda.is_available():
        sys.stderr.write("there is no usable CUDA GPU; --dry-run tries the same on the CPU\n")
        return 1
    if dry:
        torch.set_num_threads(1)
    device = "CPU" if dry else torch.cuda.get_device_name()
    result: Row = {"schema_version": SCHEMA, "is_dry_run": dry, "date": f"{datetime.now(tz=UTC):%Y-%m-%d}", "device": device}
    result |= {"visits": options.visits, "versions": versions(), "nets": {}}
    options.output.mkdir(parents=True, exist_ok=True)
    stem = "gpu-export-dry-run" if dry else "gpu-export"
    for net in nets(options.nets, options.demo):
        rows = study(net, options.output / "files", options.visits, options.rebuilds, dry=dry)
        result["nets"][net.name] = rows
        for row in rows:
            said = (
                f"not run: {row['not_run']}"
                if "not_run" in row
                else f"{row.get('p50_ms', float('nan')):.3f} ms, error {row['error']:.2g}"
            )
            sys.stderr.write(f"{net.name}: {row['label']}: {said}\n")
        write_json(options.output / f"{stem}.json", result)
        write_text(options.output / f"{stem}.md", document(result, "python -m benchmarks.gpu_export"))
    sys.stdout.write(f"{options.output / f'{stem}.md'}\n")
    return 0 if any("error" in row for rows in result["nets"].values() for row in rows) else 1


def parser() -> argparse.ArgumentParser:
    """What may be chosen."""
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--nets", nargs="+", default=list(NAMES), metavar="NAME", help=f"default: {', '.join(NAMES)}")
    result.add_argument(
        "--demo", type=Path, metavar="RUN", help="run folder of a demo; without it, a net of its space with drawn weights"
    )
    result.add_argument("--output", type=Path, default=Path("gpu-export"), help="folder of the results and the files")
    result.add_argument("--visits", type=int, default=BENCH_TIMING.visits, help="to every contestant, in turn")
    result.add_argument("--rebuilds", type=int, default=3, help="builds of every engine, to see how far they differ")
    result.add_argument("--dry-run", action="store_true", help="on the CPU, by stand-ins")
    return result


if __name__ == "__main__":
    sys.exit(main())
