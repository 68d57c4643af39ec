"""Nets from timm, as teachers or to be trained; nothing is ever downloaded."""

from __future__ import annotations

import pickle
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from edgenas.errors import CheckpointError, UsageError
from edgenas.spaces import SearchSpace, Task
from edgenas.supernets import build_net
from edgenas.training.checkpoints import copy_into

_NESTED = ("state_dict_ema", "state_dict", "model_ema", "model")  # where training scripts put weights
_PREFIXES = ("module.", "_orig_mod.", "model.")
# what PyTorch's restricted unpickler raises on bytes that are no checkpoint
_UNREADABLE = (
    *(OSError, SafetensorError, pickle.UnpicklingError, struct.error, EOFError, RuntimeError, ValueError, LookupError),
    *(AttributeError, TypeError, AssertionError, ArithmeticError, MemoryError),
)


def build_teacher(
    name: str,
    *,
    num_classes: int,
    image_px: int,
    in_channels: int = 3,
    checkpoint: Path | None = None,
    space: SearchSpace | None = None,
) -> nn.Module:
    """A net of timm, or the largest net of a space, in eval mode.

    Args:
        name: ``timm:NAME``, or ``self`` for the largest plain net of ``space``.
        num_classes: logits.
        image_px: side of its images, passed on where the model fixes it.
        in_channels: of its images.
        checkpoint: .safetensors, or what `torch.save` wrote, read with ``weights_only=True``; None initialises freshly.
        space: needed for ``self``.

    Raises:
        UsageError: if timm has no such model, with similar names, or it cannot be built for these images.
        CheckpointError: listing every mismatch between checkpoint and model.
    """
    if name == "self" and space is not None:
        genes = tuple(int(gene) for gene in space.extreme(largest=True)[0])
        model = build_net(space, Task(num_classes, in_channels, image_px), genes)
    else:
        model = _build_timm(name, num_classes, image_px, in_channels)
    if checkpoint is not None:
        load_foreign(model, checkpoint)
    return model.eval()


def _build_timm(name: str, num_classes: int, image_px: int, in_channels: int) -> nn.Module:
    import timm

    kind, _, model_name = name.partition(":")
    if kind != "timm" or not model_name:
        raise UsageError(f"teacher {name!r} must be written self or timm:NAME")
    if not timm.is_model(model_name):
        similar = timm.list_models(f"*{model_name.split('.')[0]}*")[:5] or timm.list_models(f"{model_name[:5]}*")[:5]
        raise UsageError(f"timm has no model {model_name!r}", hint=f"similar are: {', '.join(similar) or 'none'}")
    arguments: dict[str, Any] = {"num_classes": num_classes, "in_chans": in_channels, "pretrained": False}
    try:
        model: nn.Module = _create(model_name, arguments, image_px)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise UsageError(f"timm's {model_name} cannot be built for {image_px} px: {error}") from error
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


def read_foreign(path: Path) -> dict[str, Tensor]:
    """Weights by name from a .safetensors file or a PyTorch file of tensors; nothing else is unpickled.

    Raises:
        CheckpointError: if the file is missing, damaged, or holds more than plain data.
    """
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        with warnings.catch_warnings(action="ignore"):  # of pickle protocols; what matters is raised
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist") from error
    except _UNREADABLE as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"{path} cannot be read: {first}", hint="save a plain state_dict, or a .safetensors file") from error
    for key in _NESTED:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
            break
    if not isinstance(loaded, Mapping) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise CheckpointError(f"{path} holds no dictionary of tensors", hint="save a plain state_dict, or a .safetensors file")
    return {str(name): value for name, value in loaded.items()}


def load_foreign(model: nn.Module, path: Path) -> None:
    """Copy a checkpoint's weights into a model, whatever wrapper's prefix its names carry.

    Raises:
        CheckpointError: listing missing, unknown and differently shaped tensors; the model is unchanged then.
    """
    tensors = read_foreign(path)
    own = model.state_dict()
    for prefix in _PREFIXES:
        stripped = {name.removeprefix(prefix): value for name, value in tensors.items()}
        if len(set(stripped) & set(own)) > len(set(tensors) & set(own)):
            tensors = stripped
    copy_into(model, tensors, path)
