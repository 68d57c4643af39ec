from __future__ import annotations

import pytest
import torch

from edgenas.training.cnn import plain_cnn


@pytest.mark.parametrize(("image_px", "in_channels"), [(16, 1), (32, 3), (224, 3)])
def test_a_plain_cnn_reads_images_of_any_side(image_px: int, in_channels: int) -> None:
    net = plain_cnn(5, image_px, in_channels, width=4).eval()
    assert net(torch.zeros(2, in_channels, image_px, image_px)).shape == (2, 5)


def test_a_plain_cnn_of_width_32_has_290_thousand_parameters() -> None:
    assert sum(parameter.numel() for parameter in plain_cnn(10, 32).parameters()) == 288_746


def test_a_width_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="width 0 is below 1"):
        plain_cnn(10, 32, width=0)
