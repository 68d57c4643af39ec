"""What is timed: nets composed of traced components, loaded by the runtime that will ship."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.contracts import ExportSpec, Precision, Runtime, TypedExporter
from edgenas.deploy.plugins import get_exporter
from edgenas.errors import LatencyTableError, MissingBackendError
from edgenas.graphs.rewriting import rewrite, rewrites_for
from edgenas.latency.measuring.chains import ChainExporter
from edgenas.latency.measuring.helping import Helpers, traced_by
from edgenas.latency.nets import ComponentGraphs, ComposedOnnx, TimingPlan
from edgenas.latency.timing import Target, cpu_quota, graph_details, usable_cores, usable_threads
from edgenas.records import Details
from edgenas.runs import Progress
from edgenas.runs.background import watched
from edgenas.spaces import SearchSpace, Task
from edgenas.supernets import family

if TYPE_CHECKING:
    import onnx
    from torch import nn


TRACING = "tracing components"
INT8_RUNTIME = "onnxruntime-cpu"  # whose int8 is made of parts of nets as of whole ones


def input_array(shape: tuple[int, ...], batch_size: int) -> NDArray[np.float32]:
    """Seeded noise, a batch of images of shape (C, H, W)."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((batch_size, *shape)).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class OtherNet:
    """A net of no space, to be timed.

    Attributes:
        source: in eval mode, or an ONNX file.
        image_px: side of the images that it reads.
    """

    source: nn.Module | Path
    image_px: int


class Workshop:
    """Makes what a runtime loads from chains of components; its files go into a folder that the caller removes.

    Args:
        space: whose nets are made.
        task: classes, channels and resolution.
        runtime: that loads them.
        precision: of the computation, one of the runtime's.
        batch_size: images a call.
        opset: of ONNX files.
        rewrites: of their graphs; None for those that `export` makes for the runtime.
        cache: folder of the components' graphs, so that each is traced once.
        scratch: folder of the moment, where files of whole nets are written.
        helpers: other processes, which trace where there is more than one portion to trace; None for this one alone.
    """

    def __init__(
        self,
        space: SearchSpace,
        task: Task,
        runtime: Runtime,
        precision: str,
        batch_size: int,
        *,
        opset: int,
        rewrites: Sequence[str] | None = None,
        cache: Path,
        scratch: Path,
        helpers: Helpers | None = None,
    ) -> None:
        self.space = space
        self.task = task
        self.runtime = runtime
        self.precision = cast(Precision, precision)
        self.batch_size = batch_size
        self.rewrites = () if "module" in runtime.accepts else rewrites_for(runtime.name, rewrites)
        self._inputs: dict[Path | nn.Module, NDArray[np.float32]] = {}
        self._arrays: dict[tuple[int, ...], NDArray[np.float32]] = {}
        self._folder = scratch
        self._helpers = helpers
        input_shape = family(space).component_input_shape
        self._chains = ChainExporter(space, batch_size, opset)
        graphs = ComponentGraphs(self._chains, cache / f"b{batch_size}", opset=opset, input_shape=input_shape)
        self._composed = ComposedOnnx(graphs, self._folder, self.rewrites)

    @property
    def graph_details(self) -> Details:
        """What the context of a table keeps of the graphs."""
        return graph_details(self._composed.graphs.opset, self.rewrites)

    def target(self, threads: int | None, fps: float | None = None) -> Target:
        """Runtime, input and pace for timing.

        Raises:
            LatencyTableError: for a precision that the runtime does not compute in, or for int8 that is not of the kind that ships.
            MissingBackendError: for more threads than cores.
        """
        self._require_own_int8()
        if self.precision not in self.runtime.precisions:
            known = ", ".join(self.runtime.precisions)
            raise LatencyTableError(f"{self.runtime.name} does not compute in {self.precision}", hint=f"it knows {known}")
        cores = usable_threads()
        if self.runtime.device_kind == "cpu" and threads is not None and threads > cores:
            quota = cpu_quota()
            held = "" if quota is None else f", for its quota is {quota:g} of {len(usable_cores())}"
            raise MissingBackendError(f"{threads} threads: this process may use {cores} core{'s' if cores > 1 else ''}{held}")
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

    def missing(self, plan: TimingPlan) -> int:
        """Components that a plan needs and that were never traced."""
        if "module" in self.runtime.accepts:
            return 0
        return len(self._composed.graphs.missing(component for chain, _ in plan.tracing for component in chain))

    def goes(self, plan: TimingPlan) -> int:
        """Traces in which these are made, one after the other; those that helpers make at once are one."""
        if "module" in self.runtime.accepts:
            return 0
        num = len(self._composed.graphs.portions_of(plan.tracing))
        return num if self._helpers is None else -(-num // self._helpers.num)

    def prepare(self, plan: TimingPlan) -> Iterator[Progress]:
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
        portions = graphs.portions_of(chains)
        if self._helpers is not None and len(portions) > 1:
            yield from traced_by(self._helpers, graphs, portions, TRACING)
        elif total:
            traced = (graphs.prepare(portion, always=portion) for portion in portions)
            counts = yield from watched(traced, TRACING, total=total, count=int)
            if sum(counts) < total:  # what was traced brought others with it
                yield Progress(TRACING, total, total)

    def build(self, components: Sequence[Hashable]) -> Path | nn.Module:
        """What the runtime loads: an ONNX file, or a module."""
        source = self._chains.chain(components) if "module" in self.runtime.accepts else self._typed(self._composed(components))
        self._inputs[source] = self._input_of(components)
        return source

    def _typed(self, path: Path) -> Path:
        """The file that is loaded: in int8 it holds the integers that an export would have, with one range everywhere."""
        if self.precision != "int8":
            return path
        import onnx

        typed = path.with_suffix(".int8.onnx")
        if not typed.exists():
            exporter = cast(TypedExporter, get_exporter("onnx"))
            whole: bytes = onnx.load(path).SerializeToString()
            typed.write_bytes(exporter.in_precision(whole, "int8"))
        return typed

    def build_net(self, other: nn.Module | OtherNet, name: str) -> Path | nn.Module:
        """What the runtime loads of any net in eval mode; ``name`` tells it from others. A bare one reads the task's images.

        A net that comes as a file is loaded as it is.

        Raises:
            MissingBackendError: if the runtime loads no files.
        """
        source, image_px = (other.source, other.image_px) if isinstance(other, OtherNet) else (other, self.task.image_px)
        shape = (self.task.in_channels, image_px, image_px)
        if isinstance(source, Path):
            if "onnx" not in self.runtime.accepts:
                raise MissingBackendError(f"{self.runtime.name} loads no ONNX files: {source} cannot be timed by it")
        elif "module" not in self.runtime.accepts:
            net = source
            spec = ExportSpec(shape, self.batch_size, "fp32", self._composed.graphs.opset, rewrites=self.rewrites)
            folder = self._folder / name
            folder.mkdir(exist_ok=True)
            source = self._typed(get_exporter("onnx").export(net, spec, folder)[0].path)
        self._inputs[source] = self._arrays.setdefault(shape, input_array(shape, self.batch_size))
        return source

    def graph(self, components: Sequence[Hashable]) -> onnx.ModelProto:
        """The ONNX graph of a net in the precision that is timed.

        Raises:
            LatencyTableError: for int8 that is not of the kind that ships, and for bf16, which needs graphs of a later opset.
        """
        import onnx

        self._require_own_int8()
        if self.precision == "bf16":
            raise LatencyTableError(
                "kits time nets in fp32, fp16 and int8, not in bf16", hint="run `edgenas profile` on the device itself"
            )
        composed = rewrite(self._composed.graphs.net(components), self.rewrites).model
        if self.precision not in ("fp16", "int8"):
            return composed
        exporter = cast(TypedExporter, get_exporter("onnx"))
        return onnx.load_model_from_string(exporter.in_precision(composed.SerializeToString(), self.precision))

    def _require_own_int8(self) -> None:
        """Raise `LatencyTableError` for int8 that is not of the kind that ships."""
        if self.precision == "int8" and self.runtime.name != INT8_RUNTIME and "int8" in self.runtime.precisions:
            raise LatencyTableError(
                f"nets are timed in int8 by {INT8_RUNTIME} alone: what ships for {self.runtime.name} is quantised as a whole",
                hint="`edgenas export --bench` times int8 files of every runtime",
            )

    def _input_of(self, components: Sequence[Hashable]) -> NDArray[np.float32]:
        shape = family(self.space).component_input_shape(components[0])
        return self._arrays.setdefault(shape, input_array(shape, self.batch_size))
