"""The commands of the contract on real small images, from `init` to a manifest whose parity passed."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from PIL import Image
from sklearn.datasets import load_digits

from edgenas.cli import main
from edgenas.costs import cost_models
from edgenas.deploy.signing import SIGNATURE, load_signatory
from edgenas.project.retraining import equal_cnn
from edgenas.records import BenchResult
from edgenas.runs import sha256_json, write_sealed
from edgenas.spaces import Task, get_space
from edgenas.spaces.designed import hand_designed
from tests.conftest import shorten_pace
from tests.latency.kits import resealed, run_bare
from tests.recipes.killing import SPACE, Reference
from tests.recipes.zygote import FEW_WIDTHS
from tests.settings_file import add_settings
from tests.sparing import blank_pictures

KEY = Ed25519PrivateKey.generate()  # signs an export
SMALL = {
    "data.image_px": 16,
    "teacher.name": "self",
    "teacher.epochs": 2,
    "teacher.probe_steps": 6,
    "train.epochs": 2,
    "train.batch_size": 512,
    "train.kd_weight": 0.9,
    "train.flip": False,
    "retrain.epochs": 1,
    "retrain.race_epochs": 1,
    "profile.visits": 2,
    "profile.calibration_nets": 6,
    "profile.bound_nets": 2,
    "profile.validation_nets": 4,
    "search.num_generations": 1,
    "search.population": 6,
    "search.num_mutations": 3,
    "search.num_crossovers": 3,
    "search.num_finalists": 2,
    "search.proof_epochs": 3,
    "search.proof_nets": 2,
    "search.proof_hand": 1,
    "search.max_params": 111000,  # few hand-made nets meet it
}
HAS_RTX = importlib.util.find_spec("tensorrt_rtx") is not None
Result = tuple[int, dict[str, Any], str]
Run = Callable[..., Result]


def edgenas_in(folder: Path, *arguments: str, draws: bool = False) -> Result:
    """Exit code, the JSON object and stderr of a command; its pictures are blank unless it ``draws``."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        contextlib.nullcontext() if draws else blank_pictures(),
        pytest.raises(SystemExit) as ended,
    ):
        main([*arguments, "--json"])
    return int(ended.value.code or 0), json.loads(out.getvalue()), err.getvalue()


def readme_commands() -> list[list[str]]:
    """The commands of the README's section on one's own images, in order."""
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    block = text.split("executed by tests/recipes/test_end_to_end.py -->\n```bash\n")[1].split("```")[0]
    return [shlex.split(line)[1:] for line in block.splitlines()]


@pytest.fixture(scope="module", autouse=True)
def few_widths() -> Iterator[None]:
    """Few plain CNNs are exported and timed; `tests/project/test_equal_cnn.py` is about which."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(equal_cnn, "WIDTHS", FEW_WIDTHS)
        yield


@pytest.fixture(scope="module", autouse=True)
def short_module_pace() -> Iterator[None]:
    """`plan` times one step of every net."""
    with pytest.MonkeyPatch.context() as patch:
        shorten_pace(patch)
        yield


@pytest.fixture(scope="module")
def project(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which the README's commands have run, with small settings; each command's object is kept beside.

    It is made after the session's ``reference``, of which it has the space: what `profile` traces is traced by then.
    """
    folder = tmp_path_factory.mktemp("project")
    for arguments in readme_commands():
        name = arguments[0]
        code, value, err = edgenas_in(folder, *arguments, draws=name in ("train", "search"))  # retrain draws as train does
        assert code == 0, (arguments, value["error"], err)
        (folder / f"{name}.json").write_text(json.dumps({**value, "stderr": err}))
        if name == "init":
            toml = folder / "edgenas-run" / "edgenas.toml"
            toml.write_text(toml.read_text(encoding="utf-8").replace('"pvt-nano"', f'"{SPACE}"'), encoding="utf-8")
            add_settings(toml, SMALL)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def edgenas(project: Path) -> Run:
    """Runs a command in the project."""
    return lambda *arguments: edgenas_in(project, *arguments)


def stored(project: Path, command: str) -> dict[str, Any]:
    """The result of one of the README's commands."""
    result: dict[str, Any] = json.loads((project / f"{command}.json").read_text())["result"]
    return result


def assert_interval(value: dict[str, Any]) -> None:
    assert set(value) == {"value", "low", "high", "n"}
    assert 0 <= value["low"] <= value["value"] <= value["high"] <= 1


def test_training_shows_teacher_and_three_subnets_on_select(project: Path) -> None:
    result = stored(project, "train")
    assert_interval(result["teacher"]["select_top1"])
    assert set(result["supernet"]["select_top1"]) == {"smallest", "random", "largest"}
    lines = (project / "edgenas-run" / "supernet" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    told = json.loads((project / "train.json").read_text())["stderr"].splitlines()
    told = [line.split("  ")[0] for line in told if ": epoch " in line]
    assert told == [f"{net}: epoch {epoch}/2" for net in ("teacher", "supernet") for epoch in (1, 2)]
    for net in ("teacher", "supernet", "retrain", "retrain/baseline"):
        with Image.open(project / "edgenas-run" / net / "training.png") as image:
            image.verify()


def test_training_again_keeps_what_is_there(edgenas: Run) -> None:
    code, _, err = edgenas("train")
    assert code == 0
    assert "teacher: is there already" in err
    assert "supernet: is there already" in err


def test_another_teacher_is_refused_without_force(edgenas: Run) -> None:
    code, value, _ = edgenas("train", "--only", "teacher", "--teacher", "timm:test_vit")
    assert (code, value["error"]["type"]) == (1, "CheckpointError")
    assert "--force" in value["error"]["hint"]


def test_the_profile_is_the_contracts(project: Path) -> None:
    result = stored(project, "profile")
    assert "tracing components: 30/30\n" in json.loads((project / "profile.json").read_text())["stderr"]
    context = result["context"]
    assert context["device_kind"] == "cpu"
    assert context["runtime"] == "onnxruntime-cpu"
    assert context["scope"] == "end_to_end"
    assert context["batch_size"] == 1
    assert (project / "edgenas-run" / result["table"]).is_file()
    validation = result["validation"]
    assert validation["num_subnets"] == len(validation["rows"]) == 4
    assert {"mape", "within_5", "within_10", "p95_error", "kendall_tau", "noise_floor_mape"} <= set(validation)
    for row in validation["rows"]:
        assert {"arch", "predicted_ms", "upper_ms", "measured_ms", "mad_ms"} <= set(row)
        assert row["upper_ms"] >= row["predicted_ms"] > 0


def test_a_device_without_pytorch_is_measured_with_a_kit_and_searched_for(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project / "edgenas-run", tmp_path / "edgenas-run")
    code, value, err = edgenas_in(tmp_path, "profile", "--pack", "kit.zip", "--threads", "1")
    assert code == 0, value["error"]
    assert "a kit of" in err
    assert value["result"]["size_bytes"] == (tmp_path / "kit.zip").stat().st_size < 2_000_000
    with zipfile.ZipFile(tmp_path / "kit.zip") as archive:
        archive.extractall(tmp_path / "kit")
    done = run_bare(tmp_path / "kit", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    here = edgenas_in(tmp_path, "profile", "--import", "results.json")[1]["result"]
    assert (here["context"]["threads"], here["num_nets_timed"]) == (1, value["result"]["num_nets"])
    for row in here["validation"]["rows"]:
        assert row["predicted_ms"] == pytest.approx(row["measured_ms"], rel=0.9)

    code, value, _ = edgenas_in(tmp_path, "profile", "--import", "results.json", "--again")
    assert (code, value["error"]["message"]) == (1, "these measurements are in the table already")

    board = "raspberry-pi-5-model-b-rev-1.0_onnxruntime-cpu_fp32_b1_pvt-nano-depths-2-1-depths-3-1-mlp-ratios-3-2-pool-size-2"
    changed = resealed(tmp_path / "results.json", lambda content: content["info"].update(device="Raspberry Pi 5 Model B Rev 1.0"))
    code, value, _ = edgenas_in(tmp_path, "profile", "--import", str(changed))
    assert (code, value["result"]["context"]["device"]) == (0, "Raspberry Pi 5 Model B Rev 1.0")
    assert value["result"]["table"] == f"latency/{board}.json"
    code, value, _ = edgenas_in(tmp_path, "search", "--latency-ms", "50")
    assert (code, value["error"]["hint"]) == (1, "choose one with --table NAME")  # this machine was profiled too
    code, value, _ = edgenas_in(tmp_path, "search", "--latency-ms", "50", "--table", board)
    assert code == 0, value["error"]
    assert value["result"]["table"]["device"] == "Raspberry Pi 5 Model B Rev 1.0"
    assert any("not measured: the latency table is of Raspberry Pi 5" in text for text in value["warnings"])
    assert value["result"]["winner"]["latency_ms_measured"] is None
    assert 0 < value["result"]["winner"]["latency_ms_predicted"] <= 50

    code, value, _ = edgenas_in(tmp_path, "profile", "--import", "edgenas-run/data/splits.json")
    assert (code, value["error"]["type"]) == (1, "LatencyTableError")
    assert edgenas_in(tmp_path, "profile", "--pack", "kit.zip", "--runtime", "torch-cpu")[0] == 2
    assert edgenas_in(tmp_path, "profile", "--pack", "kit.zip", "--precision", "fp16")[0] == 2
    assert edgenas_in(tmp_path, "profile", "--pack", "kit.zip", "--import", "results.json")[0] == 2


def test_the_search_result_is_the_contracts(project: Path) -> None:
    result = stored(project, "search")
    assert result["limits"] == {"latency_ms": 5.0, "params": SMALL["search.max_params"]}
    assert result["space"]["num_subnets"] == 2_592
    assert (
        result["space"]["smallest"]["latency_ms"]
        < result["space"]["median"]["latency_ms"]
        < result["space"]["largest"]["latency_ms"]
    )
    winner = result["winner"]
    assert winner["proof"]["epochs"] == 3
    assert_interval(winner["proof"]["top1"])
    assert {row["hand_designed"] for row in result["finalists"]} == {True, False}
    assert [row for row in result["finalists"] if row["hand_designed"] and row["proof"]["epochs"] == 3]
    assert len(result["fidelity"]["rows"]) == len(result["finalists"]) == result["fidelity"]["num_nets"]
    assert winner["latency_ms_measured"] is not None
    assert winner["latency_ms_measured"] <= 5.0
    assert winner in result["finalists"]
    lines = (project / "edgenas-run" / "search" / "search.jsonl").read_text().splitlines()
    assert len(lines) == result["evaluations"]["evaluated"]
    for line in lines:
        row = json.loads(line)
        assert {"arch", "params", "macs", "latency_ms_predicted", "latency_ms_upper", "top1", "generation", "origin"} <= set(row)
        assert_interval(row["sensitivity"]["8"])
    with Image.open(project / "edgenas-run" / "search" / "pareto.png") as picture:
        assert picture.size[0] > 600
    assert (project / "edgenas-run" / "search" / "pareto.svg").read_text().lstrip().startswith("<?xml")


def test_equal_seeds_search_equally(edgenas: Run, project: Path) -> None:
    path = project / "edgenas-run" / "search" / "search.jsonl"
    before = path.read_bytes()
    assert edgenas("search", "--latency-ms", "5")[0] == 0
    assert path.read_bytes() == before


def test_an_impossible_limit_exits_3_with_the_nearest_achievable(edgenas: Run, project: Path) -> None:
    code, value, _ = edgenas("search", "--latency-ms", "0.0001", "--max-params", "1k")
    assert (code, value["status"]) == (3, "infeasible")
    nearest = value["result"]["closest"]
    space = get_space(SPACE)
    fewest = int(cost_models(space, Task(10, 3, 16))["params"](space.enumerate()).min())
    assert nearest["latency_ms"]["asked"] == 0.0001
    assert nearest["latency_ms"]["achievable"] > 0.0001
    assert nearest["params"]["achievable"] == fewest
    assert set(nearest["params"]["arch"]) == {"pool_size", "depths", "qkv_dims", "mlp_ratios"}
    assert (project / "edgenas-run" / "search" / "result.json").is_file()


def test_a_floor_that_nothing_meets_exits_3(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project / "edgenas-run", tmp_path / "edgenas-run")  # whose search names no winner then
    code, value, _ = edgenas_in(tmp_path, "search", "--latency-ms", "5", "--min-sensitivity", "8=1", "--strict-sensitivity")
    assert code == 3
    assert value["result"]["closest"]["sensitivity[8]"]["asked"] == 1.0


def test_a_foreign_table_is_refused_with_every_difference(edgenas: Run, project: Path, tmp_path: Path) -> None:
    table = next((project / "edgenas-run" / "latency").glob("*.json"))
    content = json.loads(table.read_text())
    content.pop("sha256")
    content["context"] |= {"device": "Jetson Orin Nano", "precision": "fp16", "batch_size": 4}
    foreign = tmp_path / "foreign.json"
    foreign.write_text(json.dumps(content | {"sha256": sha256_json(content)}))
    code, value, _ = edgenas("search", "--latency-ms", "5", "--table", str(foreign))
    assert (code, value["error"]["type"]) == (1, "LatencyTableError")
    assert len(value["error"]["problems"]) == 3
    assert "--allow-foreign-table" in value["error"]["hint"]
    foreign.write_text(foreign.read_text().replace("Jetson Orin Nano", "Jetson Orin Nine"))
    code, value, _ = edgenas("search", "--latency-ms", "5", "--table", str(foreign))
    assert code == 1
    assert "edited" in value["error"]["message"]


def test_a_floor_that_is_met_is_among_the_limits(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project / "edgenas-run", tmp_path / "edgenas-run")  # another limit may choose another net
    code, value, _ = edgenas_in(tmp_path, "search", "--latency-ms", "5", "--max-macs", "2M", "--min-sensitivity", "0=0.01")
    assert code == 0, value["error"]
    floor = {"macs": 2_000_000, "sensitivity[0]": 0.01}
    assert value["result"]["limits"] == {"latency_ms": 5.0, "params": SMALL["search.max_params"], **floor}
    assert value["result"]["winner"]["sensitivity"]["0"]["value"] >= 0.01


@pytest.mark.usefixtures("one_batch_size")
def test_without_retraining_the_weights_are_inherited(edgenas: Run, project: Path) -> None:
    retrained, aside = project / "edgenas-run" / "retrain", project / "retrain-aside"
    retrained.rename(aside)
    try:
        code, value, _ = edgenas("export", "--format", "onnx", "--output", "inherited")
    finally:
        aside.rename(retrained)
    assert code == 0, value["error"]
    assert value["result"]["weights"] == "inherited"


def test_retrain_reports_test_beside_the_best_hand_made_net_and_a_plain_cnn(project: Path) -> None:
    result = stored(project, "retrain")
    assert result["split"] == "test"
    for net in (result, result["baseline"], result["cnn"]):
        assert_interval(net["top1"])
        assert net["top1"]["n"] >= 381
        assert len(net["sensitivity"]) == 10
        assert net["latency_ms_measured"] > 0
        assert net["starts"][0]["seconds"] > 0
        assert_interval(net["select_top1"])
        assert net["select_top1"]["value"] == max(each["select_top1"]["value"] for each in net["starts"])
    assert result["baseline"]["latency_ms_predicted"] <= 5.0
    assert result["baseline"]["params"] <= SMALL["search.max_params"]
    assert result["baseline"]["limits"] == {"latency_ms": 5.0, "params": SMALL["search.max_params"]}
    assert result["baseline"]["num_nets"] == 4  # of 6: 5 ms keep none out


def test_searched_and_hand_made_nets_are_trained_in_the_same_ways(project: Path) -> None:
    result = stored(project, "retrain")
    assert ways_of(result) == ways_of(result["baseline"])
    assert ways_of(result) == [(w, t, e) for t in ("teacher", "labels") for w, e in (("finetuned", 1), ("scratch", 3))]
    assert ways_of(result["cnn"]) == [("scratch", teaching, 3) for teaching in ("teacher", "labels")]


def ways_of(net: dict[str, Any]) -> list[tuple[str, str, int]]:
    return [(each["weights"], each["teaching"], each["epochs"]) for each in net["starts"]]


def test_the_verdict_is_one_sentence_and_the_choice_is_not_made_on_test(project: Path) -> None:
    result = stored(project, "retrain")
    for comparison, other in ((result["comparison"], "baseline"), (result["cnn"]["comparison"], "cnn")):
        found = comparison["difference"]
        assert comparison["better"] == ("searched" if found["low"] > 0 else other if found["high"] < 0 else "neither")
        assert found["n"] == result["top1"]["n"]
        assert 0 <= comparison["p_mcnemar"] <= 1
        assert comparison["words"].startswith(("better by ", "worse by ", "equal within "))
    difference = result["top1"]["value"] - result["baseline"]["top1"]["value"]
    assert result["comparison"]["difference"]["value"] == pytest.approx(difference)
    by = result["chosen_by"]
    assert by["splits"] == ["select", "confirm"]
    better = by["baseline"]["value"] > by["searched"]["value"]
    assert result["chosen"] == ("baseline" if better else "searched")
    evaluated, exported = stored(project, "evaluate"), stored(project, "export")
    assert evaluated["net"] == exported["net"] == result["chosen"]
    assert evaluated["top1"] == (result["baseline"] if better else result)["top1"]


def test_evaluate_scores_every_class_against_the_others(project: Path) -> None:
    result = stored(project, "evaluate")
    found, confusion = result["scores"], np.array(result["confusion_matrix"])
    for index, name in enumerate(result["sensitivity"]):
        each = found["classes"][name]
        assert each["ppv"]["n"] == confusion[:, index].sum()
        assert each["specificity"]["n"] == confusion.sum() - confusion[index].sum()
        assert_interval(each["auroc"])
    for share in ("macro_f1", "calibration_error", "top5"):
        assert_interval(found[share])
    assert "prevalence" not in found


def test_images_that_a_person_decides_are_counted_where_they_were_chosen_and_on_the_split(edgenas: Run) -> None:
    code, value, _ = edgenas("evaluate", "--split", "test", "--set", "decision.refer=auto", "--set", "decision.refer_error=0.02")
    assert code == 0, value["error"]
    result = value["result"]
    zone, found = result["threshold_choice"]["refer"], result["referral"]
    assert 0 <= zone["low"] <= result["threshold"] <= zone["high"] <= 1
    assert (zone["target"], zone["found"]["split"], found["split"]) == (0.02, "calibrate", "test")
    assert zone["found"]["error"]["n"] == 0 or zone["found"]["error"]["value"] <= 0.02
    for share in ("share", "error_without", "missed"):
        assert_interval(found[share])
    code, value, _ = edgenas("evaluate", "--set", "decision.refer=[0.9,0.1]")
    assert (code, value["error"]["type"]) == (1, "ConfigError")


def test_predict_answers_test_images_as_evaluate_counts_them(edgenas: Run, project: Path, tmp_path: Path) -> None:
    splits = json.loads((project / "edgenas-run" / "data" / "splits.json").read_text())
    places = splits["indices"]["test"][:40] if "indices" in splits else range(40)
    digits = load_digits()
    for place in places:
        pixels = ((digits.images[place] * 255 + 8) // 16).astype(np.uint8)  # as the source `digits` has them
        Image.fromarray(pixels).save(tmp_path / f"{place:04d}.png")
    code, value, _ = edgenas("predict", str(tmp_path))
    assert code == 0, value["error"]
    rows = value["result"]["rows"]
    right = [row["decision"] == str(digits.target[int(Path(row["path"]).stem)]) for row in rows]
    assert len(rows) == 40
    assert float(np.mean(right)) == pytest.approx(stored(project, "evaluate")["top1_decision"]["value"], abs=0.25)
    assert value["result"]["deployed"]["artifact"].endswith("export/onnx")


def test_fidelity_trains_nets_alone_once_and_tells_how_well_they_were_ranked(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project / "edgenas-run", tmp_path / "edgenas-run")
    command = ("fidelity", "--num", "4", "--epochs", "1", "--band", "20")
    code, value, err = edgenas_in(tmp_path, *command, draws=True)
    assert code == 0, value["error"]
    result = value["result"]
    num = result["num_nets"]  # fewer than asked for where this table has all nets within the band
    assert 2 <= num <= 4
    assert f"alone {num}/{num}" in err
    assert (result["epochs"], result["cost"], len(result["rows"])) == (1, "latency_ms", num)
    assert set(result["tau"]) == {"inherited", "params", "macs", "dss"}
    assert sum(row["in_band"] for row in result["rows"]) == 2
    best = max(row["alone"] for row in result["rows"])
    chosen = max(result["rows"], key=lambda row: row["inherited"])
    assert result["regret"]["value"] == pytest.approx(best - chosen["alone"])
    assert result["regret"]["n"] == result["images"]
    assert all((tmp_path / "edgenas-run" / path).stat().st_size > 5000 for path in value["outputs"].values() if "fidelity." in path)
    code, again, err = edgenas_in(tmp_path, *command)
    assert (code, again["result"]) == (0, result)
    assert f"alone 1/{num}" not in err
    assert "all of them are trained already" in " ".join(err.split())


def test_what_both_have_cost_is_counted_from_the_first_training_on(project: Path) -> None:
    cost = stored(project, "retrain")["cost"]
    for entry in cost.values():
        parts = [value for name, value in entry.items() if name.endswith("_s") and name != "total_s" and value is not None]
        assert entry["total_s"] == pytest.approx(sum(parts))
    assert cost["searched"]["teacher_s"] > 0
    assert cost["searched"]["supernet_s"] > 0
    assert cost["searched"]["search_epochs"] == stored(project, "search")["proof_epochs"] > 0
    assert (cost["searched"]["supernet_epochs"], cost["searched"]["final_epochs"]) == (2, 8)
    settled = int(stored(project, "retrain")["arch"] in hand_designed(get_space(SPACE)))  # a hand-made winner is trained already
    expected = ((4 - settled) * 1, (2 + settled) * 8)
    assert (cost["baseline"]["race_epochs"], cost["baseline"]["final_epochs"]) == expected


def test_several_finals_of_the_search_are_trained_to_the_end(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project / "edgenas-run", tmp_path / "edgenas-run")
    asked = ("finals=2", "baseline=false", "start=inherited", "teaching=labels")
    code, value, _ = edgenas_in(tmp_path, "retrain", *(part for each in asked for part in ("--set", f"retrain.{each}")))
    assert code == 0, value["error"]
    first, second = value["result"]["finals"]
    assert first["arch"] == stored(project, "search")["winner"]["arch"] != second["arch"]
    kept = {json.dumps(final["arch"]): final["starts"] for final in (first, second)}[json.dumps(value["result"]["arch"])]
    assert kept == value["result"]["starts"]
    overtaken = any("is overtaken by another net" in remark for remark in value["result"]["remarks"])
    assert overtaken == (value["result"]["arch"] == second["arch"])
    code, value, err = edgenas_in(tmp_path, "evaluate", "--split", "select")
    assert code == 0, value["error"]
    assert "earlier winner" not in err


@pytest.mark.usefixtures("one_batch_size")
def test_export_takes_the_net_that_it_is_told_to(edgenas: Run, project: Path) -> None:
    result = stored(project, "retrain")
    for name, net in (("searched", result), ("baseline", result["baseline"])):
        code, value, _ = edgenas("export", "--net", name, "--output", name)
        assert code == 0, value["error"]
        assert (value["result"]["net"], value["result"]["weights"]) == (name, net["weights"])
        manifest = json.loads((project / name / "manifest.json").read_text())
        assert manifest["architecture"]["arch"] == net["arch"]
        assert manifest["metrics"]["top1"] == net["top1"]


def test_onnx_export_passes_parity_and_verifies(project: Path) -> None:
    result = stored(project, "export")
    assert result["verdict"] == "passed"
    assert {file["batch_size"] for file in result["files"]} == {1, None}
    for file in result["files"]:
        assert file["parity"]["verdict"] == "passed"
        assert file["parity"]["num_images"] >= 381
        assert file["parity"]["top1_agreement"] == 1.0
        assert (project / "edgenas-run" / file["path"]).stat().st_size == file["size_bytes"]
    verified = stored(project, "verify")
    assert verified["verdict"] == "passed"
    assert result["word"] == verified["exported"]
    assert result["word"] in ("equal within rounding", "passed")  # by the net, and that hangs on what was measured
    assert {check["name"] for check in verified["checks"]} == {"sha256", "precision", "golden", "acceptance", "parity"}
    manifest = json.loads((project / "edgenas-run" / result["artifact"] / "manifest.json").read_text())
    assert manifest["metrics"]["top1"] == stored(project, "evaluate")["top1"]
    assert manifest["decision"]["threshold"] == manifest["threshold"] == stored(project, "evaluate")["threshold"]
    assert manifest["decision"]["choice"]["floor"] == 0.95
    assert manifest["answers"]["num_images"] == result["files"][0]["parity"]["num_images"]


def test_a_changed_artefact_does_not_verify(edgenas: Run, project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(project / "edgenas-run" / "export" / "onnx", folder)
    path = folder / "model-fp32-b1.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    code, value, _ = edgenas("verify", str(folder))
    assert (code, value["status"]) == (4, "gate_failed")
    assert "sha256" in " ".join([value["error"]["message"], *value["error"]["problems"]])


def test_the_example_classifies_images_without_edgenas(project: Path, tmp_path: Path) -> None:
    folder = project / "edgenas-run" / "export" / "onnx"
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.png" for i in range(2)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (20, 30), dtype=np.uint8)).save(path)
    command = [sys.executable, "-I", str(folder / "example.py"), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == [str(path) for path in paths]
    assert all(row[1] in set("0123456789") and 0 <= float(row[2]) <= 1 for row in rows)


@pytest.mark.skipif(not HAS_RTX, reason="tensorrt-rtx is not installed")
def test_trt_builds_ahead_of_time_and_says_that_parity_did_not_run(edgenas: Run, project: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("a GPU runs engines itself")
    gates = ("min_agreement", "max_new_false_negative_share", "max_new_false_positive_share")
    wide = [part for name in gates for part in ("--set", f"gates.{name}=0.5")]  # the net has learnt little
    few = ("--set", "gates.max_new_false_negatives=5")
    code, value, _ = edgenas("export", "--format", "trt", "--gpu", "sm86", *wide, *few)
    assert code == 0, value["error"]
    (file,) = value["result"]["files"]
    assert (file["kind"], file["targets"], file["precision"]) == ("engine", ["sm86"], "fp16")
    assert file["parity"]["verdict"] == "not_run"
    assert file["parity"]["emulated"]["verdict"] in ("passed", "undecided")
    assert value["warnings"]
    code, value, _ = edgenas("verify", str(project / "edgenas-run" / "export" / "trt"), "--require-run")
    assert (code, value["status"]) == (4, "gate_failed")
    code, value, _ = edgenas("export", "--format", "trt", "--gpu", "sm42")
    assert code == 2
    assert "sm86" in value["error"]["message"] + value["error"]["hint"]


def widen_queries(path: Path) -> str:
    """Multiply queries of the net's last attention by 2^17 and divide its keys by that: an equal net; returns its block."""
    import torch

    from edgenas.training.checkpoints import load_weights, save_tensors

    tensors, facts = load_weights(path)
    block = max(name for name in tensors if name.endswith(".attn.q.weight")).removesuffix(".attn.q.weight")
    for name, tensor in tensors.items():
        if name.startswith(f"{block}.attn.q."):
            tensors[name] = tensor * 2.0**17
        elif name.startswith(f"{block}.attn.kv."):
            keys, values = tensor.chunk(2)
            tensors[name] = torch.cat([keys * 2.0**-17, values])
    save_tensors(path, tensors, {"kind": "weights", "facts": facts})
    return block


@pytest.mark.slow
@pytest.mark.usefixtures("one_batch_size")
def test_half_precision_is_repaired_on_calibrate_and_judged_on_test(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project / "edgenas-run", tmp_path / "edgenas-run", ignore=shutil.ignore_patterns("export"))
    block = widen_queries(tmp_path / "edgenas-run" / "retrain" / "weights.safetensors")
    plain = ("export", "--net", "searched", "--precision", "fp16", "--output", "half")
    code, value, _ = edgenas_in(tmp_path, *plain, "--no-repair")
    assert (code, value["result"]["files"][0]["parity"]["verdict"]) == (4, "failed")
    assert f"first in {block}.attn.q" in value["error"]["message"]
    assert "repair" not in value["result"]
    code, value, _ = edgenas_in(tmp_path, *plain)
    (file,) = value["result"]["files"]
    repair = value["result"]["repair"]
    assert file["parity"]["emulated"]["verdict"] != "failed", value["error"]
    assert (repair["verdict"], repair["split"], repair["blocks"]) == ("repaired", "calibrate", [block])
    assert all(name.startswith(block) for name in repair["kept"])
    assert 0 < repair["macs_share"] < 0.1
    assert (repair["trials"][0]["kept"], repair["trials"][0]["passed"]) == ([], False)
    folder = tmp_path / "half"
    manifest, ranges = (json.loads((folder / name).read_text()) for name in ("manifest.json", "ranges.json"))
    assert manifest["repair"] == repair
    assert "ranges.json" in [each["path"] for each in manifest["support_files"]]
    assert ranges["num_images"] == repair["num_images"]
    overflowing = [each for each in ranges["tensors"] if each["share"] > 1]
    assert overflowing
    assert not any(each["is_reduced"] for each in overflowing)
    assert "stay fp32" in (folder / "README.md").read_text()
    code, value, _ = edgenas_in(tmp_path, "verify", "half")
    assert {check["verdict"] for check in value["result"]["checks"]} <= {"passed", "not_run"}


@pytest.mark.slow
@pytest.mark.usefixtures("one_batch_size")
def test_several_precisions_are_written_apart_timed_in_turn_and_one_is_recommended(edgenas: Run, project: Path) -> None:
    (project / "key").write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (project / "key.pub").write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    asked = ("export", "--precision", "fp32,fp16", "--bench-net", "--set", "export.bench_visits=6", "--sign", "key")
    code, value, _ = edgenas(*asked)
    assert code == 0, value["error"]
    result, folder = value["result"], project / "edgenas-run" / "export"
    assert [each["artifact"] for each in result["artifacts"]] == ["export/onnx", "export/onnx-fp16"]
    assert result["artifact"] == "export/onnx"
    assert result["files"] == result["artifacts"][0]["files"]
    assert value["outputs"]["bench"] == "export/bench.json"
    bench = result["bench"]
    kept = BenchResult.read(folder / "bench.json")
    assert kept.as_json() == bench
    assert bench["baseline"]["path"] == "model-fp32-b1.onnx"
    rows = {(row["path"], row["runtime"]): row for row in bench["rows"]}
    itself = rows["", "torch-cpu"]
    assert itself["latency_ms"] > 0
    assert {"value", "low", "high", "n"} == set(itself["ratio"])
    assert rows["model-fp32-b1.onnx", "onnxruntime-cpu"]["ratio"]["value"] == 1
    assert set(itself["percentiles"]) == {"p90", "p99"}
    assert all(row["calls"] == row["percentiles"]["p99"]["calls"] > 0 for row in bench["rows"])
    chosen = rows[bench["choice"]["path"], bench["choice"]["runtime"]]
    assert chosen["parity"] == "passed"
    if not any(row["device"] != rows["", "torch-cpu"]["device"] for row in bench["rows"]):  # no GPU runs the half precision file
        assert "export/onnx-fp16" in [each["artifact"] for each in bench["left_out"]]
    assert not list(folder.glob(".*.parts"))
    for each in result["artifacts"]:
        manifest, signature = (project / "edgenas-run" / each["artifact"] / name for name in ("manifest.json", SIGNATURE))
        assert load_signatory(project / "key.pub").doubt(manifest.read_bytes(), signature.read_text()) is None


def test_timing_alone_writes_nothing_anew(edgenas: Run, project: Path) -> None:
    manifest = project / "edgenas-run" / "export" / "onnx" / "manifest.json"
    before = manifest.stat().st_mtime_ns
    code, value, _ = edgenas("export", "--bench", "--set", "export.bench_visits=1")
    assert code == 0, value["error"]
    assert manifest.stat().st_mtime_ns == before
    assert value["result"]["artifact"] == "export/onnx"
    assert value["result"]["files"][0]["parity"]["verdict"] == "passed"
    assert value["result"]["bench"]["choice"]["path"] == "model-fp32-b1.onnx"  # one visit shows nothing to be faster


def test_unknown_formats_and_precisions_are_refused_together(edgenas: Run) -> None:
    code, value, _ = edgenas("export", "--format", "onnx,onx", "--precision", "fp9")
    assert (code, value["status"], len(value["error"]["problems"])) == (2, "usage", 2)


@pytest.mark.usefixtures("one_batch_size")
def test_a_gate_that_cannot_be_met_exits_4_and_marks_the_folder(edgenas: Run, project: Path) -> None:
    code, value, _ = edgenas("export", "--format", "onnx", "--output", "rejected", "--set", "gates.min_sensitivity=0.999")
    assert (code, value["status"]) == (4, "gate_failed")
    manifest = json.loads((project / "rejected" / "manifest.json").read_text())
    assert manifest["status"] in ("rejected", "unproven")
    assert value["result"]["verdict"] in ("failed", "undecided")


def test_cuda_without_a_gpu_exits_5_in_one_line(edgenas: Run) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    for command in (("profile", "--device", "cuda"), ("train", "--device", "cuda"), ("evaluate", "--device", "cuda")):
        code, value, _ = edgenas(*command)
        assert (code, value["status"]) == (5, "missing_backend")
        assert "\n" not in value["error"]["message"]


def test_info_lists_every_stage(edgenas: Run, project: Path) -> None:
    code, value, _ = edgenas("info")
    assert code == 0
    states = {stage["name"]: stage["state"] for stage in value["result"]["stages"]}
    assert states["supernet"] == states["latency table"] == states["search"] == "there"
    assert value["result"]["exports"]["onnx"] == stored(project, "export")["word"]


def test_changed_data_are_noticed(edgenas: Run, project: Path) -> None:
    path = project / "edgenas-run" / "data" / "splits.json"
    before = path.read_text()
    content = json.loads(before)
    content.pop("sha256")
    content.pop("kind")
    write_sealed(path, "splits", content | {"fingerprint": "0" * 64})
    try:
        code, value, _ = edgenas("evaluate")
    finally:
        path.write_text(before)
    assert (code, value["error"]["type"]) == (1, "DataError")
    assert "changed" in value["error"]["message"]
