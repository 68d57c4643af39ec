"""Images at the resolution that a net reads."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def resized(images_NCHW: Tensor, image_px: int) -> Tensor:
    """Images at another resolution, bilinear with antialias as Pillow does it; the same tensor where they have it already."""
    if images_NCHW.shape[-2:] == (image_px, image_px):
        return images_NCHW
    full_NCHW = images_NCHW.float()  # on a CPU there is no antialias in half precision
    resized_NCHW = F.interpolate(full_NCHW, (image_px, image_px), mode="bilinear", antialias=True, align_corners=False)
    return resized_NCHW.to(images_NCHW.dtype)
