"""Products of an OpenVINO graph: which of them NNCF made read integers, how much work each is, and how one returns to float32."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.graphs.shares import KeptOperators, Shares
from edgenas.records import Precision

PRODUCTS = ("Convolution", "GroupConvolution", "MatMul")
_MOVES = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Convert")  # they move values and change none
_RUN_IN: dict[str, Precision] = {"f32": "fp32", "bf16": "bf16", "f16": "fp16", "i8": "int8", "u8": "int8"}
_KINDS = ("attention", "linear", "depthwise")  # of products that may stay float beside convolutions, in this order


def fold(model: Any) -> None:
    """Compute what depends on constants alone, in place.

    NNCF takes the axis of channels from the shape of a constant. Behind the Reshape that OpenVINO makes of them, weights of a
    depthwise convolution got a scale for every column of each kernel, which the CPU plug-in multiplies in float32.
    """
    from openvino import passes

    manager = passes.Manager()
    manager.register_pass(passes.ConstantFolding())
    manager.run_passes(model)


def weights_first(model: Any) -> list[str]:
    """Names of the matrix products that multiply constants by what they read, as a pool written as a product does.

    NNCF scales each row of the constant, and the CPU plug-in knows scales of a result's columns alone.
    """
    return [node.get_friendly_name() for node in _products(model) if _is_constant(node, 0)]


def quantized_products(model: Any) -> list[str]:
    """Names of the products whose activations go through a ``FakeQuantize`` of NNCF's, in their order."""
    return [node.get_friendly_name() for node in _products(model) if _rounding(node.input_value(0)) is not None]


def product_sets(model: Any, names: Collection[str]) -> list[tuple[str, ...]]:
    """Sets of products that are worth trying in integers: all, then without those of attention, of linear layers, depthwise ones.

    Args:
        model: in float32, folded.
        names: of the products that can be quantised.

    Returns:
        Different sets, the largest first, none empty.
    """
    kinds = {node.get_friendly_name(): _kind(node) for node in _products(model)}
    found: list[tuple[str, ...]] = []
    for left_out in range(len(_KINDS) + 1):
        some = tuple(name for name in names if kinds[name] not in _KINDS[:left_out])
        if some and some not in found:
            found.append(some)
    return found


def has_free_batch(model: Any) -> bool:
    """Whether a model of one input takes any number of images."""
    if len(model.inputs) != 1:
        return False
    shape = model.inputs[0].get_partial_shape()
    return bool(shape.rank.is_static and len(shape) > 0 and shape[0].is_dynamic)


def of_images(model: Any, size: int) -> Any:
    """A copy of a model with a free batch that takes so many images: it takes less time for them."""
    found = model.clone()
    shape = found.inputs[0].get_partial_shape()
    shape[0] = size
    found.reshape(shape)
    return found


def macs_of(model: Any) -> dict[str, int]:
    """Multiply-accumulates of each product for one image, by name."""
    one = of_images(model, 1) if has_free_batch(model) else model
    return {node.get_friendly_name(): _macs(node) for node in _products(one)}


def shares_of_compiled(compiled: Any, macs: Mapping[str, int], precision: Precision) -> Shares:
    """In which precisions the layers of a compiled model do the work of the products.

    A layer of the executed graph names what it was made of. Linear layers have lost their names where OpenVINO joined them with
    what follows: their work is that of their shapes. What no layer tells of counts as float32.

    Args:
        compiled: for one image a call.
        macs: work of the products by name, of the model that was compiled.
        precision: that was asked for.
    """
    nodes: Counter[Precision] = Counter()
    work: Counter[Precision] = Counter()
    rest: dict[tuple[str, Precision], list[int]] = {}
    for layer in compiled.get_runtime_model().get_ordered_ops():
        about = layer.get_rt_info()
        names = about["originalLayersNames"].astype(str).split(",") if "originalLayersNames" in about else []
        own = [macs[name] for name in names if name in macs]
        kind = about["layerType"].astype(str) if "layerType" in about else ""
        if not own and kind in ("FullyConnected", "MatMul"):
            own = [math.prod(_sizes(layer.output(0))) * _sizes(layer.input_value(0))[-1]]
        found = _RUN_IN.get(about["runtimePrecision"].astype(str)) if own else None
        if found is not None:
            nodes[found] += len(own)
            work[found] += sum(own)
            if found != precision:
                rest.setdefault((kind, found), []).extend(own)
    total = sum(macs.values())
    untold = total - sum(work.values())
    if untold > 0:
        nodes["fp32"] += len(macs) - sum(nodes.values())
        work["fp32"] += untold
        if precision != "fp32":
            rest["product", "fp32"] = [untold]
    total = max(1, total)
    kept = tuple(
        KeptOperators(kind, len(own), sum(own) / total, f"OpenVINO runs it in {found}" if kind != "product" else "not told")
        for (kind, found), own in rest.items()
    )
    return Shares(precision, dict(nodes), dict(work), 0, kept)


def returned(quantized: Any, model: Any, names: Collection[str]) -> Any:
    """A copy of a quantised graph in which some products read and multiply float32 again, as in the graph before.

    Args:
        quantized: by NNCF.
        model: the graph before, folded.
        names: of the products.
    """
    found = quantized.clone()
    before = {node.get_friendly_name(): node for node in _products(model)}
    for node in _products(found):
        name = node.get_friendly_name()
        if name not in names:
            continue
        for port, old in zip(node.inputs(), before[name].inputs(), strict=True):
            _return(port, old.get_source_output().get_node())
    return found


def add_to_logits(model: Any, added_K: NDArray[np.float32]) -> None:
    """Add a constant to the logits of each class, in place: the CPU plug-in takes it into the layer before."""
    from openvino import opset13

    (result,) = model.get_results()
    logits = result.input(0).get_source_output()
    names = logits.get_names()
    added = opset13.add(logits, opset13.constant(added_K[None])).output(0)
    logits.get_tensor().set_names(set())
    added.get_tensor().set_names(names)
    result.input(0).replace_source_output(added)


def _return(port: Any, before: Any) -> None:
    """Let an input of a product read what it read before it was rounded."""
    from openvino import opset13

    if before.get_type_name() == "Constant":
        port.replace_source_output(opset13.constant(before.data).output(0))
        return
    rounding = _rounding(port.get_source_output())
    if rounding is not None:
        port.replace_source_output(_moved(port.get_source_output(), rounding))


def _moved(output: Any, rounding: Any) -> Any:
    """The output as it is without the rounding, behind copies of the moves between: others may read those that there are."""
    node = output.get_node()
    if node.get_friendly_name() == rounding.get_friendly_name():
        return node.input_value(0)
    from openvino import opset13

    moved, rest = _moved(node.input_value(0), rounding), [node.input_value(at) for at in range(1, node.get_input_size())]
    kind, attributes = node.get_type_name(), node.get_attributes()
    made = {
        "Reshape": lambda: opset13.reshape(moved, *rest, special_zero=attributes["special_zero"]),
        "Transpose": lambda: opset13.transpose(moved, *rest),
        "Squeeze": lambda: opset13.squeeze(moved, *rest),
        "Unsqueeze": lambda: opset13.unsqueeze(moved, *rest),
        "Convert": lambda: opset13.convert(moved, destination_type=attributes["destination_type"]),
    }[kind]()
    return made.output(0)


def _rounding(output: Any) -> Any:
    """The ``FakeQuantize`` that gives a value, behind moves; None without one."""
    node = output.get_node()
    while node.get_type_name() in _MOVES:
        node = node.input_value(0).get_node()
    return node if node.get_type_name() == "FakeQuantize" else None


def _products(model: Any) -> list[Any]:
    return [node for node in model.get_ordered_ops() if node.get_type_name() in PRODUCTS]


def _kind(node: Any) -> str:
    if node.get_type_name() == "MatMul":
        return "linear" if _is_constant(node, 1) else "attention"
    return "depthwise" if node.get_type_name() == "GroupConvolution" else "convolution"


def _is_constant(node: Any, at: int) -> bool:
    return bool(node.input_value(at).get_node().get_type_name() == "Constant")


def _macs(node: Any) -> int:
    """Work of a product; a size that is free counts as one."""
    outputs = math.prod(_sizes(node.output(0)))
    if node.get_type_name() == "MatMul":
        return outputs * _sizes(node.input_value(0))[-2 if node.get_attributes()["transpose_a"] else -1]
    weights = _sizes(node.input_value(1))
    return outputs * math.prod(weights[2:] if node.get_type_name() == "GroupConvolution" else weights[1:])


def _sizes(output: Any) -> list[int]:
    return [size.get_length() if size.is_static else 1 for size in output.get_partial_shape()]
