"""What is timed: nets composed of traced components, loaded by the runtime that will ship."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Generator, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.contracts import ExportSpec, Precision, Runtime, TypedExporter
from edgenas.deploy.plugins import get_exporter, get_runtime
from edgenas.errors import LatencyTableError, MissingBackendError
from edgenas.latency import (
    ComponentGraphs,
    ComposedOnnx,
    LatencyTable,
    Measurement,
    Measurements,
    Memory,
    Quantile,
    Target,
    TimingSettings,
    measure_nets,
)
from edgenas.latency import MeasuringSettings as ProfileSettings
from edgenas.latency import PrefixedMemory as Part
from edgenas.latency import TimingPlan as Plan
from edgenas.latency.nets import components_of, reference_net
from edgenas.latency.table import SAME_SPEED
from edgenas.latency.timing import fps_of, usable_cores
from edgenas.recipes.background import watched
from edgenas.recipes.settings import ProfileSettings as ProfileTable
from edgenas.runs import Note, Progress, scratch, sha256_json
from edgenas.spaces import Genes, SearchSpace, Task
from edgenas.supernets import family

if TYPE_CHECKING:
    import onnx
    from torch import nn

    from edgenas.recipes.project import Project

ATTEMPTS = 6
CUDA_RUNTIMES = ("tensorrt", "tensorrt-rtx", "onnxruntime-cuda", "torch-cuda-graph", "torch-cuda")


def device_name(kind: str) -> str:
    """Name of the processor or GPU of this machine, as runners report it; empty where there is none."""
    if kind == "cuda":
        import torch

        return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else "no usable GPU"
    from edgenas.latency.timing import cpu_model

    return cpu_model()


def best_cuda_runtime() -> tuple[Runtime | None, list[str]]:
    """The first runtime that really works on a GPU here, and why those before it do not."""
    seen: list[str] = []
    for name in CUDA_RUNTIMES:
        runtime = get_runtime(name)
        probe = runtime.probe()
        if probe.works:
            return runtime, seen
        seen.append(probe.reason)
    return None, seen


def timing_settings(table: ProfileTable) -> ProfileSettings:
    """The latency layer's settings from a table of `edgenas.toml`."""
    return ProfileSettings(
        timing=TimingSettings(visits=table.visits, runs=table.runs_per_visit),
        calibration_nets=table.calibration_nets,
        bound_nets=table.bound_nets,
        validation_nets=table.validation_nets,
        seconds=None if table.budget_min is None else table.budget_min * 60,
        fps=table.fps,
        soak_seconds=table.soak_min * 60,
        pause_seconds=table.pause_min * 60,
    )


def input_array(shape: tuple[int, ...], batch_size: int) -> NDArray[np.float32]:
    """Seeded noise, a batch of images of shape (C, H, W)."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((batch_size, *shape)).astype(np.float32)


class Workshop:
    """Makes what a runtime loads from chains of components; its files live as long as the ``with`` block.

    Graphs of components are kept in the run folder, so that each is traced once.
    """

    def __init__(self, project: Project, task: Task, runtime: Runtime, precision: str, batch_size: int) -> None:
        self.project = project
        self.task = task
        self.runtime = runtime
        self.precision = cast(Precision, precision)
        self.batch_size = batch_size
        self._inputs: dict[Path | nn.Module, NDArray[np.float32]] = {}
        self._arrays: dict[tuple[int, ...], NDArray[np.float32]] = {}
        self._scratch = scratch(project.run)
        opset = project.settings.export.opset
        graphs = ComponentGraphs(
            self._trace,
            project.run.latency / "components" / f"b{batch_size}",
            opset=opset,
            input_shape=family(project.space).component_input_shape,
        )
        self._folder = self._scratch.__enter__()
        self._composed = ComposedOnnx(graphs, self._folder)

    def __enter__(self) -> Workshop:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._scratch.__exit__(kind, error, trace)

    @property
    def space(self) -> SearchSpace:
        """The search space."""
        return self.project.space

    def target(self, threads: int | None, fps: float | None = None) -> Target:
        """Runtime, input and pace for timing.

        Raises:
            LatencyTableError: for a precision that the runtime does not compute in.
            MissingBackendError: for more threads than cores.
        """
        if self.precision not in self.runtime.precisions:
            known = ", ".join(self.runtime.precisions)
            raise LatencyTableError(f"{self.runtime.name} does not compute in {self.precision}", hint=f"it knows {known}")
        cores = len(usable_cores())
        if self.runtime.device_kind == "cpu" and threads is not None and threads > cores:
            raise MissingBackendError(f"{threads} threads: this process may use {cores} core{'s' if cores > 1 else ''}")
        images_NCHW = input_array((self.task.in_channels, self.task.image_px, self.task.image_px), self.batch_size)
        return Target(
            self.runtime,
            images_NCHW,
            self.precision,
            threads,
            images_of=self._inputs.__getitem__,
            bytes_of=self._composed.bytes_of,
            fps=fps,
        )

    def prepare(self, plan: Plan) -> Iterator[Progress]:
        """Trace the components that were never traced."""
        yield from self._prepare(plan.tracing)

    def prepare_chains(self, chains: Sequence[Sequence[Hashable]]) -> Iterator[Progress]:
        """Trace what these nets need and was never traced."""
        yield from self._prepare([(tuple(dict.fromkeys(chain)), chain) for chain in chains])

    def _prepare(self, chains: Sequence[tuple[Sequence[Hashable], Sequence[Hashable]]]) -> Iterator[Progress]:
        """Trace what is missing of chains of distinct components, each with what holds it together."""
        if "module" in self.runtime.accepts:
            return
        graphs = self._composed.graphs
        total = len(graphs.missing(component for chain, _ in chains for component in chain))
        traced = (
            graphs.prepare(portion, always=always) for chain, always in chains for portion in graphs.portions(chain, always=always)
        )
        if total:
            yield from watched(traced, "tracing components", total=total, count=int)

    def build(self, components: Sequence[Hashable]) -> Path | nn.Module:
        """What the runtime loads: an ONNX file, or a module."""
        source = self._chain(components) if "module" in self.runtime.accepts else self._composed(components)
        self._inputs[source] = self._input_of(components)
        return source

    def build_net(self, net: nn.Module, name: str) -> Path | nn.Module:
        """What the runtime loads of any net in eval mode that reads the task's images; ``name`` tells it from others."""
        shape = (self.task.in_channels, self.task.image_px, self.task.image_px)
        source: Path | nn.Module = net
        if "module" not in self.runtime.accepts:
            spec = ExportSpec(shape, self.batch_size, "fp32", self._composed.graphs.opset)
            folder = self._folder / name
            folder.mkdir(exist_ok=True)
            source = get_exporter("onnx").export(net, spec, folder)[0].path
        self._inputs[source] = self._arrays.setdefault(shape, input_array(shape, self.batch_size))
        return source

    def graph(self, components: Sequence[Hashable]) -> onnx.ModelProto:
        """The ONNX graph of a net in the precision that is timed."""
        import onnx

        composed = self._composed.graphs.net(components)
        if self.precision != "fp16":
            return composed
        exporter = cast(TypedExporter, get_exporter("onnx"))
        return onnx.load_model_from_string(exporter.in_precision(composed.SerializeToString(), "fp16"))

    def _input_of(self, components: Sequence[Hashable]) -> NDArray[np.float32]:
        shape = family(self.space).component_input_shape(components[0])
        return self._arrays.setdefault(shape, input_array(shape, self.batch_size))

    def _chain(self, components: Sequence[Hashable]) -> nn.Module:
        from torch import nn

        build = family(self.space).build_component
        return nn.Sequential(*(build(component) for component in components)).eval()

    def _trace(self, components: Sequence[Hashable]) -> onnx.ModelProto:
        """The graph of a chain by the exporter that ships, with weights that no exporter can merge or drop."""
        import onnx
        import torch

        chain = self._chain(components)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for tensor in [
                *chain.parameters(),
                *(b for n, b in chain.named_buffers() if n.endswith(("running_mean", "running_var"))),
            ]:
                tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.04 + 0.01)
        shape = family(self.space).component_input_shape(components[0])
        spec = ExportSpec(shape, self.batch_size, "fp32", self._composed.graphs.opset)
        with tempfile.TemporaryDirectory() as folder:
            files = get_exporter("onnx").export(chain, spec, Path(folder))
            return onnx.load(files[0].path)


@dataclass(frozen=True, slots=True)
class Measured:
    """A whole net, timed on the device.

    Attributes:
        latency_ms: median of all calls; where the machine ran at another speed than when it was profiled, at the profiled speed.
        p90_ms, p95_ms, p99_ms: percentiles of the calls, at the same speed.
        speed: how many times slower calls were than at the profiled speed.
    """

    latency_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    speed: float

    @classmethod
    def of(cls, net: Measurement, level_ms: float) -> Measured:
        """From a measurement beside the table's reference net, which took ``level_ms`` when the device was profiled."""
        speed = net.latency_ms / (net.relative * level_ms)
        correction = 1.0 if abs(speed - 1) <= SAME_SPEED else speed
        p50, p90, p95, p99 = (ms / correction for ms in (net.latency_ms, net.p90_ms, net.p95_ms, net.p99_ms))
        return cls(p50, p90, p95, p99, speed)

    def quantile_ms(self, quantile: Quantile) -> float:
        """One of the percentiles; ``p50`` is the median."""
        return {"p50": self.latency_ms, "p90": self.p90_ms, "p95": self.p95_ms, "p99": self.p99_ms}[quantile]


def measure(
    workshop: Workshop,
    genes_AG: Genes,
    table: LatencyTable,
    label: str,
    seed: int,
    memory: Memory | None = None,
    others: Mapping[str, nn.Module] = MappingProxyType({}),
    attempts: int = ATTEMPTS,
) -> Generator[Progress | Note, None, list[Measured]]:
    """Time whole nets in turn, beside the table's reference net; ``others`` by name are of no space and come last.

    Virtual and thermally limited machines jump between speeds; so the nets are measured again, a few times and a second apart,
    until the machine runs as it did when it was profiled. Where it never does, times are converted to that speed, with a warning
    unless there was just one of ``attempts``.
    What ``memory`` holds of an interrupted measurement of the same nets is not measured again.

    Raises:
        MissingBackendError: if the runtime does not work here.
    """
    chains = [components_of(workshop.space, genes_G, workshop.task) for genes_G in genes_AG]
    reference = reference_net(workshop.space, workshop.task)
    yield from workshop.prepare_chains([reference, *chains])
    sources, beside = [workshop.build(chain) for chain in chains], workshop.build(reference)
    sources += [workshop.build_net(net, name) for name, net in others.items()]
    target, rng = workshop.target(table.context.threads, fps_of(table.context.scope)), np.random.default_rng(seed)
    best: list[Measured] = []
    named = sha256_json([table.sha256, genes_AG, *others])[:12]
    for attempt in range(attempts):
        part = None if memory is None else Part(memory, f"{label} {named} {attempt} ")
        for record in measure_nets(target, sources, rng=rng, reference=beside, label=label, memory=part):
            if isinstance(record, Measurements):
                nets = [Measured.of(net, table.reference["level_ms"]) for net in record.nets]
                best = min(best or nets, nets, key=_strangeness)
            else:
                yield record
        if _strangeness(best) <= SAME_SPEED:
            return best
        time.sleep(1.0 if attempt < attempts - 1 else 0.0)
    if attempts == 1:
        return best
    speed = float(np.median([net.speed for net in best]))
    text = f"this machine now runs at {1 / speed:.2f} of the speed it was profiled at; latencies are given at the profiled speed"
    yield Note(text, is_warning=True)
    return best


def _strangeness(nets: Sequence[Measured]) -> float:
    return max(abs(net.speed - 1) for net in nets)
