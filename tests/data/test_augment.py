from __future__ import annotations

import importlib.util
import random
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image

from edgenas.data import open_source
from edgenas.data.augment import _affine_grid, image_transform, light
from edgenas.data.batches import TrainBatches
from edgenas.data.loaders import ImageStore
from edgenas.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Augmentation, Preprocess
from edgenas.data.seeding import seed_sample
from edgenas.errors import MissingBackendError

NEEDS_TORCHIO = pytest.mark.skipif(importlib.util.find_spec("torchio") is None, reason="torchio is not installed")
PER_IMAGE = ["base", "autoaug", "randaug", pytest.param("torchio", marks=NEEDS_TORCHIO)]


@pytest.fixture(autouse=True)
def same_generators() -> Iterator[None]:
    """Other tests draw what they would without these."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    torch.set_rng_state(states[2])


def picture(image_px: int) -> Image.Image:
    """Smooth, with an edge, and different in every channel."""
    ramp = np.linspace(0, 255, image_px)
    image_HWC = np.stack([ramp[:, None] + 0 * ramp, ramp[None] + 0 * ramp[:, None], np.full((image_px, image_px), 90.0)], axis=2)
    image_HWC[image_px // 4 : image_px // 2, image_px // 4 : image_px // 2] = 255
    return Image.fromarray(image_HWC.astype(np.uint8))


def changed(name: Augmentation, image_px: int, num: int) -> list[bytes]:
    transform = image_transform(name, image_px)
    assert transform is not None
    found = []
    for position in range(num):
        seed_sample(0, 1, 2, position)
        image = transform(picture(image_px))
        assert (image.mode, image.size) == ("RGB", (image_px, image_px))
        found.append(image.tobytes())
    return found


@pytest.mark.parametrize("image_px", [16, 65])
@pytest.mark.parametrize("name", PER_IMAGE)
def test_transforms_keep_the_shape_and_follow_the_seed_of_the_sample(name: Augmentation, image_px: int) -> None:
    first = changed(name, image_px, 24)
    assert changed(name, image_px, 24) == first
    assert len(set(first)) > 16


@pytest.mark.parametrize("name", ["none", "light"])
def test_what_works_on_batches_has_no_transform_of_images(name: Augmentation) -> None:
    assert image_transform(name, 16) is None


def test_the_strongest_randaug_is_no_error_and_hardly_ever_blank() -> None:
    blank = [image for image in changed("randaug", 16, 1500) if len(set(image)) == 1]  # Pillow 13 refuses to posterize to 0 bits
    assert len(blank) < 5


@NEEDS_TORCHIO
def test_torchio_motion_is_an_artefact_and_not_a_shift_of_the_whole() -> None:
    import torchio

    from edgenas.data.augment import _moved

    values_CHW = torch.from_numpy(np.asarray(picture(64)).transpose(2, 0, 1).astype(np.float32))
    torch.manual_seed(0)
    moved_CHW = _moved(torchio, values_CHW, 2.5)
    assert moved_CHW.shape == (3, 64, 64)
    assert moved_CHW.max() > 256  # ringing; resampling alone stays in the range
    assert torch.corrcoef(torch.stack([moved_CHW.flatten(), values_CHW.flatten()]))[0, 1] > 0.9


@NEEDS_TORCHIO
def test_torchio_changes_no_image_beyond_recognition() -> None:
    source = np.asarray(picture(64)).astype(float).ravel()
    for image in changed("torchio", 64, 40):
        assert np.corrcoef(source, np.frombuffer(image, dtype=np.uint8))[0, 1] > 0.4


def test_an_absent_torchio_is_named_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchio", None)
    store = ImageStore(open_source("digits"), Preprocess(16, IMAGENET_MEAN, IMAGENET_STD))
    with pytest.raises(MissingBackendError, match=r"augmentation torchio needs .*pip install 'edgenas\[medical\]'"):
        TrainBatches(store, np.arange(8), 4, "torchio")


def test_light_changes_each_image_on_its_own_and_a_little() -> None:
    store = ImageStore(open_source("digits"), Preprocess(32, IMAGENET_MEAN, IMAGENET_STD))
    images_NCHW = torch.from_numpy(store.pixels(np.zeros(8, dtype=np.int64))).float() / 255
    changed_NCHW = light(images_NCHW, torch.Generator().manual_seed(0))
    assert not torch.equal(changed_NCHW[0], changed_NCHW[1])
    shared = torch.corrcoef(torch.stack([images_NCHW[0].flatten(), changed_NCHW[0].flatten()]))[0, 1]
    assert shared > 0.6
    assert torch.equal(changed_NCHW, light(images_NCHW, torch.Generator().manual_seed(0)))


def test_light_does_not_depend_on_threads_and_moves_as_pytorchs_own_grid_does() -> None:
    images_NCHW = torch.rand(6, 3, 40, 57)
    num_threads, found = torch.get_num_threads(), []
    for num in (1, 2):
        torch.set_num_threads(num)
        found.append(light(images_NCHW, torch.Generator().manual_seed(0)))
    torch.set_num_threads(num_threads)
    assert torch.equal(*found)
    theta_N23 = torch.randn(6, 2, 3)
    expected = torch.nn.functional.affine_grid(theta_N23, list(images_NCHW.shape), align_corners=False)
    torch.testing.assert_close(_affine_grid(theta_N23, 40, 57), expected)


def test_samples_differ_by_seed_epoch_step_and_position() -> None:
    drawn = set()
    for numbers in ((0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (2**32 - 1, 0, 0, 0)):
        seed_sample(*numbers)
        drawn.add((random.random(), np.random.random(), torch.rand(()).item()))  # noqa: NPY002
    assert all(len(values) == 6 for values in map(set, zip(*drawn, strict=True)))
