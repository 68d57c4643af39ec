"""The plan of acceptance: sealed once, told apart by what it asks for, and kept in a history that cannot be cut."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

from edgenas.data.images import Images, open_images
from edgenas.deploy.acceptance import images_sha256
from edgenas.deploy.contracts import ExportSpec
from edgenas.deploy.parity import Gates
from edgenas.errors import RunFolderError
from edgenas.project.acceptance import HISTORY, Sealed, history_checks, read_history, seal_plan
from edgenas.project.deployed import FinalNet, threshold_choice
from edgenas.records import AcceptanceFacts, AcceptancePlan
from edgenas.runs import RunFolder

SPEC = ExportSpec((3, 16, 16))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir()
        for number in range(40):
            Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(folder / name / f"{number}.png")
    return open_images(f"folder:{folder}", image_px=16, positive="dog")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def final(*, floor: float = 0.95, weights: str = "a" * 64) -> FinalNet:
    scores = np.linspace(0.05, 0.95, 20)
    choice = threshold_choice(scores, scores > 0.5, floor)
    return FinalNet(nn.Flatten(), {}, "finetuned", weights, choice.threshold, 1, 1, None, choice=choice)


def seal(run: RunFolder, images: Images, gates: Gates | None = None, net: FinalNet | None = None, **changes: Any) -> Sealed:
    options: dict[str, Any] = {"format_name": "onnx", "specs": [SPEC], "versions": {"python": "3"}} | changes
    return seal_plan(run, images, final() if net is None else net, Gates() if gates is None else gates, **options)


def test_a_plan_says_what_will_be_asked_of_which_images(run: RunFolder, images: Images) -> None:
    sealed = seal(run, images)
    plan = AcceptancePlan.read(run.export / "acceptance.json")
    assert plan == sealed.plan
    assert json.loads((run.export / "acceptance.json").read_text())["sha256"] == sealed.facts.plan_sha256
    assert (plan.images.num, plan.images.sha256) == (len(images.splits["test"]), images_sha256(sealed.hashes_N))
    assert plan.gates == Gates().limits
    needs = {need.gate: (need.kind, need.needs, need.has) for need in plan.needs}
    positives = plan.images.num_positives
    assert needs["max_new_false_negative_share"] == ("positives", 189, positives)
    assert needs["min_agreement"] == ("images", 381, plan.images.num)
    assert "sensitivity_margin" not in needs  # it follows from the share
    assert sealed.facts.words == "the only plan for these images, sealed before test was read"


def test_the_same_plan_takes_the_line_that_it_has(run: RunFolder, images: Images) -> None:
    first = seal(run, images)
    text = (run.export / HISTORY).read_text()
    assert seal(run, images).facts == first.facts
    assert (run.export / HISTORY).read_text() == text
    assert list(first.notes()) == []


@pytest.mark.parametrize(
    ("gates", "net", "words"),
    [
        (Gates(min_agreement=0.9, accuracy_margin=0.01), None, "min_agreement 0.9 instead of 0.99"),
        (Gates(max_new_false_positives=3), None, "max_new_false_positives 3 instead of none"),
        (Gates(floors={"dog": 0.8}), None, "sensitivity[dog] 0.8 instead of none"),
        (None, final(floor=0.5), "threshold's floor 0.5 instead of 0.95"),
    ],
)
def test_other_gates_for_the_same_images_are_a_changed_plan(
    run: RunFolder, images: Images, gates: Gates | None, net: FinalNet | None, words: str
) -> None:
    seal(run, images)
    changed = seal(run, images, gates, net)
    assert changed.facts.words == f"the plan was changed after test was read: 2nd plan for these images ({words})"
    assert [note.text for note in changed.notes() if note.is_warning] == [changed.facts.words]
    again = seal(run, images)
    assert again.facts.words == "the first of 2 plans for these images: others were made after test was read"
    assert len(list(read_history(run.export / HISTORY))) == 2


def test_another_format_or_net_is_another_plan_of_the_same_terms(run: RunFolder, images: Images) -> None:
    seal(run, images)
    other = seal(run, images, format_name="trt", specs=[replace(SPEC, precision="fp16")])
    assert not other.facts.was_changed
    net = seal(run, images, net=final(weights="b" * 64))
    assert net.facts.words == "the only plan for these images, sealed before test was read; 2 nets were judged on them"
    assert len(list(read_history(run.export / HISTORY))) == 3


def test_a_reduced_precision_says_before_test_is_read_which_gates_have_too_few_images(run: RunFolder, images: Images) -> None:
    sealed = seal(run, images, specs=[replace(SPEC, precision="fp16")])
    has = sealed.plan.images.num_positives
    expected = f"max_new_false_negative_share needs 189 positives where numbers change, test has {has}: margins may decide it"
    assert any(note.text.startswith(expected) for note in sealed.notes())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda lines: [lines[0].replace('"min_agreement": 0.99', '"min_agreement": 0.5'), *lines[1:]],
            "line 1 was edited or damaged",
        ),
        (lambda lines: lines[1:], "line 1 does not follow the line before"),
        (lambda lines: [lines[0], lines[2]], "line 2 does not follow the line before"),
        (lambda lines: [*lines, "[]"], "line 4 is no object"),
        (lambda lines: [*lines[:2], lines[2][:40]], "line 3"),
    ],
)
def test_a_history_that_was_cut_or_changed_is_an_error_of_one_line(run: RunFolder, images: Images, change: Any, words: str) -> None:
    for limit in (0.99, 0.9, 0.8):
        seal(run, images, Gates(min_agreement=limit))
    path = run.export / HISTORY
    path.write_text("".join(f"{line}\n" for line in change(path.read_text().splitlines())))
    before = path.read_bytes()
    with pytest.raises(RunFolderError, match=words) as raised:
        seal(run, images)
    assert "\n" not in raised.value.message
    assert path.read_bytes() == before


def test_a_name_with_a_line_separator_stays_in_its_line(run: RunFolder, images: Images) -> None:
    seal(run, images, Gates(floors={"dog": 0.8, "a\u2028b": 0.7}))
    (line,) = read_history(run.export / HISTORY)
    assert line.plan.gates["sensitivity[a\u2028b]"] == 0.7


def test_a_history_that_was_taken_away_comes_back_from_the_artefacts(run: RunFolder, images: Images) -> None:
    seal(run, images)
    (run.export / "onnx").mkdir()
    (run.export / "acceptance.json").rename(run.export / "onnx" / "acceptance.json")
    (run.export / HISTORY).unlink()
    changed = seal(run, images, Gates(min_agreement=0.9, accuracy_margin=0.01))
    assert (changed.facts.number, changed.facts.num_plans) == (2, 2)
    assert [line.sealed_at is None for line in read_history(run.export / HISTORY)] == [True, False]


def test_an_artefact_elsewhere_has_no_history_to_be_in(run: RunFolder, tmp_path: Path) -> None:
    class NoPlan:
        acceptance = None

    assert history_checks(run, tmp_path, NoPlan()) == []  # type: ignore[arg-type]


def test_the_history_is_that_of_the_run_folder_that_the_artefact_lies_in(run: RunFolder, images: Images, tmp_path: Path) -> None:
    @dataclass
    class Planned:
        acceptance: AcceptanceFacts

    planned: Any = Planned(seal(run, images).facts)
    seal(run, images, Gates(min_agreement=0.9, accuracy_margin=0.01))
    run.config.touch()
    (check,) = history_checks(RunFolder(tmp_path / "another"), run.export / "onnx", planned)
    assert (check.verdict, check.reason) == (
        "passed",
        "the history knows the plan; these images have 2 plans in all, 1 of them later",
    )
    (run.export / HISTORY).unlink()
    (check,) = history_checks(RunFolder(tmp_path / "another"), run.export / "onnx", planned)
    assert check.verdict == "failed"


def test_a_history_that_is_a_folder_is_said_once(run: RunFolder, images: Images) -> None:
    (run.export / HISTORY).mkdir(parents=True)
    with pytest.raises(RunFolderError, match=r"acceptance\.jsonl cannot be read: Is a directory\. "):
        seal(run, images)
