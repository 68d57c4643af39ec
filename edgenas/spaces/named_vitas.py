"""ViTAS's published nets.

Source: ViTAS (Su et al., ECCV 2022, arXiv:2106.13700), table of results and configurations of xiusu/ViTAS. There is no net D. C was
found with all blocks alike. F was found among nets of 13 blocks without identities, which are 16 places of which the last three are
identities here. Accuracies are quoted, not measured here.
"""

from __future__ import annotations

from edgenas.spaces.reported import NamedArch, Reported

_NUM_BLOCKS = 16
_Block = tuple[int, int, int]  # heads, width of q, k and v together, hidden width of the MLP


def _vitas(space: str, embed_dim: int, blocks: list[_Block | None], top1: float, macs: float) -> NamedArch:
    names = ("num_heads", "qkv_out", "mlp_hidden")
    places = [*blocks, *[None] * (_NUM_BLOCKS - len(blocks))]
    written = [None if block is None else dict(zip(names, block, strict=True)) for block in places]
    reported = Reported(
        "ViTAS (arXiv:2106.13700), README and configuration of xiusu/ViTAS",
        top1=top1,
        dataset="ImageNet-1k validation, 50,000 images",
        macs=round(macs * 1e6),
        note="reported MACs leave out the class token and count the head at every patch",
    )
    return NamedArch(space, {"patch_size": 16, "embed_dim": embed_dim, "blocks": written}, reported)


VITAS_ARCHS: dict[str, NamedArch] = {
    "ViTAS-A": _vitas(
        "vitas-384",
        154,
        [
            (12, 288, 1008),
            None,
            (16, 720, 576),
            None,
            None,
            (6, 288, 1296),
            (16, 1008, 720),
            None,
            (16, 1152, 1008),
            None,
            None,
            None,
            None,
            (16, 864, 1152),
            (16, 1440, 1296),
        ],
        0.711,
        858,
    ),
    "ViTAS-B": _vitas(
        "vitas-384",
        192,
        [
            (16, 288, 864),
            None,
            None,
            (16, 432, 576),
            None,
            (16, 432, 1008),
            None,
            None,
            (12, 1152, 864),
            (12, 1008, 720),
            None,
            (12, 864, 576),
            (16, 432, 1296),
            None,
            None,
            (6, 864, 864),
        ],
        0.724,
        1000,
    ),
    "ViTAS-C": _vitas("vitas-block", 230, [(3, 432, 720)] * 12, 0.747, 1300),
    "ViTAS-E": _vitas(
        "vitas-384",
        346,
        [
            (16, 720, 720),
            None,
            (16, 1008, 864),
            None,
            (16, 864, 1008),
            (6, 864, 1008),
            None,
            (3, 576, 720),
            None,
            (12, 1296, 1296),
            (6, 1296, 1152),
            (12, 720, 144),
            None,
            (12, 1440, 864),
            (6, 576, 1008),
            (12, 1152, 1296),
        ],
        0.774,
        2700,
    ),
    "ViTAS-F": _vitas(
        "vitas-768",
        307,
        [
            (16, 864, 1728),
            (16, 288, 2304),
            (16, 1728, 864),
            (16, 1152, 2016),
            (16, 2016, 864),
            (16, 1440, 1440),
            (16, 2592, 2304),
            (16, 1440, 2016),
            (16, 2304, 864),
            (16, 2016, 576),
            (16, 2016, 2016),
            (16, 1440, 2304),
            (16, 1728, 2304),
        ],
        0.806,
        4900,
    ),
}
