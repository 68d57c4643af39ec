"""ExecuTorch files on a device without edgenas: timed, asked about golden images, and never able to end what times the others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgenas.deploy.contracts import ExportedFile, RunnerInfo
from edgenas.deploy.plugins import get_runtime
from edgenas.latency.kit import TurnFile, bench_kit, read_turns
from edgenas.testing.exporters import INPUT_SHAPE
from tests.latency.kit.test_bench_kit import TIMING, model


@pytest.mark.slow
def test_int8_is_timed_and_answers_as_here_and_a_damaged_program_is_left_out(tmp_path: Path, tiny_int8: ExportedFile) -> None:
    images = np.random.default_rng(0).standard_normal((3, *INPUT_SHAPE)).astype(np.float32)
    np.savez(tmp_path / "golden.npz", images=images)
    whole = TurnFile(tiny_int8.path, "executorch-cpu", "int8", (1, *INPUT_SHAPE), 1, tmp_path / "golden.npz")
    data = bytearray(tiny_int8.path.read_bytes())
    data[len(data) // 3 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 3)
    (tmp_path / "damaged.pte").write_bytes(data)
    damaged = TurnFile(tmp_path / "damaged.pte", "executorch-cpu", "int8", (1, *INPUT_SHAPE), 1)
    kit = bench_kit(tmp_path, model(tmp_path, 1), [damaged, whole], TIMING, seed=0)
    (tmp_path / "there").mkdir()
    for name, path in kit.files.items():
        (tmp_path / "there" / name).write_bytes(path.read_bytes())
    done = subprocess.run([sys.executable, "bench.py"], cwd=tmp_path / "there", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if ".cpp" in line or "torch" in line], done.stderr
    found = read_turns(tmp_path / "there" / "results.json", kit)
    _, reason, info = found.infos
    assert isinstance(reason, str)
    assert isinstance(info, RunnerInfo)
    assert (info.runtime, info.precision, info.threads) == ("executorch-cpu", "int8", 1)
    (timing,) = found.turns.timings
    assert (timing.samples_VR > 0).all()
    runner = get_runtime("executorch-cpu").load(tiny_int8.path, precision="int8", threads=1)
    here = np.concatenate([runner(image[None]) for image in images])
    runner.close()
    assert found.answers[2] is not None
    np.testing.assert_allclose(found.answers[2], here, atol=1e-6)
