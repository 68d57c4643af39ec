"""Blocks of a graph: operators that belong together by the names of the modules they come from, with what they cost."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgenas.graphs.macs import macs_of
from edgenas.graphs.opening import shapes_of

if TYPE_CHECKING:
    import onnx

MAX_NAMELESS = 16  # operators in a block of neighbours that no module gives a name
_REPEATED = re.compile(r"(.*(?:^|[./])\d+)(?=[./])")  # a path as far as its last number: stages.0.blocks.1
_TOP = re.compile(r"/?[^./]+")  # the outermost module


@dataclass(frozen=True, slots=True)
class GraphPart:
    """A block or an operator.

    Attributes:
        name: for people.
        kept: what keeps it float32, as `ExportSpec.kept` takes it.
        cost: multiply-accumulates for one image.
        parts: operators of a block; empty of an operator.
    """

    name: str
    kept: tuple[str, ...]
    cost: int
    parts: tuple[GraphPart, ...] = ()


def block_names(nodes: Iterable[str]) -> dict[str, str | None]:
    """The block of every node, by names: ``stages.0.blocks.1`` of ``stages.0.blocks.1.mlp.fc1/MatMul``, ``head`` of ``head/Gemm``.

    No block lies in another one: beside that one, ``stages.0.downsample/Conv`` is of ``stages.0.downsample``. None of a node that
    no module gives a name, or only one with blocks in it.
    """
    guesses = {name: _first_guess(name) for name in nodes}
    while True:
        blocks = {block for block in guesses.values() if block is not None}
        around = {block for block in blocks if any(each.startswith((f"{block}.", f"{block}/")) for each in blocks)}
        if not around:
            return guesses
        guesses = {name: _within(name, block) if block in around else block for name, block in guesses.items()}


def _first_guess(name: str) -> str | None:
    match = _REPEATED.match(name) or (_TOP.match(name) if "/" in name.lstrip("/") else None)
    return None if match is None else match.group()


def _within(name: str, block: str) -> str | None:
    """The module in a block that a node belongs to; None where it belongs to the block itself."""
    match = re.match(r"[./][^./]+(?=[./])", name[len(block) :])
    return None if match is None else block + match.group()


def blocks_of(model: onnx.ModelProto, nodes: Collection[str]) -> tuple[GraphPart, ...]:
    """Blocks of an opened graph in order, of those of its operators that are among ``nodes``, by name.

    Neighbours without a module are blocks of at most `MAX_NAMELESS` operators.
    """
    costs, names = node_macs(model), block_names(node.name for node in model.graph.node)
    groups: list[tuple[str | None, list[GraphPart]]] = []
    by_name: dict[str, list[GraphPart]] = {}
    for node in model.graph.node:
        if node.name not in nodes:
            continue
        own = f"/{node.name}" if node.name == node.op_type else node.name
        part = GraphPart(node.name, (own,), costs.get(node.name, 0))
        block = names[node.name]
        if block is not None and block in by_name:
            by_name[block].append(part)
        elif block is None and groups and groups[-1][0] is None and len(groups[-1][1]) < MAX_NAMELESS:
            groups[-1][1].append(part)
        else:
            groups.append((block, [part]))
            if block is not None:
                by_name[block] = groups[-1][1]
    return tuple(_block(name, parts) for name, parts in groups)


def _block(name: str | None, parts: Sequence[GraphPart]) -> GraphPart:
    cost = sum(part.cost for part in parts)
    if name is not None:
        return GraphPart(name, (name,), cost, tuple(parts))
    label = parts[0].name if len(parts) == 1 else f"{parts[0].name} to {parts[-1].name}"
    return GraphPart(label, tuple(name for part in parts for name in part.kept), cost, tuple(parts))


def node_macs(model: onnx.ModelProto) -> dict[str, int]:
    """Multiply-accumulates of every operator that has any, by name, for one image; a size that is not known counts as 1."""
    sizes = {name: tuple(size or 1 for size in shape) for name, shape in shapes_of(model.graph).items()}
    counted = {node.name: macs_of(node, sizes) for node in model.graph.node}
    return {name: macs for name, macs in counted.items() if macs}
