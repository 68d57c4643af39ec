"""Training images that are made of two, which a teacher labels as it sees them.

Shapes: N images, C classes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import CutMix

Mix = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def cutmix(num_classes: int, share: float) -> Mix:
    """Paste a rectangle of another image into a share of every batch (Yun et al., ICCV 2019, arXiv:1905.04899), by torchvision.

    A teacher tells of pasted images, too, if it sees the same ones as its student: far more to learn from than the images that are
    there (Beyer et al., CVPR 2022, arXiv:2106.05237, which mixes whole images).

    Args:
        num_classes: C.
        share: of a batch, in (0, 1]; the area of the rectangle is drawn once a batch, evenly.

    Returns:
        Maps images (N, 3, H, W) and labels (N,) to new images and target distributions (N, C), drawing from PyTorch's generator.
    """
    paste = CutMix(num_classes=num_classes)

    def mix(images_NCHW: Tensor, labels_N: Tensor) -> tuple[Tensor, Tensor]:
        num = round(share * len(labels_N))
        if num < 2:
            return images_NCHW, F.one_hot(labels_N, num_classes).float()
        pasted_NCHW, targets_NC = paste(images_NCHW[:num], labels_N[:num])
        rest_NC = F.one_hot(labels_N[num:], num_classes).to(targets_NC.dtype)
        return torch.cat([pasted_NCHW, images_NCHW[num:]]), torch.cat([targets_NC, rest_NC])

    return mix
