"""Nets that teach: the largest of a space, a plain convolutional net, or timm's; nothing is ever downloaded."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgenas.errors import UsageError
from edgenas.spaces import SearchSpace, Task
from edgenas.supernets import build_net
from edgenas.training.checkpoints import copy_into
from edgenas.training.cnn import plain_cnn
from edgenas.training.foreign import read_foreign, require_timm_model, without_prefix
from edgenas.training.readable import ImageSequence
from edgenas.training.teacher_parts import MLP, put_mlp_head

SELF, CNN = "self", "cnn"
MAX_REMEMBERED = 256 * 2**20  # bytes of logits
BATCH_SIZE = 64


class RememberingTeacher(nn.Module):
    """A teacher that answers once for every batch.

    Nets that are trained one after the other from one seed see the same batches, bit for bit, augmentations included; from the
    second on the teacher costs a hash of the images. Only on the CPU: on a GPU the copy for the hash would cost what it saves.

    Args:
        teacher: in eval mode, without dropout.
        max_bytes: of logits that are kept; batches beyond it are answered anew every time.
    """

    def __init__(self, teacher: nn.Module, max_bytes: int = MAX_REMEMBERED) -> None:
        super().__init__()
        self.teacher = teacher
        self._left = max_bytes
        self._answers: dict[bytes, Tensor] = {}

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Logits (N, classes) without gradient."""
        logits_NC: Tensor
        if images_NCHW.device.type != "cpu":
            logits_NC = self.teacher(images_NCHW)
            return logits_NC
        shape = repr((images_NCHW.dtype, tuple(images_NCHW.shape))).encode()
        key = hashlib.sha256(images_NCHW.contiguous().numpy().data, usedforsecurity=False).digest() + shape
        known = self._answers.get(key)
        if known is not None:
            return known
        logits_NC = self.teacher(images_NCHW).detach()
        size = logits_NC.numel() * logits_NC.element_size()
        if size <= self._left:
            self._left -= size
            self._answers[key] = logits_NC
        return logits_NC


class KnownImages(nn.Module):
    """A teacher that is asked once about every training image, for trainings that show them as they are, epoch after epoch.

    All images are asked about at the first call, in batches that depend on nothing else, so that a training that was interrupted
    goes on with the same bits. Images that are not among them are answered by the teacher, as is everything on a GPU.

    Args:
        teacher: in eval mode, without dropout.
        images_NCHW: that will be shown, normalised.
        num_classes: logits an image.
        max_bytes: of logits that are kept; none are where all would take more.
    """

    def __init__(
        self,
        teacher: nn.Module,
        images_NCHW: ImageSequence | NDArray[np.float32],
        num_classes: int,
        max_bytes: int = MAX_REMEMBERED,
    ) -> None:
        super().__init__()
        self.teacher = teacher
        self._images = images_NCHW
        self._fits = len(images_NCHW) * num_classes * 4 <= max_bytes
        self._rows: dict[bytes, Tensor] | None = None

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Logits (N, classes) without gradient."""
        logits_NC: Tensor
        if images_NCHW.device.type == "cpu" and self._fits:
            if self._rows is None:
                self._rows = self._ask()
            rows = [self._rows.get(key) for key in _keys(images_NCHW)]
            known = [row for row in rows if row is not None]
            if len(known) == len(rows):
                return torch.stack(known)
        logits_NC = self.teacher(images_NCHW)
        return logits_NC

    @torch.no_grad()
    def _ask(self) -> dict[bytes, Tensor]:
        rows: dict[bytes, Tensor] = {}
        for first in range(0, len(self._images), BATCH_SIZE):
            batch_NCHW = torch.as_tensor(self._images[first : first + BATCH_SIZE])
            rows |= dict(zip(_keys(batch_NCHW), self.teacher(batch_NCHW).detach().unbind(0), strict=True))
        return rows


def _keys(images_NCHW: Tensor) -> list[bytes]:
    """A hash of every image's values."""
    return [hashlib.blake2b(image.data, digest_size=16).digest() for image in images_NCHW.contiguous().numpy()]


def remembering(teacher: nn.Module | None) -> nn.Module | None:
    """The teacher for several nets, one after the other; None stays None."""
    return None if teacher is None else RememberingTeacher(teacher).eval()


def build_teacher(
    name: str,
    *,
    num_classes: int,
    image_px: int,
    in_channels: int = 3,
    checkpoint: Path | None = None,
    space: SearchSpace | None = None,
) -> nn.Module:
    """A net that is to teach, in eval mode.

    Args:
        name: ``timm:NAME`` (``timm:NAME+mlp`` with COViT's head of three layers), ``cnn`` for `plain_cnn`, or ``self`` for the
            largest plain net of ``space``.
        num_classes: logits.
        image_px: side of its images, passed on where the model fixes it.
        in_channels: of its images.
        checkpoint: .safetensors, or what `torch.save` wrote, read with ``weights_only=True``; None initialises freshly.
        space: needed for ``self``.

    Raises:
        UsageError: if timm has no such model, with similar names, or it cannot be built for these images.
        CheckpointError: listing every mismatch between checkpoint and model.
    """
    model: nn.Module
    if name.endswith(MLP):
        model = _build_timm(name.removesuffix(MLP), num_classes, image_px, in_channels)
        put_mlp_head(model, num_classes)
    elif name == SELF and space is not None:
        genes = tuple(int(gene) for gene in space.extreme(largest=True)[0])
        model = build_net(space, Task(num_classes, in_channels, image_px), genes)
    elif name == CNN:
        model = plain_cnn(num_classes, image_px, in_channels)
    else:
        model = _build_timm(name, num_classes, image_px, in_channels)
    if checkpoint is not None:
        load_foreign(model, checkpoint)
    return model.eval()


def _build_timm(name: str, num_classes: int, image_px: int, in_channels: int) -> nn.Module:
    kind, _, model_name = name.partition(":")
    if kind != "timm" or not model_name:
        raise UsageError(f"teacher {name!r} must be written auto, self, cnn, timm:NAME, onnx:FILE or run:FOLDER")
    require_timm_model(model_name)
    arguments: dict[str, Any] = {"num_classes": num_classes, "in_chans": in_channels, "pretrained": False}
    try:
        model: nn.Module = _create(model_name, arguments, image_px)
        with torch.no_grad():  # some models are built for any size and fail at the first image
            model.eval()(torch.zeros(1, in_channels, image_px, image_px))
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        why = " ".join(str(error).split())[:200]
        raise UsageError(
            f"timm's {model_name} cannot be built for {image_px} px: {why}", hint="teacher.image_px gives it larger images"
        ) from error
    return model


def _create(model_name: str, arguments: dict[str, Any], image_px: int) -> Any:
    """The model, told its image size where it takes one."""
    import timm

    try:
        return timm.create_model(model_name, img_size=image_px, **arguments)
    except TypeError as error:
        if "img_size" not in str(error):
            raise
        return timm.create_model(model_name, **arguments)


def load_foreign(model: nn.Module, path: Path) -> None:
    """Copy a checkpoint's weights into a model, whatever wrapper's prefix its names carry.

    Raises:
        CheckpointError: listing missing, unknown and differently shaped tensors; the model is unchanged then.
    """
    copy_into(model, without_prefix(read_foreign(path), model.state_dict()), path)
