"""Shapes of every value of a graph, as numbers, also where the batch is free."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

    from edgenas.graphs.views import Shape

BATCH = 999_983  # stands in for a free batch: a prime that divides no other dimension


def known_shapes(model: onnx.ModelProto) -> tuple[dict[str, Shape], bool]:
    """Shapes of the values whose dimensions are all known, with `BATCH` where the batch is free; and whether it is."""
    graph = model.graph
    is_free = bool(graph.input[0].type.tensor_type.shape.dim[0].dim_param)
    if is_free:
        graph = _of_one_batch(model).graph
    values = (*graph.input, *graph.value_info, *graph.output)
    shapes = ((value.name, [dim.dim_value for dim in value.type.tensor_type.shape.dim]) for value in values if _has_rank(value))
    return {name: tuple(dims) for name, dims in shapes if all(dim > 0 for dim in dims)}, is_free


def free(shape: Shape) -> list[int | str | None]:
    """A shape with the batch free again; None for what only holds it as a factor."""
    return ["batch" if size == BATCH else None if size % BATCH == 0 else size for size in shape]


def _of_one_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph for a batch of `BATCH`, with every shape inferred; its larger weights are left out."""
    import onnx

    fixed = onnx.ModelProto(ir_version=model.ir_version)
    fixed.opset_import.extend(model.opset_import)
    graph = fixed.graph
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(onnx.ValueInfoProto(name=value.name, type=onnx.TypeProto()) for value in model.graph.output)
    for value, original in zip(graph.output, model.graph.output, strict=True):
        value.type.tensor_type.elem_type = original.type.tensor_type.elem_type
    for value in graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = BATCH
    for tensor in model.graph.initializer:
        if tensor.data_type in (onnx.TensorProto.INT64, onnx.TensorProto.INT32):
            graph.initializer.append(tensor)
        else:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return onnx.shape_inference.infer_shapes(fixed, data_prop=True)


def _has_rank(value: onnx.ValueInfoProto) -> bool:
    return bool(value.type.tensor_type.HasField("shape"))
