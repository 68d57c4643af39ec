"""Pictures of a training."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from PIL import Image

from edgenas.errors import RunFolderError
from edgenas.records import TrainingPicture
from edgenas.report.plots import draw
from edgenas.runs import append_jsonl
from edgenas.training.curves import training_picture
from edgenas.training.folder import LOG


def log_of(folder: Path, num: int, *, judged: tuple[str, ...] = ("smallest", "largest"), every: int = 1) -> Path:
    for epoch in range(1, num + 1):
        select = dict.fromkeys(judged, 0.5 + epoch / (2 * num + 2)) if epoch % every == 0 else {}
        append_jsonl(folder / LOG, {"epoch": epoch, "epochs": num, "losses": {"loss": 2 / epoch}, "select": select})
    return folder


@pytest.mark.parametrize("num", [1, 2, 40])
def test_a_log_becomes_a_png_and_an_svg_beside_it(num: int, tmp_path: Path) -> None:
    draw(training_picture("supernet", log_of(tmp_path, num)))
    with Image.open(tmp_path / "training.png") as image:
        assert image.size == (1380, 540)
    root = ET.parse(tmp_path / "training.svg").getroot()
    assert root.tag.endswith("svg")
    assert {path.name for path in tmp_path.iterdir()} == {"log.jsonl", "training.png", "training.svg"}


def test_only_the_epochs_that_were_judged_have_an_accuracy(tmp_path: Path) -> None:
    picture = training_picture("supernet", log_of(tmp_path, 4, judged=("top1",), every=2))
    assert isinstance(picture.shows, TrainingPicture)
    assert picture.shows.epochs == (1, 2, 3, 4)
    assert picture.shows.loss == (2.0, 1.0, pytest.approx(2 / 3), 0.5)
    assert picture.shows.select == {"top1": {2: 0.7, 4: 0.9}}
    draw(picture)


def test_a_net_that_was_not_judged_has_one_panel(tmp_path: Path) -> None:
    draw(training_picture("alone", log_of(tmp_path, 3, judged=())))
    with Image.open(tmp_path / "training.png") as image:
        assert image.size == (690, 540)


@pytest.mark.parametrize("text", ["{}\n", "no json\n", "[1]\n"])
def test_what_is_no_log_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / LOG).write_text(text)
    with pytest.raises(RunFolderError, match=r"log\.jsonl is no log of a training"):
        training_picture("supernet", tmp_path)
    with pytest.raises(RunFolderError, match="does not exist"):
        training_picture("supernet", tmp_path / "none")
