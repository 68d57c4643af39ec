"""Published nets of PiT, and those that TF-TAS found."""

from __future__ import annotations

from edgenas.spaces.reported import NamedArch, Reported


def _pit(space: str, base_dim: int, mlp_ratio: int, num_heads: list[int], depths: list[int], reported: Reported) -> NamedArch:
    return NamedArch(space, {"base_dim": base_dim, "mlp_ratio": mlp_ratio, "num_heads": num_heads, "depths": depths}, reported)


def _pit_published(top1: float, params: int, macs: int) -> Reported:
    return Reported("PiT (naver-ai/pit, README), weights without distillation", top1, "ImageNet val", params, macs)


def _pit_winner(letters: str) -> Reported:
    return Reported(f"TF-TAS (decemberzhou/TF_TAS), experiments/subnet_pit/TF_TAS-{letters}.yaml")


PIT_ARCHS: dict[str, NamedArch] = {
    "TF-TAS-PiT-T": _pit("pit-ti", 40, 2, [2, 4, 8], [2, 4, 4], _pit_winner("T")),
    "TF-TAS-PiT-XS": _pit("pit-xs", 56, 2, [2, 8, 8], [1, 4, 2], _pit_winner("XS")),
    "TF-TAS-PiT-S": _pit("pit-s", 36, 6, [3, 12, 12], [1, 4, 4], _pit_winner("S")),
    "pit_ti": _pit("pit-ti", 32, 4, [2, 4, 8], [2, 6, 4], _pit_published(0.730, 4_900_000, 710_000_000)),
    "pit_xs": _pit("pit-xs", 48, 4, [2, 4, 8], [2, 6, 4], _pit_published(0.781, 10_600_000, 1_400_000_000)),
    "pit_s": _pit("pit-s", 48, 4, [3, 6, 12], [2, 6, 4], _pit_published(0.809, 23_500_000, 2_900_000_000)),
}
