"""ViTAS's spaces: plain Vision Transformers with a choice of patches, of heads and widths in every block, and of no block at all.

A `VitasSpec` says exactly what a net computes, as a chain of components with one tensor in and one out. Costs count components,
supernets and plain nets build them.

In a supernet every place has a block of its own, so that two nets with the same blocks at different places have different weights:
they are different architectures here, and an identity drops the widths of its place but not the place. `vitas-384` has
30 · 401^16 = 1.34e43 of them. Trained alone, such nets are equal; up to the places of identities there are
30 · (400^17 - 1) / 399 = 1.29e43. ViTAS's own genes, which give identities widths too, make 4.58e44.

Source: ViTAS (Su et al., ECCV 2022, arXiv:2106.13700), section 3, and the published configurations (xiusu/ViTAS).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edgenas.spaces.archs import Readable, VitasArch
from edgenas.spaces.autoformer import EmbedSpec, HeadSpec
from edgenas.spaces.base import PLAIN_NEEDS_IMAGES, Choice, Condition, SearchSpace, Task
from edgenas.spaces.uniform import uniform_nets

IDENTITY = "identity"
LEVELS = tuple(tenths / 10 for tenths in range(1, 11))


@dataclass(frozen=True, slots=True)
class BlockSpec:
    """Attention, then an MLP, on ``grid``² tokens and the class token.

    Attributes:
        qkv_dim: width of each of q, k and v: a third of ViTAS's ``qkv_out``, a multiple of ``num_heads``.
    """

    grid: int
    embed_dim: int
    num_heads: int
    qkv_dim: int
    mlp_hidden: int


Component = EmbedSpec | BlockSpec | HeadSpec


@dataclass(frozen=True, slots=True)
class VitasSpec:
    """A whole net.

    Attributes:
        places: of its blocks among those of a supernet.
    """

    task: Task
    embed: EmbedSpec
    blocks: tuple[BlockSpec, ...]
    places: tuple[int, ...]
    head: HeadSpec

    @property
    def components(self) -> tuple[Component, ...]:
        """Everything in the order it is computed."""
        return (self.embed, *self.blocks, self.head)


@dataclass(frozen=True, slots=True)
class Geometry:
    """What a space's nets are made of.

    Attributes:
        embed_dim, qkv_out, mlp_hidden: of the widest net; the others have these times a level, rounded.
        tied: whether all blocks of a net are alike, and stand at the first places.
    """

    patch_sizes: tuple[int, ...]
    embed_dim: int
    qkv_out: int
    mlp_hidden: int
    num_heads: tuple[int, ...]
    num_blocks: int
    levels: tuple[float, ...] = LEVELS
    tied: bool = False

    def widths(self, full: int) -> tuple[int, ...]:
        """A width at every level."""
        return tuple(round(level * full) for level in self.levels)


GEOMETRIES: dict[str, Geometry] = {
    "vitas-nano": Geometry((16, 8, 4), 24, 72, 48, num_heads=(2, 4), num_blocks=3, levels=(1 / 3, 2 / 3, 1.0)),
    "vitas-384": Geometry((32, 16, 14), 384, 1440, 1440, num_heads=(3, 6, 12, 16), num_blocks=16),
    "vitas-768": Geometry((32, 16, 14), 768, 2880, 2880, num_heads=(3, 6, 12, 16), num_blocks=16),
    "vitas-block": Geometry((32, 16, 14), 384, 1440, 1440, num_heads=(3, 6, 12, 16), num_blocks=16, tied=True),
}


@dataclass(frozen=True, slots=True)
class BlockList:
    """A list of blocks in which null is an identity; identities at its end may be left out."""

    num_blocks: int

    def write(self, tree: Mapping[str, Any], /) -> dict[str, Any]:
        """Identities become null."""
        return {**tree, "blocks": [None if block["num_heads"] == IDENTITY else block for block in tree["blocks"]]}

    def read(self, arch: Mapping[str, Any], /) -> Mapping[str, Any]:
        """Null becomes an identity, and so does what is missing at the end."""
        blocks = arch.get("blocks")
        if not isinstance(blocks, (list, tuple)):
            return arch
        filled = [*blocks, *[None] * (self.num_blocks - len(blocks))]
        return {**arch, "blocks": [{"num_heads": IDENTITY} if block is None else block for block in filled]}


@dataclass(frozen=True, slots=True)
class TiedBlocks:
    """The same list where all blocks are alike and stand before all identities: a depth and the genes of one block."""

    num_blocks: int

    def write(self, tree: Mapping[str, Any], /) -> dict[str, Any]:
        """As many copies as the net is deep, then identities."""
        block = dict(tree["blocks"])
        depth = block.pop("depth")
        return {**tree, "blocks": [*(dict(block) for _ in range(depth)), *[None] * (self.num_blocks - depth)]}

    def read(self, arch: Mapping[str, Any], /) -> Mapping[str, Any]:
        """The depth, and of every gene the value that all blocks have; text where they differ or stand behind an identity."""
        blocks = arch.get("blocks")
        if not isinstance(blocks, (list, tuple)):
            return {name: value for name, value in arch.items() if name != "blocks"}
        active = [block for block in blocks if block is not None]
        depth: int | str = len(active)
        if len(blocks) > self.num_blocks:
            depth = f"{len(active)} of {len(blocks)} blocks"
        elif None in blocks[: len(active)]:
            depth = f"{len(active)} blocks with an identity between them"
        entries = [block if isinstance(block, Mapping) else {} for block in active]
        names = dict.fromkeys(name for entry in entries for name in entry)
        return {**arch, "blocks": {"depth": depth} | {name: _common([entry.get(name) for entry in entries]) for name in names}}


def _common(values: Sequence[Any]) -> Any:
    """The one value that all are, or text that lists the different ones."""
    different = [value for position, value in enumerate(values) if value not in values[:position]]
    return different[0] if len(different) == 1 else " or ".join("missing" if value is None else str(value) for value in different)


def _choices(geometry: Geometry) -> Iterator[Choice]:
    yield Choice("patch_size", geometry.patch_sizes)
    yield Choice("embed_dim", geometry.widths(geometry.embed_dim))
    widths = {"qkv_out": geometry.widths(geometry.qkv_out), "mlp_hidden": geometry.widths(geometry.mlp_hidden)}
    if geometry.tied:
        yield Choice("blocks.depth", tuple(range(1, geometry.num_blocks + 1)))
        yield Choice("blocks.num_heads", geometry.num_heads)
        yield from (Choice(f"blocks.{name}", options) for name, options in widths.items())
        return
    for block in range(geometry.num_blocks):
        heads = f"blocks[{block}].num_heads"
        yield Choice(heads, (IDENTITY, *geometry.num_heads))
        for name, options in widths.items():
            yield Choice(f"blocks[{block}].{name}", options, Condition(heads, geometry.num_heads))


def _space(name: str, task: Task, purpose: str) -> SearchSpace:
    geometry = GEOMETRIES[name]
    form = TiedBlocks if geometry.tied else BlockList
    return SearchSpace(
        name=name,
        family="vitas",
        choices=tuple(_choices(geometry)),
        default_task=task,
        trade_offs=("patch_size",),  # smaller patches are more of them, by a smaller convolution
        form=form(geometry.num_blocks),
        purpose=purpose,
        needs_images=PLAIN_NEEDS_IMAGES,
    )


IMAGENET = Task(num_classes=1000, in_channels=3, image_px=224)

VITAS_SPACES = (
    _space("vitas-nano", Task(num_classes=10, in_channels=3, image_px=32), "small images: ViTAS in small, to try a recipe"),
    _space("vitas-384", IMAGENET, "ViTAS's published space to the width of DeiT-S"),
    _space("vitas-768", IMAGENET, "ViTAS's published space to the width of DeiT-B"),
    _space("vitas-block", IMAGENET, "vitas-384 with equal blocks: few genes"),
)


def frame(task: Task, patch_size: int, embed_dim: int) -> tuple[EmbedSpec, HeadSpec]:
    """What comes before and after the blocks.

    Raises:
        ValueError: if the image holds no patch.
    """
    if task.image_px < patch_size:
        raise ValueError(f"{task.image_px} px is too small for patches of {patch_size}")
    grid = task.image_px // patch_size
    return EmbedSpec(task.in_channels, task.image_px, patch_size, grid, embed_dim), HeadSpec(
        grid, embed_dim, "token", task.num_classes
    )


def is_block(component: Hashable) -> bool:
    """Whether a component is one that nets repeat."""
    return isinstance(component, BlockSpec)


def hand_designed(space: SearchSpace) -> list[Readable]:
    """What an engineer would write down without a search: uniform nets."""
    return uniform_nets(space)


def lower(space: SearchSpace, genes_G: NDArray[np.integer], task: Task) -> VitasSpec:
    """The net that one row of genes stands for, at the classes, channels and resolution of ``task``.

    Raises:
        ValueError: if the image holds no patch.
    """
    return assemble(task, cast(VitasArch, space.to_json(genes_G)))


def assemble(task: Task, arch: VitasArch) -> VitasSpec:
    """The net of a readable architecture; it may lie outside every space."""
    embed, head = frame(task, arch["patch_size"], arch["embed_dim"])
    blocks = {place: block for place, block in enumerate(arch["blocks"]) if block is not None}
    specs = tuple(
        BlockSpec(embed.grid, embed.embed_dim, block["num_heads"], block["qkv_out"] // 3, block["mlp_hidden"])
        for block in blocks.values()
    )
    return VitasSpec(task, embed, specs, tuple(blocks), head)
