"""Images by what a person types."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgenas.errors import DataError, MissingBackendError, UsageError
from edgenas.predicting.paths import Frames, count_of, is_live, items_of, lines_of

Pictures = Callable[..., list[Path]]


def names(*arguments: str | Path, stdin: bytes | None = None, frames: Frames | None = None) -> list[str]:
    stream = None if stdin is None else io.BytesIO(stdin)
    return [item.name for item in items_of([str(each) for each in arguments], frames or Frames(), stream)]


def test_a_folder_is_read_with_all_folders_in_it_in_order_and_without_clutter(pictures: Pictures, tmp_path: Path) -> None:
    top, below = pictures(2, "all"), pictures(2, "all/below")
    (tmp_path / "all" / "notes.txt").write_text("no image")
    (tmp_path / "all" / ".hidden.png").write_text("hidden")
    (tmp_path / "all" / "@eaDir").mkdir()
    (tmp_path / "all" / "@eaDir" / "thumb.png").write_text("thumbnail")
    (tmp_path / "all" / "round").symlink_to(tmp_path / "all", target_is_directory=True)
    assert names(tmp_path / "all") == [str(path) for path in (*top, *below)]
    assert count_of([str(tmp_path / "all")]) == 4


def test_a_pattern_takes_what_matches_once(pictures: Pictures, tmp_path: Path) -> None:
    top, below = pictures(2, "all"), pictures(1, "all/below")
    assert names(tmp_path / "all" / "*.png") == [str(path) for path in top]
    assert sorted(names(tmp_path / "all" / "**" / "*.png")) == sorted(str(path) for path in (*top, *below))
    (item,) = items_of([str(tmp_path / "*.jpg")], Frames())
    with pytest.raises(DataError, match=r"\*\.jpg matches nothing"):
        item.load()


def test_a_file_whose_name_looks_like_a_pattern_or_a_camera_is_the_file(pictures: Pictures, tmp_path: Path) -> None:
    (path,) = pictures(1)
    odd = tmp_path / "a[1].png"
    path.rename(odd)
    assert names(odd) == [str(odd)]
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        odd.rename("0")
        assert names("0") == ["0"]
        assert not is_live(["0"])
    finally:
        os.chdir(before)
    assert is_live(["0"])


@pytest.mark.parametrize("text", [b"a.png\nb c.png\n", b"a.png\r\nb c.png", b"a.png\0b c.png\0"])
def test_standard_input_is_a_path_a_line_or_ended_by_nul(text: bytes) -> None:
    assert names("-", stdin=text) == ["a.png", "b c.png"]


def test_names_with_line_ends_come_with_nul() -> None:
    assert list(lines_of(io.BytesIO(b"a\nb.png\0c.png\0"))) == ["a\nb.png", "c.png"]


def test_standard_input_that_is_no_list_is_refused_and_none_at_all_is_said() -> None:
    with pytest.raises(DataError, match="holds no paths"):
        names("-", stdin=b"x" * 200_000)
    with pytest.raises(UsageError, match="which is not there"):
        names("-")


def test_what_is_not_there_fails_when_it_is_read_and_not_before(tmp_path: Path) -> None:
    (item,) = items_of([str(tmp_path / "missing.png")], Frames())
    with pytest.raises(DataError, match="does not exist"):
        item.load()


def video(path: Path, num: int = 5) -> Path:
    cv2 = pytest.importorskip("cv2")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (32, 24))
    for index in range(num):
        frame = np.zeros((24, 32, 3), dtype=np.uint8)
        frame[:, :, 2] = 40 * index + 40  # red
        writer.write(frame)
    writer.release()
    return path


def test_frames_of_a_video_come_in_their_colours_with_their_numbers(tmp_path: Path) -> None:
    path = video(tmp_path / "door.avi")
    items = list(items_of([str(path)], Frames()))
    assert [item.name for item in items] == [f"{path}#{index}" for index in range(5)]
    for index, item in enumerate(items):
        red, green, _ = np.asarray(item.load())[12, 16]
        assert abs(int(red) - (40 * index + 40)) < 12
        assert green < 12
    assert names(path, frames=Frames(every=2)) == [f"{path}#{index}" for index in (0, 2, 4)]
    assert names(path, frames=Frames(every=2, most=2)) == [f"{path}#{index}" for index in (0, 2)]
    assert count_of([str(path)]) is None


def test_a_video_that_is_none_is_a_row_and_a_camera_that_is_not_there_is_missing(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    (tmp_path / "text.mp4").write_text("no video")
    for name, words in (("text.mp4", "is no video that can be read"), ("gone.mp4", "is missing")):
        (item,) = items_of([str(tmp_path / name)], Frames())
        with pytest.raises(DataError, match=words):
            item.load()
    with pytest.raises(MissingBackendError, match="camera 99 cannot be opened"):
        names("99")


def test_without_opencv_a_video_names_the_extra(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['cv2'] = None\n"
        "from edgenas.errors import MissingBackendError\n"
        "from edgenas.predicting.paths import Frames, items_of\n"
        "try: list(items_of(['a.mp4'], Frames()))\n"
        "except MissingBackendError as error: print(error, error.exit_code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "opencv-python-headless, which is not installed. pip install 'edgenas[video]' 5" in done.stdout


def test_pictures_are_decoded_only_when_they_are_asked_for(pictures: Pictures) -> None:
    (path,) = pictures(1)
    (item,) = items_of([str(path)], Frames())
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(item.load()), np.asarray(image))
