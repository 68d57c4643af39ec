"""`edgenas spaces` and `edgenas count`: what they say, refuse and never need."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgenas.costs import CostModel, Factor
from edgenas.spaces import SPACES, get_space
from edgenas.spaces.named import NAMED
from tests.cli.conftest import Run, as_object

NANO = get_space("pvt-nano")
BEST = {"pool_size": 7, "depths": [2, 2, 2, 2], "qkv_dims": [16, 32, 80, 128], "mlp_ratios": [8, 8, 8, 4]}


def archs(num: int) -> list[dict[str, Any]]:
    return [NANO.to_json(row) for row in NANO.sample(num, np.random.default_rng(0))]


def test_the_commands_of_the_page_work(edgenas: Run, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "spaces.md").read_text(encoding="utf-8")
    section = text.split("executed by tests/cli/test_counting.py -->\n```bash\n")[1]
    (tmp_path / "nets.jsonl").write_text(section.split("```json\n")[1].split("```")[0], encoding="utf-8")
    commands = [shlex.split(line, comments=True) for line in section.split("```")[0].splitlines()]
    assert len(commands) == 5
    for program, *arguments in commands:
        assert program == "edgenas"
        code, _, err = edgenas(*arguments)
        assert code == 0, err


def test_spaces_lists_every_space_with_its_ends(edgenas: Run) -> None:
    code, out, _ = edgenas("spaces", "--json")
    value = as_object(out)
    assert (code, value["run"]) == (0, None)
    by_name = {space["name"]: space for space in value["result"]["spaces"]}
    assert set(by_name) == set(SPACES)
    covidx = by_name["pvt-covidx"]
    assert (covidx["num_subnets"], covidx["task"]["image_px"], covidx["task"]["num_classes"]) == (120, 256, 3)
    assert covidx["largest"]["params"] == 9_356_547
    assert "choices" not in covidx


@pytest.mark.parametrize("width", [60, *(pytest.param(width, marks=pytest.mark.slow) for width in (80, 110))])
def test_spaces_shows_a_space_and_what_it_is_for_on_a_line_each(edgenas: Run, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    _, out, err = edgenas("spaces")
    lines = [line.rstrip() for line in (out + err).splitlines()]
    assert max(map(len, lines)) <= width
    for name, space in SPACES.items():
        row, *purpose = [line.split() for line in lines if line.split()[:1] == [name]]
        assert (len(row), row[2]) == (5, str(space.default_task.image_px)), row
        assert "…" not in "".join(row)
        if width >= 80:
            assert [" ".join(words[1:]) for words in purpose] == [space.purpose]


def test_every_space_says_what_it_is_for() -> None:
    assert [name for name, space in SPACES.items() if not space.purpose] == []


def test_one_space_shows_its_choices_and_named_architectures(edgenas: Run, tmp_path: Path) -> None:
    code, out, _ = edgenas("spaces", "pvt-covidx", "--json")
    (space,) = as_object(out)["result"]["spaces"]
    assert code == 0
    assert space["choices"][0] == {"name": "pool_size", "options": [7, 15, 31], "active_when": None}
    named = {entry["name"]: entry for entry in space["named"]}
    assert named["COViT++"]["arch"] == BEST
    assert named["COViT++"]["reported"]["top1"] == 0.8854
    assert named["smallest"]["reported"] is None
    assert edgenas("spaces", "pvt-covidx")[1].count("88.54 %") == 1
    assert not list(tmp_path.iterdir())


def test_an_unknown_space_names_the_known_ones(edgenas: Run) -> None:
    for command in (("spaces", "pvt"), ("count", "--space", "pvt", "--arch", "smallest")):
        code, _, err = edgenas(*command)
        assert code == 2
        assert "pvt-covidx" in err


def test_the_best_covitpp_net_has_its_corrected_cost(edgenas: Run) -> None:
    code, out, _ = edgenas("count", "--space", "pvt-covidx", "--arch", "covit++", "--check", "--json")
    (row,) = as_object(out)["result"]["rows"]
    assert code == 0
    assert (row["params"], row["reference_macs"], row["ancestor_macs"]) == (3_224_451, 490_617_712, None)
    assert row["built"] == {"params": row["params"], "macs": row["macs"]}
    assert (row["reported"]["params"], row["reported"]["macs"]) == (3_161_987, 295_827_000)


@pytest.mark.parametrize("form", ["object", "list", "lines", "lines with gaps and a byte-order mark"])
def test_a_file_holds_one_architecture_or_many(edgenas: Run, tmp_path: Path, form: str) -> None:
    given = archs(1 if form == "object" else 5)
    lines = [json.dumps(arch) for arch in given]
    texts = {"object": lines[0], "list": json.dumps(given, indent=2), "lines": "\n".join(lines)}
    (tmp_path / "a.json").write_text(texts.get(form, "\ufeff" + "\r\n\r\n".join(lines) + "\n\n"), encoding="utf-8")
    code, out, _ = edgenas("count", "--space", "pvt-nano", "--arch", "a.json", "--json")
    rows = as_object(out)["result"]["rows"]
    assert code == 0
    assert [row["arch"] for row in rows] == given
    assert all(isinstance(row[name], int) for row in rows for name in ("params", "macs", "reference_macs"))
    assert edgenas("count", "--space", "pvt-nano", "--arch", "a.json")[0] == 0


def test_classes_resolution_and_channels_can_be_others(edgenas: Run) -> None:
    options = ("--image-px", "64", "--num-classes", "7", "--in-channels", "1")
    code, out, _ = edgenas("count", "--space", "pvt-nano", "--arch", "largest", *options, "--check", "--json")
    result = as_object(out)["result"]
    assert code == 0
    assert result["task"] == {"image_px": 64, "num_classes": 7, "in_channels": 1}
    assert result["rows"][0]["built"] == {name: result["rows"][0][name] for name in ("params", "macs")}


def test_check_names_both_numbers_where_model_and_net_differ(edgenas: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> dict[str, CostModel]:
        return {name: CostModel(name, "", (Factor((), np.array(5.0)),)) for name in ("params", "macs", "reference_macs")}

    monkeypatch.setattr("edgenas.recipes.count.cost_models", broken)
    command = ("count", "--space", "pvt-covidx", "--arch", "COViT++")
    assert edgenas(*command)[0] == 0
    code, out, _ = edgenas(*command, "--check", "--json")
    value = as_object(out)
    assert (code, value["status"], value["error"]["type"]) == (1, "error", "CostError")
    assert "architecture 1: params is 5 by the model, 3,224,451 in the net" in value["error"]["problems"]
    assert "architecture 1: macs is 5 by the model, 492,244,208 in the net" in value["error"]["problems"]
    assert value["result"]["rows"][0]["built"]["params"] == 3_224_451
    code, shown, err = edgenas(*command, "--check")
    assert code == 1
    assert "differs in params and macs" in shown
    assert "3,224,451" in err


def test_every_illegal_gene_of_every_architecture_is_named(edgenas: Run, tmp_path: Path) -> None:
    given = archs(4)
    given[1] |= {"pool_size": 3, "depths": [1, 9, 1, 1]}
    given[3] |= {"heads": 1}
    (tmp_path / "a.json").write_text(json.dumps(given), encoding="utf-8")
    code, out, _ = edgenas("count", "--space", "pvt-nano", "--arch", "a.json", "--json")
    error = as_object(out)["error"]
    assert (code, error["type"]) == (1, "ArchError")
    assert error["message"].startswith("2 of 4 architectures in a.json")
    assert error["problems"] == [
        "architecture 2: pool_size is 3; allowed: 2, 4",
        "architecture 2: depths[1] is 9; allowed: 1, 2",
        "architecture 4: heads is unknown",
    ]


BAD_FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "holds no architecture"),
    "blank": (b" \n\n", "holds no architecture"),
    "an empty list": (b"[]", "holds no architecture"),
    "no JSON": (b"pool_size: 7", "is not JSON"),
    "cut": (b'{"pool_size": 7, "depths": [2', "is not JSON"),
    "a bad second line": (b'{"pool_size": 7}\n{"pool_size"\n', "line 2"),
    "not text": (b"\xff\xfe\x00\x01", "no UTF-8 text"),
    "NaN": (b'{"pool_size": NaN}', "NaN is no JSON number"),
    "minus infinity": (b'[{"pool_size": -Infinity}]', "-Infinity is no JSON number"),
    "a huge number": (b'{"pool_size": 1e999}', "inf is no number that can be kept"),
    "a number of many digits": (b'{"pool_size": ' + b"9" * 100_000 + b"}", "is not JSON"),
    "nested too deep": (b"[" * 1_000_000, "nested deeper than 64 levels"),
    "objects nested too deep": (b'{"a":' * 1_000_000, "nested deeper than 64 levels"),
    "a nested value": (b'{"pool_size": ' + b"[" * 300 + b"]" * 300 + b"}", "nested deeper than 64 levels"),
    "a long value": (b'{"pool_size": "' + b"x" * 1_000_000 + b'"}', "pool_size is xxx"),
    "a long name": (b'{"' + b"x" * 1_000_000 + b'": 1}', "is unknown"),
    "a number": (b"7", "entry 1 is 7"),
    "lists in lists": (b'[{"pool_size": 2}, [1, 2], null]', "entry 3 is None"),
    "a doubled key": (b'{"pool_size": 2, "pool_size": 4}', "pool_size' is given twice"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_is_one_error_that_says_why(edgenas: Run, tmp_path: Path, kind: str) -> None:
    content, reason = BAD_FILES[kind]
    (tmp_path / "a.json").write_bytes(content)
    code, out, err = edgenas("count", "--space", "pvt-nano", "--arch", "a.json")
    assert (code, out) == (1, "")
    assert err.startswith("edgenas: ")
    assert "a bug" not in err
    assert reason in err
    assert max(map(len, err.splitlines())) < 300
    code, out, _ = edgenas("count", "--space", "pvt-nano", "--arch", "a.json", "--json")
    assert (code, as_object(out)["error"]["type"]) == (1, "ArchError")


def test_a_missing_file_lists_similar_names(edgenas: Run) -> None:
    code, _, err = edgenas("count", "--space", "pvt-covidx", "--arch", "COViT+")
    assert code == 1
    assert err.count("\n") == 1
    assert "COViT+ is no file and no architecture of pvt-covidx; similar: COViT++" in err
    code, _, err = edgenas("count", "--space", "pvt-nano", "--arch", "COViT++")
    assert code == 1
    assert "COViT++ is in pvt-covidx" in err


def test_folders_and_huge_files_are_refused_unread(edgenas: Run, tmp_path: Path) -> None:
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(2**30)
    for name, reason in ((".", "Is a directory"), ("huge.json", "larger than 64 MB"), ("x" * 5000, "cannot be read")):
        code, _, err = edgenas("count", "--space", "pvt-nano", "--arch", name)
        assert code == 1, name
        assert reason in err
        assert "a bug" not in err
        assert err.count("\n") == 1


def test_an_unreadable_file_is_one_line(edgenas: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(path: Path, flags: int) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "a.json").write_text("{}")
    monkeypatch.setattr("edgenas.portable.outside.os.open", forbidden)
    code, _, err = edgenas("count", "--space", "pvt-nano", "--arch", "a.json")
    assert code == 1
    assert "a.json cannot be read: Permission denied" in err


def test_a_net_that_chooses_its_resolution_is_counted_and_built_there(edgenas: Run) -> None:
    command = ("count", "--space", "pvt-elastic-32", "--arch", "PVT_v2_B0", "--check", "--json")
    for options, resolution_px, macs in (((), 224, 566_065_664), (("--image-px", "256"), 256, 754_509_824)):
        code, out, _ = edgenas(*command, *options)
        result = as_object(out)["result"]
        (row,) = result["rows"]
        assert code == 0
        assert (row["arch"]["resolution_px"], result["task"]["image_px"]) == (resolution_px, resolution_px)
        assert (row["params"], row["macs"], row["ancestor_macs"]) == (3_666_760, macs, None)
        assert row["built"] == {"params": row["params"], "macs": row["macs"]}
    code, _, err = edgenas(*command[:-1], "--image-px", "100")
    assert code == 2
    assert "no nets for images of 100 px; allowed: 160, 192, 224, 256" in err


def test_an_option_that_is_an_object_is_shown_and_read_as_one(edgenas: Run, tmp_path: Path) -> None:
    code, out, _ = edgenas("spaces", "pvt-elastic-nano", "--json")
    (space,) = as_object(out)["result"]["spaces"]
    options = next(choice["options"] for choice in space["choices"] if choice["name"] == "stages[1].reduction")
    assert (code, options) == (0, [{"kind": "pool", "size": 2}, {"kind": "conv", "size": 2}])
    shown = edgenas("spaces", "pvt-elastic-nano")[1]
    assert "(pool 2), (conv 2)" in shown
    assert "stages[0].blocks[1].qkv_dim" in shown
    nano = get_space("pvt-elastic-nano")
    arch = nano.to_json(nano.extreme(largest=False)[0])
    arch["stages"][1]["reduction"] = {"kind": "conv", "size": 4}
    arch["stages"][2]["reduction"] = {"kind": "none"}
    arch["stages"][3]["blocks"][0]["width"] = 1
    (tmp_path / "a.json").write_text(json.dumps(arch), encoding="utf-8")
    code, out, _ = edgenas("count", "--space", "pvt-elastic-nano", "--arch", "a.json", "--json")
    assert code == 1
    assert as_object(out)["error"]["problems"] == [
        "stages[1].reduction is {'kind': 'conv', 'size': 4}; allowed: {'kind': 'pool', 'size': 2}, {'kind': 'conv', 'size': 2}",
        "stages[2].reduction is {'kind': 'none'}; allowed: {'kind': 'none', 'size': 1}, {'kind': 'pool', 'size': 4}",
    ]


@pytest.mark.parametrize("command", [("spaces",), ("spaces", "pvt-nano"), ("count", "--space", "pvt-nano", "--arch", "largest")])
def test_spaces_and_plain_counts_import_no_torch(command: tuple[str, ...]) -> None:
    script = (
        "import sys; from edgenas.cli import main\n"
        f"try: main({list(command)})\n"
        "except SystemExit as done: assert done.code == 0\n"
        "print(sorted({'torch', 'timm', 'fvcore', 'matplotlib', 'onnx', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", NAMED)
def test_every_named_architecture_counts_and_says_who_reports_what(edgenas: Run, name: str) -> None:
    named = NAMED[name]
    code, out, _ = edgenas("count", "--space", named.space, "--arch", name, "--json")
    assert code == 0
    (row,) = as_object(out)["result"]["rows"]
    assert row["arch"] == named.arch
    reported = named.reported
    assert reported is not None
    assert reported.source
    assert reported.top1 is None or (0 < reported.top1 < 1 and reported.dataset)


def test_retrain_takes_a_name_a_file_and_nothing_else(edgenas: Run, tmp_path: Path) -> None:
    edgenas("init", "--data", "digits")
    code, _, err = edgenas("retrain", "--arch", "smalest")
    assert code == 1
    assert "smalest is no file and no architecture of pvt-nano; similar: smallest" in err
    (tmp_path / "two.json").write_text(json.dumps(archs(2)), encoding="utf-8")
    code, _, err = edgenas("retrain", "--arch", "two.json")
    assert code == 1
    assert "two.json holds 2 architectures; give a file with one" in err
    code, _, err = edgenas("retrain", "--arch", "smallest")
    assert code == 1
    assert "edgenas train" in err  # the name is known; what is missing is the supernet


def test_a_source_without_numbers_says_so(edgenas: Run) -> None:
    shown = edgenas("spaces", "pit-ti")[1]
    assert "reported: no numbers; TF-TAS (decemberzhou/TF_TAS)" in shown
    assert "reported: top-1 73.00 % on ImageNet val, 4,900,000 params, 710,000,000 MACs" in " ".join(shown.split())
