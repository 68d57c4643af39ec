"""Nets of timm at a side of one's own, from given weights, and as they are deployed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from edgenas.errors import CheckpointError, UsageError
from edgenas.spaces import Task
from edgenas.training.timm_nets import TimmNet, cached_weights, costs_of, deployable, nearest_names

TASK = Task(3, 3, 32)


def batch(image_px: int = 32) -> torch.Tensor:
    return torch.randn(2, 3, image_px, image_px, generator=torch.Generator().manual_seed(0))


def varied(net: nn.Module) -> nn.Module:
    """With statistics and weights of batch norms that are not those of a fresh one."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if name.endswith(("running_mean", "running_var", "bn.weight", "attention_biases")):
                value.copy_(0.5 + torch.rand(value.shape, generator=generator))
    return net.eval()


@pytest.mark.parametrize("name", ["repvit_m0_9", "efficientformerv2_s0"])
def test_what_is_deployed_answers_as_what_was_trained(name: str) -> None:
    net = varied(TimmNet(name, 32).untrained(TASK))
    with torch.no_grad():
        torch.testing.assert_close(deployable(net)(batch()), net(batch()), atol=1e-4, rtol=1e-3)


def test_merged_branches_are_fewer_operations() -> None:
    net = TimmNet("repvit_m0_9", 32).untrained(TASK)
    assert sum(isinstance(module, nn.Conv2d) for module in deployable(net).modules()) < sum(
        isinstance(module, nn.Conv2d) for module in net.modules()
    )


def test_biases_of_positions_are_never_those_of_an_earlier_step() -> None:
    net = TimmNet("efficientformerv2_s0", 32).untrained(TASK)
    with torch.no_grad():
        before = net(batch())
        varied(net)
        torch.testing.assert_close(net(batch()), deployable(net)(batch()), atol=1e-4, rtol=1e-3)
    assert not torch.allclose(before, net(batch()))


def test_a_stem_of_stride_one_keeps_four_times_the_positions() -> None:
    assert TimmNet("test_resnet", 32, 1).costs(TASK)[1] == TimmNet("test_resnet", 64, 2).costs(TASK)[1]
    with torch.no_grad():
        assert TimmNet("efficientformerv2_s0", 32, 1).untrained(TASK)(batch()).shape == (2, 3)


def test_costs_are_of_what_is_deployed() -> None:
    net = TimmNet("test_resnet", 32).untrained(TASK)
    assert TimmNet("test_resnet", 32).costs(TASK) == costs_of(net, 3, 32)
    assert costs_of(net, 3, 32)[0] == sum(parameter.numel() for parameter in net.parameters())


def test_a_net_that_cannot_read_so_few_pixels_is_told() -> None:
    with pytest.raises(UsageError, match=r"efficientformerv2_s1@16 cannot be built"):
        TimmNet("efficientformerv2_s1", 16).build(3)


def test_given_weights_are_kept_and_a_head_of_other_classes_starts_afresh(tmp_path: Path) -> None:
    source = varied(TimmNet("test_resnet", 32).build(7))
    torch.save(source.state_dict(), tmp_path / "seven.pth")
    net = TimmNet("test_resnet", 64).with_weights(tmp_path / "seven.pth", 3)
    with torch.no_grad():
        assert net.eval()(batch(64)).shape == (2, 3)
    theirs = source.state_dict()
    same = [name for name, value in net.state_dict().items() if value.shape == theirs[name].shape]
    assert {name for name in theirs if name not in same} == {"fc.weight", "fc.bias"}
    assert all(torch.equal(net.state_dict()[name], theirs[name]) for name in same if not name.startswith("fc"))


def test_weights_under_other_names_are_taken_in_their_order(tmp_path: Path) -> None:
    source = varied(TimmNet("test_resnet", 32).build(3))
    renamed = {f"part{number}.{name.rpartition('.')[2]}": value for number, (name, value) in enumerate(source.state_dict().items())}
    uncounted = {name: value for name, value in renamed.items() if "num_batches" not in name}
    torch.save(uncounted, tmp_path / "renamed.pth")
    with torch.no_grad():
        answered = TimmNet("test_resnet", 32).with_weights(tmp_path / "renamed.pth", 3).eval()(batch())
        torch.testing.assert_close(answered, source.eval()(batch()))


def test_weights_in_another_order_are_refused(tmp_path: Path) -> None:
    tensors = list(TimmNet("test_resnet", 32).build(3).state_dict().items())
    torch.save({f"part.{name}": value for name, value in reversed(tensors)}, tmp_path / "reversed.pth")
    with pytest.raises(CheckpointError, match="belongs to another net"):
        TimmNet("test_resnet", 32).with_weights(tmp_path / "reversed.pth", 3)


def test_the_nearest_spelling_is_found() -> None:
    assert nearest_names("mobilenetv4_conv_smal")[0] == "mobilenetv4_conv_small"


def test_weights_that_timm_has_fetched_are_found_and_nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert cached_weights("tf_efficientnet_lite0") is None
    file = tmp_path / "hub" / "checkpoints" / "tf_efficientnet_lite0-0aa007d2.pth"
    file.parent.mkdir(parents=True)
    file.touch()
    assert cached_weights("tf_efficientnet_lite0") == file
    assert cached_weights("resnet10t") is None
