"""`export --precision int8` on a project that went through every stage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgenas.deploy import calibrating
from edgenas.deploy.artefact import verify
from edgenas.errors import ExportError
from edgenas.recipes.export import ExportConfig, run
from edgenas.records import ExportResult
from edgenas.runs import Note, Outcome
from tests.recipes.killing import RUN, Reference


@pytest.fixture
def folder(reference: Reference, tmp_path: Path) -> Path:
    """A run folder before its export."""
    return Path(shutil.copytree(reference.before("export") / RUN, tmp_path / RUN))


UNTRAINED = ("gates.min_agreement=0.5", "gates.max_new_false_negatives=145")  # int8 moves decisions of a net of two epochs


def config(folder: Path, *overrides: str) -> ExportConfig:
    """Of the command that is tested."""
    return ExportConfig(folder, {}, overrides, ("onnx",), ("int8",))


@pytest.mark.slow
def test_int8_is_calibrated_on_calibrate_and_its_artefact_verifies(folder: Path) -> None:
    *steps, last = run(config(folder, *UNTRAINED))
    assert isinstance(last, Outcome)
    assert isinstance(last.result, ExportResult)
    assert [each.file.precision for each in last.result.files] == ["int8", "int8"]
    notes = last.result.files[0].file.notes
    assert notes["calibration"] == "minmax over 145 images of calibrate"
    assert notes["macs_share_int8"] > 0.5
    assert float(notes["logit_adjustment"]) > 0
    said = f"the logit of the class that must not be missed is raised by {float(notes['logit_adjustment']):.3g}"
    assert sum(said in step.text for step in steps if isinstance(step, Note)) >= 1
    checks = [check for check in verify(last.outputs["artifact"]) if check.path.endswith(".onnx")]
    assert {check.name for check in checks} >= {"sha256", "precision", "golden"}
    assert {check.verdict for check in checks} == {"passed"}


@pytest.mark.slow
def test_logits_stay_as_they_are_where_the_settings_say_so(folder: Path) -> None:
    *steps, last = run(config(folder, *UNTRAINED, "export.logit_adjustment=false"))
    assert isinstance(last, Outcome)
    assert isinstance(last.result, ExportResult)
    assert all("logit_adjustment" not in each.file.notes for each in last.result.files)
    assert not any("is raised by" in step.text for step in steps if isinstance(step, Note))


def test_too_few_images_to_calibrate_with_end_it_before_anything_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrating, "MIN_IMAGES", 146)
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(ExportError, match="images of calibrate, which has 145; it takes 146 or more") as caught:
        list(run(config(folder)))
    assert "\n" not in str(caught.value)
    assert list((folder / "export").rglob("*.onnx")) == []
    assert sorted({path.name for path in folder.iterdir()} - {"export"}) == sorted({*before} - {"export"})
