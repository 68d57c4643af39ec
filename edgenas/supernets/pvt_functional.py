"""PVT subnets as functions of their weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgenas.spaces.pvt import BlockSpec
from edgenas.supernets.functional import FunctionalSubnet, WeightGroup
from edgenas.supernets.pvt_net import PvtBlock, PvtNet, averaging_matrix

if TYPE_CHECKING:
    from edgenas.supernets.pvt import PvtSupernet
    from edgenas.supernets.pvt_elastic import PvtElasticSupernet


def functional_subnet(supernet: PvtSupernet | PvtElasticSupernet, genes: tuple[int, ...]) -> FunctionalSubnet:
    """One subnet; its modules hold no weights, it is called with those given."""
    with torch.device("meta"):
        net = PvtNet(supernet.spec(genes)).eval()
    some = next(supernet.parameters())
    constants = {name: buffer for name, buffer in supernet.net.named_buffers() if ".blocks." not in name}
    groups: list[WeightGroup] = []
    for name, module in net.named_modules():
        if isinstance(module, PvtBlock):
            groups += block_groups(f"{name}.", module.spec)
            if module.pool_PH is not None:
                matrix_PH = averaging_matrix(module.spec.grid, module.spec.reduction_size)
                constants[f"{name}.pool_PH"] = matrix_PH.to(some.device, some.dtype)

    def logits(images_NCHW: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        logits_NK: Tensor = torch.func.functional_call(net, {**constants, **weights}, (images_NCHW,), strict=True)
        return logits_NK

    return FunctionalSubnet(supernet.slices(genes), logits, tuple(groups))


def block_groups(prefix: str, spec: BlockSpec) -> tuple[WeightGroup, ...]:
    """The roles of a block's weights; q, and k and v, are weights of their own."""
    reduction = (WeightGroup("reduction", (f"{prefix}attn.sr.weight",)),) if spec.reduction != "none" else ()
    return (
        WeightGroup("qkv", (f"{prefix}attn.q.weight", f"{prefix}attn.kv.weight"), 3),
        *reduction,
        WeightGroup("proj", (f"{prefix}attn.proj.weight",)),
        WeightGroup("mlp", (f"{prefix}mlp.fc1.weight",)),
        WeightGroup("depthwise", (f"{prefix}mlp.dwconv.weight",)),
        WeightGroup("mlp", (f"{prefix}mlp.fc2.weight",)),
    )
