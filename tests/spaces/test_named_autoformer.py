"""Published AutoFormer and TF-TAS nets are the ones of the fixtures, inside their space or said not to be."""

from __future__ import annotations

from typing import Any

import pytest

from edgenas.costs import cost_models
from edgenas.errors import ArchError
from edgenas.spaces import get_space
from edgenas.spaces.given import read_given, read_one
from edgenas.spaces.named import NAMED
from edgenas.spaces.reported import host

SPACES = {"T": "autoformer-tiny", "S": "autoformer-small", "B": "autoformer-base"}
NAMES = [f"{family}-{letter}" for family in ("AutoFormer", "TF-TAS") for letter in SPACES]


def row_of(name: str, fixture_json: Any) -> dict[str, Any]:
    """The fixture's net and its counts."""
    family, letter = name.rsplit("-", 1)
    if family == "TF-TAS":
        return dict(fixture_json("tftas_reference.json")[f"AF-{letter}"])
    row = fixture_json("autoformer_reference.json")[letter]
    return {**row, "conf": row["subnet"]}


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_published_net_with_its_counts(name: str, fixture_json: Any) -> None:
    row, named = row_of(name, fixture_json), NAMED[name]
    conf = row["conf"]
    assert named.space == SPACES[name[-1]]
    assert named.arch == {"embed_dim": conf["embed_dim"][0], "num_heads": conf["num_heads"], "mlp_ratio": conf["mlp_ratio"]}
    given = read_given(get_space(named.space), name)
    models = cost_models(given.space, given.space.default_task)
    counted = {cost: models[cost](given.genes_AG).tolist() for cost in ("params", "reference_macs", "ancestor_macs")}
    reference = sum(row["fvcore_by_op"][kind] for kind in ("conv", "linear", "matmul"))
    assert counted == {"params": [row["params"]], "reference_macs": [reference], "ancestor_macs": [row["get_complexity_196"]]}


@pytest.mark.parametrize("name", NAMES)
def test_what_does_not_reproduce_is_noted(name: str) -> None:
    named = NAMED[name]
    reported = named.reported
    assert reported is not None
    assert reported.params is not None
    given = read_given(get_space(named.space), name)
    params = int(cost_models(given.space, given.space.default_task)["params"](given.genes_AG)[0])
    differs = abs(params / reported.params - 1) > 0.03
    assert differs == name.startswith("TF-TAS")
    assert (f"{params:,} parameters, about 5 % more" in reported.note) == differs


def test_only_autoformer_t_lies_outside_of_its_space() -> None:
    outside = {name for name in NAMES if host(get_space(NAMED[name].space), NAMED[name]) != get_space(NAMED[name].space)}
    assert outside == {"AutoFormer-T"}
    tiny = get_space("autoformer-tiny")
    hosting = host(tiny, NAMED["AutoFormer-T"])
    changed = {old.name: new.options for old, new in zip(tiny.choices, hosting.choices, strict=True) if old != new}
    assert changed == {f"mlp_ratio[{block}]": (3.0, 3.5, 4.0) for block in range(14)}
    note = NAMED["AutoFormer-T"].reported.note  # type: ignore[union-attr]
    assert "no subnet of autoformer-tiny" in note
    with pytest.raises(ArchError, match="AutoFormer-T was published outside of autoformer-tiny") as caught:
        read_one(tiny, "AutoFormer-T")
    assert [problem.split(" ")[0] for problem in caught.value.problems] == ["mlp_ratio[2]", "mlp_ratio[4]", "mlp_ratio[5]"]
    assert read_one(tiny, "TF-TAS-T") == NAMED["TF-TAS-T"].arch
