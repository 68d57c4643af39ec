"""The PVT supernet: the largest net's weights, of which every subnet is a slice.

Sharing ("weight entanglement", Chen et al., AutoFormer, arXiv:2107.00651): a narrower q, k or v keeps the leading channels of
every head, weights and biases alike, so a row means the same at every width; a narrower MLP keeps the leading hidden channels of
both linear layers and of the depthwise convolution between them; a shallower stage keeps its first blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from edgenas.spaces import SearchSpace, Task
from edgenas.spaces.pvt import BlockSpec, PvtSpec, lower
from edgenas.supernets.functional import WeightGroup, pyramid_block_groups
from edgenas.supernets.pvt_net import PvtBlock, PvtNet, PvtStage, build_component, component_input_shape
from edgenas.supernets.sliced import ComponentWeights, Sharing, SlicedSupernet
from edgenas.supernets.slots import weights_of


def slice_block(weights: Mapping[str, Tensor], largest: BlockSpec, spec: BlockSpec) -> dict[str, Tensor]:
    """Views of a block's weights at the widths of ``spec``.

    Args:
        weights: of the largest block, by name.
        largest: its widths.
        spec: widths to cut to, none above the largest's; heads are the same.
    """
    heads, full, width = largest.num_heads, largest.qkv_dim // largest.num_heads, spec.qkv_dim // spec.num_heads
    hidden, dim = spec.mlp_hidden, spec.embed_dim

    def per_head(tensor: Tensor, groups: int) -> Tensor:
        """Leading rows of every head of ``groups`` stacked projections."""
        parts = tensor.reshape(groups, heads, full, *tensor.shape[1:])[:, :, :width]
        return parts.reshape(groups * heads * width, *tensor.shape[1:])

    result = dict(weights)
    if width != full:
        for name, groups in (("attn.q", 1), ("attn.kv", 2)):
            for kind in ("weight", "bias"):
                result[f"{name}.{kind}"] = per_head(weights[f"{name}.{kind}"], groups)
        proj = weights["attn.proj.weight"].reshape(dim, heads, full)[:, :, :width]
        result["attn.proj.weight"] = proj.reshape(dim, heads * width)
    if hidden != largest.mlp_hidden:
        for name in ("mlp.fc1.weight", "mlp.fc1.bias", "mlp.dwconv.weight", "mlp.dwconv.bias"):
            result[name] = weights[name][:hidden]
        result["mlp.fc2.weight"] = weights["mlp.fc2.weight"][:, :hidden]
    return result


def parts(supernet: SlicedSupernet[PvtSpec], spec: PvtSpec) -> Iterator[ComponentWeights]:
    """The weights of every component of one subnet; only blocks are sliced."""
    net = largest_net(supernet)
    for index, stage_spec in enumerate(spec.stages):
        stage, at = net.stages[index], f"stages.{index}."
        assert isinstance(stage, PvtStage)
        entrance = net.patch_embed if stage.downsample is None else stage.downsample
        yield ComponentWeights("patch_embed." if stage.downsample is None else f"{at}downsample.", weights_of(entrance))
        for number, block_spec in enumerate(stage_spec.blocks):
            block = stage.blocks[number]
            assert isinstance(block, PvtBlock)
            yield ComponentWeights(f"{at}blocks.{number}.", slice_block(weights_of(block), block.spec, block_spec))
        yield ComponentWeights(f"{at}norm.", weights_of(stage.norm))
    yield ComponentWeights("head.", weights_of(net.head), dict(net.head.named_buffers()), inner="1.")


def largest_net(supernet: SlicedSupernet[PvtSpec]) -> PvtNet:
    """The net whose weights subnets are slices of."""
    net = supernet.net
    assert isinstance(net, PvtNet)
    return net


def groups(spec: PvtSpec) -> tuple[WeightGroup, ...]:
    """The weights of a subnet's blocks by their roles; q, and k and v, are weights of their own."""
    return tuple(
        group
        for index, stage in enumerate(spec.stages)
        for number, block in enumerate(stage.blocks)
        for group in pyramid_block_groups(f"stages.{index}.blocks.{number}.", reduced=block.reduction != "none")
    )


SHARING = Sharing(lower, PvtNet, build_component, parts, groups, begins_alike=True)


def build_supernet(space: SearchSpace, task: Task) -> SlicedSupernet[PvtSpec]:
    """A freshly initialised supernet of a PVT space, with the parameters of the largest net under ``net.``."""
    return SlicedSupernet(space, task, SHARING, {"net": PvtNet(lower(space, space.extreme(largest=True)[0], task))})


__all__ = [
    "SHARING",
    "build_component",
    "build_supernet",
    "component_input_shape",
    "slice_block",
]
