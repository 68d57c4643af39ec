"""DSS, the training-free indicator of TF-TAS, of one subnet of a supernet.

Attention weights are judged by the diversity of their synapses, ``|dL/dW|_nuc * |W|_nuc``, MLP weights by their saliency,
``sum |dL/dW * W|``, summed over all blocks; L is the sum of the logits of an image of ones in eval mode (Zhou et al., Training-free
Transformer Architecture Search, CVPR 2022, arXiv:2203.12217, section 3).

Two things go by this name. The article's formula is computed on the net with all weights replaced by their absolute values, with
q, k and v as one stacked matrix or as three. The released code (decemberzhou/TF_TAS) leaves q, k and v out, because their slice is
made without a gradient, and its absolute values reach only the class token and the positions, because every other slice keeps
its own storage.

The article knows nets whose attention and MLPs consist of linear layers. PVT's have one more weight each. The convolution that
reduces the tokens of keys and values is a learnt matrix of the attention (with pooling, just a linear layer) and is judged like
its others, one row an output channel; the depthwise convolution belongs to the MLP and is judged like its others. Both are parts
of their own, so that a score without them is a subtraction away. The released code tells layers by being linear and would see
neither. In mobile nets a bottleneck's widening and narrowing convolutions are its MLP, its depthwise ones are judged like those
of PVT's MLPs, and of multi-query attention, whose keys have fewer rows than its queries, q is a matrix beside that of k and v;
the strided convolutions before its keys and values count as reductions. A star block's branches and its narrowing convolution are
judged like a bottleneck's; without signs its ReLU6 is soon at its end, and what lies before it has little say. Embeddings,
entrances of stages, poolings between stages, norms, biases and heads are not judged in any family.

Weights are slices of the supernet's; nothing else is copied.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgenas.supernets import Supernet, functional_subnet
from edgenas.supernets.functional import FunctionalSubnet, Role, WeightGroup

if TYPE_CHECKING:
    from torch import Tensor

ABSOLUTE_AS_RELEASED = ("cls_token", "pos_embed")
ROLES_AS_RELEASED: tuple[Role, ...] = ("proj", "mlp")


@dataclass(frozen=True, slots=True)
class Dss:
    """Parts of the score, summed over the blocks.

    Attributes:
        qkv_stacked: of q, k and v as one matrix, shape (3 * qkv_dim, embed_dim); 0 as released.
        qkv_split: of q, k and v one by one; 0 as released, NaN where it was not asked for.
        proj: of the attention's projections.
        mlp: of both linear layers of the MLPs.
        reduction: of the convolutions that reduce the tokens of keys and values; 0 where there are none, and as released.
        depthwise: of the depthwise convolutions inside MLPs; 0 where there are none, and as released.
    """

    qkv_stacked: float
    qkv_split: float
    proj: float
    mlp: float
    reduction: float = 0.0
    depthwise: float = 0.0

    @property
    def stacked(self) -> float:
        """The score with q, k and v as one matrix."""
        return self.qkv_stacked + self.proj + self.mlp + self.reduction + self.depthwise

    @property
    def split(self) -> float:
        """The score with q, k and v one by one."""
        return self.qkv_split + self.proj + self.mlp + self.reduction + self.depthwise


def nuclear_norm(matrix: Tensor) -> float:
    """Sum of the singular values, as roots of the eigenvalues of the smaller Gram matrix, all in float64.

    A singular value s is off by about 1e-16 * largest² / s, at most 1e-8 of the largest one; for float32 matrices with entries of
    comparable size that is far below the rounding of the entries.
    """
    import torch

    matrix = matrix.double()
    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    return float(torch.linalg.eigvalsh(gram).clamp_min(0.0).sqrt().sum())


@dataclass(frozen=True, slots=True)
class WeightNorms:
    """Nuclear norms of weight slices, for many subnets of one supernet whose weights do not change meanwhile."""

    known: dict[Hashable, float] = field(default_factory=dict)

    def __call__(self, key: Hashable, matrix: Tensor) -> float:
        """The norm of the slice that ``key`` stands for, computed once."""
        if key not in self.known:
            self.known[key] = nuclear_norm(matrix)
        return self.known[key]


def dss_as_published(supernet: Supernet, genes: tuple[int, ...], norms: WeightNorms | None = None, *, is_split: bool = True) -> Dss:
    """The article's formula.

    Args:
        supernet: whose slices are judged; neither changed nor copied.
        genes: the subnet.
        norms: of this supernet, to be filled and used; none are kept by default.
        is_split: also judge q, k and v one by one, which takes as many norms again.
    """
    subnet = functional_subnet(supernet, genes)
    weights = {name: tensor.detach().abs() for name, tensor in subnet.weights.items()}
    weights, gradients = _gradients(supernet, subnet, weights, subnet.groups)
    return _score(subnet.groups, weights, gradients, WeightNorms() if norms is None else norms, absolute=True, is_split=is_split)


def dss_as_released(supernet: Supernet, genes: tuple[int, ...], norms: WeightNorms | None = None) -> Dss:
    """What the released code sums; arguments as of `dss_as_published`. Other nets than AutoFormer's get its rule."""
    subnet = functional_subnet(supernet, genes)
    weights = {
        name: tensor.detach().abs() if name in ABSOLUTE_AS_RELEASED else tensor.detach() for name, tensor in subnet.weights.items()
    }
    groups = tuple(group for group in subnet.groups if group.role in ROLES_AS_RELEASED)
    weights, gradients = _gradients(supernet, subnet, weights, groups)
    return _score(groups, weights, gradients, WeightNorms() if norms is None else norms, absolute=False)


def _gradients(
    supernet: Supernet, subnet: FunctionalSubnet, weights: dict[str, Tensor], groups: Sequence[WeightGroup]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights, and the gradients of the sum of logits by those of ``groups``.

    Without signs and without norms of their own features, nets of convolutions grow from layer to layer: what is too large for
    single precision is computed in double.
    """
    names = [name for group in groups for name in group.names]
    if not names:  # a net of identities
        return weights, {}
    gradients = _differentiated(supernet, subnet, weights, names)
    if not all(_is_finite(gradient) for gradient in gradients):
        weights = {name: tensor.detach().double() for name, tensor in weights.items()}
        gradients = _differentiated(supernet, subnet, weights, names)
    return weights, dict(zip(names, gradients, strict=True))


def _is_finite(tensor: Tensor) -> bool:
    """Whether a tensor has neither infinite numbers nor NaN, found in one pass that writes nothing."""
    return all(math.isfinite(float(end)) for end in tensor.aminmax())


def _differentiated(
    supernet: Supernet, subnet: FunctionalSubnet, weights: Mapping[str, Tensor], names: Sequence[str]
) -> tuple[Tensor, ...]:
    """Gradients of the sum of logits by the weights of these names, which need gradients afterwards."""
    import torch

    from edgenas.supernets.products import fast_products

    task = supernet.task
    with torch.enable_grad(), fast_products(weights[names[0]].device):
        for name in names:
            weights[name].requires_grad_()
        first = weights[names[0]]
        ones_NCHW = torch.ones((1, task.in_channels, task.image_px, task.image_px), device=first.device, dtype=first.dtype)
        loss = subnet.logits(ones_NCHW, weights).sum()
        return torch.autograd.grad(loss, [weights[name] for name in names])


def _score(
    groups: Sequence[WeightGroup],
    weights: Mapping[str, Tensor],
    gradients: Mapping[str, Tensor],
    norms: WeightNorms,
    *,
    absolute: bool,
    is_split: bool = True,
) -> Dss:
    """The score of weights and gradients, whose own gradients do not count."""
    import torch

    sums = dict.fromkeys(("qkv_stacked", "qkv_split", "proj", "mlp", "reduction", "depthwise"), 0.0)
    for group in groups:
        weight, gradient = _matrix(group, weights), _matrix(group, gradients)
        if group.role in ("mlp", "depthwise"):
            sums[group.role] += float((gradient * weight).abs().sum(dtype=torch.float64))
            continue
        key = (group.names, tuple(weight.shape), group.variant, absolute)
        whole = nuclear_norm(gradient) * norms(key, weight)
        if group.role != "qkv":
            sums[group.role] += whole
            continue
        sums["qkv_stacked"] += whole
        if not is_split:
            sums["qkv_split"] = math.nan
            continue
        for part, (gradient_part, weight_part) in enumerate(
            zip(gradient.chunk(group.parts), weight.chunk(group.parts), strict=True)
        ):
            sums["qkv_split"] += nuclear_norm(gradient_part) * norms((*key, part), weight_part)
    return Dss(**sums)


def _matrix(group: WeightGroup, tensors: Mapping[str, Tensor]) -> Tensor:
    """The group's weights, or their gradients, row upon row; a convolution's row is all that an output channel multiplies."""
    import torch

    matrices = [tensors[name].detach().flatten(1) for name in group.names]
    return matrices[0] if len(matrices) == 1 else torch.cat(matrices)
