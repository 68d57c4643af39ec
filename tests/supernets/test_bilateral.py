"""Subnets of a bilateral supernet answer with both of their ends (BCNet)."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch

from edgenas.errors import UsageError
from edgenas.spaces import get_space
from edgenas.supernets import build_supernet
from edgenas.supernets.bilateral import BilateralSupernet, with_both_sides
from edgenas.supernets.vitas import PARTS
from edgenas.testing.supernets import awakened_supernet, images_for

NANO = get_space("vitas-nano")
TASK = NANO.default_task
NARROWEST, WIDEST = (tuple(NANO.extreme(largest=largest)[0].tolist()) for largest in (False, True))


def bilateral() -> BilateralSupernet:
    torch.manual_seed(0)
    return BilateralSupernet(awakened_supernet(NANO, TASK))


def narrow() -> tuple[int, ...]:
    """All blocks, all of them as narrow as they can be."""
    block = {"num_heads": 2, "qkv_out": 24, "mlp_hidden": 16}
    return tuple(NANO.from_json({"patch_size": 8, "embed_dim": 8, "blocks": [block] * 3})[0].tolist())


def test_training_adds_the_logits_of_both_sides_and_evaluation_takes_their_mean() -> None:
    supernet, images = bilateral(), images_for(TASK)
    for genes in (narrow(), WIDEST):
        with torch.no_grad():
            sides = [supernet.eval()(images, genes, parts) for parts in PARTS.values()]
            torch.testing.assert_close(supernet(images, genes), (sides[0] + sides[1]) / 2)
            torch.testing.assert_close(supernet.train()(images, genes), sides[0] + sides[1])


def test_the_narrowest_subnet_teaches_first_and_last_channels_alike() -> None:
    supernet = bilateral().train()
    supernet(images_for(TASK), narrow()).square().sum().backward()
    grad = supernet.blocks[0].mlp.fc1.weight.grad
    assert grad is not None
    learnt = grad.abs().sum(1) > 0
    assert bool(learnt[:16].all())
    assert bool(learnt[-16:].all())
    assert not bool(learnt[16:-16].any())


def test_weights_are_those_of_the_plain_supernet_and_an_extracted_net_is_its_left_side() -> None:
    supernet, images = bilateral().eval(), images_for(TASK)
    plain = build_supernet(NANO, TASK)
    plain.load_state_dict(supernet.state_dict())
    with torch.no_grad():
        expected = plain.eval()(images, narrow())
        assert torch.equal(supernet.extract(narrow())(images), expected)
        assert torch.equal(deepcopy(supernet)(images, narrow()), supernet(images, narrow()))
    assert not supernet.extract(narrow()).training


@pytest.mark.parametrize("name", ["pvt-nano", "autoformer-tiny"])
def test_families_of_one_side_are_refused(name: str) -> None:
    space = get_space(name)
    with pytest.raises(UsageError, match=f"subnets of {name} have one side only"):
        with_both_sides(build_supernet(space, space.default_task))


def test_over_all_widths_a_bilateral_step_uses_every_channel_equally_often() -> None:
    """Counted by which channels of the class token get a gradient."""
    supernet = bilateral().train()
    widths = next(choice for choice in NANO.choices if choice.name == "embed_dim").options
    uses = np.zeros(max(widths), dtype=int)
    for width in widths:
        for parts in PARTS.values():
            supernet.zero_grad()
            genes = tuple(NANO.from_json({"patch_size": 8, "embed_dim": width, "blocks": [None] * 3})[0].tolist())
            supernet(images_for(TASK), genes, parts).square().sum().backward()
            uses += (supernet.embeds["8"].cls_token.grad.flatten() != 0).numpy()
    assert set(uses) == {len(widths) + 1}
