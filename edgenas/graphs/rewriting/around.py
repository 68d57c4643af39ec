"""What is around a linear layer: whether it stands beside a depthwise convolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgenas.graphs.rewriting.draft import Draft
from edgenas.graphs.rewriting.kinds import EACH, MOVES, PAIRS, attribute_of
from edgenas.graphs.views import Shape

if TYPE_CHECKING:
    import onnx


def spatial_of(draft: Draft, node: onnx.NodeProto) -> Shape | None:
    """Height and width of the depthwise convolution that a projection leads to or comes from; None without one."""
    ahead = _depthwise_ahead(draft, node)
    sides = ahead if ahead is not None else _depthwise_behind(draft, node)
    if sides is None:
        return None
    shape = draft.shapes.get(sides.input[0] if ahead is not None else sides.output[0])
    return None if shape is None or len(shape) != 4 else shape[2:]


def _depthwise_ahead(draft: Draft, node: onnx.NodeProto) -> onnx.NodeProto | None:
    while True:
        readers = draft.readers.get(node.output[0], [])
        if len(readers) != 1:
            return None
        node = readers[0]
        if node.op_type == "Conv":
            return node if _is_depthwise(draft, node) else None
        if not _passes(draft, node):
            return None


def _depthwise_behind(draft: Draft, node: onnx.NodeProto) -> onnx.NodeProto | None:
    while True:
        maker = draft.makers.get(node.input[0])
        if maker is None or len(draft.readers[node.input[0]]) > 2 * (maker.op_type != "Conv") + 1:
            return None
        node = maker
        if node.op_type == "Conv":
            return node if _is_depthwise(draft, node) else None
        if not _passes(draft, node):
            return None


def _passes(draft: Draft, node: onnx.NodeProto) -> bool:
    """Whether an operator leaves features features: a move, one by number, or a bias."""
    by_number = node.op_type in PAIRS and any(name in draft.tensors for name in node.input)
    return node.op_type in MOVES | EACH or by_number


def _is_depthwise(draft: Draft, node: onnx.NodeProto) -> bool:
    return int(attribute_of(node, "group", 1)) > 1 and draft.shapes.get(node.input[0], (0, 0))[1] == attribute_of(node, "group", 1)
