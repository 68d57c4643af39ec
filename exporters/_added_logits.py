"""Traced nets whose logits are moved by constants: in the bias of the layer that gives them, or by one addition behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node

NAME = "logit_adjustment"


def add_to_logits(module: GraphModule, added_K: NDArray[np.float32]) -> None:
    """Let a traced net add constants to its logits, in place.

    They go into the bias of the convolution or linear layer that gives the logits, if nothing else reads that; else an addition
    comes last.

    Args:
        module: of one float32 output (N, K).
        added_K: one number a class.
    """
    import torch

    (output,) = module.graph.find_nodes(op="output")
    (logits,) = output.all_input_nodes
    constants_K = torch.from_numpy(added_K)
    bias = _own_bias(logits)
    if bias is not None:
        path, _, name = str(bias.target).rpartition(".")
        owner = module.get_submodule(path)
        raised_K = getattr(owner, name).detach() + constants_K  # its values are the net's, which stays as it is
        setattr(owner, name, torch.nn.Parameter(raised_K, requires_grad=False))
        return
    module.register_buffer(NAME, constants_K[None])
    with module.graph.inserting_before(output):
        constants = module.graph.get_attr(NAME)
        added = module.graph.call_function(torch.ops.aten.add.Tensor, (logits, constants))
    output.replace_input_with(logits, added)
    module.recompile()


def _own_bias(logits: Node) -> Node | None:
    """The constant that the layer of the logits alone adds."""
    import torch

    if logits.target not in (torch.ops.aten.conv2d.default, torch.ops.aten.linear.default) or len(logits.args) < 3:
        return None
    bias = logits.args[2]
    return bias if isinstance(bias, torch.fx.Node) and bias.op == "get_attr" and len(bias.users) == 1 else None
