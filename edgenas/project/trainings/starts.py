"""How weights of a larger net are selected for those of a run, as its settings say."""

from __future__ import annotations

from torch import nn

from edgenas.data.images import Images
from edgenas.project.settings import TrainSettings
from edgenas.training.initial import Chooser
from edgenas.training.linear_head import linear_head_loss


def start_chooser(images: Images, train: TrainSettings, device: str) -> Chooser:
    """The method of ``train.init_selection``; auto judges nets on train and select."""

    def judge(net: nn.Module) -> float:
        return linear_head_loss(net, images, device=device, seed=train.seed)

    return Chooser(train.init_selection, judge, images.class_names)
