from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from edgenas.costs import cost_models, decompose, sum_of_components
from edgenas.costs.vitas import count_ancestor_macs, count_macs, count_params
from edgenas.spaces import Task, get_space
from edgenas.spaces.named import NAMED
from edgenas.spaces.vitas import IMAGENET, Geometry, assemble, lower
from edgenas.supernets import build_net, build_supernet
from edgenas.supernets.vitas_net import VitasNet
from tests.macs import fvcore_macs
from tests.vitas import of_net_id, of_reference

SPACES = {"A": "vitas-384", "B": "vitas-384", "C": "vitas-block", "E": "vitas-384", "F": "vitas-768"}
LARGE = get_space("vitas-384")


def test_the_ancestors_macs_equal_every_row_of_its_counter(fixture_json: Any) -> None:
    rows = fixture_json("counts_vitas.json")["rows"]
    genes = np.concatenate([LARGE.from_json(of_net_id(row["net_id"])) for row in rows])
    assert len(genes) == 12
    assert cost_models(LARGE, IMAGENET)["ancestor_macs"](genes).tolist() == [row["seed_flops"] for row in rows]


@pytest.mark.parametrize("letter", list(SPACES))
def test_counts_equal_the_published_nets_to_the_integer(letter: str, fixture_json: Any) -> None:
    row = fixture_json("vitas_reference.json")[f"ViTAS-{letter}"]
    space = get_space(SPACES[letter])
    genes, models = space.from_json(of_reference(row["arch"])), cost_models(space, IMAGENET)
    assert models["params"](genes)[0] == row["params"]
    assert models["ancestor_macs"](genes)[0] == row["seed_count_flops"]
    expected = sum(row["fvcore_by_op"][kind] for kind in ("conv", "linear", "matmul"))
    assert models["reference_macs"](genes)[0] == models["macs"](genes)[0] == expected


@pytest.mark.parametrize("patch_size", [14, 16, 32])
def test_the_ends_of_the_space_are_the_published_ones(patch_size: int, fixture_json: Any) -> None:
    expected = fixture_json("vitas_reference.json")["space_384"]["seed_flops_extremes"]
    count = cost_models(LARGE, IMAGENET)["ancestor_macs"]
    narrow, wide = ({"num_heads": 3, "qkv_out": width, "mlp_hidden": width} for width in (144, 1440))
    ends = {
        "max": {"patch_size": patch_size, "embed_dim": 384, "blocks": [wide] * 16},
        "min_no_id": {"patch_size": patch_size, "embed_dim": 38, "blocks": [narrow] * 16},
        "min_all_id": {"patch_size": patch_size, "embed_dim": 38, "blocks": [None] * 16},
    }
    for name, arch in ends.items():
        assert count(LARGE.from_json(arch))[0] == expected[f"patch{patch_size}_{name}"]


def test_the_supernet_has_as_many_parameters_as_the_ancestors(fixture_json: Any) -> None:
    with torch.device("meta"):
        supernet = build_supernet(LARGE, IMAGENET)
    expected = fixture_json("vitas_reference.json")["space_384"]["supernet_params"]
    assert sum(parameter.numel() for parameter in supernet.parameters()) == expected


@pytest.mark.parametrize("letter", ["A", "C", *(pytest.param(letter, marks=pytest.mark.slow) for letter in "BEF")])
def test_the_built_winner_executes_what_is_counted(letter: str, fixture_json: Any) -> None:
    spec = assemble(IMAGENET, of_reference(fixture_json("vitas_reference.json")[f"ViTAS-{letter}"]["arch"]))
    net = VitasNet(spec)
    assert sum(parameter.numel() for parameter in net.parameters()) == sum(map(count_params, spec.components))
    assert fvcore_macs(net, torch.zeros(1, 3, 224, 224)) == sum(map(count_macs, spec.components))


@pytest.mark.parametrize("size", ["tiny", "small"])
def test_deit_by_the_ancestors_rule_is_what_it_notes(size: str, fixture_json: Any) -> None:
    dim, heads = {"tiny": (192, 3), "small": (384, 6)}[size]
    block = {"num_heads": heads, "qkv_out": 3 * dim, "mlp_hidden": 4 * dim}
    components = assemble(IMAGENET, {"patch_size": 16, "embed_dim": dim, "blocks": [block] * 12}).components
    assert sum(map(count_ancestor_macs, components)) == fixture_json("vitas_reference.json")["deit_rule"][size]


COUNTS = {"params": count_params, "macs": count_macs, "ancestor_macs": count_ancestor_macs}


@pytest.mark.parametrize("name", ["vitas-nano", "vitas-384", "vitas-768", "vitas-block"])
def test_counts_are_those_of_the_components(name: str) -> None:
    space, task = get_space(name), Task(5, 1, 80)
    rows, models = space.sample(30, np.random.default_rng(0)), cost_models(space, task)
    nets = [lower(space, row, task).components for row in rows]
    for cost, count in COUNTS.items():
        assert models[cost](rows).tolist() == [sum(map(count, net)) for net in nets]


def test_the_small_tables_give_what_the_terms_give() -> None:
    space, task = get_space("vitas-nano"), Task(5, 1, 48)
    rows, terms, models = space.enumerate(), decompose(space, task), cost_models(space, task)
    for cost, count in COUNTS.items():
        assert np.array_equal(models[cost](rows), sum_of_components(cost, "", terms, count)(rows))


@pytest.mark.parametrize("task", [Task(7, 1, 48), Task(10, 4, 36)])
def test_counts_follow_classes_channels_and_resolution(task: Task) -> None:
    space = get_space("vitas-nano")
    row = space.sample(1, np.random.default_rng(0))
    net, models = build_net(space, task, tuple(row[0].tolist())), cost_models(space, task)
    assert models["params"](row)[0] == sum(parameter.numel() for parameter in net.parameters())
    assert models["macs"](row)[0] == fvcore_macs(net, torch.zeros(1, task.in_channels, task.image_px, task.image_px))


def test_no_patch_size_is_the_cheapest_in_everything() -> None:
    """Why the ends of costs are looked for among several corners."""
    models, corners = cost_models(LARGE, IMAGENET), LARGE.corners(largest=False)
    patches = [LARGE.values(row)["patch_size"] for row in corners]
    assert patches == [32, 16, 14]
    assert (patches[models["params"](corners).argmin()], patches[models["macs"](corners).argmin()]) == (14, 32)


def test_levels_round_to_whole_widths() -> None:
    geometry = Geometry((16,), 384, 1440, 1440, (3,), 1)
    assert geometry.widths(384) == (38, 77, 115, 154, 192, 230, 269, 307, 346, 384)
    assert geometry.widths(768) == (77, 154, 230, 307, 384, 461, 538, 614, 691, 768)


@pytest.mark.parametrize("letter", list(SPACES))
def test_the_published_nets_have_names(letter: str, fixture_json: Any) -> None:
    row, named = fixture_json("vitas_reference.json")[f"ViTAS-{letter}"], NAMED[f"ViTAS-{letter}"]
    assert (named.space, named.arch) == (SPACES[letter], of_reference(row["arch"]))
    assert named.reported is not None
    assert named.reported.macs == row["published_MFLOPs"] * 10**6
    assert named.reported.macs == pytest.approx(row["seed_count_flops"], rel=0.01)
