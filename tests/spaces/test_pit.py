from __future__ import annotations

import pytest

from edgenas.errors import ArchError
from edgenas.spaces import Task, get_space
from edgenas.spaces.pit import lower

TI = get_space("pit-ti")
ARCH = {"base_dim": 40, "mlp_ratio": 2, "num_heads": [2, 4, 8], "depths": [2, 4, 4]}


@pytest.mark.parametrize("name", ["pit-ti", "pit-xs", "pit-s"])
def test_cardinality_is_that_of_tf_tas(name: str) -> None:
    assert get_space(name).cardinality == 4 * 4 * 27 * 27 == 11_664


def test_the_readable_form_is_the_contracts() -> None:
    assert TI.to_json(TI.from_json(ARCH)[0]) == ARCH


def test_a_net_is_a_pyramid_whose_width_is_base_dim_times_heads() -> None:
    spec = lower(TI, TI.from_json({**ARCH, "num_heads": [8, 2, 4]})[0], TI.default_task)
    assert [len(stage.blocks) for stage in spec.stages] == [2, 4, 4]
    assert [(stage.blocks[0].grid, stage.blocks[0].embed_dim) for stage in spec.stages] == [(27, 320), (14, 80), (7, 160)]
    assert [(stage.pool.in_dim, stage.pool.embed_dim) for stage in spec.stages if stage.pool] == [(320, 80), (80, 160)]
    assert spec.stages[0].pool is None
    assert spec.stages[1].blocks[0].mlp_hidden == 160


def test_every_illegal_gene_is_named_at_once() -> None:
    with pytest.raises(ArchError) as caught:
        TI.from_json({"base_dim": 48, "mlp_ratio": 3, "num_heads": [2, 3, 8], "depths": [2, 4, 5]})
    assert caught.value.problems == (
        "base_dim is 48; allowed: 16, 24, 32, 40",
        "mlp_ratio is 3; allowed: 2, 4, 6, 8",
        "num_heads[1] is 3; allowed: 2, 4, 8",
        "depths[2] is 5; allowed: 2, 4, 6",
    )


def test_an_image_without_a_patch_is_refused() -> None:
    with pytest.raises(ValueError, match="12 px is too small for patches of 16"):
        lower(TI, TI.extreme(largest=True)[0], Task(10, 3, 12))
