"""DSS, the training-free indicator of TF-TAS, of one subnet of an AutoFormer supernet.

Attention weights are judged by the diversity of their synapses, ``|dL/dW|_nuc * |W|_nuc``, MLP weights by their saliency,
``sum |dL/dW * W|``, summed over all blocks; L is the sum of the logits of an image of ones in eval mode (Zhou et al., Training-free
Transformer Architecture Search, CVPR 2022, arXiv:2203.12217, section 3).

Two things go by this name. The article's formula is computed on the net with all weights replaced by their absolute values, with
q, k and v as one stacked matrix or as three. The released code (decemberzhou/TF_TAS) leaves q, k and v out, because their slice is
made without a gradient, and its absolute values reach only the class token and the positions, because every other slice keeps
its own storage.

Weights are slices of the supernet's; nothing else is copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from edgenas.supernets.autoformer import AutoFormerSupernet
from edgenas.supernets.autoformer_net import net_forward

ABSOLUTE_AS_RELEASED = ("cls_token", "pos_embed")


@dataclass(frozen=True, slots=True)
class Dss:
    """Parts of the score, summed over the blocks.

    Attributes:
        qkv_stacked: of q, k and v as one matrix, shape (3 * qkv_dim, embed_dim); 0 as released.
        qkv_split: of q, k and v one by one; 0 as released.
        proj: of the attention's projections.
        mlp: of both linear layers of the MLPs.
    """

    qkv_stacked: float
    qkv_split: float
    proj: float
    mlp: float

    @property
    def stacked(self) -> float:
        """The score with q, k and v as one matrix."""
        return self.qkv_stacked + self.proj + self.mlp

    @property
    def split(self) -> float:
        """The score with q, k and v one by one."""
        return self.qkv_split + self.proj + self.mlp


def nuclear_norm(matrix: Tensor) -> float:
    """Sum of the singular values, as roots of the eigenvalues of the smaller Gram matrix, all in float64.

    A singular value s is off by about 1e-16 * largest² / s, at most 1e-8 of the largest one; for float32 matrices with entries of
    comparable size that is far below the rounding of the entries.
    """
    matrix = matrix.double()
    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    return float(torch.linalg.eigvalsh(gram).clamp_min(0.0).sqrt().sum())


@dataclass(frozen=True, slots=True)
class WeightNorms:
    """Nuclear norms of weight slices by name and shape, for many subnets of one supernet whose weights do not change meanwhile."""

    known: dict[tuple[str, tuple[int, ...], bool], float] = field(default_factory=dict)

    def __call__(self, name: str, matrix: Tensor, *, absolute: bool) -> float:
        """The norm of a slice, computed once."""
        key = (name, tuple(matrix.shape), absolute)
        if key not in self.known:
            self.known[key] = nuclear_norm(matrix)
        return self.known[key]


def dss_as_published(supernet: AutoFormerSupernet, genes: tuple[int, ...], norms: WeightNorms | None = None) -> Dss:
    """The article's formula.

    Args:
        supernet: whose slices are judged; neither changed nor copied.
        genes: the subnet.
        norms: of this supernet, to be filled and used; none are kept by default.
    """
    weights = {name: tensor.detach().abs() for name, tensor in supernet.slices(genes).items()}
    names = [name for name in weights if name.endswith(("qkv.weight", "proj.weight", "fc1.weight", "fc2.weight"))]
    return _score(weights, _gradients(supernet, genes, weights, names), WeightNorms() if norms is None else norms, absolute=True)


def dss_as_released(supernet: AutoFormerSupernet, genes: tuple[int, ...], norms: WeightNorms | None = None) -> Dss:
    """What the released code sums; arguments as of `dss_as_published`."""
    weights = {
        name: tensor.detach().abs() if name in ABSOLUTE_AS_RELEASED else tensor.detach()
        for name, tensor in supernet.slices(genes).items()
    }
    names = [name for name in weights if name.endswith(("attn.proj.weight", "fc1.weight", "fc2.weight"))]
    return _score(weights, _gradients(supernet, genes, weights, names), WeightNorms() if norms is None else norms, absolute=False)


def _gradients(
    supernet: AutoFormerSupernet, genes: tuple[int, ...], weights: dict[str, Tensor], names: list[str]
) -> dict[str, Tensor]:
    """Gradients of the sum of logits, by the named weights inside blocks, which need gradients afterwards."""
    names = [name for name in names if name.startswith("blocks.")]
    task = supernet.task
    with torch.enable_grad():
        for name in names:
            weights[name].requires_grad_()
        first = weights["cls_token"]
        ones_NCHW = torch.ones((1, task.in_channels, task.image_px, task.image_px), device=first.device, dtype=first.dtype)
        loss = net_forward(ones_NCHW, supernet.spec(genes), weights, supernet.layout()).sum()
        gradients = torch.autograd.grad(loss, [weights[name] for name in names])
    return dict(zip(names, gradients, strict=True))


@torch.no_grad()
def _score(weights: Mapping[str, Tensor], gradients: Mapping[str, Tensor], norms: WeightNorms, *, absolute: bool) -> Dss:
    qkv_stacked = qkv_split = proj = mlp = 0.0
    for name, gradient in gradients.items():
        weight = weights[name]
        if name.endswith("qkv.weight"):
            qkv_stacked += nuclear_norm(gradient) * norms(name, weight, absolute=absolute)
            for part, gradient_part, weight_part in zip("qkv", gradient.chunk(3), weight.chunk(3), strict=True):
                qkv_split += nuclear_norm(gradient_part) * norms(f"{name}.{part}", weight_part, absolute=absolute)
        elif name.endswith("proj.weight"):
            proj += nuclear_norm(gradient) * norms(name, weight, absolute=absolute)
        else:
            mlp += float((gradient * weight).abs().sum(dtype=torch.float64))
    return Dss(qkv_stacked, qkv_split, proj, mlp)
