"""Parts of timm's nets that a teacher may change: its head, and stages that keep their weights."""

from __future__ import annotations

from typing import Any, cast

from torch import nn

from edgenas.errors import UsageError
from edgenas.spaces.pvt import HeadSpec
from edgenas.supernets.pvt_net import build_head

MLP = "+mlp"  # behind the name of a model
HIDDEN, DROPOUTS = (64, 16), (0.5, 0.3)  # of COViT's head


def put_mlp_head(model: nn.Module, num_classes: int) -> None:
    """Put COViT's head of three linear layers in the place of the last layer of a model of timm; it is freshly initialised.

    Raises:
        UsageError: if the model's head is no linear layer.
    """
    name = cast(Any, model).default_cfg.get("classifier")
    last = model.get_submodule(name) if isinstance(name, str) and name else None
    if not isinstance(last, nn.Linear):
        raise UsageError(f"a head of several layers goes on models whose last layer is linear; {type(model).__name__} has none")
    head = build_head(HeadSpec(grid=1, embed_dim=last.in_features, hidden_dims=HIDDEN, dropouts=DROPOUTS, num_classes=num_classes))
    parent, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(parent), attribute, head)


def freeze_stages(model: nn.Module, num: int, name: str) -> None:
    """Keep the blocks of a timm model's first ``num`` stages as they are; what embeds patches between them goes on learning.

    Raises:
        UsageError: if the model has fewer stages of blocks.
    """
    for stage in range(num):
        try:
            blocks = model.get_submodule(f"stages.{stage}.blocks")
        except AttributeError as error:
            text = f"teacher.freeze_stages is {num}, but {name} has {stage or 'no'} stages of blocks"
            raise UsageError(text, hint="set teacher.freeze_stages = 0") from error
        blocks.requires_grad_(requires_grad=False)
