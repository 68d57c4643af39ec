"""Random changes of training images.

``light`` works on a whole batch and takes its randomness as an argument. The others are transforms of single Pillow images by
torchvision, timm and torchio; they draw from the global generators, which `edgenas.data.seeding` seeds before every image.

Shapes: N images, C channels, H and W rows and columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from edgenas.data.preprocess import IMAGENET_MEAN, Augmentation
from edgenas.errors import MissingBackendError

ImageTransform = Callable[[Image.Image], Image.Image]


@dataclass(frozen=True, slots=True)
class Rows:
    """Which images of a batch are at hand.

    Attributes:
        start: position of the first.
        total: images of the whole batch.
    """

    start: int
    total: int

    def drawn(self, num: int, draw: Callable[[int], Tensor]) -> Tensor:
        """The part of ``draw(total)`` that is of ``num`` images from ``start`` on."""
        return draw(self.total)[self.start : self.start + num]


BatchTransform = Callable[[Tensor, torch.Generator, Rows | None], Tensor]

MAX_ROTATION_DEG = 10.0
MAX_SHIFT = 0.08  # of the side
MAX_SCALE = 0.10
NOISE_STD = 0.02  # of the range of values
RANDAUG = "rand-m9-mstd0.5-inc1"
RANDAUG_MAX = 9.99  # of magnitudes; at 10 timm posterizes to 0 bits, which Pillow 13 refuses and which left nothing to see
TORCHIO_PX = 256  # side of the images that torchio's default lengths are meant for
MAX_MOTION_DEG = 10.0  # torchio's default
MAX_MOTION_PX = 10.0  # torchio's default, at `TORCHIO_PX`
MAX_ELASTIC_PX = 7.5  # torchio's default, at `TORCHIO_PX`


def light(images_NCHW: Tensor, generator: torch.Generator, rows: Rows | None = None) -> Tensor:
    """Rotate by up to 10°, scale by up to 10 %, shift by up to 8 % of the side, each image on its own, and add a little noise.

    Args:
        images_NCHW: values in [0, 1], on the CPU.
        generator: the only source of randomness.
        rows: of a larger batch that these images are; they are changed as they would be in the whole.

    Returns:
        A new tensor; beyond the border the border is repeated. Its bits do not depend on the number of threads.
    """
    num = images_NCHW.shape[0]
    rows = Rows(0, num) if rows is None else rows
    unit_N4 = rows.drawn(num, lambda total: torch.rand(total, 4, generator=generator)) * 2 - 1
    angle_N = unit_N4[:, 0] * math.radians(MAX_ROTATION_DEG)
    zoom_N = 1 + unit_N4[:, 1] * MAX_SCALE
    shift_N2 = unit_N4[:, 2:] * (2 * MAX_SHIFT)
    cosine_N, sine_N = zoom_N * angle_N.cos(), zoom_N * angle_N.sin()
    theta_N23 = torch.stack(
        [torch.stack([cosine_N, -sine_N, shift_N2[:, 0]], 1), torch.stack([sine_N, cosine_N, shift_N2[:, 1]], 1)], 1
    )
    grid_NHW2 = _affine_grid(theta_N23, *images_NCHW.shape[2:])
    moved_NCHW = F.grid_sample(images_NCHW, grid_NHW2, mode="bilinear", padding_mode="border", align_corners=False)
    noise_NCHW = rows.drawn(num, lambda total: torch.randn(total, *moved_NCHW.shape[1:], generator=generator))
    return moved_NCHW.add_(noise_NCHW.mul_(NOISE_STD))


def _affine_grid(theta_N23: Tensor, num_rows: int, num_columns: int) -> Tensor:
    """PyTorch's `affine_grid` (``align_corners=False``) without its matrix product, whose order of sums is left to a library."""
    y_H, x_W = ((2 * torch.arange(num) + 1) / num - 1 for num in (num_rows, num_columns))
    grid_NHW2 = torch.empty(len(theta_N23), num_rows, num_columns, 2)
    for axis in range(2):
        along_N1W = theta_N23[:, axis, 0, None, None] * x_W + theta_N23[:, axis, 2, None, None]
        torch.add(along_N1W, theta_N23[:, axis, 1, None, None] * y_H[:, None], out=grid_NHW2[..., axis])
    return grid_NHW2


def mirrored(images_NCHW: Tensor, generator: torch.Generator, rows: Rows | None = None) -> Tensor:
    """Every other image from right to left, drawn image by image; a new tensor. ``rows`` as in `light`."""
    rows = Rows(0, len(images_NCHW)) if rows is None else rows
    drawn_N = rows.drawn(len(images_NCHW), lambda total: torch.rand(total, generator=generator))
    flip_N111 = (drawn_N < 0.5)[:, None, None, None]
    return torch.where(flip_N111, images_NCHW.flip(-1), images_NCHW)


def _mirrored_light(images_NCHW: Tensor, generator: torch.Generator, rows: Rows | None = None) -> Tensor:
    return light(mirrored(images_NCHW, generator, rows), generator, rows)


def batch_transform(name: Augmentation, *, flip: bool = False) -> BatchTransform | None:
    """The transform of whole batches of values in [0, 1], or None where there is none.

    Args:
        name: of the augmentation.
        flip: also mirror every other image; of none and light only, the others that mirror do so already.
    """
    if name == "light":
        return _mirrored_light if flip else light
    return mirrored if flip and name == "none" else None


def image_transform(name: Augmentation, image_px: int) -> ImageTransform | None:
    """The transform of single RGB images of side ``image_px``, or None where ``name`` has none.

    ``base`` is a random resized crop (area 0.7 to 1), a horizontal flip, rotation by up to 10° and colour jitter of 0.2;
    ``autoaug`` is ImageNet's AutoAugment policy (Cubuk et al., arXiv:1805.09501) after the same crop and flip; ``randaug`` is
    timm's RandAugment (Cubuk et al., arXiv:1909.13719) as AutoFormer sets it, after the same crop and flip; ``crop`` is a random
    resized crop of area 0.08 to 1 and a flip, by bicubic interpolation, and ``deit`` the same with that RandAugment, as DeiT and
    AutoFormer train on ImageNet (objects that fill less of the image may be lost on small ones); ``torchio`` is what
    COViT++ does to X-rays: motion (probability 0.1), a bias field (0.25), and an affine (0.8) or elastic (0.2) deformation.

    Raises:
        MissingBackendError: if the package that it needs is absent.
    """
    if name in ("none", "light"):
        return None
    if name == "torchio":
        return _torchio(image_px)
    from torchvision.transforms import v2

    if name in ("crop", "deit"):
        wide = v2.RandomResizedCrop(image_px, scale=(0.08, 1.0), interpolation=v2.InterpolationMode.BICUBIC)
        steps = [wide, v2.RandomHorizontalFlip()]
        return _in_order([*steps, _randaug(image_px)] if name == "deit" else steps)
    crop = [v2.RandomResizedCrop(image_px, scale=(0.7, 1.0)), v2.RandomHorizontalFlip()]
    if name == "randaug":
        return _in_order([*crop, _randaug(image_px)])
    rest = [v2.RandomRotation(10), v2.ColorJitter(0.2, 0.2)] if name == "base" else [v2.AutoAugment()]
    transform: ImageTransform = v2.Compose([*crop, *rest])
    return transform


def _in_order(transforms: list[ImageTransform]) -> ImageTransform:
    def apply(image: Image.Image) -> Image.Image:
        for transform in transforms:
            image = transform(image)
        return image

    return apply


def _randaug(image_px: int) -> ImageTransform:
    """With the constants that timm's `create_transform` derives from the side, the mean and bicubic interpolation."""
    from timm.data.auto_augment import rand_augment_transform

    mean = tuple(min(255, round(255 * value)) for value in IMAGENET_MEAN)
    constants = {
        "translate_const": int(image_px * 0.45),
        "img_mean": mean,
        "interpolation": Image.Resampling.BICUBIC,
        "magnitude_max": RANDAUG_MAX,
    }
    transform: ImageTransform = rand_augment_transform(RANDAUG, constants)
    return transform


def _torchio(image_px: int) -> ImageTransform:
    """Without z-normalisation, as ours follows; lengths shrink with the image, so that small images stay recognisable."""
    tio = _import_torchio()
    scale = image_px / TORCHIO_PX
    elastic = tio.RandomElasticDeformation(max_displacement=(MAX_ELASTIC_PX * scale, MAX_ELASTIC_PX * scale, 0.0))
    rest = tio.Compose([tio.RandomBiasField(p=0.25), tio.OneOf({tio.RandomAffine(): 0.8, elastic: 0.2})])

    def apply(image: Image.Image) -> Image.Image:
        values_CHW = torch.from_numpy(np.asarray(image).transpose(2, 0, 1).astype(np.float32))
        if torch.rand(()) < 0.1:
            values_CHW = _moved(tio, values_CHW, MAX_MOTION_PX * scale)
        values_CHW = rest(tio.ScalarImage(tensor=values_CHW[..., None])).data[..., 0]
        pixels_CHW = values_CHW.round().clamp(0, 255).to(torch.uint8)
        return Image.fromarray(np.ascontiguousarray(pixels_CHW.permute(1, 2, 0).numpy()))

    return apply


def _moved(tio: Any, values_CHW: Tensor, max_shift: float) -> Tensor:
    """Artefacts of two movements while the image was taken (Shaw et al., MIDL 2019), drawn as torchio's RandomMotion does.

    RandomMotion itself mixes spectra along the last axis, where an image of shape (C, H, W, 1) has a single one: it would be
    turned as a whole. So the axis of slices comes first, and the movements stay in the plane.
    """
    degrees_23, shifts_23 = torch.zeros(2, 3), torch.zeros(2, 3)
    degrees_23[:, 0] = (torch.rand(2) * 2 - 1) * MAX_MOTION_DEG
    shifts_23[:, 1:] = (torch.rand(2, 2) * 2 - 1) * max_shift
    times_2 = (torch.tensor([1.0, 2.0]) + (torch.rand(2) * 2 - 1) * 0.3) / 3
    motion = tio.Motion(
        degrees=degrees_23.numpy(), translation=shifts_23.numpy(), times=times_2.numpy(), image_interpolation="linear"
    )
    moved: Tensor = motion(tio.ScalarImage(tensor=values_CHW[:, None])).data[:, 0]
    return moved


def _import_torchio() -> Any:
    try:
        import torchio
    except ImportError as error:
        raise MissingBackendError(
            "augmentation torchio needs the package torchio, which is not installed", hint="pip install 'edgenas[medical]'"
        ) from error
    return torchio
