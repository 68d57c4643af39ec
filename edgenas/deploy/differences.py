"""In which block of a net the numbers of an exported file part from those of its float32 graph.

Nodes are called ``<path of the module>/<operator>`` where the exporter names them so; a block is a module, its result the last
value that its nodes give. Where nodes have other names, values of one name are compared, and where there are none of these, the
results of products and convolutions in their order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.layers import float_results, read_graph, results_of
from edgenas.records import BlockDifference, BlockDifferences, Precision

if TYPE_CHECKING:
    import onnx

LIMITS: Mapping[Precision, float] = {"fp32": 1e-4, "fp16": 1e-2, "bf16": 5e-2, "int8": 0.1}  # relative, that a precision explains
MAX_BLOCKS = 200
MIN_SHARED = 0.5  # of the reference's values that must be found in the file
_WEIGHTED = ("Conv", "ConvTranspose", "MatMul", "Gemm")


@dataclass(frozen=True, slots=True)
class _Pair:
    """A block with the name of its result in either graph."""

    block: str
    before: str
    after: str


def block_differences(
    reference: Path, candidate: Path, images_NCHW: NDArray[np.float32], *, precision: Precision
) -> BlockDifferences | None:
    """Compare the blocks' results on a few images, one at a time.

    Args:
        reference: ONNX file of the net in float32, for one image.
        candidate: ONNX file of the same net, or of its emulation, for one image.
        images_NCHW: preprocessed.
        precision: of the file that is meant.

    Returns:
        None where the packages or the files do not allow to look, or have nothing in common.
    """
    before_graph, after_graph = read_graph(reference), read_graph(candidate)
    if before_graph is None or after_graph is None or not len(images_NCHW):
        return None
    how, pairs = _pairs(before_graph, after_graph)
    if not pairs:
        return None
    sums: dict[str, list[tuple[float, float, float]]] = {pair.block: [] for pair in pairs}
    for image_CHW in images_NCHW:
        before = results_of(before_graph, image_CHW[None], [pair.before for pair in pairs])
        after = results_of(after_graph, image_CHW[None], [pair.after for pair in pairs])
        if before is None or after is None:
            return None
        for pair, first, second in zip(pairs, before, after, strict=True):
            aligned = _aligned(first, second)
            if aligned is not None:
                sums[pair.block].append(_measured(first.astype(np.float64), aligned.astype(np.float64)))
    blocks = [_difference(block, errors) for block, errors in sums.items() if errors]
    return _said(blocks, how, LIMITS[precision], len(images_NCHW)) if blocks else None


def _said(blocks: Sequence[BlockDifference], how: str, limit: float, num_images: int) -> BlockDifferences:
    first = next((each.block for each in blocks if each.relative is None or each.relative > limit), None)
    sizes = [0.0, *(math.inf if each.relative is None else each.relative for each in blocks)]
    steps = [after - before if math.isfinite(before) else 0.0 for before, after in pairwise(sizes)]
    steepest = blocks[int(np.argmax(steps))].block
    every = -(-len(blocks) // MAX_BLOCKS)
    return BlockDifferences(
        first=first,
        limit=limit,
        steepest=steepest,
        matched_by=how,
        num_images=num_images,
        blocks=tuple(each for place, each in enumerate(blocks) if place % every == 0 or each.block in (first, steepest)),
    )


def _pairs(reference: onnx.ModelProto, candidate: onnx.ModelProto) -> tuple[str, list[_Pair]]:
    """What is compared, in the order of computation, and by what it was found."""
    before, after = _modules(reference), _modules(candidate)
    shared = [block for block in before if block in after]
    if before and len(shared) >= MIN_SHARED * len(before):
        return "modules", [_Pair(block, before[block], after[block]) for block in shared]
    values, there = float_results(reference), set(float_results(candidate))
    same = [name for name in values if name in there]
    if values and len(same) >= MIN_SHARED * len(values):
        return "values", [_Pair(f"{values[name].name or name}", name, name) for name in same]
    first, second = (list(_weighted(model)) for model in (reference, candidate))
    if len(first) != len(second):
        return "order", []
    return "order", [_Pair(f"{number}: {a}", a, b) for number, (a, b) in enumerate(zip(first, second, strict=True), 1)]


def _modules(model: onnx.ModelProto) -> dict[str, str]:
    """The last float result of every module, by its path, in the order in which they are done; empty without such names."""
    last: dict[str, str] = {}
    for name, node in float_results(model).items():
        path = node.name.rpartition("/")[0]
        if path and node.op_type != "Cast":
            last.pop(path, None)  # a module stands where it ends
            last[path] = name
    return last


def _weighted(model: onnx.ModelProto) -> Iterator[str]:
    """Results of products and convolutions."""
    return (name for name, node in float_results(model).items() if node.op_type in _WEIGHTED)


def _aligned(before: NDArray[Any], after: NDArray[Any]) -> NDArray[Any] | None:
    """A result in the layout of the reference: tokens (1, L, C) and maps (1, C, H, W) are each other's; else None."""
    if before.shape == after.shape:
        return after
    if before.ndim == 3 and after.ndim == 4 and before.shape[1:] == (math.prod(after.shape[2:]), after.shape[1]):
        return after.reshape(*after.shape[:2], -1).transpose(0, 2, 1)
    if before.ndim == 4 and after.ndim == 3 and after.shape[1:] == (math.prod(before.shape[2:]), before.shape[1]):
        return after.transpose(0, 2, 1).reshape(before.shape)
    return None


def _measured(before: NDArray[np.float64], after: NDArray[np.float64]) -> tuple[float, float, float]:
    """Largest difference, and the sums of squares of the differences and of the reference."""
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(before - after)
        return float(difference.max(initial=0.0)), float((difference**2).sum()), float((before**2).sum())


def _difference(block: str, errors: Sequence[tuple[float, float, float]]) -> BlockDifference:
    largest, noise, signal = max(each[0] for each in errors), sum(each[1] for each in errors), sum(each[2] for each in errors)
    is_known = math.isfinite(noise) and math.isfinite(signal) and (signal > 0 or noise == 0)
    relative = (math.sqrt(noise / signal) if signal else 0.0) if is_known else None
    return BlockDifference(block=block, max_abs=largest if math.isfinite(largest) else None, relative=relative)
