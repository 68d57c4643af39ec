"""The pass: every node becomes what its handler makes of it, and the outputs are made under their own names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from edgenas.graphs.naming import module_of
from edgenas.graphs.rewriting.batch_norms import with_folded_norms
from edgenas.graphs.rewriting.centring import with_centred_streams
from edgenas.graphs.rewriting.columns import norms_by_columns
from edgenas.graphs.rewriting.draft import Draft
from edgenas.graphs.rewriting.features import parted, picked, sliced
from edgenas.graphs.rewriting.kinds import EACH, MOVES, PAIRS, attribute_of
from edgenas.graphs.rewriting.norms import with_plain_norms
from edgenas.graphs.rewriting.numbers import along_last, each, normalise, pair
from edgenas.graphs.rewriting.pooling import pooled
from edgenas.graphs.rewriting.products import gemm, product
from edgenas.graphs.rewriting.roots import with_roots
from edgenas.graphs.shapes import free, known_shapes

if TYPE_CHECKING:
    import onnx

Handler = Callable[[Draft, "onnx.NodeProto"], bool]
"""Makes of a node what it becomes; False, with nothing changed, where the node has to stay as it was."""

HANDLERS: Mapping[str, Handler] = {
    "MatMul": product,
    "Gemm": gemm,
    "LayerNormalization": normalise,
    "Softmax": along_last,
    "Slice": sliced,
    "Split": parted,
    "Gather": picked,
    "ReduceMean": pooled,
    **dict.fromkeys(EACH, each),
    **dict.fromkeys(PAIRS, pair),
}


def lowered(model: onnx.ModelProto, wanted: Collection[str]) -> tuple[onnx.ModelProto, Counter[str]]:
    """The graph of ``model``, made anew, and how many places each of the ``wanted`` rewrites changed; ``model`` is only read."""
    draft, nodes = _begun(model, wanted)
    centred: frozenset[str] = frozenset()
    num_folded = 0
    if "fold" in wanted:
        changed, num_folded = with_folded_norms(draft)
        if num_folded:
            draft, nodes = _begun(changed, wanted)
    if "centre" in wanted:
        changed, centred = with_centred_streams(draft)
        if centred:
            draft, nodes = _begun(changed, wanted)
    columns = norms_by_columns(draft, centred) if "columns" in wanted else frozenset()
    if "absorb" in wanted or centred or columns:
        changed, units = with_plain_norms(draft, centred | columns)
        if changed is not draft.model:
            draft, nodes = _begun(changed, wanted)
            draft.units = units
    draft.columns = columns
    for node in nodes:
        draft.module = module_of(node.name)
        _lower(draft, node)
    _finish(draft)
    result = _assembled(draft)
    draft.counts["fold"] = num_folded
    num_before = len(model.graph.node) - num_folded - len(nodes) + _num_moves(nodes)
    draft.counts["moves"] = max(0, num_before - _num_moves(result.graph.node))
    if centred:
        draft.counts["centre"] = with_roots(result, centred)
    return result, draft.counts


def _begun(model: onnx.ModelProto, wanted: Collection[str]) -> tuple[Draft, list[onnx.NodeProto]]:
    """A draft that knows the graph of ``model``, and the nodes that are to be made anew."""
    draft = Draft(model, wanted)
    draft.shapes, draft.is_free = known_shapes(model)
    nodes = _needed_nodes(draft)
    draft.survey(nodes)
    return draft, nodes


def _needed_nodes(draft: Draft) -> list[onnx.NodeProto]:
    """What the outputs follow from, without what only makes shapes that are known."""
    needed = {value.name for value in draft.model.graph.output}
    nodes = []
    for node in reversed(draft.model.graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(draft.read_by(node))
    return nodes[::-1]


def _lower(draft: Draft, node: onnx.NodeProto) -> None:
    if draft.done.issuperset(node.output):
        return
    handler = HANDLERS.get(node.op_type)
    if node.op_type in MOVES and _move(draft, node):
        return
    if handler is None or not handler(draft, node):
        _as_it_was(draft, node)


def _move(draft: Draft, node: onnx.NodeProto) -> bool:
    """Change the view; whether that could be done."""
    source = draft.views.get(node.input[0])
    shape = draft.shapes.get(node.output[0])
    if source is None or shape is None:
        return False
    view = source.transposed(attribute_of(node, "perm")) if node.op_type == "Transpose" else source.reshaped(shape)
    if view is None or view.shape != shape:
        return False
    draft.views[node.output[0]] = view
    draft.inherit(node.input[0], node.output[0])
    return True


def _as_it_was(draft: Draft, node: onnx.NodeProto) -> None:
    """The node on tensors of the shapes that it had."""
    names = [draft.place(draft.views[name]) if name in draft.views else name for name in node.input]
    if node.op_type == "Reshape" and node.output[0] in draft.shapes:
        names[1] = draft.shape_tensor(draft.shapes[node.output[0]])
    draft.emit_like(node, names)


def _finish(draft: Draft) -> None:
    """Make the outputs, under their own names."""
    for value in draft.model.graph.output:
        view = draft.views.get(value.name)
        if view is None:
            continue
        name = draft.place(view)
        if name == value.name:
            continue
        _rename(draft, value.name, f"{value.name}:inner")
        maker = next((node for node in draft.nodes if name in node.output), None)
        if maker is None or any(name in node.input for node in draft.nodes):
            draft.emit("Identity", [name], value.name)
        else:
            _rename(draft, name, value.name)


def _rename(draft: Draft, name: str, other: str) -> None:
    """Give a tensor of the new graph another name."""
    if name not in draft.lies:
        return
    for node in draft.nodes:
        for names in (node.input, node.output):
            names[:] = [other if each == name else each for each in names]
    draft.lies[other] = draft.lies.pop(name)


def _assembled(draft: Draft) -> onnx.ModelProto:
    """The new graph without what nothing reads."""
    import onnx

    result = onnx.ModelProto()
    result.CopyFrom(_shell(draft.model))
    graph, needed, kept = result.graph, {value.name for value in draft.model.graph.output}, []
    for node in reversed(draft.nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    graph.node.extend(reversed(kept))
    initialisers = [*draft.tensors.values(), *draft.made.values()]
    graph.initializer.extend(tensor for tensor in initialisers if tensor.name in needed)
    kinds = {value.name: value.type.tensor_type.elem_type for value in draft.model.graph.value_info}
    outside = {value.name for value in (*graph.input, *graph.output)} | {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        for name in node.output:
            if name in draft.lies and name not in outside:
                kind = kinds.get(name.partition(":")[0], onnx.TensorProto.FLOAT)
                shape = free(draft.lies[name]) if draft.is_free else draft.lies[name]
                graph.value_info.append(onnx.helper.make_tensor_value_info(name, kind, shape))
    return result


def _num_moves(nodes: Iterable[onnx.NodeProto]) -> int:
    return sum(node.op_type in MOVES for node in nodes)


def _shell(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model without what a rewrite makes anew."""
    import onnx

    shell = onnx.ModelProto(ir_version=model.ir_version, producer_name=model.producer_name, producer_version=model.producer_version)
    shell.opset_import.extend(model.opset_import)
    shell.metadata_props.extend(model.metadata_props)
    shell.graph.name = model.graph.name
    shell.graph.input.extend(model.graph.input)
    shell.graph.output.extend(model.graph.output)
    return shell
