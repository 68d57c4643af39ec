"""`edgenas profile --device ssh://…`: one command packs, sends, measures, brings back and imports."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgenas.cli import main
from edgenas.config import Flags
from edgenas.errors import LatencyTableError
from edgenas.latency import LatencyTable
from edgenas.recipes import remote
from edgenas.recipes.profile import ProfileConfig
from edgenas.recipes.profile import run as profile
from edgenas.remote import Address, run_job
from edgenas.runs import Progress
from tests.latency.kits import fake_trtexec
from tests.remote.servers import Server

# four blocks, and few nets beside them
SPACE = "pvt-nano[pool_size=2,depths[2]=1,{}]".format(
    ",".join(f"qkv_dims[{i}]={n},mlp_ratios[{i}]=2" for i, n in enumerate((4, 4, 8, 16)))
)
FEW = {"visits": 2, "calibration_nets": 4, "bound_nets": 4, "validation_nets": 2}
SETS = [part for name, value in FEW.items() for part in ("--set", f"profile.{name}={value}")]


def edgenas_in(folder: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, the JSON object and stderr of a command."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main([*arguments, "--json"])
    return int(ended.value.code or 0), json.loads(out.getvalue()), err.getvalue()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `init` has run; components that were traced stay for the next test."""
    folder = tmp_path_factory.mktemp("project")
    assert edgenas_in(folder, "init", "--data", "digits", "--image-px", "16", "--space", SPACE)[0] == 0
    return folder


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """No path is broken."""
    monkeypatch.setenv("COLUMNS", "400")


@pytest.fixture(autouse=True)
def looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    def often(*arguments: Any) -> Any:
        return run_job(*arguments, poll_s=(0.1,))

    monkeypatch.setattr(remote, "run_job", often)


@pytest.fixture
def kits(tmp_path: Path) -> Path:
    """The folder for kits on the device."""
    return tmp_path / "kits"


def url(server: Server, kits: Path, **settings: str) -> str:
    query = {"python": sys.executable, "dir": str(kits), **settings}
    return f"{server.address()}?" + "&".join(f"{name}={value}" for name, value in query.items())


def test_a_table_comes_of_one_command_and_nothing_stays_there(server: Server, kits: Path, project: Path) -> None:
    code, value, err = edgenas_in(project, "profile", "--device", url(server, kits), "--threads", "1", *SETS)
    assert code == 0, (value["error"], err)
    table = LatencyTable.load(project / "edgenas-run" / value["result"]["table"])
    assert table.context.details["kit"]["plan_sha256"]
    assert (value["result"]["context"]["runtime"], value["result"]["context"]["threads"]) == ("onnxruntime-cpu", 1)
    assert list(kits.iterdir()) == []
    for words in ("Python 3.", "a kit of ", "sending, kB: ", "127.0.0.1: pvt-nano[", "timing nets: ", "fetching, kB: "):
        assert words in err
    assert "edgenas profile --import" not in err

    code, value, err = edgenas_in(project, "profile", "--device", url(server, kits), "--threads", "1", "--again", "--keep", *SETS)
    assert code == 0, (value["error"], err)
    assert len(value["result"]["sessions"]) == 2
    (kept,) = kits.iterdir()
    assert {path.name for path in kept.iterdir()} >= {"plan.json", "measure.py", "graphs.xz"}
    assert not (kept / "results.json").exists()  # the next command measures anew


def test_a_device_without_onnx_runtime_is_told_what_to_install(server: Server, kits: Path, project: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    bare.chmod(0o755)
    for name in ("numpy", "onnxruntime"):
        (tmp_path / f"{name}.py").write_text("raise ImportError\n")
    code, value, _ = edgenas_in(project, "profile", "--device", url(server, kits, python=str(bare)), *SETS)
    assert (code, value["status"]) == (5, "missing_backend")
    assert value["error"]["message"].startswith(f"{server.address()} has no numpy and no onnxruntime for Python 3.")
    assert f"{sys.executable} -m pip install numpy onnxruntime; or name" in value["error"]["hint"]
    code, value, _ = edgenas_in(
        project, "profile", "--device", url(server, kits, trtexec="/no/trtexec"), "--runtime", "tensorrt", *SETS
    )
    assert (code, value["error"]["message"]) == (5, f"{server.address()} has no /no/trtexec")


def test_a_device_with_trtexec_is_measured_with_it(server: Server, kits: Path, project: Path, tmp_path: Path) -> None:
    tool = fake_trtexec(tmp_path, "10")
    code, value, err = edgenas_in(project, "profile", "--device", url(server, kits, trtexec=str(tool)), *SETS)
    assert code == 0, (value["error"], err)
    assert (value["result"]["context"]["runtime"], value["result"]["context"]["device"]) == ("tensorrt", "Orin")
    assert f"measured with {tool}" in err


def test_results_that_were_changed_there_are_refused_and_the_next_command_measures_anew(
    server: Server, kits: Path, project: Path
) -> None:
    flags: Flags = {"profile": {**FEW, "threads": 1}}
    device = Address.parse(url(server, kits))
    records = profile(ProfileConfig(project / "edgenas-run", flags, (), address=device))

    def until_changed() -> Iterator[Any]:
        for record in records:
            if isinstance(record, Progress) and record.label == "timing nets" and record.done == record.total:
                path = next(kits.glob("*")) / "results.json"
                while not path.with_name("run.exit").exists():
                    time.sleep(0.02)
                text = path.read_text()
                path.write_text(text.replace('"complete": true', '"complete": "yes"'))
            yield record

    with pytest.raises(LatencyTableError, match=r"what ssh://.* brought back cannot be used: results.json was edited") as caught:
        list(until_changed())
    assert caught.value.hint == "the same command measures anew"
    assert not list(kits.glob("*/results*"))


def test_a_machine_without_openssh_is_told_so(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code, value, _ = edgenas_in(project, "profile", "--device", "ssh://pi")
    assert (code, value["error"]["message"]) == (5, "ssh cannot be started: No such file or directory")
    assert value["error"]["hint"] == "install OpenSSH's client"


def test_a_runtime_that_kits_do_not_know_is_refused(server: Server, kits: Path, project: Path) -> None:
    code, value, _ = edgenas_in(project, "profile", "--device", url(server, kits), "--runtime", "torch-cpu", *SETS)
    assert code == 2
    assert "kits measure with" in value["error"]["message"]


@pytest.mark.slow
def test_nets_are_timed_in_int8_on_another_machine(server: Server, kits: Path, project: Path) -> None:
    code, value, err = edgenas_in(project, "profile", "--device", url(server, kits), "--threads", "1", "--precision", "int8", *SETS)
    assert code == 0, (value["error"], err)
    context = LatencyTable.load(project / "edgenas-run" / value["result"]["table"]).context
    assert (context.runtime, context.precision) == ("onnxruntime-cpu", "int8")
    assert list(kits.iterdir()) == []


@pytest.mark.slow
def test_ctrl_c_stops_the_device_and_the_same_command_goes_on(server: Server, kits: Path, tmp_path: Path) -> None:
    """With the default space, looks and options of a quick run, in a process as a user starts it."""
    assert edgenas_in(tmp_path, "init", "--data", "digits", "--space", "pvt-nano[pool_size=2]")[0] == 0
    command = [sys.executable, "-m", "edgenas", "profile", "--device", url(server, kits), "--threads", "1", "--quick", "--json"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})
    while not any(kits.glob("*/results.progress.jsonl")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, json.loads(out)["status"]) == (130, "interrupted")
    (folder,) = [path for path in kits.iterdir() if (path / "run.exit").exists()]
    assert (folder / "run.exit").read_text() in ("130", "0")
    code, value, err = edgenas_in(tmp_path, *command[3:-1])
    assert code == 0, (value["error"], err)
    assert not folder.exists()
