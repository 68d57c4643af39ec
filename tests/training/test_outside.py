"""Teachers with inputs of their own, ONNX files and several at once answer as they would alone."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F

from edgenas.data.batches import TrainBatches
from edgenas.data.digits import open_digits
from edgenas.data.images import preprocess_for
from edgenas.data.loaders import ImageStore, arrays
from edgenas.errors import CheckpointError
from edgenas.training.outside import AtItsInput, OnnxNet, SeveralTeachers
from edgenas.training.teacher import KnownImages

IMAGES = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))
OURS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
THEIRS = ((0.5, 0.4, 0.3), (0.5, 0.25, 0.2))


class Linear(nn.Module):
    """Mean over pixels, then a matrix; counts the images that it was asked about."""

    def __init__(self, seed: int = 0, classes: int = 4) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, 3, generator=torch.Generator().manual_seed(seed)))
        self.asked = 0

    def forward(self, images_NCHW: Tensor) -> Tensor:
        self.asked += len(images_NCHW)
        return images_NCHW.mean(dim=(2, 3)) @ self.weight.T


def write_onnx(path: Path, net: Linear, *, batch: int | str = "N", side: int = 8, softmax: bool = False, inputs: int = 1) -> Path:
    """The same net as an ONNX file."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weight"], ["scores" if softmax else "logits"], transB=1),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["scores"], ["logits"], axis=1))
    weight = numpy_helper.from_array(net.weight.detach().numpy(), "weight")
    reads = [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, side, side])]
    reads += [helper.make_tensor_value_info(f"more{number}", TensorProto.FLOAT, [1]) for number in range(1, inputs)]
    writes = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, len(net.weight)])]
    graph = helper.make_graph(nodes, "net", reads, writes, [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def test_images_are_denormalised_resized_and_normalised_again() -> None:
    net = Linear()
    mean, std, their_mean, their_std = (torch.tensor(values)[:, None, None] for pair in (OURS, THEIRS) for values in pair)
    wanted = F.interpolate(IMAGES * std + mean, (8, 8), mode="bilinear", antialias=True, align_corners=False)
    adapted = AtItsInput(net, image_px=8, own=THEIRS, given=OURS, columns=[2, 0, 1, 3])
    logits = net((wanted - their_mean) / their_std)
    assert torch.allclose(adapted(IMAGES), logits[:, [2, 0, 1, 3]], atol=1e-5)
    same = AtItsInput(net, image_px=16, own=OURS, given=OURS)
    assert torch.equal(same(IMAGES), net(IMAGES))


@pytest.mark.parametrize("batch", ["N", 1, 2, 5])
def test_an_onnx_file_answers_for_any_number_of_images_as_the_net_does(batch: int | str, tmp_path: Path) -> None:
    net, images = Linear(), IMAGES[:, :, :8, :8]
    file = OnnxNet(write_onnx(tmp_path / "net.onnx", net, batch=batch), image_px=16)
    assert (file.image_px, file.num_classes) == (8, 4)
    assert torch.allclose(file(images), net(images), atol=1e-5)
    assert not any(parameter.requires_grad for parameter in file.parameters())


def test_probabilities_of_an_onnx_file_become_their_logarithms(tmp_path: Path) -> None:
    net, images = Linear(), IMAGES[:, :, :8, :8]
    file = OnnxNet(write_onnx(tmp_path / "net.onnx", net, softmax=True), image_px=8)
    assert torch.allclose(file(images), net(images).log_softmax(-1), atol=1e-5)


def test_onnx_files_that_cannot_teach_say_why(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot teach: it reads image .*, more1 .* and gives 1 outputs"):
        OnnxNet(write_onnx(tmp_path / "net.onnx", Linear(), inputs=2), image_px=8)
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(CheckpointError, match=r"broken\.onnx cannot be loaded by ONNX Runtime: "):
        OnnxNet(tmp_path / "broken.onnx", image_px=8)
    os.mkfifo(tmp_path / "pipe.onnx")
    with (tmp_path / "hollow.onnx").open("wb") as file:
        file.truncate((2 << 30) + 1)
    refused = {"pipe": "is no regular file but a pipe", "hollow": "is larger than 2048 MB", "none": "does not exist"}
    for name, words in refused.items():
        with pytest.raises(CheckpointError, match=rf"{name}\.onnx {words}"):
            OnnxNet(tmp_path / f"{name}.onnx", image_px=8)


def weights_beside(path: Path, location: str) -> Path:
    """An ONNX file whose matrix lies in another file."""
    model = onnx.load(write_onnx(path, Linear()))
    (weight,) = model.graph.initializer
    values = weight.raw_data
    onnx.external_data_helper.set_external_data(weight, location, offset=0, length=len(values))
    weight.ClearField("raw_data")
    path.write_bytes(model.SerializeToString())
    (path.parent / "good.bin").write_bytes(values)
    return path


def test_weights_beside_an_onnx_file_are_read_from_regular_files_of_a_limited_size(tmp_path: Path) -> None:
    assert OnnxNet(weights_beside(tmp_path / "net.onnx", "good.bin"), image_px=8)(IMAGES[..., :8, :8]).shape == (5, 4)
    os.mkfifo(tmp_path / "pipe.bin")
    with (tmp_path / "hollow.bin").open("wb") as file:
        file.truncate(2 << 30)
    (tmp_path.parent / "above.bin").write_bytes(bytes(48))
    refused = {
        "pipe.bin": "is no regular file but a pipe",
        "hollow.bin": "makes it larger than 2048 MB",
        "../above.bin": "lies outside its folder",
        "/dev/zero": "lies outside its folder",
        "\x1b[31m.bin": "does not exist",
    }
    for location, words in refused.items():
        with pytest.raises(CheckpointError) as caught:
            OnnxNet(weights_beside(tmp_path / "net.onnx", location), image_px=8)
        assert words in caught.value.message
        assert "\x1b" not in caught.value.message


def test_an_onnx_file_that_fails_when_it_runs_is_refused_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = onnx.load(write_onnx(tmp_path / "net.onnx", Linear()))
    model.graph.node[1].CopyFrom(helper.make_node("Reshape", ["mean", "sizes"], ["flat"], name="\x1b[31mred"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([7, -1]), "sizes"))  # no image has a multiple of 7 channels
    onnx.save(model, tmp_path / "net.onnx")
    with pytest.raises(CheckpointError, match=r"net\.onnx cannot be run by ONNX Runtime: ") as caught:
        OnnxNet(tmp_path / "net.onnx", image_px=8)
    assert "\x1b" not in caught.value.message
    assert capfd.readouterr().err == ""  # ONNX Runtime itself would print the name as it is


def test_several_teachers_answer_with_their_geometric_mean() -> None:
    first, second = Linear(1), Linear(2)
    both = SeveralTeachers([first, second], [3.0, 1.0])(IMAGES)
    shares = F.softmax(first(IMAGES), -1) ** 0.75 * F.softmax(second(IMAGES), -1) ** 0.25
    assert torch.allclose(F.softmax(both, -1), shares / shares.sum(-1, keepdim=True), atol=1e-6)
    shifted = SeveralTeachers([first, lambda_net(second, 7.0)], [3.0, 1.0])(IMAGES)
    assert torch.allclose(both, shifted, atol=1e-5)


def lambda_net(net: nn.Module, shift: float) -> nn.Module:
    """The net with something added to all of its logits."""

    class Shifted(nn.Module):
        def forward(self, images_NCHW: Tensor) -> Tensor:
            result: Tensor = net(images_NCHW) + shift
            return result

    return Shifted()


class TestKnownImages:
    def test_every_image_is_asked_about_once(self) -> None:
        net = Linear()
        known = KnownImages(net, IMAGES.numpy(), 4)
        for order in ([0, 1, 2], [4, 3], [2, 2, 0]):
            assert torch.allclose(known(IMAGES[order]), IMAGES[order].mean(dim=(2, 3)) @ net.weight.T, atol=1e-6)
        assert net.asked == len(IMAGES)

    def test_others_are_answered_anew(self) -> None:
        net = Linear()
        known = KnownImages(net, IMAGES[:3].numpy(), 4)
        known(IMAGES[3:])
        known(IMAGES[2:])
        assert net.asked == 3 + 2 + 3

    def test_nothing_is_kept_beyond_its_memory(self) -> None:
        net = Linear()
        known = KnownImages(net, IMAGES.numpy(), 4, max_bytes=len(IMAGES) * 4 * 4 - 1)
        known(IMAGES)
        known(IMAGES)
        assert net.asked == 2 * len(IMAGES)

    def test_training_batches_without_augmentation_show_the_images_bit_for_bit(self) -> None:
        store, net = ImageStore(open_digits(None), preprocess_for(16), memory_bytes=1 << 24), Linear(classes=10)
        indices = np.arange(40)
        known = KnownImages(net, arrays(store, indices)[0], 10)
        batches = TrainBatches(store, indices, 16, "none", workers=0)
        for epoch in range(3):
            for images_NCHW, _ in batches(epoch):
                known(images_NCHW)
        assert net.asked == 40


def test_an_onnx_file_with_nan_is_refused_and_one_with_a_mask_is_not(tmp_path: Path) -> None:
    net = Linear()
    with torch.no_grad():
        net.weight[0, 0] = float("nan")
    with pytest.raises(CheckpointError, match=r"bad\.onnx holds weights that cannot be used.* weight holds 1 value\(s\)"):
        OnnxNet(write_onnx(tmp_path / "bad.onnx", net), 8)
    model = onnx.load(write_onnx(tmp_path / "mask.onnx", Linear()))
    mask = torch.full((4, 4), float("-inf")).triu(1).numpy()
    model.graph.initializer.append(numpy_helper.from_array(mask, "mask"))
    onnx.save(model, tmp_path / "mask.onnx")
    assert OnnxNet(tmp_path / "mask.onnx", 8).num_classes == 4
