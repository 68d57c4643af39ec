"""What several test modules share."""

from __future__ import annotations

import gc
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.sparing import compare_images_once
from tests.tracing import FOLDER, read_operators_once, trace_each_net_once
from tests.workers import Worker

FIXTURES = Path(__file__).parent / "fixtures"
TOGETHER = ("tests/exporters/",)  # folders whose tests share a worker: OpenVINO, ExecuTorch and TensorRT are imported once
SHARED = "zygote_edgenas"  # what the session's trained project hangs on: tests that use it share a worker
GARBAGE = 20_000  # new objects between two looks of the garbage collector: with Python's 700, a fifth of an export's time
FIRST = (
    "training/test_ranks.py",  # forks and trains, which PyTorch refuses where a net was traced and trained before
    "recipes/test_end_to_end.py",  # these are long: begun early, so that no worker waits for another at the end
    "recipes/test_kills.py",
    "project/test_teaching.py",
)

settings.register_profile(
    "busy", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # a machine may be slow, and a first example imports
settings.load_profile("busy")

gc.disable()  # until everything is imported and collected: it would walk what stays, again and again, for 7 s

# 300 processes are started here: compiling edgenas takes each a quarter of a second.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the cores; before PyTorch is imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure(config: pytest.Config) -> None:
    """Open a folder for what the session traces; workers are told of it by the environment."""
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(Worker(config))
    if FOLDER not in os.environ:
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="edgenas-traced-")
        config.add_cleanup(lambda: shutil.rmtree(os.environ.pop(FOLDER, ""), ignore_errors=True))


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file, and those of the session's project, on one worker."""
    for item in items:
        names: Sequence[str] = getattr(item, "fixturenames", ())
        file = item.nodeid.partition("::")[0]
        alone = next((folder for folder in TOGETHER if file.startswith(folder)), file)
        item.add_marker(pytest.mark.xdist_group(SHARED if SHARED in names else alone))
    items.sort(key=lambda item: next((place for place, name in enumerate(FIRST) if name in item.nodeid), len(FIRST)))


def pytest_collection_finish() -> None:
    """Spare the garbage collector the 700,000 objects that were imported and collected, garbage among them: a walk takes 0.4 s."""
    gc.freeze()
    gc.set_threshold(GARBAGE, 10, 10)
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def quick_tracing() -> None:
    """PyTorch's exporter collects the same operators for every net that it traces; and tests trace the same nets many times."""
    read_operators_once()
    trace_each_net_once()


@pytest.fixture(scope="session", autouse=True)
def images_compared_once() -> None:
    """Whoever divides a set of images looks for near-duplicates in it."""
    compare_images_once()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """PyTorch computes on one thread: small products are no faster on several, and far slower where other processes are busy."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def traced_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nets are traced however often they were traced before, for tests of tracing itself."""
    import torch

    monkeypatch.setattr(torch.onnx, "export", getattr(torch.onnx.export, "__wrapped__", torch.onnx.export))


@pytest.fixture
def models_run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `verify` checks of a model in a process of its own, it checks in this one.

    Starting one takes half a second; what it is good for is tested in `deploy/test_strangers.py` and `deploy/test_formats.py`.
    """
    from edgenas.deploy import _apart, _child, _verify

    def check_here(folder: Path, number: int, *_: Any, is_emulation: bool, **__: Any) -> Any:
        return _apart._checks(b"ready\n" + _child._checks(str(folder), str(number), "emulation" if is_emulation else "file"))

    monkeypatch.setattr(_verify, "check_apart", check_here)


def shorten_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `plan` time one step of every net."""
    from edgenas.project.planning import pace, plain_pace
    from edgenas.recipes import plan
    from edgenas.training import pace as training_pace
    from edgenas.training import probing

    monkeypatch.setattr(probing, "TIMED", 1)
    monkeypatch.setattr(training_pace, "MIN_STEPS", 1)
    monkeypatch.setattr(training_pace, "WARMUP_STEPS", 1)
    monkeypatch.setattr(plan, "NUM_TIMED", 1)
    monkeypatch.setattr(plain_pace, "SECONDS", 0.0)
    monkeypatch.setattr(pace, "time_job", partial(pace.time_job, seconds=0.0))


@pytest.fixture
def short_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """`plan` times one step of every net, for tests of something else than its estimates."""
    shorten_pace(monkeypatch)


@pytest.fixture
def times_of_one_plan(short_pace: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """All plans of a test estimate what the first one does, for tests of what comes before."""
    from edgenas.recipes import plan

    known: list[Any] = []
    estimated = plan._times

    def times(*arguments: Any) -> Any:
        if not known:
            known.append((yield from estimated(*arguments)))
        return known[0]

    monkeypatch.setattr(plan, "_times", times)


@pytest.fixture
def fixture_json() -> Any:
    """Reads a JSON fixture by name."""
    return lambda name: json.loads((FIXTURES / name).read_text(encoding="utf-8"))
