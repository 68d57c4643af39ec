"""A plain convolutional net: a teacher that is quick to train on few images, and the net that a person would try first."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgenas.spaces import Task

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


def cnn_for(task: Task, width: int) -> nn.Module:
    """A plain CNN that reads a task's images, with weights from PyTorch's generator."""
    return plain_cnn(task.num_classes, task.image_px, task.in_channels, width=width)


def untrained(task: Task, width: int) -> nn.Module:
    """The same in eval mode, to be timed; the shared generator is left as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return cnn_for(task, width).eval()


def shape_of(net: nn.Module, task: Task) -> tuple[int, int]:
    """Parameters and multiply-accumulates of a plain CNN, the latter of its convolutions and linear layers."""
    macs: list[int] = []

    def count(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        weight = module.weight
        assert isinstance(weight, Tensor)
        macs.append(output.numel() * weight[0].numel())

    hooks = [each.register_forward_hook(count) for each in net.modules() if isinstance(each, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        net(torch.zeros(1, task.in_channels, task.image_px, task.image_px))
    for hook in hooks:
        hook.remove()
    return sum(parameter.numel() for parameter in net.parameters()), sum(macs)
