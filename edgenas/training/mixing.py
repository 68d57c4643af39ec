"""Changes of whole training batches: images that are made of two, which a teacher labels as it sees them, and erased rectangles.

Shapes: N images, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from edgenas.fields import AmountOrZero, Share, require_allowed

if TYPE_CHECKING:
    from torch import Tensor

Mix: TypeAlias = "Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]"


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
    import torch
    from torch.nn import functional as F
    from torchvision.transforms.v2 import CutMix

    paste = CutMix(num_classes=num_classes)

    def mix(images_NCHW: Tensor, labels_N: Tensor) -> tuple[Tensor, Tensor]:
        num = round(share * len(labels_N))
        if num < 2:
            return images_NCHW, F.one_hot(labels_N, num_classes).float()
        pasted_NCHW, targets_NC = paste(images_NCHW[:num], labels_N[:num])
        rest_NC = F.one_hot(labels_N[num:], num_classes).to(targets_NC.dtype)
        return torch.cat([pasted_NCHW, images_NCHW[num:]]), torch.cat([targets_NC, rest_NC])

    return mix


@dataclass(frozen=True, slots=True)
class Mixing:
    """How batches are changed on the way to a net, as DeiT's recipe does it (Touvron et al., arXiv:2012.12877, table 9).

    Attributes:
        mixup: alpha of the beta distribution that mixup's share of the second image is drawn from (Zhang et al., arXiv:1710.09412);
            0 mixes none.
        cutmix: likewise of the area that CutMix pastes.
        switch_prob: how often CutMix is taken where both are asked for.
        erasing: probability that a rectangle of an image becomes noise (Zhong et al., arXiv:1708.04896), before anything is mixed.
    """

    mixup: AmountOrZero = 0.0
    cutmix: AmountOrZero = 0.0
    switch_prob: Share = 0.5
    erasing: Share = 0.0

    def __post_init__(self) -> None:
        require_allowed(self)

    def __bool__(self) -> bool:
        return bool(self.mixup or self.cutmix or self.erasing)

    def __call__(self, num_classes: int) -> Mix:
        """The change, by timm; it draws from the global generators and gives target distributions where anything is mixed."""
        erase, blend = self._eraser(), self._blender(num_classes)

        def mix(images_NCHW: Tensor, labels_N: Tensor) -> tuple[Tensor, Tensor]:
            if erase is not None:
                erase.device = images_NCHW.device
                images_NCHW = erase(images_NCHW.clone())
            return (images_NCHW, labels_N) if blend is None else _blended(blend, images_NCHW, labels_N, num_classes)

        return mix

    def _eraser(self) -> Any:
        from timm.data import random_erasing

        make: Any = random_erasing.RandomErasing
        return make(self.erasing, mode="pixel", device="cpu") if self.erasing else None

    def _blender(self, num_classes: int) -> Any:
        from timm.data import mixup

        make: Any = mixup.Mixup
        options = {"switch_prob": self.switch_prob, "label_smoothing": 0.0, "num_classes": num_classes}
        return make(self.mixup, self.cutmix, **options) if self.mixup or self.cutmix else None


NO_MIXING = Mixing()


def _blended(blend: Any, images_NCHW: Tensor, labels_N: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Mixed images and targets; timm mixes pairs, so the last image of an odd batch stays as it is."""
    import torch
    from torch.nn import functional as F

    even = len(labels_N) // 2 * 2
    if even == 0:
        return images_NCHW, F.one_hot(labels_N, num_classes).float()
    mixed_NCHW, targets_NC = blend(images_NCHW[:even].clone(), labels_N[:even])
    last_NC = F.one_hot(labels_N[even:], num_classes).to(targets_NC.dtype)
    return torch.cat([mixed_NCHW, images_NCHW[even:]]), torch.cat([targets_NC, last_NC])
