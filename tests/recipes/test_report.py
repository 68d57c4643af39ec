"""`edgenas report` on real run folders: written by itself, sealed, said to be old when it is."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from edgenas.project.paging.pdf import NAMES
from tests.recipes.killing import Reference, Zygote

PAGE = Path("edgenas-run/report/index.html")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name)) is not None), None)


@pytest.fixture
def work(reference: Reference, tmp_path: Path) -> Path:
    """A project that went through every stage."""
    return Path(shutil.copytree(reference.after("export"), tmp_path / "work"))


def states(ended: object) -> dict[str, str]:
    return {stage["name"]: stage["state"] for stage in ended.value["result"]["stages"]}  # type: ignore[attr-defined]


def sentence(text: str) -> str:
    (found,) = re.findall(r'<p class="verdict \w+">([^<]*)</p>', text)
    return str(found)


def test_search_retrain_and_export_write_the_page_themselves(reference: Reference) -> None:
    assert not (reference.before("search") / PAGE).exists()
    after = {stage: (reference.after(stage) / PAGE).read_text(encoding="utf-8") for stage in ("search", "retrain", "export")}
    assert "has not been judged on test yet: edgenas retrain" in sentence(after["search"])
    assert "Not shown yet: edgenas export --format onnx writes a folder for the device." in after["search"]
    assert re.search(
        r"finds \d+ of \d+ images of 8 in the test split, mistakes \d+ of \d+ others for it and needs [\d.]+ ms an image",
        sentence(after["retrain"]),
    )
    assert "not exported yet" in after["retrain"]
    words = "answers as the net does|every exported file passed its gates"  # by the net, and that hangs on what was measured
    assert re.search(words, sentence(after["export"]))
    assert all(len(text) < 5_000_000 for text in after.values())


def test_the_page_embeds_images_that_are_decided_wrongly_and_some_of_every_class(reference: Reference) -> None:
    text = (reference.after("export") / PAGE).read_text(encoding="utf-8")
    assert re.search(r"(Missed 8|False alarms): (all )?\d+", text)
    assert text.count('<img src="data:image/png;base64,') >= 40  # of every class
    assert not (reference.after("search") / "edgenas-run" / "answers").exists()


def test_report_is_sealed_and_says_what_the_page_before_was_older_than(zygote_edgenas: Zygote, work: Path) -> None:
    page, seal = work / PAGE, work / PAGE.parent / "seal.json"
    assert states(zygote_edgenas(work, "info", "--no-loader", "--json"))["report"] == "there"
    (work / "edgenas-run" / "fidelity").mkdir(exist_ok=True)
    (work / "edgenas-run" / "fidelity" / "result.json").write_text('{"cut')
    ended = zygote_edgenas(work, "info", "--no-loader", "--json")
    assert states(ended)["report"] == "outdated"
    assert "report: the page is older than fidelity/result.json" in ended.value["warnings"]
    before = seal.read_bytes()
    ended = zygote_edgenas(work, "report", "--json")
    result = ended.value["result"]
    assert (ended.code, result["older_than"], ended.value["outputs"]) == (
        0,
        ["fidelity/result.json"],
        {"page": "report/index.html"},
    )
    assert result["size_bytes"] == page.stat().st_size
    assert "rivals" in result["missing"]
    assert any(warning.startswith("fidelity: ") for warning in ended.value["warnings"])  # and everything else is on the page
    assert {"errors", "decisions", "nets", "latency", "training", "data", "device"} <= set(result["sections"])
    assert seal.read_bytes() != before
    page.write_text(page.read_text(encoding="utf-8").replace("finds", "always finds"), encoding="utf-8")
    ended = zygote_edgenas(work, "info", "--no-loader", "--json")
    assert states(ended)["report"] == "outdated"
    assert any("was edited or damaged" in warning for warning in ended.value["warnings"])


def test_a_page_that_cannot_be_written_fails_no_other_command(zygote_edgenas: Zygote, work: Path) -> None:
    shutil.rmtree(work / PAGE.parent)
    (work / PAGE.parent).write_text("a file where a folder must be")
    ended = zygote_edgenas(work, "export", "--format", "onnx", "--json")
    assert (ended.code, "report" in ended.value["outputs"]) == (0, False)
    assert any("index.html is not written" in warning for warning in ended.value["warnings"])
    assert zygote_edgenas(work, "report", "--json").code == 1


def test_answers_of_other_weights_are_not_shown(zygote_edgenas: Zygote, work: Path) -> None:
    answers = work / "edgenas-run" / "answers"
    names = sorted(path.name for path in answers.glob("test-*.json"))
    assert {"test-baseline.json", "test-searched.json"} <= set(names)
    first, second = answers / "test-searched.json", answers / "test-baseline.json"
    contents = first.read_bytes(), second.read_bytes()
    first.write_bytes(contents[1])
    second.write_bytes(contents[0])
    ended = zygote_edgenas(work, "report", "--json")
    assert "errors" in ended.value["result"]["missing"]
    assert any("is of other weights or images; run `edgenas evaluate --split test`" in text for text in ended.value["warnings"])
    assert zygote_edgenas(work, "evaluate", "--split", "test", "--json").code == 0
    assert "errors" in zygote_edgenas(work, "report", "--json").value["result"]["sections"]


def test_without_the_images_only_pictures_are_missing(zygote_edgenas: Zygote, work: Path) -> None:
    before = sentence((work / PAGE).read_text(encoding="utf-8"))
    ended = zygote_edgenas(work, "report", "--set", 'data.source="folder:moved"', "--json")
    result = ended.value["result"]
    assert (ended.code, result["images"]) == (0, 0)
    assert {"errors", "decisions", "nets", "latency", "training", "data", "device"} <= set(result["sections"])
    assert [text.partition(":")[0] for text in result["unread"]] == ["the images cannot be read here"]
    assert sentence((work / PAGE).read_text(encoding="utf-8")) == before


def test_the_commands_of_the_page_on_it_do_what_it_says(zygote_edgenas: Zygote, work: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "report.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    assert block.splitlines() == ["edgenas report", "edgenas report --pdf"]
    for line in block.splitlines():
        ended = zygote_edgenas(work, *line.split()[1:])
        if line.endswith("--pdf") and CHROMIUM is None:
            assert (ended.code, "needs Chromium or Chrome" in ended.out) == (5, True), ended.out
        else:
            assert ended.code == 0, ended.err
    assert (CHROMIUM is None) or (work / PAGE).with_suffix(".pdf").read_bytes().startswith(b"%PDF-")


def test_no_image_of_the_data_enters_the_artefact(work: Path) -> None:
    kinds = {path.suffix for path in (work / "edgenas-run" / "export").rglob("*") if path.is_file()}
    assert not kinds & {".html", ".png", ".jpg"}


def test_without_a_project_the_command_that_makes_one_is_named(zygote_edgenas: Zygote, tmp_path: Path) -> None:
    ended = zygote_edgenas(tmp_path, "report", "--json")
    assert (ended.code, ended.value["error"]["type"]) == (1, "MissingInputError")
