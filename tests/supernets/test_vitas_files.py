"""ViTAS's own files, made up here in its layout, and what its own nets answered, computed here from those files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from edgenas.errors import CheckpointError
from edgenas.spaces import Task, get_space
from edgenas.spaces.vitas import GEOMETRIES
from edgenas.supernets import build_net
from edgenas.supernets.start import load_weights
from edgenas.supernets.vitas import PARTS, Side, build_supernet
from edgenas.supernets.vitas_files import SUPERNET_DEFECTS, load_ancestor_weights, load_retrained_weights, read_ancestor_weights
from edgenas.supernets.vitas_net import VitasNet

NANO = get_space("vitas-nano")
TASK = NANO.default_task
FULL = GEOMETRIES["vitas-nano"]
PATCHES = (4, 8, 16)  # ascending, as the ancestor numbers them
WIDTH = FULL.qkv_out // 3
BLOCKS: list[dict[str, int] | None] = [
    {"num_heads": 4, "qkv_out": 48, "mlp_hidden": 32},
    None,
    {"num_heads": 2, "qkv_out": 72, "mlp_hidden": 16},
]


def drawn(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) * 0.3 for name, shape in shapes.items()}


def linear(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norm(name: str, dim: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (dim,), f"{name}.bias": (dim,)}


def around(dim: int, patches: tuple[int, ...], task: Task = TASK) -> dict[str, tuple[int, ...]]:
    shapes = norm("net.backbone_Norm_Norm_0.0", dim) | linear("net.backbone_FC_FC_0.0.module.0", dim, task.num_classes)
    for number, patch in enumerate(patches):
        name = f"net.backbone_init_stem_Patch_init_0.{number}"
        shapes |= {f"{name}.cls_token": (1, 1, dim), f"{name}.pos_embed": (1, (task.image_px // patch) ** 2 + 1, dim)}
        shapes |= {f"{name}.patch_embed.proj.weight": (dim, 3, patch, patch), f"{name}.patch_embed.proj.bias": (dim,)}
    return shapes


def supernet_state(operation: str = "id") -> dict[str, Tensor]:
    """Of a supernet; without identities its blocks are called otherwise."""
    dim, hidden = FULL.embed_dim, FULL.mlp_hidden
    shapes = around(dim, PATCHES)
    for place in range(FULL.num_blocks):
        name = f"net.backbone_Block_{operation}_{place}.0"
        for number in range(len(FULL.num_heads)):
            shapes |= linear(f"{name}.attn.qk{number}", dim, 2 * WIDTH)
        shapes |= linear(f"{name}.attn.v", dim, WIDTH) | linear(f"{name}.attn.proj", WIDTH, dim)
        shapes |= norm(f"{name}.norm1", dim) | norm(f"{name}.norm2", dim)
        shapes |= linear(f"{name}.mlp.fc1", dim, hidden) | linear(f"{name}.mlp.fc2", hidden, dim)
    return drawn(shapes)


def retrained_state(dim: int = 16, patch: int = 8) -> dict[str, Tensor]:
    """Of `BLOCKS` trained alone."""
    shapes = around(dim, (patch,))
    for place, block in enumerate(BLOCKS):
        if block is not None:
            name = f"net.backbone_Block_Block_{place}.0"
            qkv, hidden = block["qkv_out"], block["mlp_hidden"]
            shapes |= linear(f"{name}.attn.qkv", dim, qkv) | linear(f"{name}.attn.proj", qkv // 3, dim)
            shapes |= norm(f"{name}.norm1", dim) | norm(f"{name}.norm2", dim)
            shapes |= linear(f"{name}.mlp.fc1", dim, hidden) | linear(f"{name}.mlp.fc2", hidden, dim)
    return drawn(shapes)


def block_answer(x: Tensor, part: Mapping[str, Tensor], qkv: Tensor, heads: int, scale: float) -> Tensor:
    """A block as the ancestor computes it, after its joint q, k and v."""
    num, length, width = qkv.shape
    q, k, v = qkv.reshape(num, length, 3, heads, width // 3 // heads).permute(2, 0, 3, 1, 4)
    y = ((q @ k.transpose(-1, -2)) * scale).softmax(-1) @ v
    y = y.transpose(1, 2).reshape(num, length, width // 3)
    x = x + F.linear(y, part["attn.proj.weight"], part["attn.proj.bias"])
    normed = F.layer_norm(x, x.shape[-1:], part["norm2.weight"], part["norm2.bias"], 1e-6)
    hidden = F.gelu(F.linear(normed, part["mlp.fc1.weight"], part["mlp.fc1.bias"]))
    return x + F.linear(hidden, part["mlp.fc2.weight"], part["mlp.fc2.bias"])


def part_of(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}


def answer(state: Mapping[str, Tensor], images: Tensor, blocks: list[int | None], patch_number: int, *, searching: bool) -> Tensor:
    """What the ancestor's net answers at full widths; ``blocks`` are the head numbers, None an identity."""
    stem = part_of(state, f"net.backbone_init_stem_Patch_init_0.{patch_number}")
    conv = stem["patch_embed.proj.weight"]
    x = F.conv2d(images, conv, stem["patch_embed.proj.bias"], stride=conv.shape[-1]).flatten(2).transpose(1, 2)
    x = torch.cat([stem["cls_token"].expand(len(x), -1, -1), x], dim=1)
    x = x + (stem["pos_embed"][:, -1:] if searching else stem["pos_embed"])
    for place, heads in enumerate(blocks):
        if heads is None:
            continue
        part = part_of(state, f"net.backbone_Block_{'id' if searching else 'Block'}_{place}.0")
        normed = F.layer_norm(x, x.shape[-1:], part["norm1.weight"], part["norm1.bias"], 1e-6)
        names = [f"attn.qk{FULL.num_heads.index(heads)}", "attn.v"] if searching else ["attn.qkv"]
        qkv = torch.cat([F.linear(normed, part[f"{name}.weight"], part[f"{name}.bias"]) for name in names], dim=-1)
        head_dim = x.shape[-1] // (3 if searching else heads)
        x = block_answer(x, part, qkv, heads, head_dim**-0.5)
    last, head = part_of(state, "net.backbone_Norm_Norm_0.0"), part_of(state, "net.backbone_FC_FC_0.0.module.0")
    x = F.layer_norm(x, x.shape[-1:], last["weight"], last["bias"], 1e-5)[:, 0]
    return F.linear(x, head["weight"], head["bias"])


def genes_of(blocks: list[dict[str, int] | None], *, patch_size: int, embed_dim: int) -> tuple[int, ...]:
    return tuple(NANO.from_json({"patch_size": patch_size, "embed_dim": embed_dim, "blocks": blocks})[0].tolist())


def images(task: Task = TASK) -> Tensor:
    shape = (2, task.in_channels, task.image_px, task.image_px)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def as_file(path: Path, state: Mapping[str, Tensor], *, wrapped: bool) -> Path:
    weights = {f"module.{name}" if wrapped else name: value for name, value in state.items()}
    torch.save({"epoch": 300, "model": weights, "optimizer": {"state": {}, "param_groups": []}}, path)
    return path


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_supernets_file_answers_here_as_there_at_full_width(tmp_path: Path, wrapped: bool, side: Side) -> None:
    state = supernet_state()
    supernet = build_supernet(NANO, TASK).eval()
    notes = load_ancestor_weights(supernet, read_ancestor_weights(as_file(tmp_path / "s.pth.tar", state, wrapped=wrapped)))
    assert len(notes) == 4
    for patch_number, patch in enumerate(PATCHES):
        for heads in FULL.num_heads:
            block = {"num_heads": heads, "qkv_out": FULL.qkv_out, "mlp_hidden": FULL.mlp_hidden}
            genes = genes_of([block, None, block], patch_size=patch, embed_dim=FULL.embed_dim)
            with torch.no_grad():
                expected = answer(state, images(), [heads, None, heads], patch_number, searching=True)
                torch.testing.assert_close(supernet(images(), genes, PARTS[side]), expected, atol=1e-4, rtol=1e-4)


def test_a_retrained_nets_file_answers_here_as_there(tmp_path: Path) -> None:
    state = retrained_state()
    genes = genes_of(BLOCKS, patch_size=8, embed_dim=16)
    net = build_net(NANO, TASK, genes).eval()
    assert isinstance(net, VitasNet)
    notes = load_retrained_weights(net, read_ancestor_weights(as_file(tmp_path / "r.pth.tar", state, wrapped=True)))
    assert len(notes) == 1
    with torch.no_grad():
        expected = answer(state, images(), [4, None, 2], 0, searching=False)
        torch.testing.assert_close(net(images()), expected, atol=1e-4, rtol=1e-4)
    assert torch.equal(net.state_dict()["pos_embed"], state["net.backbone_init_stem_Patch_init_0.0.pos_embed"])


def test_a_supernet_without_identities_is_read_too() -> None:
    supernets = [build_supernet(NANO, TASK) for _ in range(2)]
    for supernet, operation in zip(supernets, ("id", "Block"), strict=True):
        load_ancestor_weights(supernet, supernet_state(operation))
    ours, others = (supernet.state_dict() for supernet in supernets)
    assert all(torch.equal(ours[name], others[name]) for name in ours)


def test_other_classes_channels_and_resolution_are_adapted_and_said() -> None:
    task = Task(num_classes=3, in_channels=1, image_px=48)
    supernet = build_supernet(NANO, task)
    before = supernet.head.head.weight.clone()
    notes = load_ancestor_weights(supernet, supernet_state())
    assert torch.equal(supernet.head.head.weight, before)
    assert any("the head starts fresh: it had 10 classes, 3 are wanted" in note for note in notes)
    assert sum("3 input channels was adapted to 1" in note for note in notes) == 1
    table = supernet.embeds["8"].pos_embed
    assert table.shape == (1, 37, 24)
    assert torch.equal(table, table[:, :1].expand_as(table))
    net = build_net(NANO, task, genes_of(BLOCKS, patch_size=8, embed_dim=16))
    assert isinstance(net, VitasNet)
    notes = load_retrained_weights(net, retrained_state())
    assert any("positions of 4 x 4 patches were interpolated to 6 x 6" in note for note in notes)
    assert net(images(task)).shape == (2, 3)


def test_interpolated_positions_keep_a_slope() -> None:
    """A table that grows along its rows still does, and the class token's entry stays."""
    net = build_net(NANO, Task(10, 3, 64), genes_of(BLOCKS, patch_size=8, embed_dim=16))
    state = retrained_state()
    rows = torch.arange(4.0).repeat_interleave(4)
    state["net.backbone_init_stem_Patch_init_0.0.pos_embed"] = torch.cat([torch.tensor([7.0]), rows])[None, :, None].expand(
        1, 17, 16
    )
    assert isinstance(net, VitasNet)
    load_retrained_weights(net, state)
    table = net.pos_embed.detach()[0, :, 0]
    assert float(table[0]) == 7.0
    lines = table[1:].reshape(8, 8)
    assert bool((lines[1:, 0] > lines[:-1, 0]).all())
    torch.testing.assert_close(lines, lines[:, :1].expand(8, 8))


def test_every_difference_is_named_and_nothing_is_loaded() -> None:
    supernet = build_supernet(NANO, TASK)
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    state = supernet_state()
    del state["net.backbone_Norm_Norm_0.0.weight"]
    state["net.backbone_Block_id_0.0.attn.v.bias"] = torch.zeros(20)
    state["net.backbone_Block_id_0.0.attn.qk3.bias"] = torch.zeros(48)
    state["net.backbone_Block_id_9.0.norm1.weight"] = torch.zeros(24)
    state["net.backbone_init_stem_Patch_init_0.3.cls_token"] = torch.zeros(1, 1, 24)
    with pytest.raises(CheckpointError, match="the file holds no weights that vitas-nano can start from") as caught:
        load_ancestor_weights(supernet, state)
    assert set(caught.value.problems) == {
        "blocks.0.attn.v.bias has shape (20,); wanted: (24,)",
        "blocks.9.norm1.weight is unknown",
        "head.norm.weight is missing",
        "backbone_Block_id_0.0.attn.qk3.bias is unknown",
        "backbone_init_stem_Patch_init_0.3.cls_token is unknown",
    }
    assert all(torch.equal(value, before[name]) for name, value in supernet.state_dict().items())


def test_a_retrained_net_of_another_architecture_is_refused() -> None:
    net = build_net(NANO, TASK, genes_of([BLOCKS[0], BLOCKS[2]], patch_size=8, embed_dim=16))
    assert isinstance(net, VitasNet)
    with pytest.raises(CheckpointError, match="no weights of this architecture") as caught:
        load_retrained_weights(net, retrained_state())
    assert "blocks.1.attn.qkv.weight is missing" in caught.value.problems
    assert "backbone_Block_Block_2.0.attn.qkv.weight is unknown" in caught.value.problems


def test_a_supernet_starts_from_the_ancestors_weights_or_from_its_own_of_another_task() -> None:
    """As ``--init FILE`` does."""
    first = build_supernet(NANO, TASK)
    assert load_weights(first, supernet_state(), "theirs.pth") == SUPERNET_DEFECTS
    other = build_supernet(NANO, Task(num_classes=3, in_channels=3, image_px=64))
    notes = load_weights(other, first.state_dict(), "ours.safetensors")
    assert sum("positions of" in note for note in notes) == 3
    assert sum("the head starts fresh" in note for note in notes) == 1
    assert torch.equal(other.blocks[1].attn.v.weight, first.blocks[1].attn.v.weight)
    with pytest.raises(CheckpointError, match=r"half\.pth holds no weights that vitas-nano can start from"):
        load_weights(other, {"blocks.0.norm1.weight": torch.ones(24)}, "half.pth")
