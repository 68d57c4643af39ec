"""The bill of materials of an artefact, held to the published schema of CycloneDX 1.6."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from edgenas.deploy import sbom as module
from edgenas.deploy.artefact import load_manifest
from edgenas.deploy.sbom import SBOM, Ancestor, packages_of, sbom

Make = Callable[..., Path]


def bill(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / SBOM).read_text(encoding="utf-8"))
    return value


def by_ref(value: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["bom-ref"]: each for each in value["components"]}


def test_it_is_valid_cyclonedx_and_every_reference_leads_somewhere(make_artefact: Make) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    teachers = (Ancestor("teacher", "resnet18", "apache-2.0", "2" * 64), Ancestor("teacher", "resnet18", None, "3" * 64))
    folder = make_artefact(precisions=("fp32", "fp16"), ancestors=teachers)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str((folder / SBOM).read_text(encoding="utf-8")) is None
    value = bill(folder)
    refs = [each["bom-ref"] for each in (value["metadata"]["component"], *value["components"])]
    assert len(refs) == len(set(refs))
    named = {ref for each in value["dependencies"] for ref in (each["ref"], *each["dependsOn"])}
    assert named <= set(refs)


def test_it_names_files_packages_data_and_what_the_weights_come_from(make_artefact: Make) -> None:
    folder = make_artefact(ancestors=(Ancestor("teacher", "resnet18", "apache-2.0", "2" * 64),))
    value, file = bill(folder), load_manifest(folder).files[0]
    found = by_ref(value)
    assert found[f"file:{file.path}"]["hashes"] == [{"alg": "SHA-256", "content": file.sha256}]
    runtime = packages_of("onnxruntime-cpu")[0]
    assert found[f"pkg:pypi/{runtime}@{version(runtime)}"]["scope"] == "required"
    assert found["pkg:pypi/torch@2"]["scope"] == "excluded"  # as the manifest says, not as it is installed
    data = next(each for each in value["components"] if each["type"] == "data")
    assert {"name": "edgenas:fingerprint", "value": "0" * 64} in data["properties"]
    teacher = found["teacher:resnet18@222222222222"]
    assert {"name": "edgenas:licence-of-published-weights", "value": "apache-2.0"} in teacher["properties"]
    assert value["metadata"]["component"]["hashes"][0]["content"] == "1" * 64


def test_the_same_artefact_has_the_same_bill_and_another_has_another_number(make_artefact: Make) -> None:
    manifest = load_manifest(make_artefact())
    assert sbom(manifest) == sbom(manifest)
    assert sbom(manifest).metadata.timestamp == f"{manifest.created_on}T00:00:00Z"
    other = load_manifest(make_artefact(positive="other"))
    assert sbom(other).serial_number != sbom(manifest).serial_number


def test_packages_that_are_not_installed_and_runtimes_of_others_are_listed_as_far_as_they_are_known(
    make_artefact: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = load_manifest(make_artefact())
    monkeypatch.setattr(module, "_installed", lambda name: None)
    found = by_ref(sbom(manifest).as_json())
    assert found["pkg:pypi/onnxruntime"] == {
        "type": "library",
        "bom-ref": "pkg:pypi/onnxruntime",
        "name": "onnxruntime",
        "scope": "required",
        "purl": "pkg:pypi/onnxruntime",
    }
    assert packages_of("somebody's") == ("numpy", "pillow")
    assert packages_of("tensorrt-rtx")[0] == "tensorrt-rtx"
    assert packages_of("executorch-cpu") == ("executorch", "torch", "numpy", "pillow")  # as its README says
    assert packages_of("tensorrt")[0] == "tensorrt"
