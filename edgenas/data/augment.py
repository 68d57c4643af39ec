"""Random changes of training images.

``light`` works on a whole batch and takes its randomness as an argument. ``base`` and ``autoaug`` are torchvision transforms of
single Pillow images; they draw from the global generators, which the training loop seeds before every batch.

Shapes: N images, C channels, H and W rows and columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from PIL import Image

Augmentation = Literal["none", "light", "base", "autoaug"]

MAX_ROTATION_DEG = 10.0
MAX_SHIFT = 0.08  # of the side
MAX_SCALE = 0.10
NOISE_STD = 0.02  # of the range of values


def light(images_NCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Rotate by up to 10°, scale by up to 10 %, shift by up to 8 % of the side, each image on its own, and add a little noise.

    Args:
        images_NCHW: values in [0, 1], on the CPU.
        generator: the only source of randomness.

    Returns:
        A new tensor; beyond the border the border is repeated.
    """
    num = images_NCHW.shape[0]
    unit_N4 = torch.rand(num, 4, generator=generator) * 2 - 1
    angle_N = unit_N4[:, 0] * math.radians(MAX_ROTATION_DEG)
    zoom_N = 1 + unit_N4[:, 1] * MAX_SCALE
    shift_N2 = unit_N4[:, 2:] * (2 * MAX_SHIFT)
    cosine_N, sine_N = zoom_N * angle_N.cos(), zoom_N * angle_N.sin()
    theta_N23 = torch.stack(
        [torch.stack([cosine_N, -sine_N, shift_N2[:, 0]], 1), torch.stack([sine_N, cosine_N, shift_N2[:, 1]], 1)], 1
    )
    grid_NHW2 = F.affine_grid(theta_N23, list(images_NCHW.shape), align_corners=False)
    moved_NCHW = F.grid_sample(images_NCHW, grid_NHW2, mode="bilinear", padding_mode="border", align_corners=False)
    return moved_NCHW + torch.randn(moved_NCHW.shape, generator=generator) * NOISE_STD


def image_transform(name: Augmentation, image_px: int) -> Callable[[Image.Image], Image.Image] | None:
    """The transform of single images, or None where ``name`` has none.

    ``base`` is a random resized crop (area 0.7 to 1), a horizontal flip, rotation by up to 10° and colour jitter of 0.2;
    ``autoaug`` is ImageNet's AutoAugment policy (Cubuk et al., arXiv:1805.09501) after the same crop and flip.
    """
    if name not in ("base", "autoaug"):
        return None
    from torchvision.transforms import v2

    crop = [v2.RandomResizedCrop(image_px, scale=(0.7, 1.0)), v2.RandomHorizontalFlip()]
    rest = [v2.RandomRotation(10), v2.ColorJitter(0.2, 0.2)] if name == "base" else [v2.AutoAugment()]
    transform: Callable[[Image.Image], Image.Image] = v2.Compose([*crop, *rest])
    return transform
