"""Supernets of private weights keep the same contract, and differ where they should."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgenas.costs import decompose, distinct_components
from edgenas.spaces import SearchSpace, Task, get_space
from edgenas.supernets import build_net
from edgenas.supernets.classical import ClassicalSupernet, fill_from_components
from edgenas.testing.supernets import SupernetConformance, awakened_supernet, images_for

NANO = get_space("pvt-nano")


def classical(space: SearchSpace, task: Task) -> ClassicalSupernet:
    return ClassicalSupernet(space, task, decompose(space, task))


class TestClassicalPvtNano(SupernetConformance):
    max_steps = 256  # one of twelve options of a block learns in a step, the deepest blocks in half of them
    make = staticmethod(classical)

    @pytest.fixture
    def space(self) -> SearchSpace:
        return NANO


@pytest.mark.slow  # the same code as of the family above; a subnet of another family is compared below
class TestClassicalAutoFormerNano(SupernetConformance):
    max_steps = 256
    make = staticmethod(classical)

    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("autoformer-nano")


@pytest.mark.parametrize(
    "name", ["vitas-nano", *(pytest.param(name, marks=pytest.mark.slow) for name in ("pvt-elastic-nano", "pvt-covidx"))]
)
def test_other_families_need_no_code(name: str) -> None:
    space = get_space(name)
    task = Task(3, 3, 64) if name == "pvt-covidx" else space.default_task
    net = awakened_supernet(space, task, classical)
    images_NCHW = images_for(task)
    for genes_G in np.concatenate([space.extreme(largest=False), space.sample(3, np.random.default_rng(0))]):
        genes = tuple(int(gene) for gene in genes_G)
        with torch.no_grad():
            expected_NK = net(images_NCHW, genes)
            torch.testing.assert_close(net.extract(genes)(images_NCHW), expected_NK, atol=1e-5, rtol=1e-5)  # type: ignore[operator]


def gradients_of(net: ClassicalSupernet, arch: dict[str, object]) -> set[str]:
    genes = tuple(int(gene) for gene in NANO.from_json(arch)[0])
    net.zero_grad(set_to_none=True)
    net(images_for(net.task), genes).sum().backward()
    return {name.split(".")[1] for name, parameter in net.named_parameters() if parameter.grad is not None}


def test_options_share_nothing_but_the_frame_and_depths_share_their_first_blocks() -> None:
    net = classical(NANO, NANO.default_task)
    base = {"pool_size": 4, "depths": [1, 1, 1, 1], "qkv_dims": [4, 4, 8, 16], "mlp_ratios": [2, 2, 2, 2]}
    smallest = gradients_of(net, base)
    wider = gradients_of(net, base | {"mlp_ratios": [4, 4, 4, 4]})
    assert smallest & wider == {f"0_{place}_0" for place in range(9)}  # four embeddings, four norms, the head
    deeper = gradients_of(net, base | {"depths": [2, 2, 3, 2]})
    assert smallest < deeper
    assert len(deeper - smallest) == 5


def test_it_holds_every_option_of_every_place() -> None:
    net, task = classical(NANO, NANO.default_task), NANO.default_task
    frame, *stages = decompose(NANO, task)
    blocks = [len(distinct_components([term])) for term in stages]
    depths = [2, 2, 3, 2]
    assert len(net.options) == 9 + sum(num * depth for num, depth in zip(blocks, depths, strict=True))
    assert len(distinct_components([frame])) == 9


def test_a_chain_of_another_net_is_refused() -> None:
    net = build_net(NANO, NANO.default_task, tuple(int(gene) for gene in NANO.extreme(largest=False)[0]))
    with pytest.raises(ValueError, match="no place for a component of weight"):
        fill_from_components(net, [nn.Linear(5, 7)])
    with pytest.raises(ValueError, match=r"the components lack patch_embed\.proj\.weight"):
        fill_from_components(net, [])


def test_its_subnets_start_as_plain_nets_do() -> None:
    """The spread of a fresh weight does not depend on whether it is private."""
    genes = tuple(int(gene) for gene in NANO.extreme(largest=True)[0])
    torch.manual_seed(0)
    own, plain = (
        classical(NANO, NANO.default_task).extract(genes).state_dict(),
        build_net(NANO, NANO.default_task, genes).state_dict(),
    )
    for name, value in own.items():
        if value.numel() > 500:
            np.testing.assert_allclose(float(value.std()), float(plain[name].std()), rtol=0.2, err_msg=name)
