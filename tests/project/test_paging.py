"""What kept answers show, and whether a page is still of its results."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import auc

from edgenas.data.images import Images, open_images
from edgenas.data.thumbnails import thumbnail
from edgenas.errors import RunFolderError
from edgenas.project.answers import Answers, answers_path, keep_answers, read_answers
from edgenas.project.paging.judged import MAX_POINTS, SHOWN, judged, reliability, roc_curve
from edgenas.project.paging.seal import older_than, read_seal, results_of, seal_path
from edgenas.project.paging.sheet import data_sheet, odd_things, page_image
from edgenas.records import PageSeal
from edgenas.runs import RunFolder, sha256_file
from tests.recipes.test_fuzz import damage


@pytest.fixture(scope="module")
def images() -> Images:
    return open_images("digits", positive="8")


def probabilities(images: Images, seed: int = 0) -> np.ndarray:
    """Of test, mostly right."""
    labels_N = images.labels("test")
    p_NK = np.random.default_rng(seed).dirichlet(np.full(10, 0.5), size=len(labels_N))
    p_NK[np.arange(len(labels_N)), labels_N] += 0.5
    return (p_NK / p_NK.sum(axis=1, keepdims=True)).astype(np.float32)


def kept(images: Images, run: RunFolder, threshold: float | None = 0.3) -> Answers:
    keep_answers(run, images, probabilities(images), net="searched", weights_sha256="a" * 64, threshold=threshold)
    answers = read_answers(run, "searched")
    assert answers is not None
    return answers


def test_answers_come_back_as_they_went(images: Images, tmp_path: Path) -> None:
    answers, p_NK = kept(images, RunFolder(tmp_path)), probabilities(images)
    assert (answers.facts.net, answers.facts.positive, answers.facts.num_images) == ("searched", "8", len(p_NK))
    np.testing.assert_array_equal(answers.labels_N, images.labels("test"))
    np.testing.assert_array_equal(answers.argmax_N, p_NK.argmax(axis=1))
    assert answers.positive_N is not None
    np.testing.assert_array_equal(answers.positive_N.astype(np.float32), p_NK[:, 8])
    np.testing.assert_array_equal(answers.decided_N == 8, p_NK[:, 8] >= np.float32(0.3))
    assert read_answers(RunFolder(tmp_path), "baseline") is None


def test_a_rival_s_answers_stay_in_the_folder(tmp_path: Path) -> None:
    assert answers_path(RunFolder(tmp_path), "../timm/net").parent == tmp_path / "answers"


def test_edited_answers_are_refused(images: Images, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    answers = kept(images, run)
    path = answers_path(run, "searched")
    path.write_text(path.read_text().replace('"threshold": 0.3', '"threshold": 0.4'))
    with pytest.raises(RunFolderError, match="was edited or damaged"):
        read_answers(run, "searched")
    for change, words in (
        ({"num_images": 3}, "answers of 3 images"),
        ({"classes": ("0", "1")}, "names classes that there are not"),
        (
            {"confidence_float32": base64.b64encode(np.full(answers.facts.num_images, np.nan, dtype="<f4").tobytes()).decode()},
            "is not between 0 and 1",
        ),
        ({"argmax_int32": "no base64"}, "is damaged"),
    ):
        replace(answers.facts, **change).write(path)  # type: ignore[arg-type]
        with pytest.raises(RunFolderError, match=words):
            read_answers(run, "searched")


def test_damaged_answers_are_refused_or_the_same(images: Images, tmp_path: Path) -> None:
    run, rng = RunFolder(tmp_path), np.random.default_rng(0)
    answers = kept(images, run)
    path = answers_path(run, "searched")
    whole, refused = path.read_bytes(), 0
    for _ in range(60):
        path.write_bytes(damage(whole, rng, [b"other"]))
        try:
            assert read_answers(run, "searched").facts == answers.facts  # type: ignore[union-attr]
        except RunFolderError:
            refused += 1
    assert refused > 40


def test_galleries_hold_the_worst_first_and_say_how_many_there_are(images: Images, tmp_path: Path) -> None:
    answers = kept(images, RunFolder(tmp_path), threshold=0.5)
    indices_N = images.splits["test"]
    found = judged(answers, lambda position: page_image(images, int(indices_N[position]), 64))
    assert found.missed is not None
    assert found.alarms is not None
    is_8_N, called_N = answers.labels_N == 8, answers.decided_N == 8
    assert (found.missed.num, found.missed.of) == (int((is_8_N & ~called_N).sum()), int(is_8_N.sum()))
    assert (found.alarms.num, found.alarms.of) == (int((~is_8_N & called_N).sum()), int((~is_8_N).sum()))
    assert len(found.missed.images) == min(SHOWN, found.missed.num)
    shown = [image.positive for image in found.missed.images]
    assert shown == sorted(shown)  # type: ignore[type-var]
    assert {image.label for image in found.missed.images} == {"8"}
    assert all(image.decided != "8" for image in found.missed.images)
    unread = judged(answers, lambda position: None)
    assert unread.missed is not None
    assert (unread.missed.images, unread.missed.unread) == ((), min(SHOWN, found.missed.num))


def test_without_a_positive_class_what_is_decided_wrongly_is_shown(images: Images, tmp_path: Path) -> None:
    plain, run = replace(images, positive=None), RunFolder(tmp_path)
    answers = kept(plain, run, threshold=None)
    found = judged(answers, lambda position: None)
    assert (found.roc, found.missed, found.alarms) == (None, None, None)
    assert found.confused is not None
    assert found.confused.num == int((answers.argmax_N != answers.labels_N).sum()) > 0


def test_the_roc_curve_goes_through_what_every_threshold_gives() -> None:
    rng = np.random.default_rng(0)
    is_positive_N = rng.random(2000) < 0.3
    p_N = np.round(np.clip(rng.normal(0.4 + 0.2 * is_positive_N, 0.15), 0, 1), 2)  # with ties
    curve = roc_curve(p_N, is_positive_N, p_N >= 0.5, 0.5)
    assert curve is not None
    assert len(curve.points) <= MAX_POINTS + 1
    first, last = curve.points[0], curve.points[-1]
    assert (first.false_alarms, first.sensitivity, last.false_alarms, last.sensitivity) == (0, 0, 1, 1)
    for point in curve.points[1:]:
        called_N = p_N >= point.threshold
        assert point.sensitivity == pytest.approx(called_N[is_positive_N].mean())
        assert point.false_alarms == pytest.approx(called_N[~is_positive_N].mean())
    x, y = zip(*((point.false_alarms, point.sensitivity) for point in curve.points), strict=True)
    assert curve.area.value == pytest.approx(auc(x, y), abs=2e-3)
    assert curve.sensitivity.value == pytest.approx((p_N >= 0.5)[is_positive_N].mean())
    assert roc_curve(p_N, np.ones(2000, dtype=bool), p_N >= 0.5, 0.5) is None


def test_reliability_says_how_far_a_probability_is_off(images: Images, tmp_path: Path) -> None:
    answers = kept(images, RunFolder(tmp_path))
    n = len(answers.labels_N)
    sure = replace(
        answers, confidence_N=np.full(n, 0.95), argmax_N=np.where(np.arange(n) % 2 == 0, answers.labels_N, 9 - answers.labels_N)
    )
    found = reliability(sure)
    (one,) = found.bins
    assert (one.low, one.confidence, one.accuracy.n) == (0.9, pytest.approx(0.95), n)
    assert one.accuracy.low < 0.5 < one.accuracy.high
    assert found.error.value == pytest.approx(0.45, abs=0.01)
    assert found.error.low <= found.error.value <= found.error.high < 0.6
    assert reliability(replace(answers, confidence_N=np.ones(n), argmax_N=answers.labels_N)).error.value == 0


def test_the_sheet_says_how_the_images_are_divided_and_shows_some_of_every_class(images: Images, tmp_path: Path) -> None:
    sheet = data_sheet(RunFolder(tmp_path), "digits", images.splits, images, positive="8", why="")
    assert sheet.splits == images.splits.class_counts
    assert (sheet.patients, sheet.sites, sheet.num_odd) == (None, None, 0)
    assert [image.label for image in sheet.contact] == [name for name in images.class_names for _ in range(4)]
    train = {images.source.ids[index] for index in images.splits["train"].tolist()}
    assert {image.name for image in sheet.contact} <= train
    assert any("prove a sensitivity of at most" in text for text in sheet.provable)
    without = data_sheet(RunFolder(tmp_path), "digits", images.splits, None, positive="8", why="they are gone")
    assert (without.contact, without.why_no_images) == ((), "they are gone")


def test_a_thumbnail_is_small_and_carries_nothing_of_its_file(images: Images) -> None:
    small = thumbnail(images.source, 0, 320)
    assert (small.mime, max(small.width, small.height) <= 320, len(small.content) < 4000) == ("image/png", True, True)
    assert b"Exif" not in small.content


def test_a_large_image_is_made_small_and_one_that_is_gone_is_left_out(tmp_path: Path) -> None:
    for name, shade in (("cat", 40), ("dog", 200)):
        for number in range(12):
            (tmp_path / "in" / name).mkdir(parents=True, exist_ok=True)
            colour = (shade, 10 * number, number)
            Image.new("RGB", (900, 600), colour).save(tmp_path / "in" / name / f"{number}.png")
    found = open_images(f"folder:{tmp_path / 'in'}", image_px=32)
    image = page_image(found, 0, 320)
    assert image is not None
    assert (image.mime, image.width, image.height, image.label) == ("image/jpeg", 320, 213, "cat")
    assert len(image.content) < 5000
    (tmp_path / "in" / image.name).unlink()
    assert page_image(found, 0, 320) is None


def test_a_list_of_odd_things_that_cannot_be_read_is_empty(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert odd_things(run) == []
    run.problems.parent.mkdir()
    run.problems.write_text("path,what,done\na.png,is odd,nothing\ncut\n")
    assert [each.path for each in odd_things(run)] == ["a.png"]
    run.problems.write_bytes(b"\xff\xfe\x00")
    assert odd_things(run) == []


def test_a_page_is_older_than_what_changed_came_or_went(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for path in (run.splits, run.search / "result.json", run.page):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("one")
    seal = PageSeal(page_sha256=sha256_file(run.page), made="now", sources=results_of(run), num_images=0)
    seal.write(seal_path(run))
    assert read_seal(run) == seal
    assert older_than(run, seal) == ()
    (run.search / "result.json").write_text("two")
    run.splits.unlink()
    run.retrain.mkdir()
    (run.retrain / "result.json").write_text("new")
    assert set(older_than(run, seal)) == {"data/splits.json", "search/result.json", "retrain/result.json"}


def test_an_edited_page_is_known_by_its_seal(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert read_seal(run) is None
    run.page.parent.mkdir()
    run.page.write_text("page")
    with pytest.raises(RunFolderError, match="has no seal"):
        read_seal(run)
    PageSeal(page_sha256=sha256_file(run.page), made="now", sources={}, num_images=0).write(seal_path(run))
    run.page.write_text("page, improved")
    with pytest.raises(RunFolderError, match="was edited or damaged: it does not match its seal") as refused:
        read_seal(run)
    assert refused.value.hint == f"run `edgenas report --run {tmp_path}`"
