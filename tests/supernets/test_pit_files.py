from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from edgenas.errors import CheckpointError
from edgenas.spaces import Task, get_space
from edgenas.spaces.named import NAMED
from edgenas.spaces.pit import Geometry, assemble
from edgenas.supernets.autoformer_files import read_ancestor_weights
from edgenas.supernets.pit import build_supernet
from edgenas.supernets.pit_files import interpolate_positions, load_weights
from edgenas.supernets.pit_net import PitNet

pytestmark = pytest.mark.usefixtures("one_thread")
NANO = get_space("pit-nano")


def net_of(name: str, task: Task) -> PitNet:
    return PitNet(assemble(Geometry(), task, NAMED[name].arch)).eval()


def as_tf_tas_names_them(net: PitNet) -> dict[str, Tensor]:
    renamed = {f"transformers.{stage}.pool.": f"pools.{stage - 1}." for stage in (1, 2)}
    state = {}
    for name, value in net.state_dict().items():
        prefix = next((prefix for prefix in renamed if name.startswith(prefix)), "")
        state[renamed.get(prefix, "") + name.removeprefix(prefix)] = value
    return state


def test_a_file_of_tf_tas_gives_its_net(tmp_path: Path) -> None:
    task = Task(10, 3, 64)
    torch.manual_seed(0)
    theirs, ours = (net_of("TF-TAS-PiT-T", task) for _ in range(2))
    state = as_tf_tas_names_them(theirs)
    assert {"pools.0.conv.weight", "pools.1.fc.bias"} <= state.keys()
    torch.save({"model": state, "epoch": 299}, tmp_path / "pit.pth")
    assert load_weights(ours, read_ancestor_weights(tmp_path / "pit.pth")) == ()
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(ours(images), theirs(images))


def test_timms_weights_fit_other_classes_and_another_resolution() -> None:
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("pit_ti_224", pretrained=False).state_dict()
    ours = net_of("pit_ti", Task(3, 3, 256))
    head = ours.head.weight.clone()
    assert load_weights(ours, theirs) == (
        "positions were interpolated from 27 x 27 to 31 x 31",
        "the head of 1000 classes was left out; that of 3 keeps its start",
    )
    assert torch.equal(ours.head.weight, head)
    assert torch.equal(ours.patch_embed.conv.weight, theirs["patch_embed.conv.weight"])
    assert torch.equal(ours.pos_embed, interpolate_positions(theirs["pos_embed"], 31))


def test_a_supernet_takes_what_it_learnt_to_another_task() -> None:
    first, second = build_supernet(NANO, NANO.default_task), build_supernet(NANO, Task(4, 3, 48))
    assert len(load_weights(second.net, first.net.state_dict())) == 2
    genes = tuple(NANO.extreme(largest=False)[0].tolist())
    ours, theirs = second.slices(genes), first.slices(genes)
    same = [name for name in theirs if name not in ("pos_embed", "head.weight", "head.bias")]
    assert all(torch.equal(ours[name], theirs[name]) for name in same)


def test_interpolated_positions_keep_a_slope_and_a_constant() -> None:
    line = torch.linspace(-1, 1, 27)
    positions = torch.stack([line.expand(27, 27), line.expand(27, 27).T, torch.full((27, 27), 0.25)])[None]
    assert interpolate_positions(positions, 27) is positions
    for grid in (14, 40):
        resized = interpolate_positions(positions, grid)
        middle = (torch.arange(grid) + 0.5) * 27 / grid - 0.5
        inner = slice(grid // 4, -(grid // 4))
        expected = (middle / 13 - 1)[inner]
        assert torch.allclose(resized[0, 0, 3, inner], expected, atol=1e-2)
        assert torch.allclose(resized[0, 1, inner, 3], expected, atol=1e-2)
        assert torch.allclose(resized[0, 2], torch.tensor(0.25), atol=1e-6)


def test_a_net_of_another_architecture_is_refused_by_one_list() -> None:
    ours = net_of("TF-TAS-PiT-T", Task(10, 3, 64))
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    state: dict[str, Any] = as_tf_tas_names_them(net_of("pit_ti", Task(10, 3, 64)))
    del state["norm.bias"]
    with pytest.raises(CheckpointError) as caught:
        load_weights(ours, state)
    problems = caught.value.problems
    assert "norm.bias is missing" in problems
    assert "transformers.1.blocks.5.attn.proj.bias is unknown" in problems
    assert "transformers.1.pool.fc.weight has shape (128, 64); wanted: (160, 80)" in problems
    assert all(torch.equal(value, before[name]) for name, value in ours.state_dict().items())


def test_a_distilled_net_is_refused() -> None:
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("pit_ti_distilled_224", pretrained=False).state_dict()
    with pytest.raises(CheckpointError) as caught:
        load_weights(net_of("pit_ti", Task(1000, 3, 224)), theirs)
    assert set(caught.value.problems) == {
        "head_dist.weight is unknown",
        "head_dist.bias is unknown",
        "cls_token has shape (1, 2, 64); wanted: (1, 1, 64)",
    }
