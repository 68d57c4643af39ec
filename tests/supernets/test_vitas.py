from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from edgenas.spaces import Task, get_space
from edgenas.spaces.vitas import GEOMETRIES, BlockSpec, Geometry
from edgenas.supernets import build_net
from edgenas.supernets.vitas import PARTS, SharedBlock, Side, build_supernet, cut, cut_heads, slice_block, slice_frame
from edgenas.supernets.vitas_net import VitasNet, build_block
from edgenas.testing.supernets import awakened_supernet, images_for
from edgenas.training.sampling import uniform_genes

pytestmark = pytest.mark.usefixtures("one_thread")
NANO = get_space("vitas-nano")
SIDES: tuple[Side, Side] = ("left", "right")
BLOCK = {"num_heads": 2, "qkv_out": 48, "mlp_hidden": 32}


def awakened(task: Task = NANO.default_task) -> Any:
    return awakened_supernet(NANO, task)


def row(blocks: list[dict[str, int] | None], *, patch_size: int = 8, embed_dim: int = 16) -> tuple[int, ...]:
    return tuple(NANO.from_json({"patch_size": patch_size, "embed_dim": embed_dim, "blocks": blocks})[0].tolist())


def test_a_side_keeps_leading_or_trailing_channels() -> None:
    value = torch.arange(24.0).reshape(2, 12)
    assert torch.equal(cut(value, 1, 3, "left"), value[:, :3])
    assert torch.equal(cut(value, 1, 3, "right"), value[:, 9:])
    assert cut_heads(value[0], 0, 3, 6, "left").tolist() == [0, 1, 4, 5, 8, 9]
    assert cut_heads(value[0], 0, 3, 6, "right").tolist() == [2, 3, 6, 7, 10, 11]
    assert torch.equal(cut_heads(value, 1, 2, 6, "right"), value[:, [3, 4, 5, 9, 10, 11]])


@pytest.mark.parametrize("name", ["vitas-384", "vitas-768"])
def test_over_the_ten_widths_both_sides_use_every_channel_eleven_times(name: str) -> None:
    """With the left one alone, BCNet's criticism, the first channels are used ten times and the last ones once."""
    geometry = GEOMETRIES[name]
    uses = {side: torch.zeros(geometry.embed_dim, dtype=torch.long) for side in SIDES}
    for width in geometry.widths(geometry.embed_dim):
        for side in SIDES:
            cut(uses[side], 0, width, side).add_(1)
    assert (int(uses["left"][0]), int(uses["left"][-1]), int(uses["left"].min())) == (10, 1, 1)
    assert torch.equal(uses["left"], uses["right"].flip(0))
    assert bool((uses["left"] + uses["right"] == 11).all())


def test_in_a_block_too_both_sides_use_every_channel_eleven_times() -> None:
    geometry = GEOMETRIES["vitas-384"]
    block = SharedBlock(geometry)
    weights = dict(block.named_parameters())
    levels = zip(*(geometry.widths(full) for full in (384, 1440, 1440)), strict=True)
    for embed_dim, qkv_out, mlp_hidden in levels:
        for heads in geometry.num_heads:
            for side in SIDES:
                sliced = slice_block(weights, BlockSpec(1, embed_dim, heads, qkv_out // 3, mlp_hidden), side)
                torch.stack([value.sum() for name, value in sliced.items() if value.dim() == 1]).sum().backward()
    for name, weight in weights.items():
        if weight.dim() == 1:
            assert weight.grad is not None, name
            assert bool((weight.grad == (11.0 if ".qk." in name else 44.0)).all()), name


@pytest.mark.parametrize("side", SIDES)
def test_around_the_blocks_both_sides_cut_the_same_channels_everywhere(side: Side) -> None:
    supernet = awakened()
    embed, head = (dict(module.named_parameters()) for module in (supernet.embeds["8"], supernet.head))
    kept = slice(0, 16) if side == "left" else slice(8, 24)
    sliced = slice_frame(embed, head, 16, side)
    for name, axis in (("patch_embed.proj.weight", 0), ("patch_embed.proj.bias", 0), ("cls_token", 2), ("pos_embed", 2)):
        assert torch.equal(sliced[name], embed[name][(slice(None),) * axis + (kept,)]), name
    assert torch.equal(sliced["head.weight"], head["head.weight"][:, kept])
    assert torch.equal(sliced["norm.bias"], head["norm.bias"][kept])
    assert torch.equal(sliced["head.bias"], head["head.bias"])


@pytest.mark.parametrize("side", SIDES)
def test_rows_of_q_k_and_v_mean_the_same_head_at_every_width(side: Side) -> None:
    geometry = Geometry((16,), 8, 72, 16, (2, 3), 1)
    weights = dict(SharedBlock(geometry).named_parameters())
    marks = torch.arange(24.0)
    with torch.no_grad():
        for heads in (2, 3):
            both = 1000 * heads + torch.cat([marks, 100 + marks])
            weights[f"attn.qk.{heads}.weight"].copy_(both[:, None].expand(48, 8))
            weights[f"attn.qk.{heads}.bias"].copy_(both)
        weights["attn.v.weight"].copy_((200 + marks)[:, None].expand(24, 8))
        weights["attn.v.bias"].copy_(200 + marks)
        weights["attn.proj.weight"].copy_(marks.expand(8, 24))
    seen: dict[int, list[set[float]]] = {}
    for heads in (2, 3):
        for qkv in (6, 12, 18, 24):
            sliced = slice_block(weights, BlockSpec(1, 4, heads, qkv, 8), side)
            full, own = 24 // heads, qkv // heads
            first = 0 if side == "left" else full - own
            kept = torch.tensor([head * full + first + place for head in range(heads) for place in range(own)]).float()
            expected = torch.cat([1000 * heads + kept, 1000 * heads + 100 + kept, 200 + kept])
            assert torch.equal(sliced["attn.qkv.bias"], expected)
            assert torch.equal(sliced["attn.qkv.weight"], expected[:, None].expand(3 * qkv, 4))
            assert torch.equal(sliced["attn.proj.weight"], kept.expand(4, qkv))
            seen.setdefault(heads, []).append(set(kept.tolist()))
    assert all(narrow < wide for sets in seen.values() for narrow, wide in pairwise(sets))


def test_attention_is_scaled_by_the_true_width_of_a_head() -> None:
    torch.manual_seed(0)
    block = build_block(BlockSpec(2, 8, 3, 12, 16))
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(torch.randn_like(parameter))
    x = torch.randn(2, 5, 8)
    qkv = block.attn.qkv(F.layer_norm(x, (8,), block.norm1.weight, block.norm1.bias, 1e-6))
    q, k, v = (part.reshape(2, 5, 3, 4) for part in qkv.chunk(3, -1))
    weights = (torch.einsum("nlhd,nmhd->nhlm", q, k) / 4**0.5).softmax(-1)
    y = x + block.attn.proj(torch.einsum("nhlm,nmhd->nlhd", weights, v).flatten(2))
    normed = F.layer_norm(y, (8,), block.norm2.weight, block.norm2.bias, 1e-6)
    torch.testing.assert_close(block(x), y + block.mlp.fc2(F.gelu(block.mlp.fc1(normed))), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("side", SIDES)
def test_an_extracted_net_answers_as_its_side_of_the_supernet(side: Side) -> None:
    supernet, images = awakened(), images_for(NANO.default_task)
    for genes in uniform_genes(NANO, np.random.default_rng(0), 6):
        with torch.no_grad():
            expected = supernet(images, genes, PARTS[side])
            torch.testing.assert_close(supernet.extract(genes, PARTS[side])(images), expected, atol=1e-5, rtol=1e-5)


def test_sides_differ_but_at_full_width() -> None:
    supernet, images = awakened(), images_for(NANO.default_task)
    widest = tuple(NANO.extreme(largest=True)[0].tolist())
    with torch.no_grad():
        assert torch.equal(supernet(images, widest, PARTS["left"]), supernet(images, widest, PARTS["right"]))
        narrow = row([BLOCK, None, BLOCK])
        assert not torch.allclose(supernet(images, narrow, PARTS["left"]), supernet(images, narrow, PARTS["right"]), atol=1e-3)


def test_identities_are_skipped_and_leave_the_others_their_places() -> None:
    supernet, images = awakened(), images_for(NANO.default_task)
    with torch.no_grad():
        both = [supernet(images, row(blocks)) for blocks in ([BLOCK, None, BLOCK], [BLOCK, BLOCK, None])]
        assert not torch.allclose(*both, atol=1e-3)
        supernet.blocks[1].mlp.fc1.bias.add_(1.0)
        assert torch.equal(supernet(images, row([BLOCK, None, BLOCK])), both[0])
        assert not torch.allclose(supernet(images, row([BLOCK, BLOCK, None])), both[1], atol=1e-3)
    net = supernet.extract(row([BLOCK, None, BLOCK]))
    assert len(net.blocks) == 2
    assert torch.equal(net.state_dict()["blocks.1.norm1.weight"], supernet.blocks[2].norm1.weight[:16])


def test_what_patches_and_head_numbers_own_learns_with_them_alone() -> None:
    supernet = awakened()
    supernet(images_for(NANO.default_task), row([BLOCK, None, None], patch_size=8)).square().sum().backward()
    learnt = {name for name, weight in supernet.named_parameters() if weight.grad is not None}
    private = {name for name in learnt if name.startswith("embeds.") or ".qk." in name}
    prefixes = ("embeds.8.", "blocks.0.attn.qk.2.")
    assert all(name.startswith(prefixes) for name in private)
    assert {name for name, _ in supernet.named_parameters() if name.startswith(prefixes)} == private
    assert not any(name.startswith(("blocks.1.", "blocks.2.")) for name in learnt)


def test_every_number_of_every_weight_learns_within_a_few_steps_of_each_side() -> None:
    """Convolution, class token and every position of each patch size; q and k of each head number; every width.

    A bias of k shifts all logits of a query alike: softmax does not see it, and its gradient is rounding.
    """
    torch.manual_seed(0)
    for side in SIDES:
        supernet = build_supernet(NANO, NANO.default_task)
        learnt = {name: torch.zeros_like(weight, dtype=torch.bool) for name, weight in supernet.named_parameters()}
        for step, genes in enumerate(uniform_genes(NANO, np.random.default_rng(0), 96)):
            supernet.zero_grad(set_to_none=True)
            supernet(images_for(NANO.default_task, seed=step), genes, PARTS[side]).square().sum().backward()
            for name, weight in supernet.named_parameters():
                if weight.grad is not None:
                    learnt[name] |= weight.grad != 0
        for name, numbers in learnt.items():
            kept = numbers[: len(numbers) // 2] if ".qk." in name and name.endswith("bias") else numbers
            assert bool(kept.all()), (side, name)


def test_a_plain_net_has_timms_names() -> None:
    timm = pytest.importorskip("timm")
    theirs = timm.models.VisionTransformer(img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=2, num_classes=10)
    net = build_net(NANO, NANO.default_task, row([{"num_heads": 2, "qkv_out": 72, "mlp_hidden": 48}] * 2, embed_dim=24))
    assert isinstance(net, VitasNet)
    assert set(net.state_dict()) == set(theirs.state_dict())


def test_a_net_of_even_widths_gives_timms_logits_for_timms_weights() -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    theirs = timm.models.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=2, mlp_ratio=2, num_classes=10
    )
    block = {"num_heads": 2, "qkv_out": 72, "mlp_hidden": 48}
    net = build_net(NANO, NANO.default_task, row([block] * 2, embed_dim=24))
    net.load_state_dict(theirs.state_dict())
    images = images_for(NANO.default_task)
    theirs.norm.eps = 1e-5  # as PyTorch's and the ancestor's; timm's own last norm adds 1e-6
    with torch.no_grad():
        torch.testing.assert_close(net.eval()(images), theirs.eval()(images), atol=1e-5, rtol=1e-5)


def test_tied_blocks_are_the_first_ones() -> None:
    space, task = get_space("vitas-block"), Task(3, 1, 32)
    block = {"num_heads": 3, "qkv_out": 144, "mlp_hidden": 144}
    genes = space.from_json({"patch_size": 32, "embed_dim": 38, "blocks": [block] * 2})[0].tolist()
    with torch.device("meta"):
        supernet = build_supernet(space, task)
    names = {name.split(".")[1] for name in supernet.slices(tuple(genes)) if name.startswith("blocks.")}
    assert names == {"0", "1"}
    assert supernet.spec(tuple(genes)).places == (0, 1)


def test_extraction_draws_no_random_number() -> None:
    supernet = awakened()
    before = torch.random.get_rng_state()
    supernet.extract(row([BLOCK]))
    assert torch.equal(torch.random.get_rng_state(), before)
