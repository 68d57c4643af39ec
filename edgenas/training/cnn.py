"""A plain convolutional net: a teacher that is quick to train on few images, and the net that a person would try first."""

from __future__ import annotations

from torch import nn

LARGEST_SIDE = 64  # that full-width convolutions work on; larger images are strided down before
SMALLEST_SIDE = 8  # at which striding ends
MAX_WIDENING = 4


def plain_cnn(num_classes: int, image_px: int, in_channels: int = 3, *, width: int = 32) -> nn.Sequential:
    """Pairs of 3 x 3 convolutions with batch norm and ReLU; each pair halves the side and doubles the channels, up to 4 times.

    The pattern of VGG (Simonyan & Zisserman, ICLR 2015, arXiv:1409.1556, table 1) with strides for its max pooling, batch norm,
    and a mean over positions for its dense layers. 290,000 parameters at width 32 and 32 px.

    Args:
        num_classes: logits.
        image_px: side of its images.
        in_channels: of its images.
        width: channels of the first pair, 1 or more.

    Returns:
        From images (N, in_channels, image_px, image_px) to logits (N, num_classes); in training mode, weights drawn from PyTorch's
        generator.
    """
    if width < 1:
        raise ValueError(f"width {width} is below 1")
    layers: list[nn.Module] = []
    side, channels = image_px, in_channels

    def add(out_channels: int, stride: int) -> None:
        nonlocal side, channels
        convolution = nn.Conv2d(channels, out_channels, 3, stride, padding=1, bias=False)
        layers.extend([convolution, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)])
        side, channels = -(-side // stride), out_channels

    while side > LARGEST_SIDE:
        add(width, 2)
    widening = 1
    while side > SMALLEST_SIDE:
        add(width * widening, 1)
        add(width * widening, 2)
        widening = min(2 * widening, MAX_WIDENING)
    add(width * widening, 1)
    add(width * widening, 1)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))
