from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgenas.errors import ArchError
from edgenas.spaces import Task, get_space, unique_rows
from edgenas.spaces.vitas import lower
from tests.vitas import of_net_id

NANO, LARGE, TIED = (get_space(name) for name in ("vitas-nano", "vitas-384", "vitas-block"))
BLOCK = {"num_heads": 12, "qkv_out": 288, "mlp_hidden": 1008}
ARCH = {"patch_size": 16, "embed_dim": 154, "blocks": [BLOCK, None] * 8}


def tied(blocks: list[Any]) -> dict[str, Any]:
    return {"patch_size": 16, "embed_dim": 230, "blocks": blocks}


@pytest.mark.parametrize(
    ("name", "cardinality"),
    [
        ("vitas-nano", 3 * 3 * (1 + 2 * 3 * 3) ** 3),
        ("vitas-384", 3 * 10 * (1 + 4 * 10 * 10) ** 16),
        ("vitas-768", 3 * 10 * (1 + 4 * 10 * 10) ** 16),
        ("vitas-block", 3 * 10 * 16 * 4 * 10 * 10),
    ],
)
def test_identities_drop_their_widths_and_keep_their_places(name: str, cardinality: int) -> None:
    assert get_space(name).cardinality == cardinality


def test_without_the_places_of_identities_as_many_nets_are_left_as_the_ancestor_has_distinct_ones(fixture_json: Any) -> None:
    every = NANO.enumerate()
    alike = every[(every[:, :2] == 0).all(axis=1)]  # one patch size and width
    nets = {lower(NANO, row, NANO.default_task).components for row in alike}
    assert len(nets) == sum(18**blocks for blocks in range(4)) < len(alike)
    expected = fixture_json("vitas_reference.json")["space_384"]["functionally_distinct"]
    assert expected == 3 * 10 * sum(400**blocks for blocks in range(17)) < LARGE.cardinality


def test_the_readable_form_has_null_for_an_identity() -> None:
    row = LARGE.from_json(ARCH)
    assert LARGE.to_json(row[0]) == ARCH
    spec = lower(LARGE, row[0], LARGE.default_task)
    assert spec.places == tuple(range(0, 16, 2))
    assert [block.qkv_dim for block in spec.blocks] == [96] * 8


def test_identities_at_the_end_may_be_left_out() -> None:
    for blocks in ([BLOCK, None, BLOCK], [BLOCK], []):
        row = LARGE.from_json({**ARCH, "blocks": blocks})
        assert LARGE.to_json(row[0])["blocks"] == blocks + [None] * (16 - len(blocks))


def test_every_genome_of_the_ancestor_is_an_architecture(fixture_json: Any) -> None:
    for row in fixture_json("counts_vitas.json")["rows"]:
        arch = of_net_id(row["net_id"])
        assert LARGE.to_json(LARGE.from_json(arch)[0]) == arch


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"patch_size": 8}, "patch_size is 8; allowed: 32, 16, 14"),
        ({"blocks": [{**BLOCK, "num_heads": 5}]}, "blocks[0].num_heads is 5; allowed: identity, 3, 6, 12, 16"),
        ({"blocks": [None, {**BLOCK, "qkv_out": 300}]}, "blocks[1].qkv_out is 300; allowed: 144, 288, 432, 576, "),
        ({"blocks": [None, {"num_heads": 3}]}, "blocks[1].mlp_hidden is missing; allowed: 144, 288, "),
        ({"blocks": [BLOCK] * 17}, "blocks has 17 entries; allowed: 16"),
        ({"blocks": [{**BLOCK, "depth": 1}]}, "blocks[0].depth is unknown"),
        ({"blocks": [None, {"num_heads": "identity", "qkv_out": 144}]}, "blocks[1].qkv_out is unknown"),
        ({"blocks": BLOCK}, "blocks[15].num_heads is missing; allowed: identity, 3, "),
        ({"blocks": [None, 3]}, "blocks[1].num_heads is missing; "),
    ],
)
def test_what_is_wrong_with_a_list_of_blocks_is_named(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ArchError) as caught:
        LARGE.from_json({**ARCH, **changes})
    assert any(line.startswith(problem) for line in caught.value.problems), caught.value.problems


def test_widths_are_looked_at_even_where_the_head_number_is_illegal() -> None:
    with pytest.raises(ArchError) as caught:
        LARGE.from_json({**ARCH, "blocks": [{"num_heads": 5, "qkv_out": 1, "mlp_hidden": 144}]})
    assert [problem.split(";")[0] for problem in caught.value.problems] == ["blocks[0].num_heads is 5", "blocks[0].qkv_out is 1"]


@pytest.mark.parametrize(
    ("blocks", "problem"),
    [
        ([BLOCK, {**BLOCK, "num_heads": 3}], "blocks.num_heads is 12 or 3; allowed: 3, 6, 12, 16"),
        ([BLOCK, {"num_heads": 12, "mlp_hidden": 1008}], "blocks.qkv_out is 288 or missing; allowed: 144, "),
        ([None, BLOCK], "blocks.depth is 1 blocks with an identity between them; allowed: 1, 2, "),
        ([BLOCK] * 17, "blocks.depth is 17 of 17 blocks; allowed: 1, 2, "),
        ([None] * 16, "blocks.depth is 0; allowed: 1, 2, "),
        ([BLOCK, 3], "blocks.num_heads is 12 or missing; "),
        ([{**BLOCK, "width": 3}], "blocks.width is unknown"),
        ({"depth": 1, **BLOCK}, "blocks.depth is missing; "),
    ],
)
def test_what_is_wrong_with_tied_blocks_is_named(blocks: Any, problem: str) -> None:
    with pytest.raises(ArchError) as caught:
        TIED.from_json(tied(blocks))
    assert any(line.startswith(problem) for line in caught.value.problems), caught.value.problems


def test_tied_blocks_are_written_as_a_list_and_stand_at_the_first_places() -> None:
    arch = tied([BLOCK] * 12 + [None] * 4)
    row = TIED.from_json(arch)
    assert TIED.to_json(row[0]) == arch
    assert TIED.values(row[0])["blocks.depth"] == 12
    assert lower(TIED, row[0], Task(2, 3, 64)).places == tuple(range(12))
    assert np.array_equal(TIED.from_json(tied([BLOCK] * 12)), row)


def test_every_tied_net_is_one_of_the_free_space_too() -> None:
    rows = TIED.sample(50, np.random.default_rng(0))
    free = np.concatenate([LARGE.from_json(TIED.to_json(row)) for row in rows])
    assert len(unique_rows(free)) == len(unique_rows(rows))


def test_head_widths_are_whole_at_every_level() -> None:
    for space in (NANO, LARGE, TIED, get_space("vitas-768")):
        names = [choice.name for choice in space.choices if choice.name.endswith("qkv_out")]
        for name in names:
            heads = [h for h in space.choices[space.index[name] - 1].options if isinstance(h, int)]
            assert all(width % (3 * h) == 0 for width in space.choices[space.index[name]].options for h in heads)  # type: ignore[operator]


def test_an_image_without_a_patch_is_refused() -> None:
    with pytest.raises(ValueError, match="16 px is too small for patches of 32"):
        lower(LARGE, LARGE.extreme(largest=False)[0], Task(2, 3, 16))
