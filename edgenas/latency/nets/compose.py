"""ONNX files of whole nets, from component graphs that are traced once and kept.

Tracing costs a second and more a net, and most of it per call; so every component that is not in the cache is traced once, all
of them as links of one chain (a valid net, only deeper), which `stitching` cuts into pieces and puts together as other nets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgenas.graphs.rewriting import rewrite
from edgenas.latency.nets.drawn import HIGHEST, LOWEST, drawn_kind
from edgenas.latency.nets.stitching import cut_chain, stitch
from edgenas.runs import atomic_path

if TYPE_CHECKING:
    import onnx

_SEAL = "edgenas.sha256"
WEIGHTS = "weights.bin"
ALIGNED = 256  # bytes, as runtimes place what they allocate
PORTION = 20  # components that are traced at once, beside those that hold them together: exporters' passes are quadratic in a graph
CUT_VERSION = 4  # part of the cache key: raise it when `cut_chain` changes

Portion = tuple[Hashable, ...]
"""A chain of distinct components that is traced in one go."""

ChainTracer = Callable[[Sequence[Hashable]], "onnx.ModelProto"]
"""Traces a chain of components, batch 1, into a graph with one input and one output.

Parameters are named after their link's number (``"3.attn.q.bias"``, as in a ``Sequential``), and no two tensors of parameters
are equal and none is all zeros or ones: exporters merge equal tensors and drop what adds nothing.
"""


@dataclass(frozen=True, slots=True)
class ComponentGraphs:
    """Component graphs, traced once and kept on disk.

    Attributes:
        trace: traces a chain.
        folder: of the cache; files are named after component, package versions and opset.
        opset: that ``trace`` writes.
        input_shape: of one image as a component takes it.
    """

    trace: ChainTracer
    folder: Path
    opset: int = 18
    input_shape: Callable[[Hashable], tuple[int, ...]] | None = None
    _loaded: dict[Hashable, onnx.ModelProto] = field(default_factory=dict, repr=False, compare=False)

    def missing(self, components: Iterable[Hashable]) -> list[Hashable]:
        """Those that were never traced, each once."""
        return [component for component in dict.fromkeys(components) if self._load(component) is None]

    def portions(
        self, chain: Sequence[Hashable], *, always: Iterable[Hashable] = (), planned: Collection[Hashable] = ()
    ) -> list[Portion]:
        """What `prepare` takes one after the other, so that ``chain`` is known: chains of at most `PORTION` missing components.

        Args:
            chain: as `prepare` takes it.
            always: in every portion.
            planned: components that earlier portions bring, so that they are not missing by then.
        """
        frame = set(always)
        missing = [component for component in self.missing(chain) if component not in planned]
        blocks = [component for component in missing if component not in frame]
        num = -(-len(blocks) // PORTION) if blocks else min(1, len(missing))
        wanted = [frame | set(blocks[len(blocks) * i // num : len(blocks) * (i + 1) // num]) for i in range(num)]
        return [tuple(component for component in chain if component in portion) for portion in wanted]

    def portions_of(self, chains: Iterable[tuple[Sequence[Hashable], Iterable[Hashable]]]) -> list[Portion]:
        """The portions of several chains, each with what is always in them: whole chains to trace, none needs another one."""
        planned: set[Hashable] = set()
        found: list[Portion] = []
        for chain, always in chains:
            portions = self.portions(chain, always=always, planned=planned)
            planned.update(*portions)
            found += portions
        return found

    def prepare(self, chain: Sequence[Hashable], *, always: Iterable[Hashable] = ()) -> int:
        """Make sure that every component of ``chain`` is known; return how many had to be traced.

        Args:
            chain: distinct components in an order in which each takes what the one before gives.
            always: components without which the rest is no chain (everything but blocks).

        Raises:
            ExportError: if the chain cannot be traced or cut.
        """
        missing = {component for component in chain if self._load(component) is None}
        if not missing:
            return 0
        frame = set(always)
        links = [component for component in chain if component in missing or component in frame]
        for component, piece in zip(links, self._cut(links), strict=True):
            self.keep(component, _sealed(piece))
            self._loaded[component] = piece
        return len(missing)

    def files(self, portion: Sequence[Hashable]) -> dict[str, bytes]:
        """What `prepare` writes of a portion, by the names of the files; nothing is written or remembered here.

        Raises:
            ExportError: if the chain cannot be traced or cut.
        """
        return {self.file_name(c): _sealed(piece) for c, piece in zip(portion, self._cut(portion), strict=True)}

    def keep(self, component: Hashable, file: bytes) -> None:
        """Write what `files` made of a component, here or in another process, in place of what was known."""
        with atomic_path(self._path(component)) as temporary:
            temporary.write_bytes(file)
        self._loaded.pop(component, None)

    def forgetting(self) -> ComponentGraphs:
        """The same without what was loaded: small enough to be sent."""
        return replace(self, _loaded={})

    def file_name(self, component: Hashable) -> str:
        """After the component and everything else that its graph depends on, versions of packages among it."""
        return self._path(component).name

    def _cut(self, links: Sequence[Hashable]) -> list[onnx.ModelProto]:
        shapes = None if self.input_shape is None else [self.input_shape(component) for component in links]
        return cut_chain(self.trace(links), len(links), shapes)

    def __call__(self, component: Hashable) -> onnx.ModelProto:
        """The graph of one component.

        Raises:
            KeyError: if `prepare` was not called with it.
        """
        graph = self._load(component)
        if graph is None:
            raise KeyError(component)
        return graph

    def net(self, components: Sequence[Hashable]) -> onnx.ModelProto:
        """The stitched graph of a chain of components."""
        return stitch([self(component) for component in components])

    def _path(self, component: Hashable) -> Path:
        versions = [f"{name} {_version(name)}" for name in ("torch", "onnx", "onnxscript")]
        key = "\n".join([repr(component), *versions, f"opset {self.opset}", f"cut {CUT_VERSION}"])
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.onnx"

    def _load(self, component: Hashable) -> onnx.ModelProto | None:
        import onnx
        from google.protobuf.message import DecodeError

        if component not in self._loaded:
            path = self._path(component)
            try:
                model = onnx.load_model_from_string(path.read_bytes())
            except (OSError, ValueError, DecodeError):  # absent or damaged: it is traced again
                return None
            if not _unseal(model):
                return None
            self._loaded[component] = model
        return self._loaded[component]


@dataclass(frozen=True, slots=True)
class ComposedOnnx:
    """Writes the ONNX file of a chain of components, for runtimes that read files.

    Weights that were drawn for tracing are not in it: all nets read them from one file of drawn numbers beside them, each from its
    start, and every initialiser its own part.

    Attributes:
        graphs: of every component that will be asked for.
        folder: where the files go; the caller removes it.
        rewrites: that are made of the graph of a whole net.
    """

    graphs: ComponentGraphs
    folder: Path
    rewrites: tuple[str, ...] = ()
    _bare: dict[Hashable, onnx.ModelProto] = field(default_factory=dict, repr=False, compare=False)
    _bytes: dict[Path, int] = field(default_factory=dict, repr=False, compare=False)

    def __call__(self, components: Sequence[Hashable]) -> Path:
        """The file of the net, written unless it is there."""
        path = self.folder / f"net-{hashlib.sha256(repr(tuple(components)).encode()).hexdigest()[:24]}.onnx"
        if path not in self._bytes:
            model = rewrite(stitch([self._without_weights(component) for component in components]), self.rewrites).model
            needed = _placed(model)
            _extend(self.folder / WEIGHTS, needed)
            data = model.SerializeToString(deterministic=True)
            with atomic_path(path) as temporary:
                temporary.write_bytes(data)
            self._bytes[path] = len(data) + needed
        return path

    def bytes_of(self, path: Path) -> int:
        """Bytes of a file, with the weights that it reads if it was written here."""
        return self._bytes.get(path) or path.stat().st_size

    def _without_weights(self, component: Hashable) -> onnx.ModelProto:
        import onnx

        if component not in self._bare:
            bare = onnx.ModelProto()
            bare.CopyFrom(self.graphs(component))
            for tensor in bare.graph.initializer:
                if drawn_kind(tensor) is not None:
                    size = len(tensor.raw_data)
                    tensor.ClearField("raw_data")
                    tensor.data_location = onnx.TensorProto.EXTERNAL
                    tensor.external_data.add(key="location", value=WEIGHTS)
                    tensor.external_data.add(key="length", value=str(size))
            self._bare[component] = bare
        return self._bare[component]


def _placed(model: onnx.ModelProto) -> int:
    """Give every outer initialiser a part of the weights file, one after the other; bytes that are needed."""
    import onnx

    end = 0
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            tensor.external_data.add(key="offset", value=str(end))
            size = next(int(entry.value) for entry in tensor.external_data if entry.key == "length")
            end += -(-size // ALIGNED) * ALIGNED
    return end


def _extend(path: Path, needed: int) -> None:
    """Make the file of drawn single-precision numbers at least so many bytes long."""
    size = path.stat().st_size if path.exists() else 0
    if size < needed:
        rng = np.random.default_rng(size)
        num = (max(needed, 2 * size) - size) // 4
        with path.open("ab") as file:
            file.write((rng.random(num, dtype=np.float32) * (HIGHEST - LOWEST) + LOWEST).astype("<f4").tobytes())


def _sealed(model: onnx.ModelProto) -> bytes:
    """The bytes of a graph with the hash of the graph in its metadata."""
    digest = hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()
    model.metadata_props.add(key=_SEAL, value=digest)
    data: bytes = model.SerializeToString(deterministic=True)
    del model.metadata_props[-1]
    return data


def _unseal(model: onnx.ModelProto) -> bool:
    """Take the hash out of a graph's metadata; whether it is the graph's."""
    if not model.metadata_props or model.metadata_props[-1].key != _SEAL:
        return False
    stored = model.metadata_props[-1].value
    del model.metadata_props[-1]
    return bool(stored == hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest())


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
