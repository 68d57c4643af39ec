"""From `init` on, images are read in one way, and given teachers mean the classes that they are taken for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from edgenas.project.trainings.inputs import timm_normalisation
from edgenas.runs import RunFolder
from edgenas.training.checkpoints import save_weights
from edgenas.training.cnn import plain_cnn
from tests.recipes.test_end_to_end import edgenas_in

NAMES = ("7", "10")  # as text "10" comes first
TEACHER = ("train", "--only", "teacher", "--teacher", "cnn", "--teacher-checkpoint", "net.pth")


@pytest.fixture(scope="module")
def pixels_of() -> dict[str, list[np.ndarray]]:
    """Twelve-bit images: bright above, or bright on the left."""
    rng = np.random.default_rng(3)
    images: dict[str, list[np.ndarray]] = {name: [] for name in NAMES}
    for number in range(80):
        values = rng.integers(0, 1500, (20, 20)).astype(np.uint16)
        if number % 2:
            values[:10] += 2000
        else:
            values[:, :10] += 2000
        images[NAMES[number % 2]].append(values)
    return images


@pytest.fixture
def project(tmp_path: Path, pixels_of: dict[str, list[np.ndarray]]) -> Path:
    for name, images in pixels_of.items():
        (tmp_path / "images" / name).mkdir(parents=True)
        for number, values in enumerate(images):
            Image.fromarray(values).save(tmp_path / "images" / name / f"{number}.jfif", "PNG")
    code, value, err = edgenas_in(tmp_path, "init", "--data", "folder:images", "--image-px", "16", "--space", "pvt-nano")
    assert code == 0, value
    assert "from 0 to 34" in err
    assert value["result"]["preprocessing"]["grey_range"] == [0.0, 4095.0]
    assert (tmp_path / "edgenas-run" / value["outputs"]["samples"]).is_file()
    return tmp_path


@pytest.fixture(scope="module")
def natural(pixels_of: dict[str, list[np.ndarray]]) -> dict[str, torch.Tensor]:
    """Weights of a net that was trained elsewhere on the same images, whose outputs are 7, 10."""
    torch.manual_seed(0)
    net: nn.Module = plain_cnn(2, 16, 3)
    batch, labels = [], []
    for label, name in enumerate(NAMES):
        for values in pixels_of[name]:
            image = Image.fromarray((values / 4095 * 255).astype(np.uint8)).resize((16, 16), Image.Resampling.BILINEAR)
            batch.append(np.repeat(np.asarray(image, dtype=np.float32)[None] / 255, 3, axis=0))
            labels.append(label)
    x_NCHW, labels_N = torch.from_numpy(np.stack(batch)), torch.tensor(labels)
    x_NCHW = (x_NCHW - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(25):
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(net.train()(x_NCHW), labels_N))
        optimizer.step()
    return net.state_dict()


def test_a_teacher_in_natural_order_is_refused_until_the_order_that_was_found_is_set(
    project: Path, natural: dict[str, torch.Tensor]
) -> None:
    torch.save(natural, project / "net.pth")
    code, value, _ = edgenas_in(project, *TEACHER)
    assert code == 1
    assert "with the order, that of natural sorting, 7, 10 of its outputs on 100.0 %" in value["error"]["message"]
    assert value["error"]["hint"] == """--set 'teacher.classes=["7", "10"]'"""
    assert not RunFolder(project / "edgenas-run").teacher.exists()
    code, value, _ = edgenas_in(project, *TEACHER, "--set", 'teacher.classes=["7", "10"]')
    assert code == 0, value
    assert value["result"]["teacher"]["select_top1"]["value"] == 1.0


def test_a_teacher_with_nan_is_named_by_its_file_and_leaves_nothing_behind(project: Path, natural: dict[str, torch.Tensor]) -> None:
    torch.save(
        {name: value * float("nan") if value.is_floating_point() else value for name, value in natural.items()}, project / "net.pth"
    )
    code, value, _ = edgenas_in(project, *TEACHER)
    assert code == 1
    assert value["error"]["message"].startswith("net.pth holds weights that cannot be used")
    assert not RunFolder(project / "edgenas-run").teacher.exists()


def test_a_folder_that_was_poisoned_is_mended_by_the_next_force(project: Path, natural: dict[str, torch.Tensor]) -> None:
    torch.save(natural, project / "net.pth")
    net = plain_cnn(2, 16, 3)
    with torch.no_grad():
        next(net.parameters()).fill_(float("nan"))
    save_weights(RunFolder(project / "edgenas-run").teacher / "weights.safetensors", net, {"net": "teacher", "teacher": "cnn"})
    order = ("--set", 'teacher.classes=["7", "10"]')
    code, value, _ = edgenas_in(project, *TEACHER, *order)
    assert (code, value["error"]["hint"]) == (1, "--force replaces it")
    assert edgenas_in(project, *TEACHER, *order, "--force")[0] == 0


def test_pixels_cannot_be_read_otherwise_than_when_they_were_divided(project: Path) -> None:
    code, value, _ = edgenas_in(project, "train", "--only", "teacher", "--set", "data.resize_mode=letterbox")
    assert code == 1
    assert value["error"]["problems"] == ["data.resize_mode is 'letterbox' now, the default when the images were read"]


def test_timm_names_the_mean_and_deviation_of_its_nets() -> None:
    known = timm_normalisation("timm:test_resnet")
    assert known is not None
    assert (known.mean, known.std) == ((0.5,) * 3, (0.5,) * 3)
    assert timm_normalisation("cnn") is None


def test_init_takes_the_mean_and_deviation_of_the_start_that_is_set(project: Path) -> None:
    more = ("--set", "train.init=timm:test_vit", "--force")
    code, value, err = edgenas_in(project, "init", "--data", "folder:images", "--image-px", "16", "--space", "pvt-nano", *more)
    assert code == 0, value
    assert value["result"]["preprocessing"]["mean"] == [0.5, 0.5, 0.5]
    assert "normalised by timm:test_vit's mean and deviation" in " ".join(err.split())
