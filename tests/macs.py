"""MACs as fvcore counts them on a real module, for tests."""

from __future__ import annotations

import logging
import math
import warnings
from typing import Any

import torch
from torch import nn


def _shape(value: Any) -> list[int]:
    return list(value.type().sizes())


def _attention_macs(inputs: list[Any], outputs: list[Any]) -> int:
    query, key, value = (_shape(tensor) for tensor in inputs[:3])
    batch_heads = math.prod(query[:-2])
    return batch_heads * query[-2] * key[-2] * (query[-1] + value[-1])


def _matmul_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """Right for broadcast operands too, which fvcore's own handler counts once."""
    return math.prod(_shape(outputs[0])) * _shape(inputs[0])[-1]


def fvcore_macs(model: nn.Module, images: torch.Tensor, *, with_norms: bool = False) -> int:
    """MACs of one forward pass in convolutions, linear layers and matrix products."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis

        logging.getLogger("fvcore").setLevel(logging.ERROR)
        analysis = FlopCountAnalysis(model.eval(), images)
        analysis.set_op_handle("aten::scaled_dot_product_attention", _attention_macs)
        analysis.set_op_handle("aten::matmul", _matmul_macs)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        by_operator = dict(analysis.by_operator())
    kinds = ("conv", "linear", "matmul", "scaled_dot_product_attention") + (("layer_norm",) if with_norms else ())
    return int(sum(count for kind, count in by_operator.items() if kind in kinds))
