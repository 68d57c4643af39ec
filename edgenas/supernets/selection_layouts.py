"""Which axes the weights of plain nets have, by kind of net and under timm's names: what weight selection needs to know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from torch import Tensor, nn

from edgenas.errors import CheckpointError
from edgenas.supernets.pit_files import our_name as pit_name
from edgenas.supernets.starting import plain_names

DIM, HIDDEN, QKV = "dim", "hidden", "qkv"

_BLOCK = r"(?P<block>{at}blocks\.\d+)\."
_TOKENS = {
    r"norm[12]\.(weight|bias)": (DIM,),
    r"attn\.proj\.weight": (DIM, QKV),
    r"attn\.proj\.bias": (DIM,),
    r"mlp\.fc1\.weight": (HIDDEN, DIM),
    r"mlp\.fc1\.bias": (HIDDEN,),
    r"mlp\.fc2\.weight": (DIM, HIDDEN),
    r"mlp\.fc2\.bias": (DIM,),
}
_JOINT = {r"attn\.qkv\.weight": (f"3{QKV}", DIM), r"attn\.qkv\.bias": (f"3{QKV}",)}
_APART = {
    r"attn\.q\.weight": (QKV, DIM),
    r"attn\.q\.bias": (QKV,),
    r"attn\.kv\.weight": (f"2{QKV}", DIM),
    r"attn\.kv\.bias": (f"2{QKV}",),
    r"attn\.sr\.weight": (DIM, DIM, "", ""),
    r"attn\.(sr|norm)\.(weight|bias)": (DIM,),
    r"mlp\.dwconv\.weight": (HIDDEN, "", "", ""),
    r"mlp\.dwconv\.bias": (HIDDEN,),
}
PUBLISHED_HEADS = {0: 1, 1: 2, 2: 5, 3: 8}  # of every PVT v2, by stage
HEAD_DIM = 64  # of every ViT and DeiT
PIT_HEADS = {64: 2, 96: 2, 144: 3, 256: 4}  # of the first stage, by its width; twice as many in every later one


@dataclass(frozen=True, slots=True)
class SharedAxis:
    """Entries that several tensors share.

    Attributes:
        kind: channels of a token (``dim``), hidden channels of an MLP, or channels of all heads (``qkv``).
        owner: stage or block.
        groups: how often the axis holds them, one after the other.
    """

    kind: str
    owner: str
    groups: int = 1

    @property
    def plain(self) -> SharedAxis:
        """The same axis of one group."""
        return SharedAxis(self.kind, self.owner)


@dataclass(frozen=True, slots=True)
class Layout:
    """How nets of one kind name their weights.

    Attributes:
        title: the kind, for messages.
        at: pattern of a stage's name, empty where there is one stage alone.
        first: the first stage's name.
        block: axes of a block's weights by pattern of their name.
        around: axes of the other weights; ``in`` are the channels of the stage before, ``last`` those of the last.
        tables: whether channels of a token are a table of one column a head.
    """

    title: str
    at: str
    first: str
    block: Mapping[str, tuple[str, ...]]
    around: Mapping[str, tuple[str, ...]]
    families: tuple[str, ...]
    tables: bool = False

    def axes(self, name: str) -> tuple[SharedAxis | None, ...] | None:
        """A tensor's axes, None for one that is taken whole, none at all where all are; None for a name that no such net has."""
        return _axes(self.title, name)

    def depths(self, sizes: Mapping[SharedAxis, int]) -> list[int]:
        """Blocks of every stage."""
        counts: dict[str, int] = {}
        for axis in sizes:
            if axis.kind == HIDDEN:
                stage = axis.owner.rpartition("blocks.")[0]
                counts[stage] = counts.get(stage, 0) + 1
        return [counts[stage] for stage in sorted(counts)]


_HEAD = {r"norm\.(weight|bias)": ("last",), r"head\.(0\.)?weight": ("", "last")}
PVT = Layout(
    "PVT v2",
    r"stages\.\d+\.",
    "stages.0",
    _TOKENS | _APART,
    {
        r"patch_embed\.proj\.weight": ("first", "", "", ""),
        r"patch_embed\.(proj\.bias|norm\.weight|norm\.bias)": ("first",),
        r"(?P<stage>stages\.\d+)\.downsample\.proj\.weight": (DIM, "in", "", ""),
        r"(?P<stage>stages\.\d+)\.(downsample\.proj\.bias|(downsample\.)?norm\.(weight|bias))": (DIM,),
        r"head\.(0\.)?weight": ("", "last"),
    },
    ("pvt", "pvt_elastic"),
)
VIT = Layout(
    "Vision Transformer",
    "",
    "",
    _TOKENS | _JOINT,
    {
        r"patch_embed\.proj\.weight": ("first", "", "", ""),
        r"patch_embed\.proj\.bias": ("first",),
        r"cls_token|pos_embed": ("", "", "first"),
    }
    | _HEAD,
    ("autoformer", "vitas"),
)
PIT = Layout(
    "PiT",
    r"transformers\.\d+\.",
    "transformers.0",
    _TOKENS | _JOINT,
    {
        r"patch_embed\.conv\.weight": ("first", "", "", ""),
        r"patch_embed\.conv\.bias": ("first",),
        r"pos_embed": ("", "first", "", ""),
        r"cls_token": ("", "", "first"),
        r"(?P<stage>transformers\.\d+)\.pool\.conv\.weight": (DIM, "", "", ""),
        r"(?P<stage>transformers\.\d+)\.pool\.fc\.weight": (DIM, "in"),
        r"(?P<stage>transformers\.\d+)\.pool\.(conv|fc)\.bias": (DIM,),
    }
    | _HEAD,
    ("pit",),
    tables=True,
)
LAYOUTS: Mapping[str, Layout] = {layout.title: layout for layout in (PVT, VIT, PIT)}
_LAST = {"PVT v2": "stages.3", "Vision Transformer": "", "PiT": "transformers.2"}
_WHOLE = re.compile(r"head\..+|blocks\.\d+\.attn\.rel_pos_[kv]\..+")  # taken where shapes agree


@lru_cache(maxsize=65536)
def _axes(title: str, name: str) -> tuple[SharedAxis | None, ...] | None:
    layout = LAYOUTS[title]
    inner = re.match(_BLOCK.format(at=layout.at), name)
    for pattern, kinds in (layout.block if inner is not None else layout.around).items():
        match = re.fullmatch(pattern, name if inner is None else name[inner.end() :])
        if match is None:
            continue
        if inner is not None:
            block = inner["block"]
            stage = block.rpartition("blocks.")[0].removesuffix(".")
            return tuple(_block_axis(kind, stage, block) for kind in kinds)
        stage = match.groupdict().get("stage") or layout.first
        before = re.sub(r"\d+$", lambda digits: str(int(digits[0]) - 1), stage)
        owners = {DIM: stage, "in": before, "first": layout.first, "last": _LAST[title]}
        return tuple(SharedAxis(DIM, owners[kind]) if kind else None for kind in kinds)
    return () if _WHOLE.fullmatch(name) else None


def _block_axis(kind: str, stage: str, block: str) -> SharedAxis | None:
    if kind == DIM:
        return SharedAxis(DIM, stage)
    if not kind:
        return None
    return SharedAxis(kind.lstrip("23"), block, int(kind[0]) if kind[0] in "23" else 1)


def layout_of(state: Mapping[str, Tensor]) -> Layout | None:
    """The kind of net that weights are of; None for another."""
    if "stages.0.blocks.0.attn.q.weight" in state and "stages.0.blocks.0.mlp.dwconv.weight" in state:
        return PVT
    if "transformers.0.blocks.0.attn.qkv.weight" in state:
        return PIT
    return VIT if "blocks.0.attn.qkv.weight" in state and "patch_embed.proj.weight" in state else None


def named(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights by timm's names."""
    return {pit_name(name): value for name, value in plain_names(state).items()}


def heads_of(net: nn.Module) -> dict[str, int]:
    """Heads of every attention of a plain net, ours or timm's, by the name of its block."""
    heads: dict[str, int] = {}
    for name, module in net.named_modules():
        if name.endswith(".attn"):
            num = getattr(module, "num_heads", getattr(getattr(module, "spec", None), "num_heads", None))
            if num is not None:  # other kinds of nets call other things attn, too
                heads[name.removesuffix(".attn")] = int(num)
    return heads


def guessed_heads(layout: Layout, state: Mapping[str, Tensor], source: str) -> tuple[dict[str, int], str]:
    """Heads of a file of weights, which does not tell, as published nets of its kind have them; and what to say of it.

    Raises:
        CheckpointError: if no published net has such widths.
    """
    heads, words = {}, ""
    for name, value in state.items():
        if layout is PVT and name.endswith("attn.q.weight"):
            heads[name.removesuffix(".attn.q.weight")] = PUBLISHED_HEADS.get(int(name.split(".")[1]), 0)
            words = "heads were taken to be 1, 2, 5 and 8 as every published PVT v2 has"
        elif layout is VIT and name.endswith("attn.qkv.weight"):
            heads[name.removesuffix(".attn.qkv.weight")] = value.shape[0] // (3 * HEAD_DIM)
            words = f"heads were taken to be {HEAD_DIM} wide as those of published ViTs"
        elif layout is PIT and name.endswith("attn.qkv.weight"):
            first = PIT_HEADS.get(state["transformers.0.blocks.0.norm1.weight"].shape[0], 0)
            heads[name.removesuffix(".attn.qkv.weight")] = first * 2 ** int(name.split(".")[1])
            words = "heads were taken to be those of the published PiT of its width"
    rows = {name: state[f"{name}.attn.proj.weight"].shape[1] for name in heads if f"{name}.attn.proj.weight" in state}
    if any(num == 0 or rows.get(name, 0) % num for name, num in heads.items()):
        hint = "give timm:NAME or an edgenas run, which do say"
        raise CheckpointError(
            f"{source} does not say how many heads its attentions have, and no published net is so wide", hint=hint
        )
    return heads, words
