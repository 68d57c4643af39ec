from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from edgenas.spaces import get_space
from edgenas.supernets import build_net
from edgenas.supernets.sliced import SlicedSupernet
from edgenas.training.drop_path import add_drop_path
from tests.training.tiny import LARGEST, tiny_images, tiny_supernet


class AddBlock(nn.Module):
    """Adds one."""

    def forward(self, x_NC: torch.Tensor) -> torch.Tensor:
        return x_NC + 1


def chain(depth: int) -> nn.Sequential:
    return nn.Sequential(*(AddBlock() for _ in range(depth)))


def dropped(net: nn.Sequential) -> torch.Tensor:
    """Share of the images that every block was dropped for, in training mode."""
    torch.manual_seed(0)
    seen = []
    x_NC = torch.zeros(20_000, 1)
    for block in net:
        y_NC = block(x_NC)
        seen.append(((y_NC - x_NC) == 0).float().mean())
        x_NC = y_NC.detach()
    return torch.stack(seen)


def test_blocks_are_dropped_more_often_the_deeper_they_are() -> None:
    net = chain(5).train()
    assert add_drop_path(net, 0.4, largest_depth=5) == 5
    assert dropped(net).tolist() == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4], abs=0.015)


def test_a_shallower_net_drops_less() -> None:
    net = chain(3).train()
    add_drop_path(net, 0.4, largest_depth=6)
    assert dropped(net).tolist() == pytest.approx([0.0, 0.1, 0.2], abs=0.015)


def test_the_mean_stays_and_nothing_is_dropped_in_eval_mode() -> None:
    net = chain(4)
    add_drop_path(net, 0.5, largest_depth=4)
    torch.manual_seed(0)
    assert float(net.train()(torch.zeros(50_000, 1)).mean()) == pytest.approx(4.0, abs=0.03)
    assert torch.equal(copy.deepcopy(net).eval()(torch.zeros(3, 1)), torch.full((3, 1), 4.0))


@pytest.mark.parametrize("name", ["pvt-nano", "pvt-elastic-nano", "autoformer-nano", "vitas-nano", "pit-nano"])
def test_every_family_has_blocks_to_drop(name: str) -> None:
    space = get_space(name)
    genes = tuple(int(gene) for gene in space.extreme(largest=True)[0])
    net = build_net(space, space.default_task, genes).train()
    assert add_drop_path(net, 0.9, largest_depth=1) > 1
    px, channels = space.default_task.image_px, space.default_task.in_channels
    images_NCHW = torch.rand(16, channels, px, px)
    torch.manual_seed(0)
    first = net(images_NCHW)
    torch.manual_seed(1)
    assert not torch.equal(first, net(images_NCHW))


def test_a_rate_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="rate 1"):
        add_drop_path(chain(2), 1.0, largest_depth=2)


def test_a_supernet_drops_in_training_alone_and_later_blocks_more_often() -> None:
    supernet = tiny_supernet()
    images_NCHW = torch.from_numpy(tiny_images(4)[0])
    assert isinstance(supernet, SlicedSupernet)
    with torch.no_grad():
        plain = supernet.eval()(images_NCHW, LARGEST)
        supernet.drop_path_rate = 0.9
        assert torch.equal(supernet(images_NCHW, LARGEST), plain)
        supernet.train()
        torch.manual_seed(0)
        first, second = supernet(images_NCHW, LARGEST), supernet(images_NCHW, LARGEST)
        assert not torch.equal(first, second)
        torch.manual_seed(0)
        assert torch.equal(supernet(images_NCHW, LARGEST), first)
        supernet.drop_path_rate = 0.0
        assert torch.equal(supernet(images_NCHW, LARGEST), plain)
    supernet.drop_path_rate = 0.4
    assert list(supernet._drops()) == pytest.approx([0.4 * position / 8 for position in range(9)])
