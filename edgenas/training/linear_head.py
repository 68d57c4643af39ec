"""How much a linear head can read off a net's features: what tells starts apart before any of them is trained.

A head that was drawn says nothing of the weights before it, so the best one for them is fitted: multinomial logistic regression
with a small penalty, on images of train, whose loss on images of select is the answer.

Shapes: N images, F features, C classes.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from edgenas.data.images import Images

NUM_FITTED, NUM_JUDGED = 1024, 512  # images
PENALTY = 1e-2  # on the squared weights, of standardised features
ITERATIONS = 60
BATCH_SIZE = 64


def linear_head_loss(net: nn.Module, images: Images, *, device: str, seed: int) -> float:
    """Cross-entropy on select, in nats, of the best linear head for a net's features.

    Args:
        net: a plain net with a part called ``head``; in eval mode, not changed.
        images: of which up to `NUM_FITTED` of train and `NUM_JUDGED` of select are read, neither augmented.
        device: where features are computed.
        seed: draws these images.
    """
    net = net.to(device).eval()
    train_NF, train_N = _features(net, images, "train", NUM_FITTED, seed)
    select_NF, select_N = _features(net, images, "select", NUM_JUDGED, seed)
    mean_F, std_F = train_NF.mean(0), train_NF.std(0) + 1e-6
    return _fitted_loss((train_NF - mean_F) / std_F, train_N, (select_NF - mean_F) / std_F, select_N, len(images.class_names))


@torch.no_grad()
def _features(net: nn.Module, images: Images, split: str, most: int, seed: int) -> tuple[Tensor, Tensor]:
    """What the head reads of images of a split, and their labels."""
    images_NCHW, labels_N = images.arrays(split)
    num = len(labels_N)
    chosen_N: NDArray[np.int64] = np.sort(np.random.default_rng(seed).permutation(num)[:most])
    seen: list[Tensor] = []
    handle = net.get_submodule("head").register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].double().cpu()))
    device = next(net.parameters()).device
    try:
        for first in range(0, len(chosen_N), BATCH_SIZE):
            net(torch.as_tensor(images_NCHW[chosen_N[first : first + BATCH_SIZE]]).to(device))
    finally:
        handle.remove()
    return torch.cat(seen), torch.from_numpy(labels_N[chosen_N])


def _fitted_loss(train_NF: Tensor, train_N: Tensor, select_NF: Tensor, select_N: Tensor, num_classes: int) -> float:
    weight_CF = torch.zeros(num_classes, train_NF.shape[1], dtype=torch.float64, requires_grad=True)
    bias_C = torch.zeros(num_classes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight_CF, bias_C], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(train_NF, weight_CF, bias_C), train_N) + PENALTY / 2 * weight_CF.square().sum()
        torch.autograd.backward(loss)
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]  # of PyTorch
    with torch.no_grad():
        return float(F.cross_entropy(F.linear(select_NF, weight_CF, bias_C), select_N))
