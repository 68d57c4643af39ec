"""Heads and frozen stages of timm's nets."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgenas.errors import UsageError
from edgenas.training.teacher import build_teacher
from edgenas.training.teacher_parts import freeze_stages, put_mlp_head


def test_a_head_of_three_layers_answers_in_place_of_the_last() -> None:
    net = build_teacher("timm:pvt_v2_b0+mlp", num_classes=4, image_px=32)
    assert [type(layer).__name__ for layer in net.head if isinstance(layer, nn.Linear)] == ["Linear"] * 3
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 4)
    assert build_teacher("timm:test_resnet+mlp", num_classes=4, image_px=32)(torch.zeros(1, 3, 32, 32)).shape == (1, 4)


def test_what_has_no_linear_layer_or_no_stages_is_refused() -> None:
    with pytest.raises(UsageError, match="last layer is linear"):
        put_mlp_head(_Bare(), 4)
    with pytest.raises(UsageError, match="freeze_stages is 5, but timm:pvt_v2_b0 has 4 stages"):
        freeze_stages(build_teacher("timm:pvt_v2_b0", num_classes=4, image_px=32), 5, "timm:pvt_v2_b0")
    with pytest.raises(UsageError, match="cnn has no stages"):
        freeze_stages(nn.Sequential(nn.Linear(2, 2)), 1, "cnn")


class _Bare(nn.Module):
    """A model whose classifier is a convolution."""

    default_cfg = {"classifier": "last"}  # noqa: RUF012 - as timm writes it

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Conv2d(3, 4, 1)
