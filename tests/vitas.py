"""ViTAS's genomes and published nets as readable architectures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

HEADS = (3, 6, 12, 16, None)
PATCHES = (14, 16, 32)


def of_net_id(net_id: Sequence[int], *, embed_dim: int = 384, qkv_out: int = 1440, mlp_hidden: int = 1440) -> dict[str, Any]:
    """Patch, one operation a block, two zeros, then width levels: of the embedding, and of q, k and v and of the MLP per block."""
    num = (len(net_id) - 4) // 3
    heads = [HEADS[gene] for gene in net_id[1 : num + 1]]
    embed_level, *levels = ((gene + 1) / 10 for gene in net_id[num + 3 :])
    blocks = [
        None if head is None else {"num_heads": head, "qkv_out": round(qkv * qkv_out), "mlp_hidden": round(mlp * mlp_hidden)}
        for head, qkv, mlp in zip(heads, levels[::2], levels[1::2], strict=True)
    ]
    return {"patch_size": PATCHES[net_id[0]], "embed_dim": round(embed_level * embed_dim), "blocks": blocks}


def of_reference(arch: Mapping[str, Any], num_blocks: int = 16) -> dict[str, Any]:
    """A net of ``vitas_reference.json``, its blocks filled up with identities."""
    given = arch.get("blocks", [arch] * arch.get("depth", 0))
    names = {"heads": "num_heads", "qkv_out": "qkv_out", "mlp_hidden": "mlp_hidden"}
    blocks = [None if block == "identity" else {ours: block[theirs] for theirs, ours in names.items()} for block in given]
    return {
        "patch_size": arch["patch"],
        "embed_dim": arch["embed"],
        "blocks": [*blocks, *[None] * (num_blocks - len(blocks))],
    }
