"""`build_engine.py` of an artefact: what it asks trtexec for, and what it makes of the answer. The real program needs a GPU."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from edgenas.exporters._inspecting import parse

from edgenas.deploy import _build_engine
from tests.exporters.test_inspecting import STYLES, report
from tests.latency.kits import old_python

Make = Callable[..., Path]
LINES = {8: "[TensorRT v8502]", 10: "[TensorRT v100300]", 11: "[TensorRT v110401]"}
FAKE = """#!{python} -ES
import json, sys
flags = dict(part.lstrip("-").partition("=")[::2] for part in sys.argv[1:])
print("&&&& RUNNING TensorRT.trtexec {line}")
if "help" in flags:
    sys.exit(0)
open({log!r}, "w").write(json.dumps(flags))
if {broken}:
    print("[11/29/2026] [E] Could not parse ONNX")
    sys.exit(1)
open(flags["saveEngine"], "w").write("engine")
open(flags["exportLayerInfo"], "w").write({layers!r})
"""


@pytest.fixture(scope="module")
def python() -> str:
    """The oldest Python here that such a device may have."""
    return old_python() or sys.executable


def built(
    folder: Path, python: str, *, version: int = 10, layers: str = "{}", broken: bool = False, arguments: tuple[str, ...] = ()
) -> tuple[int, str, dict[str, str]]:
    """Exit status, words and flags of a run in an artefact, with a program that answers so."""
    program, log = folder.parent / "trtexec", folder.parent / "flags.json"
    program.write_text(FAKE.format(python=sys.executable, line=LINES[version], log=str(log), broken=broken, layers=layers))
    program.chmod(0o755)
    command = [python, str(folder / "build_engine.py"), "--trtexec", str(program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder.parent, env={"PATH": os.defpath})
    return done.returncode, (done.stdout + done.stderr).strip(), json.loads(log.read_text()) if log.exists() else {}


@pytest.mark.parametrize(("version", "is_asked"), [(10, True), (11, False)])
def test_a_half_engine_is_built_from_the_typed_file_and_proven(
    make_artefact: Make, python: str, version: int, is_asked: bool
) -> None:
    folder = make_artefact(precisions=("fp32", "fp16"))
    style = "10" if version == 10 else "11"
    layers = report(["Half", "Half", "Float"], style)
    code, said, flags = built(folder, python, version=version, layers=layers, arguments=("--onnx", "model-fp16-dynamic.onnx"))
    engine = folder.parent / "artefact-model-fp16-dynamic.engine"
    assert (code, said) == (
        0,
        f"{engine}: TensorRT {version}.{3 if version == 10 else 4}; it computes in fp16: 2 fp16, 1 fp32 inner tensors",
    )
    assert ("stronglyTyped" in flags) == is_asked
    assert not {"fp16", "int8", "best"} & set(flags)
    assert engine.read_text() == "engine"
    assert sorted(path.suffix for path in folder.iterdir()).count(".engine") == 0, "the folder stays what its manifest says"


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        (["Half", "Float"], "fp32 was asked for, but its inner tensors are 1 fp16, 1 fp32"),
        ([], "its precision is not proven: trtexec's layer report names no data type"),
    ],
)
def test_another_precision_and_nothing_read_are_exit_4(make_artefact: Make, python: str, kinds: list[str], words: str) -> None:
    folder = make_artefact()
    code, said, _ = built(folder, python, layers=report(kinds, "10"))
    assert code == 4
    assert said.endswith(words)
    assert not list(folder.parent.glob("*.engine"))  # nobody takes it for what its name says
    (refused,) = folder.parent.glob("*.engine.refused")
    assert said.startswith(f"{refused}: ")


def test_what_cannot_be_built_is_said_in_one_line(make_artefact: Make, python: str) -> None:
    folder = make_artefact()
    assert built(folder, python, version=8)[:2] == (
        1,
        "TensorRT 8.5 is too old: 10 or later computes in the types of the file",
    )
    code, said, _ = built(folder, python, broken=True)
    assert (code, said) == (1, "trtexec built no engine: [11/29/2026] [E] Could not parse ONNX")
    code, said, _ = built(folder, python, arguments=("--onnx", "other.onnx"))
    assert (code, said) == (2, "there is no other.onnx, only model-fp32-b1.onnx")
    code, said, _ = built(folder, python, arguments=("--trtexec", str(folder / "none")))
    assert (code, said) == (1, "trtexec is not found; give its place with --trtexec, on a Jetson /usr/src/tensorrt/bin/trtexec")


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("kinds", [[], ["Half", "Float", "Int8"], ["BFloat16"]])
def test_it_reads_layers_as_the_exporter_does(kinds: list[str], style: str) -> None:
    text = report(kinds, style)
    assert _build_engine.types_in(json.loads(text)) == dict(parse(text).tensors)


def test_it_needs_nothing_but_python() -> None:
    tree = ast.parse(Path(_build_engine.__file__).read_text())
    imported: set[Any] = set()
    for node in ast.walk(tree):
        imported |= {each.name for each in node.names} if isinstance(node, ast.Import) else set()
        imported |= {node.module} if isinstance(node, ast.ImportFrom) else set()
    assert {str(name).partition(".")[0] for name in imported} <= set(sys.stdlib_module_names)


def test_the_folder_says_which_jetpack_it_is_for(make_artefact: Make) -> None:
    text = (make_artefact() / "README.md").read_text()
    assert "`python3 build_engine.py` calls `trtexec`" in text
    assert "JetPack 6.1 has TensorRT 10.3" in text
    assert "--stronglyTyped" not in text
    text = (make_artefact(precisions=("fp32", "fp16")) / "README.md").read_text()
    assert "TensorRT 10 computes in the file's types only with `--stronglyTyped`" in text
