"""Existing weights become the start of a supernet, and what they are not is said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from edgenas.errors import CheckpointError
from edgenas.spaces import Task, get_space
from edgenas.spaces.named import NAMED
from edgenas.supernets import build_supernet
from edgenas.supernets.autoformer import build_supernet as build_autoformer
from edgenas.supernets.pvt_start import COVITPP_DEFECTS
from edgenas.supernets.start import load_weights
from edgenas.supernets.starting import MOST_NAMED, TaskNames, fit_task, plain_names
from edgenas.testing.supernets import awakened_supernet, images_for

PVT, NANO = get_space("pvt-nano"), get_space("autoformer-nano")
COVIDX = get_space("pvt-covidx")


def awake(net: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return net.eval()


def vit(task: Task = NANO.default_task, **changes: Any) -> VisionTransformer:
    settings = {"embed_dim": 16, "depth": 2, "num_heads": 2, "mlp_ratio": 2.0, "num_classes": task.num_classes} | changes
    settings |= {"img_size": task.image_px, "in_chans": task.in_channels, "patch_size": 4}
    return awake(with_our_norms(VisionTransformer(**settings)))  # type: ignore[return-value]


def with_our_norms(net: nn.Module) -> nn.Module:
    """The same net, its norms adding what AutoFormer's do to the variance, 1e-5; timm's add 1e-6."""
    for norm in net.modules():
        if isinstance(norm, nn.LayerNorm):
            norm.eps = 1e-5
    return net.eval()


def deit_tiny(image_px: int = 224) -> nn.Module:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        return with_our_norms(timm.create_model("deit_tiny_patch16_224", pretrained=False, img_size=image_px))


def genes_of(space: Any, arch: dict[str, Any]) -> tuple[int, ...]:
    return tuple(int(gene) for gene in space.from_json(arch)[0])


SUBNET = {"embed_dim": 16, "num_heads": [2, 2], "mlp_ratio": [2.0, 2.0]}


class TestVisionTransformers:
    @pytest.mark.parametrize("changes", [{}, {"init_values": 0.3}])
    def test_a_subnet_of_its_widths_gives_its_logits(self, changes: dict[str, Any]) -> None:
        source = vit(**changes)
        supernet = build_autoformer(NANO, NANO.default_task, global_pool="token").eval()
        notes = load_weights(supernet, source.state_dict(), "vit")
        images_NCHW = images_for(NANO.default_task)
        with torch.no_grad():
            answer_NK = supernet(images_NCHW, genes_of(NANO, SUBNET))
            torch.testing.assert_close(answer_NK, source(images_NCHW), atol=1e-5, rtol=1e-5)
        assert any("16 of 24 channels, 2 of 3 heads of 8, 32 of 48 hidden channels, 2 of 3 blocks" in note for note in notes)
        assert not any("left out" in note for note in notes)

    def test_blocks_heads_and_hidden_channels_that_it_lacks_add_nothing_at_first(self) -> None:
        source = vit(embed_dim=24, num_heads=3, depth=1, mlp_ratio=1.5)
        supernet = build_autoformer(NANO, NANO.default_task, global_pool="token").eval()
        load_weights(supernet, source.state_dict(), "vit")
        images_NCHW = images_for(NANO.default_task)
        with torch.no_grad():
            for largest in (True, False):
                arch = {"embed_dim": 24, "num_heads": [3] * 3, "mlp_ratio": [2.0 if largest else 1.5] * 3}
                answer_NK = supernet(images_NCHW, genes_of(NANO, arch))
                torch.testing.assert_close(answer_NK, source(images_NCHW), atol=1e-5, rtol=1e-5)

    def test_a_larger_one_gives_its_leading_heads_channels_and_blocks(self) -> None:
        source = vit(embed_dim=40, depth=4, num_heads=5, mlp_ratio=3.0)
        supernet = build_supernet(NANO, NANO.default_task)
        notes = load_weights(supernet, source.state_dict(), "vit")
        state, own = source.state_dict(), plain_names(supernet.state_dict())
        qkv = state["blocks.2.attn.qkv.weight"].reshape(3, 5, 8, 40)[:, :3, :, :24].reshape(72, 24)
        assert torch.equal(own["blocks.2.attn.qkv.weight"], qkv)
        assert torch.equal(own["blocks.2.mlp.fc2.weight"], state["blocks.2.mlp.fc2.weight"][:24, :48])
        left_out = "left out are its last 16 channels, 2 heads of 8, 72 hidden channels, 1 blocks"
        assert any(left_out in note for note in notes)
        assert any("the mean over patches" in note for note in notes)
        assert not own["blocks.0.attn.rel_pos_k.vertical"].any()

    def test_deit_tiny_of_timm_gives_its_logits(self) -> None:
        space = get_space("autoformer-tiny")
        source = deit_tiny()
        supernet = build_autoformer(space, space.default_task, global_pool="token").eval()
        load_weights(supernet, source.state_dict(), "timm:deit_tiny_patch16_224")
        arch = {"embed_dim": 192, "num_heads": [3] * 12, "mlp_ratio": [4] * 12}
        images_NCHW = images_for(space.default_task, 1)
        with torch.no_grad():
            answer_NK, expected_NK = supernet(images_NCHW, genes_of(space, arch)), source(images_NCHW)
        assert float(expected_NK.std()) > 0.01
        torch.testing.assert_close(answer_NK, expected_NK, atol=1e-5, rtol=1e-5)

    def test_a_distilled_one_leaves_its_second_token_out(self) -> None:
        source = timm.models.deit.VisionTransformerDistilled(img_size=32, patch_size=4, embed_dim=16, depth=2, num_heads=2)
        supernet = build_supernet(NANO, NANO.default_task)
        state = awake(source).state_dict()
        notes = load_weights(supernet, state, "deit")
        assert any("distillation token" in note for note in notes)
        assert any("it had 1000 classes, 10 are wanted" in note for note in notes)
        own = plain_names(supernet.state_dict())
        assert torch.equal(own["pos_embed"][0, 1:, :16], state["pos_embed"][0, 2:])

    def test_positions_without_the_class_token_are_aligned(self) -> None:
        state = vit(no_embed_class=True).state_dict()
        supernet = build_supernet(NANO, NANO.default_task)
        load_weights(supernet, state, "deit3")
        own = plain_names(supernet.state_dict())
        assert torch.equal(own["pos_embed"][0, 1:, :16], state["pos_embed"][0])
        assert not own["pos_embed"][0, 0, :16].any()

    def test_parts_that_have_no_place_are_refused(self) -> None:
        supernet = build_supernet(NANO, NANO.default_task)
        before = {name: value.clone() for name, value in supernet.state_dict().items()}
        state = vit().state_dict() | {"blocks.0.attn.q_norm.weight": torch.ones(8), "blocks.1.norm1.bias": torch.ones(2, 2)}
        state["patch_embed.proj.weight"] = torch.ones(16, 3, 8, 8)
        del state["cls_token"]
        with pytest.raises(CheckpointError, match="vit holds no weights that autoformer-nano can start from") as caught:
            load_weights(supernet, state, "vit")
        assert caught.value.problems == (
            "cls_token is missing",
            "blocks.0.attn.q_norm.weight is unknown",
            "patch_embed.proj.weight has shape (16, 3, 8, 8), of which no part fits (24, 3, 4, 4)",
            "blocks.1.norm1.bias has shape (2, 2), of which no part fits (24,)",
        )
        assert all(torch.equal(value, before[name]) for name, value in supernet.state_dict().items())


class TestOtherTasks:
    @pytest.mark.parametrize("image_px", [192, 256])
    def test_positions_are_interpolated_as_timm_does(self, image_px: int) -> None:
        task = Task(1000, 3, image_px)
        space = get_space("autoformer-tiny")
        supernet = build_autoformer(space, task, global_pool="token").eval()
        source, other = deit_tiny(), deit_tiny(image_px)
        notes = load_weights(supernet, source.state_dict(), "timm:deit_tiny_patch16_224")
        assert any(f"14 x 14 patches were interpolated to {image_px // 16} x {image_px // 16}" in note for note in notes)
        other.load_state_dict(timm.models.vision_transformer.checkpoint_filter_fn(source.state_dict(), other))
        arch = {"embed_dim": 192, "num_heads": [3] * 12, "mlp_ratio": [4] * 12}
        images_NCHW = images_for(task, 1)
        with torch.no_grad():
            answer_NK = supernet(images_NCHW, genes_of(space, arch))
            torch.testing.assert_close(answer_NK, other(images_NCHW), atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize("space", [PVT, NANO], ids=lambda space: space.name)
    def test_our_own_supernet_goes_on_with_other_classes_channels_and_resolution(self, space: Any) -> None:
        source = awakened_supernet(space, space.default_task)
        same = build_supernet(space, space.default_task)
        assert load_weights(same, source.state_dict(), "w") == ()
        assert all(torch.equal(value, source.state_dict()[name]) for name, value in same.state_dict().items())
        task = Task(7, 1, space.default_task.image_px + 16)
        other = build_supernet(space, task).eval()
        notes = load_weights(other, source.state_dict(), "w")
        own, state = plain_names(other.state_dict()), plain_names(source.state_dict())
        summed = state["patch_embed.proj.weight"].sum(dim=1, keepdim=True)
        torch.testing.assert_close(own["patch_embed.proj.weight"], summed)
        assert any("the patch embedding of 3 input channels was adapted to 1" in note for note in notes)
        assert any("the head starts fresh: it had 10 classes, 7 are wanted" in note for note in notes)
        assert ("pos_embed" in own) == any("8 x 8 patches were interpolated to 12 x 12" in note for note in notes)
        genes = tuple(int(gene) for gene in space.extreme(largest=True)[0])
        assert other(images_for(task), genes).shape == (2, 7)

    def test_four_channels_are_three_and_the_first_again_scaled(self) -> None:
        own = {"e": torch.zeros(2, 4, 1, 1), "h": torch.zeros(3, 2), "b": torch.zeros(3)}
        state = {"e": torch.arange(6.0).reshape(2, 3, 1, 1), "h": torch.zeros(3, 2), "b": torch.zeros(3)}
        fitted = fit_task(state, own, TaskNames("e", ("h", "b")))
        assert fitted.state["e"][0].flatten().tolist() == [0.0, 0.75, 1.5, 0.0]
        assert fitted.fresh == ()


class TestOtherSpaces:
    def test_one_error_lists_what_differs_and_counts_the_rest(self) -> None:
        small = build_supernet(get_space("autoformer-small"), replace(NANO.default_task, image_px=224))
        supernet = build_supernet(NANO, NANO.default_task)
        before = {name: value.clone() for name, value in supernet.state_dict().items()}
        with pytest.raises(CheckpointError) as caught:
            load_weights(supernet, small.state_dict(), "small.safetensors")
        error = caught.value
        assert error.message == "small.safetensors holds no weights that autoformer-nano can start from"
        assert len(error.problems) == 2 * (MOST_NAMED + 1)
        assert error.problems[MOST_NAMED] == f"{11 * 16 - MOST_NAMED} more unknown"
        assert error.problems[-1].endswith("more of other shapes")
        assert all(torch.equal(value, before[name]) for name, value in supernet.state_dict().items())

    @pytest.mark.parametrize(("space", "other"), [(PVT, NANO), (NANO, PVT)], ids=lambda space: space.name)
    def test_another_family_is_refused(self, space: Any, other: Any) -> None:
        state = build_supernet(other, other.default_task).state_dict()
        with pytest.raises(CheckpointError, match=f"no weights that {space.name} can start from") as caught:
            load_weights(build_supernet(space, space.default_task), state, "w")
        assert {problem.split(" ")[-1] for problem in caught.value.problems} >= {"missing", "unknown"}

    def test_values_that_are_not_finite_are_refused(self) -> None:
        supernet = build_supernet(PVT, PVT.default_task)
        state = dict(supernet.state_dict())
        name = "net.stages.1.norm.weight"
        state[name] = torch.full_like(state[name], torch.nan)
        with pytest.raises(CheckpointError, match="not finite") as caught:
            load_weights(supernet, state, "w")
        assert caught.value.problems == (name,)


def as_covitpp(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of `pvt-covidx` under the names of COViT++'s file."""
    result = {}
    for name, value in plain_names(state).items():
        parts = name.split(".")
        if parts[0] == "patch_embed":
            name = ".".join(["patch_embed1", *parts[1:]])
        elif parts[0] == "head":
            name = ".".join(["head", "classifier", *parts[1:]])
        else:
            stage, kind, rest = int(parts[1]) + 1, parts[2], parts[3:]
            theirs = {"downsample": "patch_embed", "blocks": "block", "norm": "norm"}[kind]
            name = ".".join([f"{theirs}{stage}", *rest])
        result[name] = value
    return result


class TestPvtV2:
    @pytest.mark.parametrize("in_channels", [3, 1])
    def test_timms_weights_start_the_elastic_supernet(self, in_channels: int) -> None:
        space = get_space("pvt-elastic-32")
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            source = awake(timm.create_model("pvt_v2_b0", pretrained=False, num_classes=5))
            grey = timm.create_model("pvt_v2_b0", pretrained=False, num_classes=5, in_chans=in_channels).eval()
        state = source.state_dict()
        supernet = build_supernet(space, Task(5, in_channels, 224)).eval()
        notes = load_weights(supernet, {f"module.{name}": value for name, value in state.items()}, "timm:pvt_v2_b0")
        adapted = timm.models.adapt_input_conv(in_channels, state["patch_embed.proj.weight"])
        grey.load_state_dict(state | {"patch_embed.proj.weight": adapted})
        assert any("adapted to 1" in note for note in notes) == (in_channels == 1)
        images_NCHW = images_for(supernet.task, 1)
        with torch.no_grad():
            answer_NK = supernet(images_NCHW, genes_of(space, dict(NAMED["pvt_v2_b0"].arch)))
            torch.testing.assert_close(answer_NK, grey(images_NCHW), atol=1e-4, rtol=1e-4)

    def test_an_elastic_supernet_of_ours_is_read_too(self) -> None:
        space = get_space("pvt-elastic-nano")
        source = awakened_supernet(space, space.default_task)
        supernet = build_supernet(space, space.default_task)
        assert load_weights(supernet, source.state_dict(), "w") == ()
        assert all(torch.equal(value, source.state_dict()[name]) for name, value in supernet.state_dict().items())


class TestCovitpp:
    TASK = Task(3, 3, 64)

    def file(self, *, ratios: tuple[int, ...] = (8, 8, 8, 4)) -> tuple[nn.Module, dict[str, Tensor]]:
        source = awakened_supernet(COVIDX, self.TASK)
        state = as_covitpp(source.state_dict())
        for name, value in state.items():
            if ".mlp." in name and ratios[int(name[5]) - 1] != (8, 8, 8, 4)[int(name[5]) - 1]:
                half = value.shape[0] // 2
                if "fc2" not in name:
                    state[name] = value[:half]
                elif name.endswith("weight"):
                    state[name] = value[:, : value.shape[1] // 2]
        return source, state

    def test_its_file_becomes_our_weights_and_every_defect_is_named(self) -> None:
        source, state = self.file()
        assert "block3.11.attn.kv.weight" in state
        assert "head.classifier.8.weight" in state
        supernet = build_supernet(COVIDX, self.TASK).eval()
        notes = load_weights(supernet, {f"module.{name}": value for name, value in state.items()}, "supermodel_checkpoint.pth")
        assert notes == COVITPP_DEFECTS
        assert all(torch.equal(value, source.state_dict()[name]) for name, value in supernet.state_dict().items())

    def test_the_supernet_of_smaller_mlps_fills_leading_hidden_channels(self) -> None:
        source, state = self.file(ratios=(8, 8, 4, 4))
        supernet = build_supernet(COVIDX, self.TASK).eval()
        notes = load_weights(supernet, state, "w.pth")
        assert notes[-1] == "filled are 640 of 1280 hidden channels of stage 3, the others start fresh"
        arch = {"pool_size": 15, "depths": [3, 4, 12, 2], "qkv_dims": [32, 64, 160, 256], "mlp_ratios": [8, 8, 4, 4]}
        genes, images_NCHW = genes_of(COVIDX, arch), images_for(self.TASK)
        with torch.no_grad():
            assert torch.equal(supernet(images_NCHW, genes), source(images_NCHW, genes))

    def test_differences_are_listed_under_our_names(self) -> None:
        _, state = self.file()
        del state["block2.3.attn.sr.weight"]
        state["block1.0.mlp.fc1.bias"] = torch.zeros(100)
        state["norm5.weight"] = torch.zeros(4)
        with pytest.raises(CheckpointError) as caught:
            load_weights(build_supernet(COVIDX, self.TASK), state, "w.pth")
        assert caught.value.problems == (
            "stages.1.blocks.3.attn.sr.weight is missing",
            "norm5.weight is unknown",
        )
        state = self.file()[1] | {"block1.0.mlp.fc1.bias": torch.zeros(100)}
        with pytest.raises(CheckpointError, match="no weights") as caught:
            load_weights(build_supernet(COVIDX, self.TASK), state, "w.pth")
        assert caught.value.problems == ("stages.0.blocks.0.mlp.fc1.bias has the width 100 of no MLP ratio",)

    def test_the_last_layer_alone_starts_fresh_for_other_classes(self) -> None:
        source, state = self.file()
        supernet = build_supernet(COVIDX, Task(2, 3, 64))
        notes = load_weights(supernet, state, "w.pth")
        assert "the head starts fresh: it had 3 classes, 2 are wanted" in notes
        assert torch.equal(supernet.state_dict()["net.head.4.weight"], source.state_dict()["net.head.4.weight"])
