from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from edgenas.exporters.onnx import export_graph
from torch.nn import functional as F

from edgenas.errors import ArchError
from edgenas.spaces import get_space
from edgenas.spaces.pvt_mobile import ConvBlockSpec, MobileSpec, hand_designed, lower
from edgenas.supernets import build_net
from edgenas.supernets.pvt_mobile import build_supernet, cut_conv
from edgenas.supernets.pvt_mobile_net import BRANCH, Attention, ConvBlock, PlainBlock
from edgenas.testing.supernets import awakened_supernet
from edgenas.training.recalibration import Recalibration

pytestmark = pytest.mark.usefixtures("one_thread")
NANO, PLAIN_SPACE = get_space("pvt-mobile-nano"), get_space("pvt-mobile-plain")
NONE: dict[str, Any] = {"kind": "none", "num_heads": 0}


def block(start: int, expand: int, mid: int, expansion: int = 2, **attention: Any) -> dict[str, Any]:
    return {
        "kernels": {"start": start, "expand": expand, "mid": mid},
        "expansion": expansion,
        "attention": attention or NONE,
    }


def row(*blocks: dict[str, Any], resolution_px: int = 32) -> tuple[int, ...]:
    """The smallest net with these blocks in its second stage."""
    arch = NANO.to_json(NANO.extreme(largest=False)[0]) | {"resolution_px": resolution_px}
    arch["stages"][1]["blocks"] = list(blocks)
    return tuple(int(gene) for gene in NANO.from_json(arch)[0])


def reached(genes: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """Gradients of a fresh supernet after one step of one subnet."""
    supernet = build_supernet(NANO, NANO.default_task).train()
    supernet(torch.randn(4, 3, 32, 32), genes).square().sum().backward()  # type: ignore[no-untyped-call]
    return {name: weight.grad for name, weight in supernet.named_parameters() if weight.grad is not None}


def test_a_smaller_kernel_is_the_middle_of_the_largest() -> None:
    weight = torch.arange(25.0).view(1, 1, 5, 5)
    assert cut_conv(weight, 1, 1, 3).flatten().tolist() == [6, 7, 8, 11, 12, 13, 16, 17, 18]
    assert torch.equal(cut_conv(weight, 1, 1, 5), weight)
    assert cut_conv(weight, 1, 1, 1).item() == 12
    assert cut_conv(torch.zeros(8, 4, 3, 3), 6, 2, 1).shape == (6, 2, 1, 1)


@pytest.mark.parametrize(
    ("given", "part", "sides"),
    [
        (block(3, 1, 0), "dw_start", (3, 3)),
        (block(5, 1, 0), "dw_start", (5, 5)),
        (block(0, 1, 3), "dw_mid", (3, 3)),
        (block(0, 1, 5), "dw_mid", (5, 5)),
        (block(0, 3, 0), "pw_exp", (3, 3)),
        (block(0, 1, 3), "pw_exp", (1, 1)),
    ],
)
def test_every_kernel_learns_where_it_is_and_nowhere_else(given: dict[str, Any], part: str, sides: tuple[int, int]) -> None:
    gradient = reached(row(given))[f"stages.1.blocks.0.conv.{part}.conv.weight"]
    rows, columns = gradient.abs().sum(dim=(0, 1)).nonzero().unbind(1)
    assert (int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1) == sides
    others = [f"dw_{place}" for place in ("start", "mid") if not given["kernels"][place]]
    names = reached(row(given))
    assert not any(f"stages.1.blocks.0.conv.{other}." in name for other in others for name in names)


@pytest.mark.parametrize(("kind", "heads", "rows"), [("mqa", 2, 16), ("mqa", 4, 16), ("sra", 4, 64)])
def test_both_kinds_of_attention_share_queries_and_the_first_heads_keys(kind: str, heads: int, rows: int) -> None:
    gradients = reached(row(block(3, 1, 0, kind=kind, num_heads=heads)))
    at = "stages.1.blocks.0.attention.attn"
    learnt = {name: gradients[f"{at}.{name}.proj.weight"].abs().flatten(1).sum(1) > 0 for name in ("query", "key", "value")}
    assert {name: int(mask.sum()) for name, mask in learnt.items()} == {"query": 16 * heads, "key": rows, "value": rows}
    assert learnt["key"][:rows].all()
    assert (f"{at}.key.down_conv.weight" in gradients) == (kind == "mqa")


def test_attention_is_that_of_pytorch_with_the_keys_of_every_head() -> None:
    supernet: Any = awakened_supernet(NANO, NANO.default_task)
    for kind in ("mqa", "sra"):
        net = supernet.extract(row(block(3, 1, 0, kind=kind, num_heads=4)))
        attention = net.stages[1].blocks[0].attn
        x_NCHW = torch.randn(2, attention.spec.embed_dim, 8, 8)
        q, k, v = (
            part.reshape(2, -1, 16, part.shape[-1] ** 2).transpose(2, 3)
            for part in (attention.query(x_NCHW), attention.key(attention.pool(x_NCHW)), attention.value(attention.pool(x_NCHW)))
        )
        assert k.shape == (2, 1 if kind == "mqa" else 4, 16, 16)
        y = F.scaled_dot_product_attention(q, k.expand(-1, 4, -1, -1), v.expand(-1, 4, -1, -1))
        expected = attention.output(y.transpose(2, 3).reshape(2, 64, 8, 8))
        torch.testing.assert_close(attention(x_NCHW), expected, atol=1e-4, rtol=1e-4)


def test_exported_convolutions_have_no_batch_norm_after_them() -> None:
    supernet: Any = awakened_supernet(NANO, NANO.default_task)
    graph = export_graph(supernet.extract(row(block(3, 1, 0), block(0, 3, 0, kind="mqa", num_heads=2))), (3, 32, 32)).graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("BatchNormalization") == 1  # before the attention
    assert "Conv" in kinds


def test_a_chosen_net_gets_statistics_of_its_own_and_the_supernet_keeps_its() -> None:
    supernet = build_supernet(NANO, NANO.default_task).eval()
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    images = torch.rand(16, 3, 32, 32)
    genes = row(block(3, 1, 0, kind="sra", num_heads=4))
    net: Any = Recalibration(supernet, images).net(genes)
    features = net.stem.conv(images)
    torch.testing.assert_close(net.stem.bn.running_mean, features.mean(dim=(0, 2, 3)), atol=1e-5, rtol=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in supernet.state_dict().items())


def test_training_moves_the_statistics_of_what_was_run_alone() -> None:
    supernet = build_supernet(NANO, NANO.default_task).train()
    supernet(torch.rand(4, 3, 32, 32), row(block(3, 1, 0)))
    moved = {name for name, value in supernet.named_buffers() if name.endswith("num_batches_tracked") and int(value)}
    assert "stages.1.blocks.0.conv.dw_start.bn.num_batches_tracked" in moved
    assert not any(".dw_mid." in name or ".attention." in name or "blocks.1" in name for name in moved)


def test_a_stage_without_blocks_is_written_with_an_empty_list() -> None:
    arch = NANO.to_json(NANO.extreme(largest=False)[0])
    assert arch["stages"][0]["blocks"] == []
    assert np.array_equal(NANO.from_json(arch), NANO.extreme(largest=False))


def test_a_plain_block_has_weights_of_its_own_that_every_width_shares() -> None:
    supernet: Any = build_supernet(PLAIN_SPACE, PLAIN_SPACE.default_task)
    arch = PLAIN_SPACE.to_json(PLAIN_SPACE.extreme(largest=False)[0])
    arch["stages"][1]["blocks"] = [{"kernels": {"start": 0, "expand": 0, "mid": 3}}]
    weights = []
    for dim in (16, 64):
        arch["stages"][1]["embed_dim"] = dim
        slices = supernet.slices(tuple(int(gene) for gene in PLAIN_SPACE.from_json(arch)[0]))
        weights.append(slices["stages.1.blocks.0.conv.weight"])
        assert slices["stages.1.blocks.0.bn.weight"].detach().unique().tolist() == pytest.approx([BRANCH])
    narrow, wide = weights
    assert torch.equal(narrow, wide[:16, :16])
    assert (
        wide.untyped_storage().data_ptr()
        == supernet.get_parameter("stages.1.blocks.0.plain.conv.weight").untyped_storage().data_ptr()
    )


@pytest.mark.parametrize(("alone", "gain"), [(True, 1.0), (False, BRANCH)])
def test_what_blocks_add_begins_at_one_in_nets_alone_and_quietly_in_supernets(alone: bool, gain: float) -> None:
    genes = tuple(int(gene) for gene in PLAIN_SPACE.extreme(largest=True)[0])
    net = (build_net if alone else lambda space, task, _: build_supernet(space, task))(PLAIN_SPACE, PLAIN_SPACE.default_task, genes)
    gains = [module.pw_proj.bn.weight for module in net.modules() if isinstance(module, ConvBlock)]
    gains += [module.bn.weight for module in net.modules() if isinstance(module, PlainBlock)]
    assert len(gains) > 0
    assert all(weight.detach().unique().tolist() == pytest.approx([gain]) for weight in gains)
    outputs = [module.output.proj.weight for module in net.modules() if isinstance(module, Attention)]
    assert len(outputs) > 0
    assert all(weight.std().item() == pytest.approx(gain * (2 / len(weight)) ** 0.5, rel=0.1) for weight in outputs)


def test_a_plain_block_of_a_net_alone_begins_at_one() -> None:
    arch = PLAIN_SPACE.to_json(PLAIN_SPACE.extreme(largest=False)[0])
    arch["stages"][1]["blocks"] = [{"kernels": {"start": 0, "expand": 0, "mid": 3}}]
    net = build_net(PLAIN_SPACE, PLAIN_SPACE.default_task, tuple(int(gene) for gene in PLAIN_SPACE.from_json(arch)[0]))
    assert set(net.get_parameter("stages.1.blocks.0.bn.weight").tolist()) == {1.0}


def test_a_plain_block_is_written_without_an_expansion_and_refuses_one() -> None:
    arch = PLAIN_SPACE.to_json(PLAIN_SPACE.extreme(largest=False)[0])
    arch["stages"][1]["blocks"] = [{"kernels": {"start": 0, "expand": 0, "mid": 3}}]
    assert PLAIN_SPACE.to_json(PLAIN_SPACE.from_json(arch)[0]) == arch
    arch["stages"][1]["blocks"][0]["expansion"] = 2
    with pytest.raises(ArchError, match="no architecture of pvt-mobile-plain"):
        PLAIN_SPACE.from_json(arch)


def test_hand_designed_nets_of_the_plain_space_have_plain_ones_among_them() -> None:
    kernels = {
        tuple(block["kernels"].values())
        for net in hand_designed(PLAIN_SPACE)
        for stage in net["stages"]
        for block in stage.get("blocks", ())
    }
    assert kernels == {(0, 1, 3), (0, 3, 0), (0, 0, 3)}


def test_hand_designed_nets_are_of_one_kind_of_bottleneck_each_without_attention() -> None:
    nets = hand_designed(NANO)
    kinds = set()
    for net in nets:
        spec: MobileSpec = lower(NANO, NANO.from_json(net)[0], NANO.default_task)
        blocks = [part for part in spec.components if isinstance(part, ConvBlockSpec)]
        assert sum(len(stage.blocks) for stage in spec.stages) == len(blocks)
        kinds.add(frozenset(block.kernels for block in blocks))
    assert kinds == {frozenset({(0, 1, 3)}), frozenset({(0, 3, 0)})}
    assert len(nets) == len({str(net) for net in nets}) >= 18


def test_different_rows_are_different_nets() -> None:
    rows = NANO.sample(300, np.random.default_rng(0))
    assert len({lower(NANO, genes_G, NANO.default_task) for genes_G in rows}) == len(rows)
