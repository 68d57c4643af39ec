"""Nets of one architecture that answer together."""

from __future__ import annotations

import pytest
import torch

from edgenas.spaces.pvt import PVT_NANO
from edgenas.supernets.ensemble import Ensemble, build_ensemble, member_prefix

TASK = PVT_NANO.default_task
GENES = tuple(int(gene) for gene in PVT_NANO.extreme(largest=False)[0])
IMAGES = torch.randn(3, TASK.in_channels, TASK.image_px, TASK.image_px, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("num_members", [2, 3])
def test_several_nets_answer_by_the_mean_of_their_logits(num_members: int) -> None:
    together = build_ensemble(PVT_NANO, TASK, GENES, num_members).eval()
    assert isinstance(together, Ensemble)
    with torch.no_grad():
        each = [member(IMAGES) for member in together.members]
        assert not torch.allclose(each[0], each[1], atol=1e-3)  # they start apart
        torch.testing.assert_close(together(IMAGES), torch.stack(each).mean(0), rtol=1e-5, atol=1e-6)


def test_one_net_is_a_plain_one() -> None:
    assert not isinstance(build_ensemble(PVT_NANO, TASK, GENES, 1), Ensemble)


def test_tensors_are_found_by_member() -> None:
    names = build_ensemble(PVT_NANO, TASK, GENES, 2).state_dict()
    firsts = {name.removeprefix(member_prefix(0)) for name in names if name.startswith(member_prefix(0))}
    assert firsts == {name.removeprefix(member_prefix(1)) for name in names if name.startswith(member_prefix(1))}
    assert 2 * len(firsts) == len(names)
