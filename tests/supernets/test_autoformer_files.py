from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from edgenas.errors import CheckpointError
from edgenas.spaces import get_space
from edgenas.spaces.autoformer import AutoFormerSpec
from edgenas.supernets.autoformer import build_supernet
from edgenas.supernets.autoformer_files import load_ancestor_weights, read_ancestor_weights
from edgenas.supernets.sliced import SlicedSupernet

NANO = get_space("autoformer-nano")
NAMES = (
    ("patch_embed.", "patch_embed_super."),
    ("norm1.", "attn_layer_norm."),
    ("norm2.", "ffn_layer_norm."),
    ("rel_pos_", "rel_pos_embed_"),
    (".vertical", ".embeddings_table_v"),
    (".horizontal", ".embeddings_table_h"),
    (".mlp.", "."),
)


def supernet(seed: int) -> SlicedSupernet[AutoFormerSpec]:
    torch.manual_seed(seed)
    net = build_supernet(NANO, NANO.default_task).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return net


def as_ancestor(source: SlicedSupernet[AutoFormerSpec], *, surplus: int) -> dict[str, Tensor]:
    """The weights as the ancestor's file holds them: interleaved rows, other names, an embedding wider than any drawn net."""
    dim = source.net.cls_token.shape[-1]
    state = {}
    for name, value in source.net.state_dict().items():
        if name.endswith("qkv.weight"):
            value = value.reshape(3, -1, value.shape[1]).transpose(0, 1).flatten(0, 1)
        for axis, size in enumerate(value.shape):
            if size == dim and "rel_pos" not in name and not ("qkv" in name and axis == 0) and not ("proj.w" in name and axis == 1):
                padding = list(value.shape)
                padding[axis] = surplus
                value = torch.cat([value, torch.full(padding, 9.0)], dim=axis)
        for ours, theirs in NAMES:
            name = name.replace(ours, theirs)
        state[name] = value
    return state


@pytest.mark.parametrize("surplus", [0, 4])
@pytest.mark.parametrize("wrapped", [False, True])
def test_an_ancestors_file_becomes_our_weights(tmp_path: Path, surplus: int, wrapped: bool) -> None:
    source, target = supernet(0), supernet(1)
    state = as_ancestor(source, surplus=surplus)
    assert any("ffn_layer_norm" in name for name in state)
    torch.save({"model": state, "args": argparse.Namespace(gp=True)} if wrapped else state, tmp_path / "w.pth")
    defects = load_ancestor_weights(target, read_ancestor_weights(tmp_path / "w.pth"))
    assert any("biases of q, k and v" in defect for defect in defects)
    loaded = target.net.state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in source.net.state_dict().items())


def test_every_difference_is_named_and_nothing_is_loaded() -> None:
    target = supernet(1)
    before = {name: value.clone() for name, value in target.net.state_dict().items()}
    state = as_ancestor(supernet(0), surplus=0)
    del state["cls_token"]
    state["blocks.0.attn.qkv.bias"] = torch.zeros(75)
    state["head.weight"] = torch.zeros(11, 24)
    state["blocks.9.attn_layer_norm.weight"] = torch.zeros(24)
    with pytest.raises(CheckpointError) as caught:
        load_ancestor_weights(target, state)
    assert sorted(caught.value.problems) == [
        "blocks.0.attn.qkv.bias has shape (75,); wanted: (72,)",
        "blocks.9.norm1.weight is unknown",
        "cls_token is missing",
        "head.weight has shape (11, 24); wanted: (10, 24)",
    ]
    assert all(torch.equal(value, before[name]) for name, value in target.net.state_dict().items())


@pytest.mark.parametrize("content", [{"model": 3}, [1, 2], {"model": {"a": "text"}}])
def test_a_file_without_weights_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="holds no state dict"):
        read_ancestor_weights(tmp_path / "w.pth")


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"w\.pth cannot be read as weights"):
        read_ancestor_weights(tmp_path / "w.pth")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="is no regular file but a pipe"):
        read_ancestor_weights(tmp_path / "pipe")
