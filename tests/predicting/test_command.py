"""`edgenas predict` as it is typed."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgenas.cli import main
from edgenas.predicting.predictor import Predictor
from edgenas.recipes.predict import PredictConfig, run
from edgenas.runs import Outcome
from tests.data.test_deep import png

Pictures = Callable[..., list[Path]]


def edgenas(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main([str(each) for each in arguments])
    return int(ended.value.code or 0), out.getvalue(), err.getvalue()


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_json_holds_every_row_as_the_contract_says(artefact: Path, pictures: Pictures) -> None:
    paths = pictures(50)
    code, out, _ = edgenas("predict", paths[0].parent, "--artifact", artefact, "--json")
    value = json.loads(out)
    assert (code, value["command"], value["status"], value["run"]) == (0, "predict", "ok", None)
    assert [row["path"] for row in value["result"]["rows"]] == [str(path) for path in paths]
    for row in value["result"]["rows"]:
        assert set(row) == {"path", "class", "probability", "decision", "referred", "probabilities"}
        assert row["probability"] == max(row["probabilities"].values()) == row["probabilities"][row["class"]]
    assert value["result"]["images_per_s"] > 0
    assert sum(value["result"]["decisions"].values()) == value["result"]["num_images"] == 50


def test_images_that_cannot_be_read_are_rows_and_the_end_is_one(artefact: Path, pictures: Pictures, tmp_path: Path) -> None:
    first, second = pictures(2)
    cut, text = tmp_path / "cut.png", tmp_path / "text.png"
    cut.write_bytes(first.read_bytes()[:60])
    text.write_text("no image")
    code, out, _ = edgenas("predict", first, cut, text, tmp_path / "gone.png", second, "--artifact", artefact, "--json")
    value = json.loads(out)
    assert (code, value["exit_code"], value["error"]["type"]) == (1, 1, "DataError")
    assert value["error"]["message"] == "3 of 5 images could not be read"
    assert len(value["error"]["problems"]) == 3
    rows = value["result"]["rows"]
    assert [row["decision"] is None for row in rows] == [False, True, True, True, False]
    assert rows[2]["error"] == f"{text} is no image that can be read (8 bytes)"


def test_csv_on_stdout_is_all_that_stdout_holds(artefact: Path, pictures: Pictures) -> None:
    paths = pictures(30)
    code, out, err = edgenas("predict", *paths, "--artifact", artefact, "--csv", "-")
    rows = rows_of(out)
    assert (code, [row["path"] for row in rows]) == (0, [str(path) for path in paths])
    assert list(rows[0]) == [
        "path", "class", "probability", "decision", "referred", "error", "p[healthy]", "p[covid-19]", "p[other]",
    ]  # fmt: skip
    assert "30 images" in err
    predictor = Predictor.open(artefact)
    for row, expected in zip(rows, predictor.predict([str(path) for path in paths]), strict=True):
        assert (row["decision"], row["referred"]) == (expected.decision, str(expected.referred).lower())


def test_csv_in_a_file_holds_what_a_spreadsheet_shows_as_it_is(artefact: Path, pictures: Pictures, tmp_path: Path) -> None:
    (path,) = pictures(1)
    odd = path.rename(path.parent / "=1+1.png")
    with contextlib.chdir(path.parent):
        code, out, err = edgenas("predict", "gone,\n.png", odd.name, "--artifact", artefact, "--csv", tmp_path / "rows.csv")
    rows = rows_of((tmp_path / "rows.csv").read_text(encoding="utf-8"))
    assert (code, [row["path"] for row in rows]) == (1, ["gone,\\n.png", "'=1+1.png"])
    assert "does not exist" in rows[0]["error"]
    assert "gone,\\n.png" in out + err


def test_wrong_wishes_are_refused(artefact: Path, tmp_path: Path) -> None:
    code, out, _ = edgenas("predict", "a.png", "--artifact", artefact, "--json", "--csv", "-")
    assert (code, json.loads(out)["status"]) == (2, "usage")
    code, out, _ = edgenas("predict", tmp_path, "--artifact", artefact, "--json")
    assert (code, json.loads(out)["error"]["message"]) == (1, f"no image in {tmp_path}")
    code, out, _ = edgenas("predict", "a.png", "--run", tmp_path, "--json")
    hint = f"run `edgenas export --format onnx --run {tmp_path}`, or name an artefact folder"
    assert (code, json.loads(out)["error"]["hint"]) == (1, hint)
    code, _, err = edgenas("predict", "a.png", "--artifact", artefact, "--csv", tmp_path / "no" / "rows.csv")
    assert (code, "cannot be written: No such file or directory" in " ".join(err.split())) == (1, True)


def test_paths_come_by_a_pipe_and_pytorch_is_not_needed(artefact: Path, pictures: Pictures) -> None:
    paths = pictures(3)
    script = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'timm', 'torchvision', 'sklearn', 'matplotlib', 'onnx', 'onnxscript'):\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from edgenas.cli import main; main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", script, "predict", "-", "--artifact", str(artefact), "--csv", "-"]
    done = subprocess.run(command, input="\n".join(map(str, paths)).encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [row["path"] for row in rows_of(done.stdout.decode())] == [str(path) for path in paths]


def test_a_reader_that_leaves_early_ends_it_in_silence(artefact: Path, pictures: Pictures) -> None:
    paths = pictures(200)
    command = [sys.executable, "-m", "edgenas", "predict", str(paths[0].parent), "--artifact", str(artefact), "--csv", "-"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=120) == 0, err
    assert "pipe" not in err


def peak_of(folder: Path, artefact: Path) -> int:
    """Most bytes that Python held while it went through a folder, after one pass that imports and caches."""
    seen = [0]

    def sink(rows: Any, classes: Any) -> None:
        seen[0] += len(rows)

    for _ in range(2):
        tracemalloc.start()
        *_, last = run(PredictConfig(artefact, (str(folder),), sinks=(sink,)))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert isinstance(last, Outcome)
    assert last.result.num_images == seen[0] // 2
    return peak


def test_a_folder_ten_times_as_large_takes_no_more_memory(artefact: Path, pictures: Pictures, tmp_path: Path) -> None:
    (path,) = pictures(1)
    for num in (200, 2000):
        for index in range(num):
            home = tmp_path / str(num) / f"{index // 100:03d}"
            home.mkdir(parents=True, exist_ok=True)
            (home / f"{index:05d}.png").hardlink_to(path)
    few, many = peak_of(tmp_path / "200", artefact), peak_of(tmp_path / "2000", artefact)
    assert many < few + 200_000, (few, many)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_a_hundred_thousand_images_in_one_folder_grow_by_their_names_alone(
    artefact: Path, pictures: Pictures, tmp_path: Path
) -> None:
    paths = pictures(4)  # ext4 allows 65,000 links to a file
    (tmp_path / "all").mkdir()
    for index in range(100_000):
        (tmp_path / "all" / f"{index:06d}.png").hardlink_to(paths[index % len(paths)])
    script = (
        "import sys; from edgenas.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0], file=sys.stderr)"
    )
    peaks = []  # of the process itself: ru_maxrss would be at least that of the one that started it
    for target in (paths[0], tmp_path / "all"):
        command = [
            sys.executable,
            "-c",
            script,
            "predict",
            str(target),
            "--artifact",
            str(artefact),
            "--csv",
            str(tmp_path / "rows.csv"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(int(done.stderr.split()[-1]))
    assert len((tmp_path / "rows.csv").read_text(encoding="utf-8").splitlines()) == 100_001
    assert peaks[1] - peaks[0] < 40_000, peaks  # kB; the names of a folder are sorted


def test_a_pipe_gets_every_row_with_tabs_between_its_cells(artefact: Path, pictures: Pictures) -> None:
    paths = pictures(30)
    code, out, err = edgenas("predict", paths[0].parent, "--artifact", artefact)
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out), delimiter="\t"))
    assert [row["path"] for row in rows] == sorted(map(str, paths))
    assert all(row["decision"] and 0 <= float(row["probability"]) <= 1 for row in rows)
    assert "30 images, " in err


def test_a_terminal_gets_the_first_rows_and_the_sums_of_all(
    artefact: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgenas.cli.predict._is_read_by_a_person", lambda: True)
    code, out, err = edgenas("predict", pictures(30)[0].parent, "--artifact", artefact)
    shown = out + err
    assert code == 0
    assert "10 more images; --csv FILE or --json has all" in shown
    assert "referred to a person" in shown
    assert "30 images, " in shown


def typed(*arguments: str | Path, tail: str) -> subprocess.CompletedProcess[str]:
    """A command with what a shell does with its streams."""
    command = [sys.executable, "-m", "edgenas", "predict", *map(str, arguments)]
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", f'"$@" {tail}', "bash", *command], capture_output=True, text=True, check=False
    )


def test_a_reader_of_csv_that_has_seen_enough_ends_it_in_silence(artefact: Path, pictures: Pictures) -> None:
    paths = pictures(40)
    done = typed(paths[0].parent, "--artifact", artefact, "--csv", "-", tail="| head -n 2")
    assert done.returncode == 0, done.stderr
    assert [row["path"] for row in rows_of(done.stdout)] == [str(paths[0])]
    assert "edgenas:" not in done.stderr


@pytest.mark.parametrize(
    ("target", "tail", "words"),
    [
        ("/dev/full", "", "/dev/full cannot be written: No space left on device"),
        ("-", "> /dev/full", "standard output cannot be written: No space left on device"),
        ("-", ">&-", "standard output cannot be written: stdout is closed"),
    ],
)
def test_csv_that_cannot_be_written_is_one_line(artefact: Path, pictures: Pictures, target: str, tail: str, words: str) -> None:
    done = typed(pictures(1)[0], "--artifact", artefact, "--csv", target, tail=tail)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, f"edgenas: {words}")


def test_a_command_that_cannot_begin_leaves_the_csv_of_before(pictures: Pictures, tmp_path: Path) -> None:
    kept = tmp_path / "rows.csv"
    kept.write_text("of before")
    code, _, _ = edgenas("predict", *pictures(1), "--run", tmp_path, "--csv", kept)
    assert (code, kept.read_text()) == (1, "of before")


def test_csv_overwrites_no_image(artefact: Path, pictures: Pictures) -> None:
    first, second = pictures(2)
    before = first.read_bytes()
    code, _, err = edgenas("predict", "--artifact", artefact, "--csv", first, second)
    assert (code, first.read_bytes() == before) == (2, True)
    assert "has the name of an image" in " ".join(err.split())


def test_one_image_is_spoken_of_as_one(artefact: Path, pictures: Pictures, tmp_path: Path) -> None:
    code, _, err = edgenas("predict", *pictures(1), "--artifact", artefact)
    assert (code, any(line.startswith("1 image, ") for line in err.splitlines())) == (0, True)
    _, _, err = edgenas("predict", tmp_path / "gone.png", "--artifact", artefact)
    assert "1 of 1 image could not be read" in err


def test_values_and_alpha_that_the_net_was_never_shown_are_warnings(artefact: Path, tmp_path: Path) -> None:
    wide, clear, deep = (tmp_path / f"{name}.png" for name in ("wide", "clear", "deep"))
    Image.fromarray(np.full((9, 9), 4000, dtype=np.uint16)).save(wide)
    Image.fromarray(np.dstack([np.zeros((9, 9, 3)), np.eye(9) * 255]).astype(np.uint8)).save(clear)
    png(deep, np.full((9, 9, 3), 4000, dtype=np.uint16))
    code, out, _ = edgenas("predict", wide, deep, clear, "--artifact", artefact, "--json")
    value = json.loads(out)
    assert code == 0
    assert [each.split(":")[0] for each in value["warnings"]] == [
        "1 image with transparent pixels, for which the net was given no ground",
        "2 images with values of more than 8 bits, for which the net was given no range",
    ]
    done = subprocess.run(
        [sys.executable, "-I", artefact / "example.py", wide, deep, clear], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    no_range = "its values of more than 8 bits have no range in the manifest: 0 to 65535 (of floats 0 to 255) is shown"
    assert done.stderr.splitlines() == [
        f"example.py: {wide}: {no_range}",
        f"example.py: {deep}: {no_range}",
        f"example.py: {clear}: its transparent pixels have no ground in the manifest: alpha is ignored",
    ]
