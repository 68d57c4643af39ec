"""MACs and parameters of a built net, counted on the net itself."""

from __future__ import annotations

import logging
import math
import warnings
from typing import Any

import torch
from torch import nn

COUNTED = ("conv", "linear", "matmul", "bmm", "addmm", "einsum", "scaled_dot_product_attention")
COSTLY = ("attention", "conv", "mm", "matmul", "einsum", "linear")  # parts of operators' names that must not be skipped


def num_params(net: nn.Module) -> int:
    """Parameters, each once."""
    return sum(parameter.numel() for parameter in net.parameters())


def fvcore_macs(net: nn.Module, images_NCHW: torch.Tensor, *, with_norms: bool = False) -> int:
    """MACs of one forward pass in convolutions, linear layers and matrix products, as fvcore counts them.

    fvcore skips fused attention and counts broadcast matrix products once; both are counted in full here.

    Args:
        net: is put into eval mode.
        images_NCHW: what it is run on.
        with_norms: count LayerNorm too, as fvcore does by default.

    Raises:
        RuntimeError: if the net computes products that are not counted.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis

        logging.getLogger("fvcore").setLevel(logging.ERROR)
        analysis = FlopCountAnalysis(net.eval(), images_NCHW)
        analysis.set_op_handle("aten::scaled_dot_product_attention", _attention_macs)
        analysis.set_op_handle("aten::matmul", _matmul_macs)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        by_operator = dict(analysis.by_operator())
        unsupported = [name for name in analysis.unsupported_ops() if "upsample" not in name]  # bilinear is not linear
        skipped = sorted(name for name in unsupported if any(part in name for part in COSTLY))
    if skipped:
        raise RuntimeError(f"fvcore does not count {', '.join(skipped)}")
    kinds = (*COUNTED, "layer_norm") if with_norms else COUNTED
    return int(sum(count for kind, count in by_operator.items() if kind in kinds))


def _shape(value: Any) -> list[int]:
    return list(value.type().sizes())


def _attention_macs(inputs: list[Any], outputs: list[Any]) -> int:
    query, key, value = (_shape(tensor) for tensor in inputs[:3])
    batch_heads = math.prod(query[:-2])
    return batch_heads * query[-2] * key[-2] * (query[-1] + value[-1])


def _matmul_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """Right for broadcast operands too, which fvcore's own handler counts once."""
    return math.prod(_shape(outputs[0])) * _shape(inputs[0])[-1]
