"""Run folders survive crashes, full or read-only disks and two processes at once."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgenas.errors import RunFolderError
from edgenas.runs import (
    RunFolder,
    append_jsonl,
    atomic_path,
    dump_json,
    jsonable,
    locked,
    read_json,
    sha256_file,
    sha256_json,
    write_json,
    write_text,
)
from edgenas.stats import wilson

HOLD = (
    "import sys, time; from pathlib import Path; from edgenas.runs import RunFolder, locked\n"
    "with locked(RunFolder(Path(sys.argv[1]))):\n"
    "    print('held', flush=True); time.sleep(60)"
)


def fail_in(path: Path, error: BaseException) -> None:
    """Begin to write a file, then raise."""
    with atomic_path(path) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise error


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_device_or_a_pipe_is_never_replaced_by_a_file(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(RunFolderError, match="it is a device or a pipe"), atomic_path(path):
        pytest.fail("nothing is to be written")
    assert [each.name for each in tmp_path.iterdir()] == ["pipe"]


def test_a_written_file_is_complete_readable_by_others_and_alone_in_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "file.txt"
    write_text(path, "größer ≥ 1\n")
    assert path.read_text(encoding="utf-8") == "größer ≥ 1\n"
    assert path.stat().st_mode & 0o777 == 0o644
    assert names(path.parent) == ["file.txt"]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
def test_a_block_that_raises_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        fail_in(tmp_path / "file.txt", error)
    assert names(tmp_path) == []


def test_a_block_that_raises_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(ValueError, match="x"):
        fail_in(path, ValueError("x"))
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_the_old_file_is_there_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with atomic_path(path) as temporary:
        temporary.write_text("new", encoding="utf-8")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent
    assert path.read_text() == "new"


def test_a_full_disk_is_one_line_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(RunFolderError, match=r"file\.txt cannot be written: No space left on device\. free some space"):
        fail_in(path, OSError(28, "No space left on device"))
    assert path.read_text() == "old"


def test_a_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for act in (
        lambda: write_text(tmp_path / "file" / "x.json", ""),
        lambda: append_jsonl(tmp_path / "file" / "x.jsonl", {}),
        lambda: locked(RunFolder(tmp_path / "file")).__enter__(),
    ):
        with pytest.raises(RunFolderError, match="cannot be written") as caught:
            act()
        assert "\n" not in str(caught.value)


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder in which nothing can be made."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    folder.chmod(0o555)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write everywhere")
    yield folder
    folder.chmod(0o755)


def test_a_read_only_folder_is_one_line(read_only: Path) -> None:
    for act in (
        lambda: write_text(read_only / "x.json", ""),
        lambda: append_jsonl(read_only / "x.jsonl", {}),
        lambda: locked(RunFolder(read_only)).__enter__(),
    ):
        with pytest.raises(RunFolderError, match="cannot be written: Permission denied") as caught:
            act()
        assert "\n" not in str(caught.value)


def test_json_holds_plain_values_and_no_nan(tmp_path: Path) -> None:
    value = {
        "nan": math.nan,
        "inf": -math.inf,
        "half": np.float16(0.5),
        "bool": np.bool_(True),
        "array": np.array([1.0, np.nan]),
        "tuple": (np.int64(3), None),
        "path": Path("a/b"),
        "share": wilson(0, 0),
        3: "key",
    }
    write_json(tmp_path / "x.json", value)
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert json.loads(text) == {
        "nan": None,
        "inf": None,
        "half": 0.5,
        "bool": True,
        "array": [1.0, None],
        "tuple": [3, None],
        "path": "a/b",
        "share": {"value": None, "low": 0.0, "high": 1.0, "n": 0},
        "3": "key",
    }
    assert list(json.loads(text)) == [str(key) for key in value]
    assert dump_json({"größe": "≥"}, indent=None) == '{"größe": "≥"}'
    assert type(jsonable(np.bool_(True))) is bool


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"", "is not JSON"),
        (b'{"a": 1', "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[1, 2]", "holds no JSON object"),
        (b'{"schema_version": 2}', "has schema_version 2; this edgenas reads 1"),
        (b"{}", "has schema_version None; this edgenas reads 1"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunFolderError) as caught:
        read_json(path, schema_version=1)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_in_place_of_a_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"cannot be read: Is a directory$"):
        read_json(tmp_path)


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    value: dict[str, Any] = {"schema_version": 1, "b": [1, {"ü": None}], "a": 0.1}
    write_json(tmp_path / "x.json", value)
    assert read_json(tmp_path / "x.json", schema_version=1) == read_json(tmp_path / "x.json") == value
    assert list(read_json(tmp_path / "x.json")) == list(value)


def test_jsonl_grows_by_one_line_a_value(tmp_path: Path) -> None:
    path = tmp_path / "new" / "log.jsonl"
    for epoch in range(3):
        append_jsonl(path, {"epoch": epoch, "loss": math.nan, "text": "a\nb"})
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"epoch": epoch, "loss": None, "text": "a\nb"} for epoch in range(3)]


def test_hashes_are_of_bytes_and_of_canonical_json(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_file(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_json({"a": 1, "b": [np.int16(2)]}) == sha256_json({"b": (2,), "a": 1}) != sha256_json({"a": 1, "b": [3]})


def test_outputs_are_named_relative_to_the_run_folder_where_they_lie_in_it(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    assert run.relative(run.search / "search.jsonl") == "search/search.jsonl"
    assert run.relative(tmp_path / "run" / ".." / "run" / "x") == "x"
    assert run.relative(tmp_path / "elsewhere") == str(tmp_path / "elsewhere")


def test_a_second_process_is_refused_with_the_firsts_pid_and_let_in_after_its_kill(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with subprocess.Popen([sys.executable, "-c", HOLD, str(run.path)], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(RunFolderError, match=f"is in use by process {holder.pid}") as caught, locked(run):
                pass
            assert "--run" in caught.value.hint
            assert "\n" not in str(caught.value)
        finally:
            holder.send_signal(signal.SIGKILL)
            holder.wait(timeout=120)
    with locked(run):
        pass


def test_the_lock_is_free_after_the_block_even_if_that_raised(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with pytest.raises(ValueError, match="x"), locked(run):
        raise ValueError("x")
    with locked(run), pytest.raises(RunFolderError, match=f"process {os.getpid()}"), locked(run):
        pass
    with locked(run):
        pass
