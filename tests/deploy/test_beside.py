"""Files beside an artefact: a Triton model repository, and Dockerfiles that are no invitation to anything."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from edgenas.deploy.artefact import load_manifest, verify
from edgenas.deploy.beside import _capability, _config, require_possible
from edgenas.errors import UsageError
from edgenas.records import ModelFile

Make = Callable[..., Path]
FIELD = descriptor_pb2.FieldDescriptorProto


def model_config() -> Any:
    """Triton's `ModelConfig`, of it the fields that are written, as `model_config.proto` of its repository "common" has them."""
    file = descriptor_pb2.FileDescriptorProto(name="edgenas_test_model_config.proto", package="edgenas_test", syntax="proto3")

    def message(called: str, **fields: tuple[int, int, str]) -> None:
        made = file.message_type.add(name=called)
        for field, (number, kind, type_name) in fields.items():
            is_many = type_name.endswith("[]")
            made.field.add(
                name=field,
                number=number,
                type=kind,  # type: ignore[arg-type]
                type_name=f".edgenas_test.{type_name.removesuffix('[]')}" if type_name.removesuffix("[]") else None,
                label=FIELD.LABEL_REPEATED if is_many else FIELD.LABEL_OPTIONAL,  # type: ignore[arg-type]
            )

    for name, values in {"DataType": ("TYPE_INVALID", "TYPE_FP32"), "Kind": ("KIND_AUTO", "KIND_GPU", "KIND_CPU")}.items():
        enum = file.enum_type.add(name=name)
        for number, value in enumerate(values):
            enum.value.add(name=value, number=number)
    text, whole, inner, choice = FIELD.TYPE_STRING, FIELD.TYPE_INT64, FIELD.TYPE_MESSAGE, FIELD.TYPE_ENUM
    message("ModelInput", name=(1, text, ""), data_type=(2, choice, "DataType"), dims=(4, whole, "[]"))
    message(
        "ModelOutput", name=(1, text, ""), data_type=(2, choice, "DataType"), dims=(3, whole, "[]"), label_filename=(4, text, "")
    )
    message("Group", count=(2, whole, ""), kind=(4, choice, "Kind"))
    message("Batching", max_queue_delay_microseconds=(2, FIELD.TYPE_UINT64, ""))
    message("CcFile", key=(1, text, ""), value=(2, text, ""))
    message(
        "ModelConfig",
        name=(1, text, ""),
        backend=(17, text, ""),
        max_batch_size=(4, FIELD.TYPE_INT32, ""),
        input=(5, inner, "ModelInput[]"),
        output=(6, inner, "ModelOutput[]"),
        instance_group=(7, inner, "Group[]"),
        default_model_filename=(8, text, ""),
        cc_model_filenames=(9, inner, "CcFile[]"),
        dynamic_batching=(11, inner, "Batching"),
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("edgenas_test.ModelConfig"))


def parsed(text: str) -> Any:
    return text_format.Parse(text, model_config()())


@pytest.mark.usefixtures("models_run_here")
def test_a_model_repository_lies_beside_and_is_verified_with_the_rest(make_artefact: Make) -> None:
    folder = make_artefact(extras=("triton", "docker"))
    manifest = load_manifest(folder)
    said = (folder / "README.md").read_text(encoding="utf-8")
    assert "- `Dockerfile`: answers over HTTP" in said
    assert "- `triton`: a model repository for Triton" in said
    home = folder / "triton" / "models" / "edgenas"
    config = parsed((home / "config.pbtxt").read_text(encoding="utf-8"))
    assert (config.name, config.backend, config.max_batch_size) == ("edgenas", "onnxruntime", 0)
    assert (config.input[0].name, list(config.input[0].dims)) == ("image", [1, 3, 8, 8])
    assert (config.output[0].name, list(config.output[0].dims), config.output[0].label_filename) == ("logits", [1, 3], "labels.txt")
    assert (home / "labels.txt").read_text(encoding="utf-8").splitlines() == list(manifest.classes)
    assert (home / "1" / config.default_model_filename).read_bytes() == (folder / manifest.files[0].path).read_bytes()
    listed = {file.path for file in manifest.support_files}
    assert {"Dockerfile", "triton/Dockerfile", "triton/models/edgenas/config.pbtxt", "triton/models/edgenas/1/model.onnx"} <= listed
    assert {check.verdict for check in verify(folder)} == {"passed"}
    (home / "config.pbtxt").write_text("name: 'other'")
    assert {check.path for check in verify(folder) if check.verdict == "failed"} == {"triton/models/edgenas/config.pbtxt"}


def test_a_file_for_any_number_of_images_is_batched(make_artefact: Make) -> None:
    folder = make_artefact(precisions=("fp16",), extras=("triton",))
    config = parsed((folder / "triton" / "models" / "edgenas" / "config.pbtxt").read_text(encoding="utf-8"))
    assert (config.max_batch_size, list(config.input[0].dims), list(config.output[0].dims)) == (32, [3, 8, 8], [3])
    assert config.HasField("dynamic_batching")


def test_engines_are_named_by_the_gpu_that_they_are_for(make_artefact: Make) -> None:
    manifest = load_manifest(make_artefact())
    engine = ModelFile.from_json(manifest.files[0].as_json() | {"kind": "engine", "runtime": "tensorrt", "targets": ["sm86"]})
    config = parsed(_config(manifest, engine, "tensorrt", {"sm86": "model-sm86.plan", "sm120": "model-sm120.plan"}))
    assert {each.key: each.value for each in config.cc_model_filenames} == {"8.6": "model-sm86.plan", "12.0": "model-sm120.plan"}
    assert [_capability(target) for target in ("sm86", "sm120")] == ["8.6", "12.0"]


def test_an_artefact_with_extras_is_replaced_as_a_whole(make_artefact: Make) -> None:
    assert (make_artefact(extras=("triton",)) / "triton").is_dir()
    assert not (make_artefact() / "triton").exists()


@pytest.mark.parametrize("path", ["Dockerfile", "triton/Dockerfile"])
def test_dockerfiles_are_read_by_a_parser_and_run_without_a_shell_in_between(make_artefact: Make, path: str) -> None:
    parser = pytest.importorskip("dockerfile_parse").DockerfileParser(
        fileobj=io.BytesIO((make_artefact(extras=("triton", "docker")) / path).read_bytes())
    )
    names = [each["instruction"] for each in parser.structure if each["instruction"] != "COMMENT"]
    known = {"ARG", "FROM", "RUN", "COPY", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
    assert set(names) <= known
    assert names.count("FROM") == 1
    assert parser.baseimage in ("python:3.12-slim", "nvcr.io/nvidia/tritonserver:25.08-py3")
    (last,) = (each for each in parser.structure if each["instruction"] in ("ENTRYPOINT", "CMD"))
    assert last["value"].startswith('["')  # so that it gets the signals
    if path == "Dockerfile":
        assert names.index("USER") < names.index("ENTRYPOINT")
        (run,) = (each["value"] for each in parser.structure if each["instruction"] == "RUN")
        assert "torch" not in run
        assert "--no-deps" in run


def test_what_is_not_possible_is_refused_before_any_work() -> None:
    with pytest.raises(UsageError, match="--with helm is unknown; allowed: triton, docker"):
        require_possible(["helm"], "onnx")
    with pytest.raises(UsageError, match="no Triton repository is written for trt-rtx"):
        require_possible(["triton"], "trt-rtx")
    with pytest.raises(UsageError, match="--with docker is for --format onnx"):
        require_possible(["docker"], "trt")
    require_possible(["triton", "docker"], "onnx")
