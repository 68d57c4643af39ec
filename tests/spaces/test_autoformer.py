from __future__ import annotations

import numpy as np
import pytest

from edgenas.errors import ArchError
from edgenas.spaces import Task, get_space
from edgenas.spaces.autoformer import lower

TINY = get_space("autoformer-tiny")
ARCH = {"embed_dim": 216, "mlp_ratio": [3.5, 4.0] * 6, "num_heads": [3, 4, 4] * 4}


@pytest.mark.parametrize(
    ("name", "cardinality"),
    [
        ("autoformer-tiny", 1_056_964_608),
        ("autoformer-small", 77_103_263_459_313),
        ("autoformer-base", 10_108_977_168_384),
    ],
)
def test_cardinality_is_the_number_of_canonical_genes(name: str, cardinality: int) -> None:
    assert get_space(name).cardinality == cardinality


def test_the_readable_form_holds_one_entry_a_block_and_no_depth() -> None:
    row_AG = TINY.from_json(ARCH)
    assert TINY.to_json(row_AG[0]) == ARCH
    assert TINY.values(row_AG[0])["depth"] == 12
    assert len(lower(TINY, row_AG[0], TINY.default_task).blocks) == 12


def test_lists_of_different_lengths_are_refused_by_one_sentence() -> None:
    with pytest.raises(ArchError) as caught:
        TINY.from_json({**ARCH, "num_heads": [3] * 13})
    sentence = "depth (the length of mlp_ratio and of num_heads) is 12 or 13; allowed: 12, 13, 14"
    assert sentence in caught.value.problems


def test_every_illegal_gene_is_named_at_once() -> None:
    with pytest.raises(ArchError) as caught:
        TINY.from_json({"embed_dim": 200, "mlp_ratio": [5.0] * 12, "num_heads": [3] * 12, "depth": 12})
    assert "embed_dim is 200; allowed: 192, 216, 240" in caught.value.problems
    assert sum(problem.startswith("mlp_ratio[") for problem in caught.value.problems) == 12
    assert "depth is unknown" in caught.value.problems


def test_a_depth_beyond_the_space_is_refused() -> None:
    with pytest.raises(ArchError, match=r"depth .* is 15; allowed: 12, 13, 14"):
        TINY.from_json({"embed_dim": 192, "mlp_ratio": [4.0] * 15, "num_heads": [3] * 15})


def test_draws_favour_the_depths_that_hold_more_networks() -> None:
    depths, counts = np.unique(TINY.sample(21_000, np.random.default_rng(0))[:, 0], return_counts=True)
    assert depths.tolist() == [0, 1, 2]
    assert np.abs(counts / 21_000 - np.array([1, 4, 16]) / 21).max() < 0.01


def test_an_image_without_a_patch_is_refused() -> None:
    with pytest.raises(ValueError, match="8 px is too small for patches of 16"):
        lower(TINY, TINY.extreme(largest=True)[0], Task(10, 3, 8))
