"""Nets as ExecuTorch programs for XNNPACK: traced, attention opened, lowered.

Attention is opened into its products and its softmax first: ExecuTorch would guard the softmax against rows that are masked as a
whole, with five operators that XNNPACK does not take, and no net here masks one.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from edgenas.deploy.contracts import ExportSpec
from edgenas.errors import EdgeNASError, ExportError

from ._native import log_kept, quiet
from ._probe import first_line
from ._pte import LOGGERS

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.export import ExportedProgram

Notes = dict[str, str | int | float]
MAX_IMAGES = 8  # a call of a file for any number: memory is planned for so many; from 16 on, PyTorch's tracer lowers it by itself
_NO_WORK = ("getitem", "alloc")  # nodes that compute nothing


def plain(model: nn.Module) -> nn.Module:
    """A copy in float32 on the CPU, as it answers."""
    return copy.deepcopy(model).cpu().float().eval().requires_grad_(False)


def halved(model: nn.Module) -> nn.Module:
    """A copy that computes in float16 between images and logits of float32, its norms in float32, too.

    ExecuTorch's own layer norm adds up a float16 tensor in float16: with a few thousand values its squares overflow, and the net
    answers with what is no number.
    """
    from torch import nn

    class Halved(nn.Module):
        """A net in float16."""

        def __init__(self) -> None:
            super().__init__()
            self.net = plain(model).half()
            for module in self.net.modules():
                if isinstance(module, (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)):
                    module.float().register_forward_pre_hook(lambda _, inputs: tuple(each.float() for each in inputs))
                    module.register_forward_hook(lambda _, inputs, output: output.half())

        def forward(self, image_NCHW: Tensor) -> Tensor:
            """Logits (N, K)."""
            logits: Tensor = self.net(image_NCHW.half())
            return logits.float()

    return Halved().eval()


def traced(net: nn.Module, spec: ExportSpec, name: str) -> ExportedProgram:
    """A net as `torch.export` traces it: for the images a call of ``spec``, for up to `MAX_IMAGES` where these are any number.

    Raises:
        ExportError: if it cannot be traced, with its ``name``.
    """
    import torch

    with _named(name):
        if spec.batch_size is not None:
            return torch.export.export(net, (torch.zeros(spec.batch_size, *spec.input_shape),), strict=False)
        images = torch.export.Dim("images", min=1, max=MAX_IMAGES)
        return torch.export.export(net, (torch.zeros(2, *spec.input_shape),), strict=False, dynamic_shapes=({0: images},))


def lowered(program: ExportedProgram, texts: Mapping[str, str], name: str) -> tuple[bytes, Notes]:
    """The bytes of a traced net as a program, and what became of its nodes.

    Args:
        program: with float32 images and logits.
        texts: by the name of the method that answers with each.
        name: of the net, for messages.

    Raises:
        ExportError: if it cannot be lowered.
    """
    import torch

    with _named(name):
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        attention = torch.ops.aten.scaled_dot_product_attention.default
        if any(node.target is attention for node in program.graph.nodes):  # it is a trace of its own
            program = program.run_decompositions({attention: opened_attention})
        edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()], constant_methods=dict(texts))
        notes = delegation(edge.exported_program().graph_module)
        with log_kept():
            return bytes(edge.to_executorch().buffer), notes


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Say which net it was that PyTorch or ExecuTorch did not take; they raise whatever they meet."""
    import torch

    try:
        with quiet(*LOGGERS), torch.no_grad():
            yield
    except EdgeNASError:
        raise
    except Exception as error:
        raise ExportError(f"{name} cannot be lowered to ExecuTorch: {first_line(_root(error))}") from error


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def opened_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """`torch.nn.functional.scaled_dot_product_attention` of a net that is not trained, as its products and its softmax.

    Raises:
        NotImplementedError: for masks and groupings that no vision transformer has.
    """
    import torch

    if is_causal or enable_gqa or (attn_mask is not None and attn_mask.dtype == torch.bool):
        raise NotImplementedError("attention that is causal, grouped or masked by truth values is not written for ExecuTorch")
    factor = 1.0 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = (query * factor) @ key.transpose(-2, -1)
    attended: Tensor = torch.softmax(scores if attn_mask is None else scores + attn_mask, dim=-1) @ value
    return attended


def delegation(graph_module: Any) -> dict[str, str | int | float]:
    """The share of nodes that XNNPACK took, and those that it did not, by operator."""
    from executorch.devtools.backend_debug import get_delegation_info

    info = get_delegation_info(graph_module)
    left: dict[str, int] = {}
    num_delegated = 0
    for name, counts in info.delegation_by_operator.items():
        if name in _NO_WORK:
            continue
        num_delegated += counts.delegated
        if counts.non_delegated:
            left[name.removeprefix("aten_").removesuffix("_default")] = counts.non_delegated
    num = num_delegated + sum(left.values())
    named = ", ".join(f"{count} {name}" for name, count in sorted(left.items(), key=lambda each: (-each[1], each[0])))
    return {
        "delegated_share": round(num_delegated / num, 4) if num else 0.0,
        "num_nodes": num,
        "num_subgraphs": int(info.num_delegated_subgraphs),
        "not_delegated": named or "none",
    }
