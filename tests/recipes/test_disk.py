"""Full disks, read-only folders and names that are in the way: one line, and nothing earlier is lost."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recipes.killing import OWN, RUN, STAGES, Ended, Reference, Zygote, assert_equal, hashes

SIZE_KB = 96 << 10


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 96 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_KB}k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, *, leave_kb: int) -> Path:
    """A file that leaves just so much space."""
    ballast = disk / "ballast"
    free_kb = shutil.disk_usage(disk).free // 1024
    with ballast.open("wb") as file:
        file.write(bytes(1024 * max(0, free_kb - leave_kb)))
    return ballast


def assert_one_line(ended: Ended, *words: str) -> None:
    error = ended.value["error"]
    assert ended.code == 1, ended.out
    assert "Traceback" not in ended.err
    assert "a bug in edgenas" not in error["message"]
    assert "\n" not in error["message"]
    assert any(word in error["message"] for word in words), error


def assert_nothing_lost(run: Path, reference: Reference, stage: str) -> None:
    before = {name: value for name, value in hashes(reference.before(stage) / RUN).items() if name.split("/")[0] not in OWN[stage]}
    now = hashes(run)
    assert {name: now.get(name) for name in before} == before


SLOW = [
    pytest.param(*values, marks=pytest.mark.slow)
    for values in (("train", 1200), ("profile", 40), ("export", 400), ("retrain", 700))
]


@pytest.mark.parametrize(("stage", "leave_kb"), [("train", 0), ("search", 4), *SLOW])
def test_a_full_disk_is_one_line_and_the_command_goes_on_when_there_is_room(
    stage: str, leave_kb: int, small_disk: Path, zygote_edgenas: Zygote, reference: Reference
) -> None:
    work = small_disk / "work"
    shutil.copytree(reference.before(stage), work)
    ballast = fill(small_disk, leave_kb=leave_kb)
    ended = zygote_edgenas(work, *STAGES[stage])
    assert_one_line(ended, "No space left")
    assert_nothing_lost(work / RUN, reference, stage)
    ballast.unlink()
    ended = zygote_edgenas(work, *STAGES[stage])
    assert ended.code == 0, ended.out
    assert_equal(stage, work / RUN, reference.after(stage) / RUN)


def test_a_read_only_folder_is_one_line_and_can_still_be_read(
    small_disk: Path, zygote_edgenas: Zygote, reference: Reference
) -> None:
    work = small_disk / "work"
    shutil.copytree(reference.after("export"), work)
    (work / RUN / "data" / "files.json").unlink()
    before = hashes(work)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for arguments in (*STAGES.values(), ("train", "--force"), ("init", "--data", "digits", "--force")):
        assert_one_line(zygote_edgenas(work, *arguments), "Read-only file system")
    for arguments in (("evaluate",), ("info",), ("verify", f"{RUN}/export/onnx")):
        ended = zygote_edgenas(work, *arguments)
        assert ended.code == 0, ended.out
    assert hashes(work) == before


@pytest.mark.parametrize("stage", ["train", "search", "retrain", "export", pytest.param("profile", marks=pytest.mark.slow)])
def test_a_file_where_a_folder_should_be_is_one_line(
    stage: str, tmp_path: Path, zygote_edgenas: Zygote, reference: Reference
) -> None:
    work = tmp_path / "work"
    shutil.copytree(reference.before(stage), work)
    for name in OWN[stage]:
        shutil.rmtree(work / RUN / name, ignore_errors=True)  # of an earlier command
        (work / RUN / name).write_text("in the way")
    assert_one_line(zygote_edgenas(work, *STAGES[stage]), "Not a directory", "File exists", "Is a directory")
    assert_nothing_lost(work / RUN, reference, stage)


def test_a_run_folder_that_is_a_file_is_one_line(tmp_path: Path, zygote_edgenas: Zygote) -> None:
    (tmp_path / RUN).write_text("in the way")
    for arguments in (("init", "--data", "digits"), ("train",), ("info",)):
        ended = zygote_edgenas(tmp_path, *arguments)
        assert ended.code == 1, ended.out
        assert "\n" not in ended.value["error"]["message"]
    assert (tmp_path / RUN).read_text() == "in the way"
