"""Kits: the same measurements in the same order as `profile` makes, in any Python, gone on with after a kill, one table."""

from __future__ import annotations

import ast
import json
import signal
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgenas
from edgenas.errors import LatencyTableError
from edgenas.latency import LatencyTable, MeasuringSettings, ProfileResult, TimingSettings, profile
from edgenas.latency.kit import pack
from edgenas.latency.kit.pack import KitPlan, Request, is_kit, kit_plan, script, write_kit
from edgenas.latency.kit.results import expected_keys, read_results, table_of
from edgenas.latency.kit.script_backends import OrtBackend
from edgenas.latency.kit.script_base import Kit, KitError
from edgenas.latency.kit.script_measure import PlannedVisits, open_journal
from edgenas.portable.journal import JournalFile
from edgenas.portable.machine import joined
from edgenas.records import KitRequest
from edgenas.runs import jsonable
from edgenas.spaces import SearchSpace
from edgenas.spaces.pvt import PVT_COVIDX, PVT_NANO
from tests.latency.kits import FEW, SMALL, bare_command, request, resealed, run_bare, unpacked
from tests.latency.toy import ToyNet, ToyRuntime, build

TASK = SMALL.default_task
NUM_VISITS = len(list(expected_keys(kit_plan(request()), 2, is_thin=False)))


class DictMemory(dict[str, Any]):
    """A memory that is gone afterwards."""

    def recall(self, key: str) -> Any:
        return self.get(key)

    def record(self, key: str, value: Any) -> None:
        self[key] = jsonable(value)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a kit, and its results, measured in an interpreter without edgenas."""
    folder = tmp_path_factory.mktemp("kit")
    done = run_bare(unpacked(folder), folder=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(folder / "results.json")
    assert "done: edgenas profile --import results.json" in done.stderr
    return folder


def imported(path: Path) -> LatencyTable:
    *_, last = table_of(read_results(path, SMALL, TASK), details={})
    assert isinstance(last, ProfileResult)
    return last.table


class CountedRuntime(ToyRuntime):
    """Remembers which net was called, call after call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []

    def load(self, source: Any, **options: Any) -> Any:
        runner, calls = super().load(source, **options), self.calls

        class Counted:
            info, compute_ms, close = runner.info, runner.compute_ms, runner.close

            def __call__(self, images: Any) -> Any:
                calls.append(source.chain)
                return runner(images)

        return Counted()

    def wait(self, seconds: float) -> None:
        self.clock.spend(seconds * 1e3)


def by_profile(runtime: CountedRuntime, settings: MeasuringSettings, space: SearchSpace, memory: DictMemory) -> ProfileResult:
    target = runtime.target(fps=settings.fps, sleep=runtime.wait)
    *_, result = profile(space, TASK, target, build, settings=settings, rng=np.random.default_rng(0), memory=memory)
    assert isinstance(result, ProfileResult)
    return result


def by_kit(runtime: CountedRuntime, planned: KitPlan, folder: Path, memory: JournalFile) -> list[tuple[str, int, int]]:
    """The steps of the kit's script with nets that cost a formula's time."""
    kit = Kit(folder)

    def open_toy(net: int) -> Any:
        runner = runtime.load(ToyNet(planned.chains[net]))

        class Toy:
            close = runner.close

            def __call__(self) -> None:
                runner(np.zeros((1, 3, 32, 32), dtype=np.float32))

        return Toy()

    backend = OrtBackend(kit, open_toy, runtime.clock, runtime.wait)
    work = PlannedVisits(kit, backend, memory, kit.plan["request"]["settings"]["seconds"], runtime.wait)
    visits, shape, _ = work.shape()
    return list(work.run(visits, shape))


def visits_of(memory: Mapping[str, Any]) -> dict[str, Any]:
    """What was timed, without what else the machine did."""
    return {key: value for key, value in memory.items() if " machine" not in key and key != "soak"}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"fps": 20.0},
        {"soak_seconds": 30.0},
        {"pause_seconds": 90.0},
        {"seconds": 0.8},
        {"seconds": 0.01},
        {"timing": TimingSettings(visits=3, runs=5, reference_every=3)},
    ],
)
def test_the_script_makes_the_visits_that_profile_makes(changes: dict[str, Any], tmp_path: Path) -> None:
    """Nets that cost a formula's time on a clock that only they move: both remember the same, to the last bit."""
    settings = replace(MeasuringSettings(calibration_nets=6, validation_nets=4), **changes)
    space = PVT_NANO if settings.seconds is not None else SMALL
    planned = kit_plan(request(space, settings, threads=None))
    here, there, memory = CountedRuntime(), CountedRuntime(), DictMemory()
    by_profile(here, settings, space, memory)
    journal = open_journal(tmp_path / "progress.jsonl", {})
    steps = by_kit(there, planned, unpacked(tmp_path, planned), journal)
    journal.close()
    assert {"session 1 machine", "session 2 machine", "session 1 machine 0", "session 2 machine 0"} <= journal.values.keys()
    assert visits_of(journal.values) == visits_of(memory)
    if settings.soak_seconds:
        assert journal.values["soak"]["tenths_ms"] == memory["soak"]["tenths_ms"]
    assert there.calls == here.calls
    assert [load.chain for load in there.loads] == [load.chain for load in here.loads]
    assert there.clock.now == here.clock.now
    assert steps[-1][1] == steps[-1][2]
    visits, is_thin = memory["shape"]
    assert set(memory) >= {key for key, _ in expected_keys(planned, visits, is_thin=bool(is_thin))}
    assert bool(is_thin) == (settings.seconds is not None)


@pytest.mark.parametrize(
    ("last", "is_whole"), [("session 1 round 0 net 3", False), ("session 2 round 1 net 0", False), ("session 2 reference 2", True)]
)
def test_both_go_on_alike_and_wake_the_processor_before_the_first_visit_that_they_make(
    last: str, is_whole: bool, tmp_path: Path
) -> None:
    """The processor idled since the kill; where nothing is left to be timed there is no reason to wake it."""
    settings = MeasuringSettings(calibration_nets=6, validation_nets=4, timing=TimingSettings(visits=2))
    planned = kit_plan(request(SMALL, settings, threads=None))
    whole = DictMemory()
    by_profile(CountedRuntime(), settings, SMALL, whole)
    keys = list(whole)
    kept = {key: whole[key] for key in keys[: keys.index(last) + 1]}
    here, there, memory = CountedRuntime(), CountedRuntime(), DictMemory(kept)
    by_profile(here, settings, SMALL, memory)
    journal = open_journal(tmp_path / "progress.jsonl", {})
    for key, value in kept.items():
        journal.record(key, value)
    by_kit(there, planned, unpacked(tmp_path, planned), journal)
    journal.close()
    assert visits_of(memory) == visits_of(journal.values) == visits_of(whole)
    assert there.calls == here.calls
    reference = planned.chains[planned.content.reference]
    assert (not here.calls) == is_whole
    assert all(chain == reference for chain in here.calls[:8])  # three, and at least five that are timed


def test_the_script_needs_nothing_but_numpy_and_onnx_runtime_and_its_table_is_profile_s(home: Path) -> None:
    path = home / "results.json"
    table = imported(path)
    content = json.loads(path.read_text())
    assert table.context.runtime == "onnxruntime-cpu"
    assert (table.context.threads, table.context.batch_size, table.context.scope) == (1, 1, "end_to_end")
    assert table.context.details["kit"]["plan_sha256"] == content["plan_sha256"] == kit_plan(request()).sha256
    assert table.context.details["python"] == content["machine"]["python"]
    assert set(table.context.details["versions"]) == {"numpy", "onnxruntime"}
    assert table.measuring.date == content["machine"]["ended"]
    machines = table.measuring.machine or ()
    assert [seen.as_json() for seen in machines] == [content["memory"][f"session {number} machine"] for number in (1, 2)]
    assert (machines[0].own_cores or 0) > 0
    # the same visits in the memory of a profile give the same table
    runtime = ToyRuntime(name="onnxruntime-cpu")
    memory = DictMemory(content["memory"])
    records = profile(SMALL, TASK, runtime.target(), build, settings=FEW, rng=np.random.default_rng(0), memory=memory)
    other = next(record for record in records if isinstance(record, ProfileResult)).table
    assert other.entries == table.entries
    assert other.calibration == table.calibration
    assert other.validation == table.validation
    assert sum(entry.n for entry in table.entries) > 0


def test_a_killed_script_goes_on_where_it_was(home: Path, tmp_path: Path) -> None:
    journal = tmp_path / "results.progress.jsonl"
    killed = bare_command(home / "kit", folder=home, signalled=(12, signal.SIGKILL))
    assert subprocess.run(killed, cwd=tmp_path, stderr=subprocess.DEVNULL, check=False).returncode == -signal.SIGKILL
    kept = journal.read_text()
    assert len(kept.splitlines()) < NUM_VISITS
    assert not (tmp_path / "results.json").exists()
    journal.write_text(kept + '0123456789abcdef {"key": "session 1 refer')
    command = bare_command(home / "kit", folder=home)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"going on after {len(kept.splitlines()) - 1} measurements" in done.stderr
    whole = kept[: kept.rindex("\n") + 1]
    assert journal.read_text().startswith(whole)
    keys = [json.loads(line[17:])["key"] for line in journal.read_text().splitlines()[1:]]
    assert len(keys) == len(set(keys)) == NUM_VISITS + 9
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["machine"]["started"] == content["memory"]["begun"]["started"]
    seen = [content["memory"][f"session {number} machine"]["seconds"] for number in (1, 2)]
    assert content["machine"]["seconds"] == pytest.approx(sum(seen))
    assert imported(tmp_path / "results.json").measuring.seconds == pytest.approx(sum(seen))
    assert imported(tmp_path / "results.json").validation.num_subnets == 2


def test_ctrl_c_keeps_what_there_is_and_partial_results_are_refused_with_how_much_is_missing(home: Path, tmp_path: Path) -> None:
    command = bare_command(home / "kit", folder=home, signalled=(12, signal.SIGINT))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert "the same command goes on" in done.stderr
    made = sum(
        "ms" in value for value in json.loads((tmp_path / "results.json").read_text())["memory"].values() if isinstance(value, dict)
    )
    assert 0 < made < NUM_VISITS
    with pytest.raises(LatencyTableError) as caught:
        read_results(tmp_path / "results.json", SMALL, TASK)
    assert f"{NUM_VISITS - made} of {NUM_VISITS} visits are missing" in caught.value.problems[0]
    assert "goes on" in caught.value.hint


def drop(content: dict[str, Any]) -> None:
    del content["memory"]["session 2 round 1 net 0"]


def no_time(content: dict[str, Any]) -> None:
    content["memory"]["session 1 round 0 net 3"]["ms"][0] = None


def too_few(content: dict[str, Any]) -> None:
    content["memory"]["session 1 reference 0"]["ms"].pop()


def negative(content: dict[str, Any]) -> None:
    content["memory"]["session 1 reference 0"]["ms"][0] = -1.0


def other_seed(content: dict[str, Any]) -> None:
    content["request"]["seed"] = 1


def other_version(content: dict[str, Any]) -> None:
    content["request"]["edgenas"] = "0.0.1"


def no_info(content: dict[str, Any]) -> None:
    del content["info"]["device"]


def other_precision(content: dict[str, Any]) -> None:
    content["info"]["precision"] = "fp64"


def unfinished(content: dict[str, Any]) -> None:
    content["complete"] = False


def no_compute(content: dict[str, Any]) -> None:
    del content["memory"]["session 1 reference 0"]["compute_ms"]


def too_many_visits(content: dict[str, Any]) -> None:
    content["memory"]["shape"] = [99, False]


def strange_machine(content: dict[str, Any]) -> None:
    content["memory"]["session 1 machine"]["own_cores"] = "hello"


def no_machine(content: dict[str, Any]) -> None:
    content["memory"]["session 2 machine"] = None


def endless(content: dict[str, Any]) -> None:
    content["machine"]["seconds"] = 1e300


def empty(content: dict[str, Any]) -> None:
    content["memory"] = {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (drop, f"1 of {NUM_VISITS} visits are missing, the first is 'session 2 round 1 net 0'"),
        (no_time, f"1 of {NUM_VISITS} visits hold no times, the first is 'session 1 round 0 net 3'"),
        (too_few, "hold no times"),
        (negative, "hold no times"),
        (other_seed, "made with another plan"),
        (other_version, "edgenas: packed by 0.0.1, this is"),
        (no_info, "device is None"),
        (other_precision, "precision: the kit was packed for fp32, it says 'fp64'"),
        (unfinished, "the measurement was not finished"),
        (no_compute, "hold no times"),
        (too_many_visits, "visits are 99, the kit asks for 2"),
        (strange_machine, "session 1: machine: own_cores is 'hello'"),
        (no_machine, "session 2: what the machine did is None"),
        (endless, "seconds is 1e+300"),
        (empty, "nothing is measured yet"),
    ],
)
def test_results_that_cannot_be_used_are_refused_in_one_line(change: Any, words: str, home: Path) -> None:
    with pytest.raises(LatencyTableError) as caught:
        read_results(resealed(home / "results.json", change), SMALL, TASK)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_edited_or_foreign_files_are_refused(home: Path, tmp_path: Path) -> None:
    text, path = (home / "results.json").read_text(), tmp_path / "results.json"
    for damaged, words in (
        (text.replace('"compute_ms": null', '"compute_ms": 1.0', 1), "was edited or damaged"),
        (text.replace('"compute_ms": null', '"compute_ms": NaN', 1), "NaN is no JSON number"),
        (text[: len(text) // 2], "is not JSON"),
        ("[]", "no JSON object"),
    ):
        path.write_text(damaged)
        with pytest.raises(LatencyTableError, match=words):
            read_results(path, SMALL, TASK)
    with pytest.raises(LatencyTableError, match="space: measured for pvt-nano, this run has pvt-covidx"):
        read_results(home / "results.json", PVT_COVIDX, PVT_COVIDX.default_task)
    with pytest.raises(LatencyTableError, match="the choices of pvt-nano have changed"):
        read_results(home / "results.json", PVT_NANO, TASK)
    with pytest.raises(LatencyTableError, match="image_px: measured for 32, this run has 64"):
        read_results(home / "results.json", SMALL, replace(TASK, image_px=64))


def test_a_damaged_kit_is_one_line_that_names_the_file(home: Path, tmp_path: Path) -> None:
    kit = unpacked(tmp_path)
    name = kit / "graphs.xz"
    for damage, words in (
        (lambda: name.write_bytes(name.read_bytes()[:-1]), "graphs.xz is damaged"),
        (lambda: name.unlink(), "graphs.xz does not exist"),
        (lambda: (kit / "plan.json").write_text("{"), "plan.json cannot be used"),
    ):
        damage()
        done = run_bare(kit, "--check", folder=home)
        assert done.returncode == 1
        assert done.stderr.startswith("measure.py: ")
        assert words in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_journal_of_other_work_or_with_a_damaged_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    journal = open_journal(path, {"plan": "a"})
    for number in range(3):
        journal.record(f"key {number}", {"ms": [0.1 * number, 1e-7], "compute_ms": None})
    journal.close()
    again = open_journal(path, {"plan": "a"})
    again.close()
    assert again.values == journal.values
    with pytest.raises(KitError, match="another kit"):
        open_journal(path, {"plan": "b"})
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], lines[2].replace("0.1", "0.2"), *lines[3:]]) + "\n")
    with pytest.raises(KitError, match="line 3 was edited or damaged"):
        open_journal(path, {"plan": "a"})


def test_the_plan_is_shown_and_a_budget_on_the_device_shapes_it(home: Path) -> None:
    done = run_bare(home / "kit", "--check", "--budget", "0.00001", "--output", "other.json", folder=home)
    assert done.returncode == 0
    assert "2 visits each, about" in done.stderr
    assert "more than the budget of 1e-05 min" in done.stderr
    assert not (home / "other.json").exists()
    wrong = run_bare(home / "kit", "--budget", "-1", folder=home)
    assert wrong.returncode == 2
    assert "minutes above 0" in wrong.stderr
    assert "--trtexec" in run_bare(home / "kit", "--help", folder=home).stdout


def test_a_program_of_tensorrt_is_refused_by_a_kit_of_onnx_runtime(home: Path) -> None:
    printed = run_bare(home / "kit", "--check", "--trtexec", "trtexec", folder=home)
    assert printed.returncode == 1
    words = "--trtexec is for kits of TensorRT (edgenas profile --pack KIT --device cuda); this one is for onnxruntime-cpu"
    assert words in printed.stderr


def test_a_look_at_the_plan_decides_nothing_but_a_begun_measurement_does(home: Path, tmp_path: Path) -> None:
    def said(*arguments: str) -> str:
        return run_bare(home / "kit", *arguments, "--output", str(tmp_path / "r.json"), folder=home).stderr

    assert "2 visits each" in said("--check")
    assert "more than the budget" in said("--check", "--budget", "0.00001")
    assert "more than the budget" not in said("--check")
    assert run_bare(home / "kit", "--output", str(tmp_path / "r.json"), folder=home).returncode == 0
    again = said("--check", "--budget", "0.00001")
    assert "is decided: to decide anew, delete" in again
    assert str(tmp_path / "r.progress.jsonl") in again
    assert "more than the budget" not in again


def test_two_scripts_do_not_measure_beside_each_other(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "results.progress.jsonl"
    journal = open_journal(path, {"plan": "a"})
    with pytest.raises(KitError, match=r"another measure.py is at work on .*results.progress.jsonl"):
        open_journal(path, {"plan": "a"})
    journal.close()
    open_journal(path, {"plan": "a"}).close()


def test_parts_from_before_a_kill_are_joined() -> None:
    part = {
        "seconds": 10.0,
        "num_cores": 2,
        "own_cores": 1.0,
        "other_cores": 0.0,
        "steal_share": None,
        "governors": ["performance"],
    }
    part |= {"load_average_before": 0.1, "load_average_after": 0.2, "frequency_min_mhz": None, "frequency_max_mhz": 1500.0}
    part |= {"temperature_before_c": 50.0, "temperature_after_c": 60.0}
    later = {**part, "seconds": 30.0, "other_cores": 1.0, "load_average_after": 1.5, "governors": ["powersave"]}
    whole = joined([part, later])
    assert (whole["seconds"], whole["other_cores"], whole["steal_share"]) == (40.0, 0.75, None)
    assert (whole["load_average_before"], whole["load_average_after"]) == (0.1, 1.5)
    assert whole["governors"] == ["performance", "powersave"]
    assert joined([part]) == part


def test_only_a_kit_is_replaced_by_a_kit(tmp_path: Path) -> None:
    assert is_kit(unpacked(tmp_path).with_name("kit.zip"))
    other = tmp_path / "notes.txt"
    other.write_text("precious")
    assert not is_kit(other)


def test_the_script_is_python_3_8_and_equal_kits_are_equal_files(tmp_path: Path) -> None:
    text = script()
    tree = ast.parse(text, feature_version=(3, 8))
    assert (ast.get_docstring(tree) or "").startswith("Measure this device")
    names = Counter(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef))
    names.update(
        target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets if hasattr(target, "id")
    )
    assert {name for name, num in names.items() if num > 1} == set()  # modules that were joined share their names
    assert "edgenas." not in "".join(line for line in text.splitlines() if line.lstrip().startswith(("import", "from")))
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    unpacked(tmp_path / "a")
    unpacked(tmp_path / "b")
    assert (tmp_path / "a" / "kit.zip").read_bytes() == (tmp_path / "b" / "kit.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a" / "kit.zip") as archive:
        assert archive.read("measure.py").decode() == text


def test_every_module_that_the_script_is_joined_of_comes_after_those_that_it_imports() -> None:
    packed: set[str] = set()
    for name in pack.SCRIPTS:
        tree = ast.parse((Path(edgenas.__file__).parent / name).read_text(encoding="utf-8"), feature_version=(3, 8))
        used = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        used |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        own = {module for module in used if module.startswith("edgenas")}
        assert own <= packed, (name, own - packed)
        assert {module.split(".")[0] for module in used - own} <= {*sys.stdlib_module_names, "numpy", "onnxruntime"}, name
        packed.add(f"edgenas.{name.removesuffix('.py').replace('/', '.')}")


def test_a_request_survives_its_json_and_a_kit_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(settings=replace(FEW, fps=30.0, soak_seconds=60.0, seconds=600.0), threads=None)
    assert Request.of(KitRequest.from_json(json.loads(json.dumps(asked.as_json()))), SMALL) == asked
    monkeypatch.setattr(pack, "MAX_BYTES", 1000)
    from tests.latency.kits import graph

    with pytest.raises(LatencyTableError, match="the kit would have"):
        list(write_kit(tmp_path / "kit.zip", kit_plan(asked), graph))
    assert not list(tmp_path.iterdir())
