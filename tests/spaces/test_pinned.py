"""Parts of a space, in which some choices have one value."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgenas.costs import cost_models
from edgenas.errors import UsageError
from edgenas.spaces import SPACES, get_space
from edgenas.spaces.named import named_archs
from edgenas.supernets import family

PART = "pvt-elastic-nano[resolution_px=32,stages[0].embed_dim=8]"


def test_nets_of_a_part_are_nets_of_the_whole_and_cost_the_same() -> None:
    part, whole = get_space(PART), get_space("pvt-elastic-nano")
    assert part.base_name == whole.name
    assert 1 < part.cardinality < whole.cardinality
    genes_AG = part.sample(50, np.random.default_rng(0))
    archs = [part.to_json(genes_G) for genes_G in genes_AG]
    assert {arch["resolution_px"] for arch in archs} == {32}
    assert {arch["stages"][0]["embed_dim"] for arch in archs} == {8}
    same_AG = np.concatenate([whole.from_json(arch) for arch in archs])
    for name, model in cost_models(part, part.default_task).items():
        np.testing.assert_array_equal(model(genes_AG), cost_models(whole, whole.default_task)[name](same_AG))


@pytest.mark.parametrize("name", [PART, "pvt-nano[depths[0]=1]", "autoformer-nano[embed_dim=16]"])
def test_a_part_has_a_supernet_whose_subnets_are_its_nets(name: str) -> None:
    space = get_space(name)
    supernet = family(space).build_supernet(space, space.default_task).eval()
    genes = tuple(space.sample(1, np.random.default_rng(0))[0].tolist())
    px = space.default_task.image_px
    images = torch.randn(2, 3, px, px, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(supernet.extract(genes).eval()(images), supernet(images, genes), rtol=1e-4, atol=1e-5)


def test_named_nets_of_the_whole_go_by_name_where_they_are_in_the_part() -> None:
    named, of_part = (set(named_archs(get_space(name))) for name in ("pvt-covidx", "pvt-covidx[pool_size=7]"))
    assert "COViT++" in of_part < named
    assert set(named_archs(get_space("pvt-elastic[resolution_px=160]"))) == {"smallest", "largest"}


def test_a_part_goes_by_its_own_name() -> None:
    part = get_space(PART)
    assert get_space(part.name) == part


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pvt-nano[", "there is no search space"),
        ("pvt-nano[depth=1", "there is no search space"),
        ("nowhere[depth=1]", "there is no search space"),
        ("pvt-nano[depth=1]", "has no choice depth"),
        ("pvt-elastic-nano[stages[0].depth=1]", "stages[0].depth of pvt-elastic-nano cannot be cut down to 1: stages[0].blocks[1]"),
        ("autoformer-nano[depth=1]", "depth of autoformer-nano cannot be cut down to 1: mlp_ratio[1] is there where it is 2 or 3"),
        ("autoformer-nano[depth=3]", "leave depth whole; `edgenas search --limit 'depth<=N'`"),
        ("pvt-nano[pool_size=4,pool_size=2]", "a choice is given twice"),
        ("pvt-nano[]", "has no choice"),
        ("pvt-elastic[resolution_px=161]", "cannot be '161' in pvt-elastic. it is one of 160, 192, 224, 256"),
    ],
)
def test_what_is_no_part_is_refused(name: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        get_space(name)
    assert said in str(caught.value)
    assert set(SPACES) == {space.base_name for space in SPACES.values()}
