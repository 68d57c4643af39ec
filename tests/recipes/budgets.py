"""A project with a supernet that was never trained and latency tables of devices that are formulas."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgenas.cli import main
from edgenas.deploy.plugins import get_runtime
from edgenas.latency import LatencyTable, ProfileResult, profile
from edgenas.latency import MeasuringSettings as ProfileSettings
from edgenas.latency.measuring import device_name
from edgenas.project.net_facts import facts_of
from edgenas.project.opening import open_images, open_project
from edgenas.spaces.pvt import PVT_NANO
from edgenas.supernets import build_supernet
from edgenas.training.checkpoints import save_weights
from edgenas.training.folder import WEIGHTS
from tests.latency.tables import slower
from tests.latency.toy import ToyRuntime, build
from tests.sparing import blank_pictures

TASK = PVT_NANO.default_task
SMALL = (
    "train.threads=1",
    "search.num_generations=1",
    "search.population=6",
    "search.num_mutations=3",
    "search.num_crossovers=3",
    "search.num_finalists=3",
    "search.proof_epochs=0",  # there is no teacher
)
DECIDED = ("teacher.name=cnn", "train.kd_weight=0.5", "train.temperature=2.0", "train.flip=false")  # nothing is tried out


def edgenas_in(folder: Path, *arguments: str, decided: tuple[str, ...] = DECIDED) -> tuple[int, dict[str, Any], str]:
    """Exit code, the JSON object and stderr of a command, which draws nothing; its own settings win over those ``decided``."""
    out, err = io.StringIO(), io.StringIO()
    own = {argument.partition("=")[0] for argument in arguments}
    settings = (*(each for each in decided if each.partition("=")[0] not in own), *SMALL)
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        blank_pictures(),
        pytest.raises(SystemExit) as ended,
    ):
        main([*arguments, *(part for setting in settings for part in ("--set", setting)), "--json"])
    return int(ended.value.code or 0), json.loads(out.getvalue()), err.getvalue()


@cache
def toy_table(bound_nets: int = 40) -> LatencyTable:
    """Of a device that is not here."""
    settings = ProfileSettings(bound_nets=bound_nets)
    records = profile(PVT_NANO, TASK, ToyRuntime(noise=0.05).target(), build, settings=settings, rng=np.random.default_rng(0))
    *_, last = records
    assert isinstance(last, ProfileResult)
    return last.table


def scaled(table: LatencyTable, factor: float) -> LatencyTable:
    """The table of a device that is so many times slower."""
    calibration = table.calibration
    costs = {name: getattr(calibration, name) * factor for name in ("scale", "offset_ms", "weights_ms")}
    changed = replace(calibration, **costs)
    validation = replace(table.validation, rows=tuple(slower(net, factor) for net in table.checks))
    bound_nets = tuple(slower(net, factor) for net in table.bound_nets)
    return replace(table, calibration=changed, validation=validation, bound_nets=bound_nets)


def of_this_machine(table: LatencyTable) -> LatencyTable:
    """The table as if it had been measured here, with the runtime that ships."""
    runtime = get_runtime("onnxruntime-cpu")
    here = {"device": device_name("cpu"), "runtime": runtime.name, "runtime_version": runtime.probe().version}
    return replace(table, context=replace(table.context, **here))


def make_project(folder: Path) -> Path:
    """A divided data set, an untrained supernet, and this machine's table in the run folder."""
    shutil.copytree(Path(_made().name) / "edgenas-run", folder / "edgenas-run")
    return folder


@cache
def _made() -> tempfile.TemporaryDirectory[str]:
    """Such a project, made once in a process and copied."""
    place = tempfile.TemporaryDirectory(prefix="edgenas-project-")
    folder = Path(place.name)
    code, value, _ = edgenas_in(folder, "init", "--data", "digits", decided=())  # it writes down what it is told
    assert code == 0, value["error"]
    project = open_project(folder / "edgenas-run", {}, SMALL)
    images = open_images(project)
    torch.manual_seed(0)
    save_weights(project.run.supernet / WEIGHTS, build_supernet(PVT_NANO, images.task), facts_of(project.space, images, "supernet"))
    project.run.latency.mkdir(exist_ok=True)
    of_this_machine(toy_table()).save(project.run.latency)
    return place
