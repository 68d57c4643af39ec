"""Nets of timm at a side and with a stem of one's own, from drawn or from given weights, and in the form that is deployed.

Shapes: N images, C channels, H and W rows and columns.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgenas.errors import CheckpointError, UsageError
from edgenas.spaces import Task
from edgenas.supernets.counting import fvcore_macs, num_params
from edgenas.training.checkpoints import copy_into
from edgenas.training.foreign import in_order_of, read_foreign, require_timm_model, without_prefix

STRIDES = (1, 2, 4)  # that a stem may be given
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_BUILD_ERRORS = (TypeError, ValueError, AssertionError, RuntimeError)


@dataclass(frozen=True, slots=True)
class TimmNet:
    """A net of timm by its name.

    Attributes:
        name: as timm calls it.
        image_px: side of the images that it reads.
        stem_stride: of its first convolution that strides; None leaves timm's.
    """

    name: str
    image_px: int
    stem_stride: int | None = None

    def __str__(self) -> str:
        stride = "" if self.stem_stride is None else f"/{self.stem_stride}"
        return f"{self.name}@{self.image_px}{stride}"

    def build(self, num_classes: int, in_channels: int = 3) -> nn.Module:
        """With weights from PyTorch's generator, in training mode.

        Raises:
            UsageError: if timm has no such model, or it cannot read images of this side.
        """
        require_timm_model(self.name)
        try:
            net = self._created(num_classes, in_channels)
            with torch.no_grad():  # some models are built for any size and fail at the first image
                net.eval()(torch.zeros(1, in_channels, self.image_px, self.image_px))
        except _BUILD_ERRORS as error:
            why = " ".join(str(error).split())[:200]
            raise UsageError(f"timm's {self} cannot be built: {why}", hint="give it larger images: timm:NAME@SIDE") from error
        return net.train()

    def _created(self, num_classes: int, in_channels: int) -> nn.Module:
        """The model, told the size that it would have to read for the positions that it sees; a cache of biases never lasts."""
        import timm

        own, asked = _own_stride(self.name), self.stem_stride
        arguments: dict[str, Any] = {"num_classes": num_classes, "in_chans": in_channels, "pretrained": False}
        positions_px = self.image_px if asked is None else self.image_px * own // asked
        try:
            net: nn.Module = timm.create_model(self.name, img_size=positions_px, **arguments)
        except TypeError as error:
            if "img_size" not in str(error):
                raise
            net = timm.create_model(self.name, **arguments)
        if asked is not None:
            stem = _stem(net)
            stem.stride = (asked, asked)
        for module in net.modules():
            if isinstance(getattr(module, "attention_bias_cache", None), dict):
                vars(module)["attention_bias_cache"] = _Fleeting()
        return net

    def with_weights(self, path: Path, num_classes: int, in_channels: int = 3) -> nn.Module:
        """With the weights of a file; a head of other classes starts afresh, from PyTorch's generator.

        Weights whose names are not timm's are taken in their order, where shapes and kinds are the same one after the other.

        Raises:
            UsageError: as `build`.
            CheckpointError: listing what does not fit.
        """
        tensors = without_prefix(read_foreign(path), self.build(num_classes, in_channels).state_dict())
        net = self.build(_classes_in(tensors, num_classes), in_channels)
        own = net.state_dict()
        renamed = in_order_of(tensors, own) if not set(tensors) & set(own) else None
        copy_into(net, {**_uncounted(own), **(tensors if renamed is None else renamed)}, path)
        if getattr(net, "num_classes", num_classes) != num_classes:
            _reset_head(net, num_classes, path)
        return net.train()

    def costs(self, task: Task) -> tuple[int, int]:
        """Parameters and multiply-accumulates of one image, in the form that is deployed."""
        return costs_of(deployable(self.untrained(task)), task.in_channels, self.image_px)

    def untrained(self, task: Task) -> nn.Module:
        """In eval mode, to be timed and counted; the shared generator is left as it is."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.build(task.num_classes, task.in_channels).eval()


class AsItWasTrained(nn.Module):
    """A net that sees images normalised as timm's weights want them, however they are given.

    Args:
        net: of timm, which says what it wants.
        mean, std: by which the images that it is given are normalised, a channel each.
    """

    scale_C: Tensor
    shift_C: Tensor

    def __init__(self, net: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        wanted: Mapping[str, Any] = vars(net).get("pretrained_cfg") or vars(net)["default_cfg"]
        mean_C, std_C = (torch.tensor(wanted[name], dtype=torch.float64) for name in ("mean", "std"))
        given_mean_C, given_std_C = (torch.tensor(values, dtype=torch.float64) for values in (mean, std))
        self.net = net
        self.register_buffer("scale_C", (given_std_C / std_C).float(), persistent=False)
        self.register_buffer("shift_C", ((given_mean_C - mean_C) / std_C).float(), persistent=False)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Logits (N, classes)."""
        logits_NC: Tensor = self.net(images_NCHW * self.scale_C[:, None, None] + self.shift_C[:, None, None])
        return logits_NC


class _Fleeting(dict[str, Any]):
    """A cache that never has what is looked up: biases change with every step of an average of weights, which is always in eval."""

    def __contains__(self, key: object) -> bool:
        return False

    def __bool__(self) -> bool:
        return False

    def __getitem__(self, key: str) -> Any:
        return self.pop(key)


def costs_of(net: nn.Module, in_channels: int, image_px: int) -> tuple[int, int]:
    """Parameters and multiply-accumulates of a net on one image."""
    with torch.no_grad():
        return num_params(net), fvcore_macs(net, torch.zeros(1, in_channels, image_px, image_px))


def deployable(net: nn.Module) -> nn.Module:
    """A copy in eval mode whose parallel branches are merged, as nets of that kind are deployed (RepViT and others).

    It computes the same but for the order of sums; batch norms that follow branches are merged too. Biases that a net looks up in
    its positions are looked up once.
    """
    from timm.utils.model import reparameterize_model

    with torch.no_grad():
        merged: nn.Module = reparameterize_model(copy.deepcopy(net).cpu().train().eval())
        for module in merged.modules():
            if isinstance(getattr(module, "attention_bias_cache", None), dict):
                _fix_biases(module)
    return merged.eval()


def _fix_biases(module: nn.Module) -> None:
    """Make a buffer of what an attention looks up in its positions."""
    biases, indices = module.attention_biases, module.attention_bias_idxs
    assert isinstance(biases, Tensor)
    assert isinstance(indices, Tensor)
    module.register_buffer("fixed_biases", biases.detach()[:, indices].clone(), persistent=False)
    own: type[nn.Module] = type(module)
    module.__class__ = type(own.__name__, (own,), {"get_attention_biases": _fixed_biases})


def _fixed_biases(module: nn.Module, device: torch.device) -> Tensor:
    biases = module.fixed_biases
    assert isinstance(biases, Tensor)
    return biases


def cached_weights(name: str) -> Path | None:
    """The file of a model's weights that timm has fetched earlier, in the caches of Hugging Face or of PyTorch; None without one.

    Nothing is fetched.
    """
    import timm
    from huggingface_hub import try_to_load_from_cache

    known = timm.get_pretrained_cfg(name)
    if known is None:
        return None
    hub = known.hf_hub_id
    for file in HUB_FILES if hub is not None else ():
        cached = try_to_load_from_cache(str(hub), file)
        if isinstance(cached, str):
            return Path(cached)
    path = Path(torch.hub.get_dir()) / "checkpoints" / str(known.url).rsplit("/", 1)[-1]
    return path if known.url and path.is_file() else None


def nearest_names(name: str, num: int = 5) -> list[str]:
    """Models of timm whose spelling is near."""
    import timm

    return get_close_matches(name, timm.list_models(), n=num, cutoff=0.6)


@cache
def _own_stride(name: str) -> int:
    """The stride of the first convolution of timm's net that strides."""
    import timm

    with torch.random.fork_rng(devices=[]):
        return int(_stem(timm.create_model(name, pretrained=False)).stride[0])


def _stem(net: nn.Module) -> nn.Conv2d:
    """The first convolution that strides.

    Raises:
        ValueError: if none does.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.stride[0] > 1:
            return module
    raise ValueError("no convolution of it strides")


def _classes_in(tensors: Mapping[str, Tensor], num_classes: int) -> int:
    """How many classes weights tell apart: the length of their last bias; ``num_classes`` where nothing tells."""
    last = next((value for name, value in reversed(list(tensors.items())) if name.endswith("bias") and value.ndim == 1), None)
    return num_classes if last is None else len(last)


def _uncounted(own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Counters of batch norms, which files may leave out and nothing computes with."""
    return {name: value for name, value in own.items() if name.endswith("num_batches_tracked")}


def _reset_head(net: nn.Module, num_classes: int, path: Path) -> None:
    reset = getattr(net, "reset_classifier", None)
    if reset is None:
        raise CheckpointError(f"{path} tells other classes apart, and its net has no head that could be replaced")
    reset(num_classes)
