"""ONNX graphs of whole nets, stitched from component graphs that were cut out of one traced chain.

Tracing costs a second and more a net, and most of it per call; so every component that is not in the cache is traced once, all
of them as links of one chain (a valid net, only deeper). That graph is cut where a single tensor carries everything from one
link to the next. What is stitched from the pieces has the operators of a whole export, because the pieces are one.

Every link of a stitched net gets its own copies of names and initialisers, also where a block is repeated: a runtime must not
find the weights of the first copy in its cache when it comes to the second.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgenas.errors import ExportError
from edgenas.latency.nets.drawn import HIGHEST, LOWEST, drawn_kind
from edgenas.runs import atomic_path

if TYPE_CHECKING:
    import onnx

INPUT, OUTPUT = "image", "logits"
_SEAL = "edgenas.sha256"
WEIGHTS = "weights.bin"
ALIGNED = 256  # bytes, as runtimes place what they allocate
PORTION = 20  # components that are traced at once, beside those that hold them together: exporters' passes are quadratic in a graph
CUT_VERSION = 3  # part of the cache key: raise it when `cut_chain` changes

ChainTracer = Callable[[Sequence[Hashable]], "onnx.ModelProto"]
"""Traces a chain of components, batch 1, into a graph with one input and one output.

Parameters are named after their link's number (``"3.attn.q.bias"``, as in a ``Sequential``), and no two tensors of parameters
are equal and none is all zeros or ones: exporters merge equal tensors and drop what adds nothing.
"""


def cut_chain(
    model: onnx.ModelProto, num_links: int, input_shapes: Sequence[tuple[int, ...]] | None = None
) -> list[onnx.ModelProto]:
    """Cut the graph of a chain into its links, each with one input and one output.

    Args:
        model: from a `ChainTracer`.
        num_links: components that were traced.
        input_shapes: of one image as every link takes it; where exporters renamed a parameter that a link ends with (a class token
            that was expanded), shapes tell where it ends.

    Raises:
        ExportError: naming the first link that has no parameters, or no single tensor at its end.
    """
    graph = model.graph
    uses = [(position, link) for position, node in enumerate(graph.node) for name in node.input if (link := _link(name)) >= 0]
    first = {link: position for position, link in reversed(uses)}
    missing = [link for link in range(num_links) if link not in first]
    if missing:
        raise ExportError(f"link {missing[0]} of {num_links} left no parameters in the traced graph")
    bridges = _bridges(graph)
    shapes = {info.name: _shape(info)[1:] for info in graph.value_info}
    borders = [graph.input[0].name]
    for link in range(num_links - 1):
        stop = first[link + 1]
        # tensors of equal content are merged under the name of the first: only uses before the next link's own count
        start = max(position for position, owner in uses if owner == link and position < max(stop, first[link] + 1))
        found = [name for position, name in bridges if start <= position < stop]
        if input_shapes is not None:
            found = [name for name in found if shapes.get(name) == input_shapes[link + 1]] or found
        if not found or found[0] in borders:
            raise ExportError(f"no single tensor leads from link {link} to link {link + 1} of the traced graph")
        borders.append(found[0])
    borders.append(graph.output[0].name)
    return [_piece(model, first, second) for first, second in pairwise(borders)]


def stitch(pieces: Sequence[onnx.ModelProto]) -> onnx.ModelProto:
    """One graph that computes the pieces after each other, with input ``image`` and output ``logits``.

    Raises:
        ValueError: if there are no pieces or a piece does not take what the one before gives.
    """
    import onnx

    if not pieces:
        raise ValueError("a net has at least one component")
    model = onnx.ModelProto(ir_version=pieces[0].ir_version, producer_name="edgenas")
    model.opset_import.extend(pieces[0].opset_import)
    graph = model.graph
    graph.name = "composed"
    entrance = INPUT
    for link, piece in enumerate(pieces):
        inner = piece.graph
        if link and _shape(pieces[link - 1].graph.output[0]) != _shape(inner.input[0]):
            raise ValueError(f"link {link} takes {_shape(inner.input[0])}, gets {_shape(pieces[link - 1].graph.output[0])}")
        leave = OUTPUT if link == len(pieces) - 1 else f"link{link}"
        names = {inner.input[0].name: entrance, inner.output[0].name: leave}
        _append(graph, inner, names, f"{link}.")
        _add_info(graph.output if leave == OUTPUT else graph.value_info, inner.output[0], leave)
        entrance = leave
    _add_info(graph.input, pieces[0].graph.input[0], INPUT)
    return model


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

    def portions(self, chain: Sequence[Hashable], *, always: Iterable[Hashable] = ()) -> list[tuple[Hashable, ...]]:
        """What `prepare` takes one after the other, so that ``chain`` is known: chains of at most `PORTION` missing components.

        Args:
            chain: as `prepare` takes it.
            always: in every portion.
        """
        frame = set(always)
        missing = self.missing(chain)
        blocks = [component for component in missing if component not in frame]
        num = -(-len(blocks) // PORTION) if blocks else min(1, len(missing))
        wanted = [frame | set(blocks[len(blocks) * i // num : len(blocks) * (i + 1) // num]) for i in range(num)]
        return [tuple(component for component in chain if component in portion) for portion in wanted]

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
        shapes = None if self.input_shape is None else [self.input_shape(component) for component in links]
        pieces = cut_chain(self.trace(links), len(links), shapes)
        for component, piece in zip(links, pieces, strict=True):
            with atomic_path(self._path(component)) as temporary:
                temporary.write_bytes(_sealed(piece))
            self._loaded[component] = piece
        return len(missing)

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
    """

    graphs: ComponentGraphs
    folder: Path
    _bare: dict[Hashable, onnx.ModelProto] = field(default_factory=dict, repr=False, compare=False)
    _bytes: dict[Path, int] = field(default_factory=dict, repr=False, compare=False)

    def __call__(self, components: Sequence[Hashable]) -> Path:
        """The file of the net, written unless it is there."""
        path = self.folder / f"net-{hashlib.sha256(repr(tuple(components)).encode()).hexdigest()[:24]}.onnx"
        if path not in self._bytes:
            model = stitch([self._without_weights(component) for component in components])
            needed = _placed(model)
            _extend(self.folder / WEIGHTS, needed)
            data = model.SerializeToString(deterministic=True)
            with atomic_path(path) as temporary:
                temporary.write_bytes(data)
            self._bytes[path] = len(data) + needed
        return path

    def bytes_of(self, path: Path) -> int:
        """Of a file, with the weights that it reads if it was written here."""
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


def _link(name: str) -> int:
    """Number of the link that an initialiser belongs to, -1 for none."""
    if "." not in name:
        return -1
    return next((int(part) for part in name.split(".") if part.isdigit()), -1)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _bridges(graph: onnx.GraphProto) -> list[tuple[int, str]]:
    """Tensors through which everything passes, as (position of the node that makes it, name), in order."""
    uses: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            uses[name] = uses.get(name, 0) + 1
    live = {graph.input[0].name}
    found = []
    for position, node in enumerate(graph.node):
        reads_data = any(name in live for name in node.input)
        for name in node.input:
            uses[name] -= 1
            if uses[name] == 0:
                live.discard(name)
        if reads_data:  # not a constant
            live.update(name for name in node.output if uses.get(name, 0))
            if len(live) == 1 and next(iter(live)) in node.output:
                found.append((position, next(iter(live))))
    return found


def _piece(model: onnx.ModelProto, entrance: str, leave: str) -> onnx.ModelProto:
    """The part of a graph between two tensors."""
    import onnx

    graph = model.graph
    needed, nodes = {leave}, []
    for node in reversed(graph.node):
        if any(name in needed for name in node.output) and entrance not in node.output:
            nodes.append(node)
            needed.update(name for name in node.input if name and name != entrance)
    piece = onnx.ModelProto(ir_version=model.ir_version, producer_name="edgenas")
    piece.opset_import.extend(model.opset_import)
    piece.graph.name = "component"
    piece.graph.node.extend(reversed(nodes))
    piece.graph.initializer.extend(tensor for tensor in graph.initializer if tensor.name in needed)
    known = {info.name: info for info in (*graph.value_info, *graph.input, *graph.output)}
    piece.graph.input.append(known[entrance])
    piece.graph.output.append(known[leave])
    inner = {name for node in nodes for name in node.output} - {leave}
    piece.graph.value_info.extend(info for info in graph.value_info if info.name in inner)
    return piece


def _append(graph: onnx.GraphProto, inner: onnx.GraphProto, names: Mapping[str, str], prefix: str) -> None:
    """Copy nodes, initialisers and shapes, renamed."""

    def renamed(name: str) -> str:
        return names.get(name, prefix + name) if name else name

    for node in inner.node:
        copy = graph.node.add()
        copy.CopyFrom(node)
        copy.name = prefix + node.name
        copy.input[:] = [renamed(name) for name in node.input]
        copy.output[:] = [renamed(name) for name in node.output]
    for tensor in inner.initializer:
        added = graph.initializer.add()
        added.CopyFrom(tensor)
        added.name = prefix + tensor.name
    for info in inner.value_info:
        _add_info(graph.value_info, info, prefix + info.name)


def _add_info(infos: onnx.RepeatedValueInfo, info: onnx.ValueInfoProto, name: str) -> None:  # type: ignore[name-defined]
    added = infos.add()
    added.CopyFrom(info)
    added.name = name


def _shape(info: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(dim.dim_value for dim in info.type.tensor_type.shape.dim)
