"""In which precision an ExecuTorch file computes: shares of its operators and of its multiply-accumulates, read from the file.

Operators are XNNPACK's, by the types that its graphs give their values, and ExecuTorch's own, by those of their tensors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from edgenas.graphs.shares import OTHERS, KeptOperators, Shares
from edgenas.records import Precision

from ._pte import datatype, read_pte, type_name

_MOVES = {"XNNConvert", "XNNCopy"}  # of XNNPACK's: they compute nothing
_CONVERSIONS = (
    "quantize",
    "dequantize",
    "choose_qparams",
    "_to_copy",
    "_to_dim_order_copy",
    "clone",
    "_clone_dim_order",
)  # likewise of ExecuTorch's
_WEIGHTED = {"XNNFullyConnected", "XNNConv2d", "XNNDepthwiseConv2d", "XNNConvTranspose2d"}
_PRODUCTS = {"addmm": (1, 2), "mm": (0, 1), "bmm": (0, 1), "linear": (0, 1), "convolution": (0, 1)}  # places of both factors
_OF_TYPE: Mapping[str, Precision] = {
    "qint8": "int8",
    "qcint8": "int8",
    "qdint8": "int8",
    "int8": "int8",
    "float32": "fp32",
    "float16": "fp16",
    "bfloat16": "bf16",
}


@dataclass(frozen=True, slots=True)
class _Operator:
    """An operator that computes.

    Attributes:
        macs: multiply-accumulates; 0 of one that is no product.
        is_weighted: it multiplies by constants.
    """

    name: str
    precision: Precision
    macs: int
    is_weighted: bool


def shares_of_pte(data: bytes, precision: Precision) -> Shares:
    """What a program computes in.

    Args:
        data: the file.
        precision: that it is to be in.

    Raises:
        MissingBackendError, ArtefactError: as `read_pte`.
    """
    opened = read_pte(data)
    found = [
        each
        for plan, graphs in zip(opened.program.execution_plan, opened.graphs, strict=True)
        if plan.name == "forward"
        for each in _operators(plan, graphs)
    ]
    macs: Counter[Precision] = Counter()
    rest: Counter[tuple[str, str]] = Counter()
    rest_macs: Counter[tuple[str, str]] = Counter()
    for each in found:
        macs[each.precision] += each.macs
        if each.precision != precision:
            key = _why(each, precision)
            rest[key] += 1
            rest_macs[key] += each.macs
    total = max(1, sum(macs.values()))
    listed = [KeptOperators(name, num, rest_macs[name, why] / total, why) for (name, why), num in rest.items()]
    listed.sort(key=lambda each: (-each.share, -each.num_nodes, each.op_type))
    last = next((each for each in reversed(found) if each.macs), None)
    head = last.macs if last is not None and last.precision == "fp32" else 0
    nodes = Counter(each.precision for each in found)
    return Shares(precision, dict(nodes), {kind: num for kind, num in macs.items() if num}, head, tuple(listed))


def _why(operator: _Operator, precision: Precision) -> tuple[str, str]:
    if operator.macs:
        reason = f"left in {operator.precision}" if operator.is_weighted else "product of two activations"
        return operator.name, reason if precision == "int8" else f"computes in {operator.precision}"
    return (OTHERS, "no products") if precision == "int8" else (operator.name, f"computes in {operator.precision}")


def _operators(plan: Any, graphs: Mapping[int, Mapping[str, Any]]) -> Iterator[_Operator]:
    """The operators of a plan in their order, those of XNNPACK's graphs in their places."""
    for chain in plan.chains:
        for instruction in chain.instructions:
            call = instruction.instr_args
            if hasattr(call, "delegate_index"):
                yield from _of_graph(graphs.get(call.delegate_index, {}))
            elif hasattr(call, "op_index"):
                yield from _of_call(plan.operators[call.op_index].name.rpartition("::")[2], [plan.values[i].val for i in call.args])


def _of_call(name: str, arguments: Sequence[Any]) -> Iterator[_Operator]:
    """An operator of ExecuTorch's own; its result is the last of its tensors."""
    tensors = [each for each in arguments if hasattr(each, "scalar_type")]
    kind = _OF_TYPE.get(type_name(tensors[-1].scalar_type.name)) if tensors else None
    if kind is None or name.startswith(_CONVERSIONS):
        return
    macs, is_weighted = 0, False
    if name in _PRODUCTS:
        first, second = (arguments[place] for place in _PRODUCTS[name])
        if name == "convolution":
            macs = prod(tensors[-1].sizes) * prod(second.sizes[1:])
        else:
            macs = prod(tensors[-1].sizes) * first.sizes[-1]
        is_weighted = second.data_buffer_idx > 0
    yield _Operator(name, kind, macs, is_weighted)


def _of_graph(graph: Mapping[str, Any]) -> Iterator[_Operator]:
    """The operators of a graph of XNNPACK's."""
    values = {_tensor(each)["id_out"]: each for each in graph.get("xvalues", ())}
    for node in graph.get("xnodes", ()):
        name, about = node["xnode_union_type"], node["xnode_union"]
        out = values.get(about.get("output_id"))
        if name in _MOVES or out is None:
            continue
        is_weighted, macs = name in _WEIGHTED, 0
        kind = _OF_TYPE.get(datatype(out))
        if is_weighted or name == "XNNBatchMatrixMultiply":
            first, second = values[about["input1_id"]], values[about["filter_id" if is_weighted else "input2_id"]]
            kinds = [_OF_TYPE.get(datatype(each)) for each in (first, second)]
            kind = kinds[0] if kinds[0] != "int8" or kinds[1] == "int8" else "fp32"  # XNNPACK makes weights what it multiplies
            macs = _macs(about, _sizes(first), _sizes(out))
        if kind is not None:
            yield _Operator(name.removeprefix("XNN"), kind, macs, is_weighted)


def _macs(about: Mapping[str, Any], first: Sequence[int], out: Sequence[int]) -> int:
    """Multiply-accumulates of a product."""
    if "kernel_height" in about:
        return prod([*out, *(int(about[key]) for key in ("kernel_height", "kernel_width", "group_input_channels"))])
    return prod(out) * first[-1]


def _tensor(value: Mapping[str, Any]) -> Mapping[str, Any]:
    inner: Mapping[str, Any] = value["xvalue_union"]
    tensor: Mapping[str, Any] = inner.get("tensor_value", inner)
    return tensor


def _sizes(value: Mapping[str, Any]) -> Sequence[int]:
    sizes: Sequence[int] = _tensor(value).get("dims") or (1,)
    return sizes
