"""Every kind of file that is read back is damaged hundreds of times: one line that names it, never a wrong success."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgenas.config import build, read_toml
from edgenas.data.inspect import FileIndex
from edgenas.data.splits import load_splits
from edgenas.deploy.artefact import load_manifest
from edgenas.deploy.contracts import ExportedFile
from edgenas.errors import EdgeNASError
from edgenas.latency import LatencyTable
from edgenas.project.settings import ProjectSettings
from edgenas.project.staging import Staging
from edgenas.records import RetrainResult, SearchResult
from edgenas.runs import Journal, RunFolder
from edgenas.training.checkpoints import load_state, load_weights, save_state
from edgenas.training.loop import LoopSettings, start
from edgenas.training.teacher import read_foreign
from tests.recipes.killing import RUN, Reference, Zygote
from tests.training.tiny import CPU, tiny_net

SEED, DAMAGES = 20261125, 60
SETTINGS = LoopSettings(epochs=1, learning_rate=1e-3)


def damage(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    """One of the ways in which files break or are tampered with."""
    at, length = int(rng.integers(len(data))), int(rng.integers(1, 40))
    text = data.decode("latin-1")
    ways: list[Callable[[], bytes]] = [
        lambda: data[:at],
        lambda: b"",
        lambda: data[:at] + bytes([data[at] ^ (1 << int(rng.integers(8)))]) + data[at + 1 :],
        lambda: data[:at] + data[at + length :],
        lambda: data[:at] + rng.bytes(length) + data[at:],
        lambda: data[:at] + b"\0" * length + data[at + length :],
        lambda: data + rng.bytes(length),
        lambda: swap(text, '"schema_version": ', ["0", "99", '"1"', "null", "true"], rng).encode("latin-1"),
        lambda: swap_number(text, ["NaN", "Infinity", "-1", "1e999", "null", '"x"', "[]"], rng).encode("latin-1"),
        lambda: swap_number(text, [str(int(rng.integers(10)))], rng).encode("latin-1"),
        lambda: others[int(rng.integers(len(others)))],
        lambda: data[: len(data) // 2] + data[len(data) // 3 :],
    ]
    return ways[int(rng.integers(len(ways)))]()


def swap(text: str, key: str, values: list[str], rng: np.random.Generator) -> str:
    before, found, after = text.partition(key)
    return before + found + values[int(rng.integers(len(values)))] + after.lstrip("0123456789") if found else text[:-3]


def swap_number(text: str, values: list[str], rng: np.random.Generator) -> str:
    """Replace one number of a text."""
    places = [i for i in range(1, len(text)) if text[i].isdigit() and not text[i - 1].isalnum() and text[i - 1] not in "._-"]
    if not places:
        return text[:-1]
    at = places[int(rng.integers(len(places)))]
    end = at
    while end < len(text) and (text[end].isalnum() or text[end] in "._+-"):
        end += 1
    return text[:at] + values[int(rng.integers(len(values)))] + text[end:]


def comparable(value: Any) -> Any:
    """Something that can be compared with ==."""
    if isinstance(value, torch.Tensor):
        return (str(value.dtype), tuple(value.shape), value.numpy().tobytes())
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [comparable(item) for item in value]
    return value


def read_splits(path: Path) -> Any:
    splits = load_splits(path)
    return (comparable(dict(splits.indices)), splits.fingerprint, splits.excluded, splits.options, splits.seed, splits.fractions)


def read_journal(path: Path) -> Any:
    return Journal(path, {"of": "this"}).found


def read_state(path: Path) -> Any:
    state = start(tiny_net(), SETTINGS, CPU)
    load_state(path, state, {"of": "this"})
    return (comparable(dict(state.model.state_dict())), state.epoch, state.step, state.sums)


def read_manifest(path: Path) -> Any:
    return load_manifest(path.parent).as_json()


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "edgenas.toml": ("edgenas.toml", lambda path: build(ProjectSettings, read_toml(path), source=str(path))),
    "splits": ("data/splits.json", read_splits),
    "latency table": ("latency/*_pvt-nano*.json", lambda path: LatencyTable.load(path).sha256),
    "teacher's weights": ("teacher/weights.safetensors", lambda path: comparable(load_weights(path))),
    "supernet's weights": ("supernet/weights.safetensors", lambda path: comparable(load_weights(path))),
    "search result": ("search/result.json", lambda path: SearchResult.read(path).as_json()),
    "retrain result": ("retrain/result.json", lambda path: RetrainResult.read(path).as_json()),
    "manifest": ("export/onnx/manifest.json", read_manifest),
    "training state": ("made/state.safetensors", read_state),
    "journal": ("made/journal.jsonl", read_journal),
    "file index": ("made/files.json", lambda path: FileIndex.load(path) if path.exists() else None),
    "foreign checkpoint": ("made/foreign.safetensors", lambda path: comparable(read_foreign(path))),
}
# settings have no hash, since people edit them; a foreign checkpoint has none either, and a journal's torn end is expected
UNSEALED = ("edgenas.toml", "foreign checkpoint", "journal")


@pytest.fixture(scope="module")
def run(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with one file of every kind."""
    folder = tmp_path_factory.mktemp("fuzz") / RUN
    shutil.copytree(reference.after("export") / RUN, folder)
    made = folder / "made"
    made.mkdir()
    state = start(tiny_net(), SETTINGS, CPU)
    save_state(made / "state.safetensors", state, {"of": "this"})
    journal = Journal(made / "journal.jsonl", {"of": "this"})
    for number in range(20):
        journal.record(f"net {number}", {"ms": [0.25 * number, 1.5]})
    journal.close()
    FileIndex({}).save(made / "files.json")
    shutil.copy(folder / "supernet" / "weights.safetensors", made / "foreign.safetensors")
    return folder


def outcome(read: Callable[[Path], Any], path: Path) -> Any:
    """What a reader gives, or the error that it raises on purpose."""
    try:
        return read(path)
    except EdgeNASError as error:
        return error


@pytest.mark.parametrize("kind", READERS)
def test_a_damaged_file_is_one_line_and_never_a_wrong_success(kind: str, run: Path) -> None:
    pattern, read = READERS[kind]
    (path,) = run.glob(pattern)
    whole = path.read_bytes()
    expected = read(path)
    others = [file.read_bytes()[:200_000] for other, _ in READERS.values() for file in run.glob(other) if file != path]
    rng = np.random.default_rng([SEED, list(READERS).index(kind)])
    refused = 0
    try:
        for _ in range(DAMAGES):
            path.write_bytes(damage(whole, rng, others))
            found = outcome(read, path)
            if isinstance(found, EdgeNASError):
                refused += 1
                assert "\n" not in str(found), found
                assert path.name in str(found) or str(path.parent) in str(found), found
                continue
            if kind == "journal":
                assert found.items() <= expected.items()
            elif kind not in UNSEALED:
                assert found == expected
    finally:
        path.write_bytes(whole)
    assert refused > DAMAGES / 3, "the damages do no damage"


def test_a_staged_export_that_was_damaged_is_written_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(SEED)
    written = 0

    def write(folder: Path) -> list[ExportedFile]:
        nonlocal written
        written += 1
        (folder / "m.onnx").write_bytes(b"model" * 30)
        return [ExportedFile(folder / "m.onnx", "onnx", "onnxruntime-cpu", "fp32", 1)]

    staging = Staging.open(RunFolder(tmp_path), "onnx", {"of": "this"})
    assert staging.files("spec", write) == staging.files("spec", write)
    assert written == 1
    for name in ("m.onnx", "files.json"):
        path = staging.folder / "spec" / name
        whole = path.read_bytes()
        for _ in range(100):
            damaged = damage(whole, rng, [b"other"])
            path.write_bytes(damaged)
            (file,) = staging.files("spec", write)
            assert file.path.read_bytes() == b"model" * 30
    assert written > 150


COMMANDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "edgenas.toml": ("edgenas.toml", ("info",)),
    "splits": ("data/splits.json", ("evaluate",)),
    "file index": ("data/files.json", ("evaluate",)),
    "latency table": ("latency/*_pvt-nano*.json", ("search", "--latency-ms", "5")),
    "teacher's weights": ("teacher/weights.safetensors", ("train",)),
    "supernet's weights": ("supernet/weights.safetensors", ("search", "--latency-ms", "5")),
    "predictions": ("search/evaluations.jsonl", ("search", "--latency-ms", "5")),
    "search result": ("search/result.json", ("evaluate",)),
    "retrained weights": ("retrain/weights.safetensors", ("evaluate",)),
    "manifest": ("export/onnx/manifest.json", ("verify", f"{RUN}/export/onnx")),
    "golden outputs": ("export/onnx/golden.npz", ("verify", f"{RUN}/export/onnx")),
    "model": ("export/onnx/model-fp32-b1.onnx", ("verify", f"{RUN}/export/onnx")),
}


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("kind", COMMANDS)
def test_a_command_that_meets_a_damaged_file_says_so(
    kind: str, zygote_edgenas: Zygote, reference: Reference, tmp_path: Path
) -> None:
    shutil.copytree(reference.after("export"), tmp_path / "work")
    run = tmp_path / "work" / RUN
    pattern, arguments = COMMANDS[kind]
    (path,) = run.glob(pattern)
    if kind == "edgenas.toml":  # of which comments are most
        path.write_text("\n".join(line for line in path.read_text().splitlines() if line[:1] != "#") + "\n")
    whole = path.read_bytes()
    others = [file.read_bytes()[:200_000] for other, _ in COMMANDS.values() for file in run.glob(other) if file != path]
    rng = np.random.default_rng([SEED, 1, list(COMMANDS).index(kind)])
    good = zygote_edgenas(tmp_path / "work", *arguments)
    assert good.code == 0, good.out
    codes: dict[int, int] = {}
    for _ in range(200):
        damaged = damage(whole, rng, others)
        path.write_bytes(damaged)
        ended = zygote_edgenas(tmp_path / "work", *arguments)
        codes[ended.code] = codes.get(ended.code, 0) + 1
        assert "Traceback" not in ended.err, ended.err
        if ended.code == 0:
            same = untimed(ended.value["result"]) == untimed(good.value["result"])
            assert kind == "edgenas.toml" or same, (whole == damaged, ended.out)
        else:
            error = ended.value["error"]
            assert "a bug in edgenas" not in error["message"], ended.out
            assert "\n" not in error["message"]
    sys.stdout.write(f"{kind}: 200 damages, exit codes {codes}, seed {SEED}\n")  # shown by pytest -rP
    assert set(codes) <= {0, 1, 2, 4}, codes


def untimed(result: Any) -> Any:
    """A result without what a clock says, and without the choice among finalists, which may hang on it."""
    if isinstance(result, dict):
        clock = (
            "latency_ms_measured",
            "latency_ms_p95",
            "latency_ms_percentiles",
            "winner",
            "made",
            "rejected_by",
            "reasons",
            "loader",
            "seconds",
        )
        return {name: untimed(value) for name, value in result.items() if name not in clock}
    return [untimed(value) for value in result] if isinstance(result, list) else result
