"""Drop path for plain nets, scaled by their depth."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


def add_drop_path(net: nn.Module, rate: float, *, largest_depth: int) -> int:
    """Let the blocks of a plain net be skipped in training, each image on its own (Huang et al., ECCV 2016, arXiv:1603.09382).

    What a block adds to its input is dropped with a probability that grows linearly from 0 at the first block, as in timm, to its
    highest at the last; that is ``rate`` in a net of ``largest_depth`` blocks and proportionally less in a shallower one, which has
    less to spare. A supernet needs none of it where it draws depths. Nothing is dropped in eval mode, nothing is written to files.

    Args:
        net: changed in place; its blocks are the modules whose type's name ends in ``Block`` and that keep their input's shape.
        rate: in [0, 1).
        largest_depth: blocks of the deepest net of the space.

    Returns:
        How many blocks were found.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"rate {rate} is not in [0, 1)")
    blocks = [module for module in net.modules() if type(module).__name__.endswith("Block")]
    highest = rate * min(1.0, len(blocks) / max(1, largest_depth))
    for position, block in enumerate(blocks):
        probability = highest * position / max(1, len(blocks) - 1)
        if probability > 0:
            block.register_forward_hook(_Drop(probability))
    return len(blocks)


class _Drop:
    """A hook that can be copied along with its module."""

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        if not module.training or output.shape != inputs[0].shape:
            return output
        from timm.layers.drop import drop_path

        result: Tensor = inputs[0] + drop_path(output - inputs[0], self.probability, module.training)
        return result
