"""timm's MobileNetV4: equal logits for equal weights, and supernets that start from them."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from edgenas.errors import CheckpointError
from edgenas.spaces import Task, get_space
from edgenas.spaces.named import NAMED
from edgenas.supernets import build_net, build_supernet
from edgenas.supernets.pvt_mobile_files import by_our_names
from edgenas.supernets.start import load_weights

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = ["mobilenetv4_conv_small", "mobilenetv4_conv_medium", "mobilenetv4_hybrid_medium"]


def timm_net(name: str, num_classes: int = 1000) -> nn.Module:
    """With weights and statistics that differ from their start, but keep the size of features."""
    with torch.random.fork_rng(devices=()), torch.no_grad():
        torch.manual_seed(0)
        net: nn.Module = timm.create_model(name, num_classes=num_classes).eval()
        for value in net.state_dict().values():
            if value.is_floating_point() and value.dim() == 1:
                value.add_(torch.rand_like(value), alpha=0.2)
    return net


def genes_of(name: str, resolution_px: int) -> tuple[int, ...]:
    space = get_space(NAMED[name].space)
    return tuple(int(gene) for gene in space.from_json({**NAMED[name].arch, "resolution_px": resolution_px})[0])


def distance(first: Tensor, second: Tensor) -> float:
    return float((first - second).abs().max())


@pytest.mark.parametrize("name", NAMES)
def test_equal_weights_give_timms_logits(name: str) -> None:
    space, source, images = get_space(NAMED[name].space), timm_net(name), torch.rand(1, 3, 160, 160)
    net = build_net(space, space.default_task, genes_of(name, 160)).eval()
    net.load_state_dict(by_our_names(source.state_dict()))
    with torch.no_grad():
        expected = source(images)
        assert expected.std() > 1e-3
        assert distance(net(images), expected) < 1e-4


@pytest.mark.parametrize("name", ["mobilenetv4_conv_small", pytest.param(NAMES[1], marks=pytest.mark.slow), NAMES[2]])
def test_a_supernet_starts_from_timms_weights_and_the_nets_around_answer_alike(name: str) -> None:
    space, source, images = get_space(NAMED[name].space), timm_net(name), torch.rand(1, 3, 160, 160)
    supernet: Any = build_supernet(space, Task(1000, 3, 160)).eval()
    notes = load_weights(supernet, source.state_dict(), f"timm:{name}")
    genes = list(genes_of(name, 160))
    assert notes[0].endswith(f"of the weights of {space.name}'s supernet are those of timm:{name}")
    largest = list(space.extreme(largest=True)[0])
    largest[0] = genes[0]
    with torch.no_grad():
        expected = source(images)
        assert distance(supernet(images, tuple(genes)), expected) < 1e-4
        assert distance(supernet.extract(tuple(genes))(images), expected) < 1e-4
        around = supernet(images, tuple(int(gene) for gene in largest))
        assert distance(around, expected) < 0.02 * float(expected.std())


def test_another_head_and_other_channels_start_fresh_and_are_named() -> None:
    name = "mobilenetv4_conv_small"
    supernet: Any = build_supernet(get_space(NAMED[name].space), Task(5, 1, 160)).eval()
    notes = load_weights(supernet, timm_net(name).state_dict(), "small.safetensors")
    assert "the patch embedding of 3 input channels was adapted to 1" in notes
    assert "the head is freshly initialised: 1000 classes there, 5 here" in notes


def test_a_net_of_another_space_names_that_space() -> None:
    space = get_space("pvt-mobile-small")
    supernet = build_supernet(space, Task(5, 3, 160))
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    with pytest.raises(CheckpointError, match="it is a net of pvt-mobile: take that space"):
        load_weights(supernet, timm_net("mobilenetv4_conv_medium").state_dict(), "medium")
    assert all(torch.equal(value, before[name]) for name, value in supernet.state_dict().items())


def test_other_weights_are_refused() -> None:
    supernet = build_supernet(get_space("pvt-mobile-small"), Task(5, 3, 160))
    state = timm_net("mobilenetv4_conv_small").state_dict()
    lacking = {name: value for name, value in state.items() if name != "blocks.0.0.conv.weight"}
    with pytest.raises(CheckpointError, match=r"is no MobileNetV4 net as timm names it: stages\.0\.downsample\.pw_exp"):
        load_weights(supernet, lacking, "broken")
    with pytest.raises(CheckpointError, match="holds no weights of pvt-mobile-small") as caught:
        load_weights(supernet, state | {"more.weight": torch.zeros(3)}, "broken")
    assert "more.weight is unknown" in caught.value.problems
