"""What `verify` checked, as build servers read it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from junitparser import Error, Failure, JUnitXml, Skipped

from edgenas.deploy.junit import junit
from edgenas.records import Check, Verdict

if TYPE_CHECKING:
    import xmlschema

CHECKS = [
    Check("model.onnx", "sha256", "passed", "654321 bytes"),
    Check("model.onnx", "golden", "failed", "largest error 0.21 of the largest logit"),
    Check("model.engine", "golden", "not_run", "there is no GPU"),
    Check("manifest.json", "export", "undecided", "the gates were undecided"),
]


@cache
def schema() -> xmlschema.XMLSchema:
    import xmlschema

    return xmlschema.XMLSchema(str(Path(__file__).parent / "junit-10.xsd"))


def test_a_check_is_a_case_and_its_verdict_what_a_build_server_shows() -> None:
    text = junit("export/onnx", CHECKS, seconds=1.5)
    schema().validate(text)
    (suite,) = JUnitXml.fromstring(text.encode())
    assert (suite.name, suite.tests, suite.failures, suite.skipped, suite.errors) == ("export/onnx", 4, 2, 1, 0)
    shown = {(case.classname, case.name): case.result for case in suite}
    assert shown["model.onnx", "sha256"] == []
    (failed,) = shown["model.onnx", "golden"]
    assert (type(failed), failed.message) == (Failure, "largest error 0.21 of the largest logit")
    assert isinstance(shown["model.engine", "golden"][0], Skipped)
    assert shown["manifest.json", "export"][0].type == "undecided"


def test_what_stopped_it_is_an_error() -> None:
    text = junit("export/onnx", (), error="manifest.json was edited <or> damaged")
    schema().validate(text)
    (suite,) = JUnitXml.fromstring(text.encode())
    (case,) = suite
    assert (suite.tests, suite.errors) == (1, 1)
    assert isinstance(case.result[0], Error)
    assert case.result[0].message == "manifest.json was edited <or> damaged"


@given(st.text(), st.text(), st.sampled_from(["passed", "failed", "undecided", "not_run"]))
def test_any_text_gives_a_file_that_is_well_formed(path: str, reason: str, verdict: Verdict) -> None:
    text = junit(path, [Check(path, "golden", verdict, reason)], error=reason)
    schema().validate(text)
    assert JUnitXml.fromstring(text.encode()) is not None
