"""`example.cpp` is a whole program, and answers as `example.py` does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from edgenas.deploy import _example
from edgenas.deploy._example_cpp import _text, example_cpp
from edgenas.deploy.artefact import load_manifest
from edgenas.deploy.parity import not_run
from edgenas.records import DecisionRule
from tests.deploy.conftest import facts

Make = Callable[..., Path]
NAMES = ('he"al\\thy', "covid-19", "ot??/her\n\x1b ü")
HEADER = "onnxruntime_cxx_api.h"
PLACES = [
    os.environ.get("ONNXRUNTIME_INCLUDE", ""),
    "/usr/include/onnxruntime",
    "/usr/local/include/onnxruntime",
    "/usr/local/include",
]
INCLUDE = next((place for place in PLACES if place and Path(place, HEADER).is_file()), None)
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")

STAND_IN = """
#include <cstdio>
#include <cstdint>
#include <cstddef>
enum { ORT_LOGGING_LEVEL_WARNING, OrtArenaAllocator, OrtMemTypeDefault };
namespace Ort {  // stands for the library where it is not installed: it keeps the tensor and answers zeros
struct Env { Env(int, const char*) {} };
struct SessionOptions {};
struct RunOptions { RunOptions(std::nullptr_t) {} };
struct MemoryInfo { static MemoryInfo CreateCpu(int, int) { return {}; } };
struct Value {
  const float* values; size_t count;
  template <class T> static Value CreateTensor(const MemoryInfo&, T* v, size_t n, const int64_t*, size_t) { return {v, n}; }
  template <class T> const T* GetTensorData() const { return values; }
};
struct Answers { float zeros[64] = {}; Value operator[](int) const { return {zeros, 64}; } };
struct Session {
  Session(Env&, const char*, const SessionOptions&) {}
  Answers Run(const RunOptions&, const char* const*, const Value* v, size_t, const char* const*, size_t) {
    std::fwrite(v->values, sizeof(float), v->count, stderr);
    return {};
  }
};
}  // namespace Ort
"""


def how(mode: str, resize: str, crop_pct: float) -> dict[str, Any]:
    return {**facts().preprocessing, "resize": resize, "resize_mode": mode, "crop_pct": crop_pct, "background": "grey"}


def compiled(folder: Path, *arguments: str) -> Path:
    program = folder.parent / "example"
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", str(folder / "example.cpp"), "-o", str(program)]
    subprocess.run([*command, *arguments], check=True, capture_output=True, text=True)
    return program


def save_images(folder: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = []
    for height, width in [(45, 61), (9, 40), (8, 8), (211, 300), (5, 3)]:
        paths.append(folder / f"{height}.ppm")
        Image.fromarray(rng.integers(0, 256, size=(height, width, 3), dtype=np.uint8)).save(paths[-1])
    paths.append(folder / "grey.pgm")
    Image.fromarray(rng.integers(0, 256, size=(33, 47), dtype=np.uint8)).save(paths[-1])
    return paths


@needs_compiler
@pytest.mark.parametrize(
    ("mode", "resize", "crop_pct"),
    [
        ("letterbox", "lanczos", 0.9),
        pytest.param("squash", "bicubic", 0.875, marks=pytest.mark.slow),
        pytest.param("crop", "bilinear", 1.0, marks=pytest.mark.slow),
        pytest.param("crop", "box", 0.95, marks=pytest.mark.slow),
    ],
)
def test_it_makes_the_same_tensors_bit_by_bit(make_artefact: Make, tmp_path: Path, mode: str, resize: str, crop_pct: float) -> None:
    preprocessing = how(mode, resize, crop_pct)
    rule = DecisionRule(rule="threshold", positive="covid-19", threshold=0.4, refer=(0.3, 0.4) if mode == "letterbox" else None)
    folder = make_artefact(preprocessing=preprocessing, classes=NAMES, decision=rule)
    (tmp_path / HEADER).write_text(STAND_IN)
    paths = save_images(tmp_path)
    done = subprocess.run([compiled(folder, "-I", str(tmp_path)), *paths], cwd=folder, capture_output=True, check=True)
    found = np.frombuffer(done.stderr, dtype=np.float32).reshape(len(paths), 3, 8, 8)
    for path, image_CHW in zip(paths, found, strict=True):
        np.testing.assert_array_equal(image_CHW, _example.preprocess(path, preprocessing)[0])
    shown = _example.one_line(NAMES[0])  # zeros are equally probable, and 1/3 is below the threshold of 0.4
    mark = "\trefer" if mode == "letterbox" else ""
    assert done.stdout.decode().splitlines() == [f"{path}\t{shown}\t0.333333{mark}" for path in paths]


@pytest.mark.slow
@needs_compiler
@pytest.mark.skipif(INCLUDE is None, reason=f"no {HEADER} in {', '.join(filter(None, PLACES))}")
def test_with_onnx_runtime_it_prints_what_example_py_prints(make_artefact: Make, tmp_path: Path) -> None:
    folder = make_artefact(preprocessing=how("squash", "bicubic", 0.875), classes=NAMES)
    (library,) = Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*")
    (tmp_path / "libonnxruntime.so.1").symlink_to(library)
    link = [str(tmp_path / "libonnxruntime.so.1"), f"-Wl,-rpath,{tmp_path}"]
    program = compiled(folder, "-isystem", str(INCLUDE), *link)
    paths = [*save_images(tmp_path), tmp_path / "missing.ppm", folder / "README.md"]
    done = subprocess.run([program, *paths], cwd=folder, capture_output=True, text=True, check=False)
    command = [sys.executable, "-I", str(folder / "example.py"), *map(str, paths[:-2])]
    assert done.stdout == subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"example: {tmp_path / 'missing.ppm'} cannot be read",
        f"example: {folder / 'README.md'} is no binary PPM or PGM image",
    ]


def test_nothing_in_a_name_can_end_the_text_that_it_is_in() -> None:
    assert _text('"; system("x"); //??/') == '"\\042; system(\\042x\\042); \\057\\057\\077\\077\\057"'
    assert _text("ü\\") == '"\\303\\274\\134"'


def test_it_runs_the_file_that_there_is_and_reads_colours_alone(make_artefact: Make) -> None:
    folder = make_artefact(precisions=("fp16",), parity=not_run("there is no GPU"))
    assert "model-fp16-dynamic.onnx" in (folder / "example.cpp").read_text()
    manifest = load_manifest(folder)
    assert example_cpp(manifest) is not None
    assert example_cpp(replace(manifest, preprocessing={**manifest.preprocessing, "channels": "L"})) is None
    assert example_cpp(replace(manifest, files=())) is None
