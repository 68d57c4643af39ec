"""A wheel that is installed elsewhere holds everything and works from any folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = ("pyproject.toml", "README.md", "edgenas", "exporters", "latency_tables", "tests")


def run(*command: str, cwd: Path, **environment: str) -> str:
    """Stdout of a command that succeeds."""
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built without network from a copy, so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, source / part)
    options = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(folder), str(source), cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel: Path) -> Path:
    """The wheel, installed beside nothing else."""
    folder = wheel.parent / "site"
    options = ("--quiet", "--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check", "--target", str(folder))
    run(sys.executable, "-m", "pip", "install", *options, str(wheel), cwd=wheel.parent)
    return folder


@pytest.fixture
def elsewhere(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder from which the installed copy is what Python finds first."""
    monkeypatch.setenv("PYTHONPATH", str(site))
    return tmp_path


def installed(wheel: Path) -> set[str]:
    """Files of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_module_and_data_file_is_in_the_wheel(wheel: Path) -> None:
    patterns = ("*.py", "*.toml", "*.cpp", "*.css", "*.js")
    expected = {path.relative_to(ROOT).as_posix() for pattern in patterns for path in (ROOT / "edgenas").rglob(pattern)}
    for folder, pattern in (("exporters", "*.py"), ("latency_tables", "*.py"), ("latency_tables", "*.json")):
        expected |= {f"edgenas/{folder}/{path.name}" for path in (ROOT / folder).glob(pattern)}
    assert expected - installed(wheel) == set()
    assert {"edgenas/py.typed", "edgenas/exporters/onnx.py", "edgenas/latency_tables/__init__.py"} <= installed(wheel)


def test_nothing_else_is_in_the_wheel(wheel: Path) -> None:
    assert {name.split("/")[0] for name in installed(wheel)} == {"edgenas", f"edgenas-{version(wheel)}.dist-info"}
    assert not [name for name in installed(wheel) if "__pycache__" in name or name.startswith("edgenas/tests")]


def version(wheel: Path) -> str:
    """As the file's name says it."""
    return wheel.name.split("-")[1]


def test_metadata_name_the_license_python_and_the_entry_points(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        folder = f"edgenas-{version(wheel)}.dist-info"
        metadata = Parser().parsestr(archive.read(f"{folder}/METADATA").decode())
        points = archive.read(f"{folder}/entry_points.txt").decode()
    assert metadata["Name"] == "edgenas"
    assert metadata["Requires-Python"] == ">=3.11"
    assert any(line.startswith("torch>=2.11") for line in metadata.get_all("Requires-Dist", []))
    assert "edgenas = edgenas.cli:main" in points
    assert "onnx = edgenas.exporters.onnx:OnnxExporter" in points
    assert "onnxruntime-cpu = edgenas.exporters.onnxruntime:OnnxRuntimeCpu" in points


def test_the_installed_parts_are_imported_from_where_they_were_installed(elsewhere: Path, site: Path) -> None:
    code = (
        "import json, edgenas, edgenas.exporters.onnx, edgenas.latency_tables\n"
        "print(json.dumps([m.__file__ for m in (edgenas, edgenas.exporters.onnx, edgenas.latency_tables)]))"
    )
    found = json.loads(run(sys.executable, "-c", code, cwd=elsewhere))
    assert found == [str(site / "edgenas" / part) for part in ("__init__.py", "exporters/onnx.py", "latency_tables/__init__.py")]


def test_formats_and_runtimes_are_found_by_their_entry_points(elsewhere: Path, site: Path) -> None:
    code = (
        "import json, sys; from edgenas.deploy.plugins import exporter_names, get_exporter, get_runtime, runtime_names\n"
        "plugins = [*map(get_exporter, exporter_names()), *map(get_runtime, runtime_names())]\n"
        "files = sorted({sys.modules[type(p).__module__].__file__ for p in plugins})\n"
        "print(json.dumps([exporter_names(), runtime_names(), files]))"
    )
    formats, runtimes, files = json.loads(run(sys.executable, "-c", code, cwd=elsewhere))
    assert {"onnx", "trt", "trt-rtx"} <= set(formats)
    assert {"onnxruntime-cpu", "onnxruntime-cuda", "tensorrt", "tensorrt-rtx", "torch-cpu"} <= set(runtimes)
    assert all(Path(file).is_relative_to(site) for file in files)


def test_the_command_runs_as_a_module_and_as_a_script(elsewhere: Path, site: Path) -> None:
    as_module = run(sys.executable, "-m", "edgenas", "--help", cwd=elsewhere)
    as_script = run(sys.executable, str(site / "bin" / "edgenas"), "--help", cwd=elsewhere)
    for text in (as_module, as_script):
        assert "Usage: edgenas" in text
        assert all(command in text for command in ("init", "train", "profile", "search", "retrain", "export", "verify", "demo"))
