"""Graphs of components, cut out of one traced chain and stitched to whole nets.

The graph of a chain is cut where a single tensor carries everything from one link to the next. What is stitched from the pieces
has the operators of a whole export, because the pieces are one.

Every link of a stitched net gets its own copies of names and initialisers, also where a block is repeated: a runtime must not
find the weights of the first copy in its cache when it comes to the second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from edgenas.errors import ExportError

if TYPE_CHECKING:
    import onnx

INPUT, OUTPUT = "image", "logits"


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
        candidates = [name for position, name in bridges if start <= position < stop]
        if input_shapes is not None:
            candidates = [name for name in candidates if shapes.get(name) == input_shapes[link + 1]] or candidates
        if not candidates or candidates[0] in borders:
            raise ExportError(f"no single tensor leads from link {link} to link {link + 1} of the traced graph")
        borders.append(candidates[0])
    borders.append(graph.output[0].name)
    return [_piece(model, first, second, str(link)) for link, (first, second) in enumerate(pairwise(borders))]


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


def _link(name: str) -> int:
    """Number of the link that an initialiser belongs to, -1 for none."""
    if "." not in name:
        return -1
    return next((int(part) for part in name.split(".") if part.isdigit()), -1)


def _bridges(graph: onnx.GraphProto) -> list[tuple[int, str]]:
    """Tensors through which everything passes, as (position of the node that makes it, name), in order."""
    uses: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            uses[name] = uses.get(name, 0) + 1
    live = {graph.input[0].name}
    bridges = []
    for position, node in enumerate(graph.node):
        reads_data = any(name in live for name in node.input)
        for name in node.input:
            uses[name] -= 1
            if uses[name] == 0:
                live.discard(name)
        if reads_data:  # not a constant
            live.update(name for name in node.output if uses.get(name, 0))
            if len(live) == 1 and next(iter(live)) in node.output:
                bridges.append((position, next(iter(live))))
    return bridges


def _piece(model: onnx.ModelProto, entrance: str, leave: str, link: str) -> onnx.ModelProto:
    """The part of a graph between two tensors; the names of its nodes lose the number of the link in the traced chain."""
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
    for node in piece.graph.node:
        node.name = node.name.removeprefix(f"{link}.").removeprefix(f"{link}/")
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
