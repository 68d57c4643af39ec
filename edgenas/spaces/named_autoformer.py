"""AutoFormer's and TF-TAS's published nets.

Sources: AutoFormer (Chen et al., ICCV 2021, arXiv:2107.00651) and its subnet files (microsoft/Cream); TF-TAS (Zhou et al., CVPR
2022, arXiv:2203.12217) and its files (decemberzhou/TF_TAS). Accuracies are quoted, not measured here.
"""

from __future__ import annotations

from edgenas.spaces.archs import Readable
from edgenas.spaces.reported import NamedArch, Reported

IMAGENET = "ImageNet-1k validation, 50,000 images"
_WITHOUT_POSITIONS = "reported MACs leave out the products with relative positions, or count them at one width"


def _arch(embed_dim: int, num_heads: list[int], mlp_ratio: list[float]) -> Readable:
    return {"embed_dim": embed_dim, "mlp_ratio": mlp_ratio, "num_heads": num_heads}


def _autoformer(top1: float, params: float, macs: float, note: str) -> Reported:
    source = "AutoFormer (arXiv:2107.00651), subnet file of microsoft/Cream"
    return Reported(source, top1, IMAGENET, round(params * 1e6), round(macs * 1e9), f"{note}; {_WITHOUT_POSITIONS}")


def _tftas(top1: float, params: float, macs: float, note: str) -> Reported:
    source = "TF-TAS (arXiv:2203.12217), file of decemberzhou/TF_TAS"
    text = f"its file's net has {note} parameters, about 5 % more than reported, 3 to 5 % without relative positions"
    return Reported(source, top1, IMAGENET, round(params * 1e6), round(macs * 1e9), f"{text}; {_WITHOUT_POSITIONS}")


AUTOFORMER_ARCHS: dict[str, NamedArch] = {
    "AutoFormer-T": NamedArch(
        "autoformer-tiny",
        _arch(192, [3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 3, 3], [3.5, 3.5, 3, 3.5, 3, 3, 4, 4, 3.5, 4, 3.5, 4, 3.5]),
        _autoformer(
            0.747,
            5.7,
            1.3,
            "its file has the MLP ratio 3 in three blocks, which its space lacks: it is no subnet of autoformer-tiny",
        ),
        beyond={"mlp_ratio": (3.0,)},
    ),
    "AutoFormer-S": NamedArch(
        "autoformer-small",
        _arch(384, [6, 6, 5, 7, 5, 5, 5, 6, 6, 7, 7, 6, 7], [3, 3.5, 3, 3.5, 4, 4, 4, 4, 4, 4, 4, 3.5, 4]),
        _autoformer(0.817, 22.9, 5.1, "parameters reproduce"),
    ),
    "AutoFormer-B": NamedArch(
        "autoformer-base",
        _arch(576, [9, 9, 9, 9, 9, 10, 9, 9, 10, 9, 10, 9, 9, 10], [3.5, 3.5, 4, 3.5, 4, 3.5, 3.5, 3, 4, 4, 3, 4, 3, 3.5]),
        _autoformer(0.824, 54, 11, "parameters reproduce (the README says 53.7 M)"),
    ),
    "TF-TAS-T": NamedArch(
        "autoformer-tiny",
        _arch(192, [4, 3, 3, 3, 3, 4, 4, 3, 3, 3, 4, 3, 3], [3.5, 4, 3.5, 3.5, 4, 3.5, 3.5, 3.5, 4, 4, 4, 4, 3.5]),
        _tftas(0.753, 5.9, 1.4, "6,200,776"),
    ),
    "TF-TAS-S": NamedArch(
        "autoformer-small",
        _arch(384, [6, 6, 6, 6, 7, 6, 5, 7, 5, 5, 5, 7, 6, 7], [4, 4, 4, 3, 4, 3, 3, 3.5, 4, 3.5, 3.5, 4, 3, 3.5]),
        _tftas(0.819, 22.8, 5.0, "23,935,336"),
    ),
    "TF-TAS-B": NamedArch(
        "autoformer-base",
        _arch(576, [9, 10, 10, 10, 10, 10, 10, 9, 9, 10, 9, 9, 9, 9, 9], [3, 3.5, 4, 4, 3, 4, 3, 3, 3.5, 3, 3, 3.5, 4, 3, 4]),
        _tftas(0.822, 54.0, 12.0, "56,470,792"),
    ),
}
