"""A plan beside an artefact: what contradicts it fails, and folders of before there were plans verify as they did."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgenas.deploy.acceptance import changes_between, images_sha256
from edgenas.deploy.artefact import load_manifest, verify
from edgenas.deploy.gates import Gates
from edgenas.deploy.recorded import kept
from edgenas.records import AcceptanceFacts, AcceptancePlan, DecisionRule, PlannedImages
from edgenas.runs import sha256_file, sha256_json
from tests.deploy.conftest import CLASSES

Make = Callable[..., Path]
RULE = DecisionRule(rule="threshold", positive="covid-19", threshold=0.4)
HASHES = [f"{number:064x}" for number in range(4)]

pytestmark = pytest.mark.usefixtures("models_run_here")


def plan(**changes: Any) -> AcceptancePlan:
    values: dict[str, Any] = {
        "gates": Gates().limits,
        "floor_confidence": None,
        "decision": RULE,
        "images": PlannedImages(split="test", num=4, num_positives=1, sha256=images_sha256(HASHES), labels_sha256="2" * 64),
        "net": "searched",
        "weights_sha256": "1" * 64,
        "format": "onnx",
        "files": (),
        "needs": (),
        "versions": {},
    }
    return AcceptancePlan(**(values | changes))


WIDER, FAR = Gates(max_new_false_positive_share=0.5).limits, Gates(min_agreement=0.9, accuracy_margin=0.01).limits


def planned(make: Make, *, laid_down: AcceptancePlan | None = None, **changes: Any) -> Path:
    """An artefact that says it was judged by a plan."""
    said = plan() if laid_down is None else laid_down
    facts = AcceptanceFacts(
        path="acceptance.json", plan_sha256=said.sha256, line_sha256="3" * 64, sealed_at=None, number=1, num_plans=1
    )
    answers = kept(HASHES, np.zeros(4, dtype=np.int64), np.zeros((4, len(CLASSES)), dtype=np.float32))
    return make(**({"acceptance": (said, facts), "gates": Gates().limits, "decision": RULE, "answers": answers} | changes))


def acceptance_of(folder: Path) -> tuple[str, str]:
    (check,) = [check for check in verify(folder) if check.name == "acceptance"]
    return check.verdict, check.reason


def test_an_artefact_that_was_judged_by_its_plan_verifies_and_says_so(make_artefact: Make) -> None:
    folder = planned(make_artefact)
    assert acceptance_of(folder) == ("passed", "the only plan for these images, sealed before test was read")
    assert all(check.verdict == "passed" for check in verify(folder))
    assert load_manifest(folder).acceptance is not None


def test_an_artefact_of_before_there_were_plans_has_no_such_check(make_artefact: Make) -> None:
    assert "acceptance" not in {check.name for check in verify(make_artefact())}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"gates": FAR},
            "the manifest's gates are not those of the plan: min_agreement 0.9",
        ),
        ({"decision": replace(RULE, threshold=0.3), "threshold": 0.3}, "the manifest's decision rule is not the plan's"),
        ({"laid_down": plan(weights_sha256="4" * 64)}, "the weights are not those that the plan is for"),
        (
            {"answers": kept(HASHES[:3], np.zeros(3, dtype=np.int64), np.zeros((3, len(CLASSES)), dtype=np.float32))},
            "answers.npz holds answers to other images than the plan's",
        ),
        (
            {"laid_down": plan(gates=WIDER), "gates": WIDER},
            "the files were judged by other limits than the plan's: max_new_false_positive_share 0.02, planned 0.5",
        ),
        (
            {"laid_down": plan(gates=Gates().limits | {"min_agreement": 5.0})},
            "nothing can be held to its gates: min_agreement 5.0 is not in [0, 1)",
        ),
    ],
)
def test_what_contradicts_the_plan_fails(make_artefact: Make, changes: dict[str, Any], words: str) -> None:
    verdict, reason = acceptance_of(planned(make_artefact, **changes))
    assert verdict == "failed"
    assert words in reason


def test_a_plan_that_is_not_listed_makes_the_manifest_invalid(make_artefact: Make) -> None:
    folder = planned(make_artefact)
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest.pop("sha256")
    manifest["support_files"] = [each for each in manifest["support_files"] if each["path"] != "acceptance.json"]
    path.write_text(json.dumps({**manifest, "sha256": sha256_json(manifest)}))
    with pytest.raises(Exception, match="is not valid") as raised:
        load_manifest(folder)
    assert raised.value.problems == ("acceptance.path 'acceptance.json' is not among support_files",)  # type: ignore[attr-defined]


def test_the_hash_in_the_manifest_is_the_one_in_the_plan_s_file(make_artefact: Make) -> None:
    folder = planned(make_artefact)
    manifest = load_manifest(folder)
    assert manifest.acceptance is not None
    assert json.loads((folder / "acceptance.json").read_text())["sha256"] == manifest.acceptance.plan_sha256
    (listed,) = [each for each in manifest.support_files if each.path == "acceptance.json"]
    assert listed.sha256 == sha256_file(folder / "acceptance.json")


def test_parity_of_another_artefact_s_files_contradicts_the_plan(make_artefact: Make) -> None:
    folder = planned(make_artefact)
    path = folder / "parity.json"
    value = json.loads(path.read_text())
    value["files"][0]["path"] = "model-fp16-b1.onnx"
    path.write_text(json.dumps(value))
    assert acceptance_of(folder) == ("failed", "parity.json is of other files than the manifest's")


def test_gates_come_back_from_their_limits() -> None:
    for gates in (Gates(), Gates(min_agreement=0.9, max_new_false_positives=2, floors={"a": 0.8}), Gates(sensitivity_margin=0.01)):
        again = Gates.from_limits(gates.limits, gates.floor_confidence)
        assert again.limits == gates.limits
        assert again.followed == gates.followed


def test_changes_are_named_with_both_limits() -> None:
    assert changes_between({"a": 0.99, "b": 1, "c": "x"}, {"a": 0.9, "c": "x", "d": [0.2, 0.6]}) == (
        "a 0.9 instead of 0.99",
        "b none instead of 1",
        "d [0.2, 0.6] instead of none",
    )
