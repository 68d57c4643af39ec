"""Rewrites of ONNX graphs that change how fast a runtime computes them and not what they compute, by name.

`rewrite` makes those that are named, in one pass. Which ones a runtime gets where nobody names any is measured, and written in
`DEFAULTS`; a runtime on which nothing was measured gets the graph as it was traced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgenas.errors import ExportError
from edgenas.graphs.rewriting.running import lowered

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A change of a graph that leaves its function.

    Attributes:
        name: that settings and manifests know it by.
        says: what it does and why.
        needs: rewrites that are made with it.
        min_opset: from which on it can be made.
    """

    name: str
    says: str
    needs: tuple[str, ...] = ("moves",)
    min_opset: int = 18


REWRITES: Mapping[str, Rewrite] = {
    each.name: each
    for each in (
        Rewrite("moves", "chains of Reshape and Transpose become the fewest that move as much, or none: each is a copy", ()),
        Rewrite(
            "matrix",
            "a linear layer with its bias becomes one Gemm over rows, and what is around it takes the rows too: no Reshape around "
            "products, one kernel also where the batch is free",
        ),
        Rewrite(
            "pointwise",
            "a linear layer beside a depthwise convolution becomes a 1x1 convolution: the hidden features of a block stay in the "
            "layout of convolutions, and what is turned is narrow",
        ),
        Rewrite(
            "heads",
            "queries, keys and values that are sliced out of one projection get projections of their own: no slices",
            ("moves", "matrix"),
        ),
        Rewrite(
            "scale",
            "the factors of attention go into the weights of queries and keys: two operators a block less",
            ("moves", "matrix"),
        ),
        Rewrite(
            "absorb",
            "in attention of one head over few keys, as over a reduced image, the weights of queries go into the keys' and those "
            "of the output into the values': two products of many rows less",
            ("moves", "matrix", "heads", "scale"),
        ),
        Rewrite(
            "centre",
            "what adds to a residual stream that only normalisations read loses its mean, so that they need none: a row is divided "
            "by the root of the mean of its squares",
            ("moves", "matrix"),
        ),
        Rewrite(
            "fold",
            "a batch norm that only 1x1 convolutions and linear layers read, as before attention or a classifier, goes into their "
            "weights: an operator over the whole image less",
        ),
        Rewrite(
            "pool",
            "the mean of an image, as before a classifier, is a GlobalAveragePool, which is computed in the layout of convolutions",
        ),
        Rewrite(
            "columns",
            "a normalisation of thousands of short rows beside a convolution becomes its steps on all rows at once, in the layout "
            "of convolutions",
        ),
    )
}

ALL = tuple(REWRITES)
DEFAULTS: Mapping[str, tuple[str, ...]] = {
    "onnxruntime-cpu": tuple(name for name in ALL if name != "centre"),
    "openvino-cpu": ("moves", "matrix", "pointwise", "centre"),
}
"""Fastest of what was measured, by runtime (docs/measurements/export.md). On GPUs nothing was measured: they get the graph as it
was traced."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A graph and what was changed.

    Attributes:
        counts: places by rewrite; of ``moves`` the operators that went, those included that made shapes. Rewrites without a place
            are not there.
    """

    model: onnx.ModelProto
    counts: dict[str, int]

    def __str__(self) -> str:
        return ", ".join(f"{name} {num}" for name, num in self.counts.items())


def default_rewrites(runtime: str) -> tuple[str, ...]:
    """Names of the rewrites that were measured to be fastest on a runtime; none where nothing was measured."""
    return DEFAULTS.get(runtime, ())


def rewrites_for(runtime: str, names: Iterable[str] | None) -> tuple[str, ...]:
    """The rewrites that are named, or `default_rewrites` where none are.

    Raises:
        ExportError: for a name that is not among `REWRITES`.
    """
    return default_rewrites(runtime) if names is None else known_rewrites(names)


def known_rewrites(names: Iterable[str]) -> tuple[str, ...]:
    """The names in the order of `REWRITES`, each once, with what they need.

    Raises:
        ExportError: naming those that are not among them.
    """
    wanted = set(names)
    strange = sorted(wanted - REWRITES.keys())
    if strange:
        raise ExportError(
            f"there is no rewrite of graphs {', '.join(map(repr, strange))}", hint=f"known are: {', '.join(REWRITES)}"
        )
    wanted |= {need for name in wanted for need in REWRITES[name].needs}
    return tuple(name for name in REWRITES if name in wanted)


def rewrite(model: onnx.ModelProto, names: Iterable[str]) -> Rewritten:
    """A copy of ``model`` with the rewrites that are named, with what they need, where they apply.

    Graphs with operators that hold graphs, and of opsets older than a rewrite can be made in, stay as they are.

    Raises:
        ExportError: for a name that is not among `REWRITES`.
    """
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    wanted = [name for name in known_rewrites(names) if REWRITES[name].min_opset <= opset]
    if not wanted or _holds_graphs(model) or len(model.graph.input) != 1:
        return Rewritten(model, {})
    result, places = lowered(model, wanted)
    return Rewritten(result, {name: places[name] for name in wanted if places[name]})


def _holds_graphs(model: onnx.ModelProto) -> bool:
    import onnx

    kinds = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
    return any(attribute.type in kinds for node in model.graph.node for attribute in node.attribute)
