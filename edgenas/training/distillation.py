"""Losses on labels and on a teacher's logits.

Shapes: N images, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from edgenas.fields import Amount, OneOf, PartialShare, Share, require_allowed
from edgenas.training.teaching_losses import DISTILLATION_LOSSES

LOSS = "loss"  # among the losses of a step the one that is minimised
HARD_SMOOTHING = 0.05  # of COViT++'s teacher's decisions


def label_loss(student_NC: Tensor, labels_N: Tensor, *, smoothing: float = 0.0, class_weights_C: Tensor | None = None) -> Tensor:
    """Cross-entropy with label smoothing (Szegedy et al., arXiv:1512.00567, section 7), in nats.

    Args:
        student_NC: logits.
        labels_N: class indices, or distributions over the classes of shape (N, C).
        smoothing: share of the target spread over all classes, in [0, 1).
        class_weights_C: weight of every class; the mean is weighted too.
    """
    return F.cross_entropy(student_NC, labels_N, weight=class_weights_C, label_smoothing=smoothing)


def soft_target_loss(student_NC: Tensor, teacher_NC: Tensor, *, temperature: float) -> Tensor:
    """KL divergence from the teacher's to the student's softened class distribution.

    Scaled by ``temperature**2`` so that the gradient magnitude does not depend on the
    temperature (Hinton et al., 2015, arXiv:1503.02531, section 2).

    Args:
        student_NC: student logits of shape (batch, classes).
        teacher_NC: teacher logits of the same shape; no gradient flows into them.
        temperature: softening factor, greater than 0.

    Returns:
        A scalar, in nats, averaged over the batch.
    """
    student_logp_NC = F.log_softmax(student_NC / temperature, dim=-1)
    teacher_logp_NC = F.log_softmax(teacher_NC.detach() / temperature, dim=-1)
    return F.kl_div(student_logp_NC, teacher_logp_NC, reduction="batchmean", log_target=True) * temperature**2


def hard_target_loss(student_NC: Tensor, teacher_NC: Tensor, *, temperature: float = 1.0, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy with the teacher's decisions as labels (Touvron et al., DeiT, arXiv:2012.12877, section 3).

    Args:
        student_NC: student logits of shape (batch, classes).
        teacher_NC: teacher logits of the same shape; no gradient flows into them.
        temperature: has no influence on decisions; taken so that losses can be exchanged.
        smoothing: of these labels.
    """
    return F.cross_entropy(student_NC, teacher_NC.detach().argmax(dim=-1), label_smoothing=smoothing)


def alpha_divergence_loss(
    student_NC: Tensor,
    teacher_NC: Tensor,
    *,
    temperature: float,
    alphas: tuple[float, float] = (-1.0, 1.0),
    clip: float = 5.0,
) -> Tensor:
    """The larger of two alpha-divergences of the softened distributions, image by image (Wang et al., AlphaNet, arXiv:2102.07954).

    A negative alpha punishes a student that is sure where its teacher is not, a positive one a student that misses what its teacher
    sees; the larger of both punishes whichever it does. With teacher's probabilities p and student's q the divergence is
    ``sum(q ((p / q)^alpha - 1)) / (alpha (alpha - 1))``, for alpha 1 its limit, the KL divergence from p. Its gradient weighs every
    class by ``(p / q)^alpha``, of which no more than ``clip`` counts, as in the publication's code. Scaled by ``temperature**2``
    as `soft_target_loss`.

    Args:
        student_NC: student logits of shape (batch, classes).
        teacher_NC: teacher logits of the same shape; no gradient flows into them.
        temperature: softening factor, greater than 0.
        alphas: both, neither of them 0.
        clip: largest weight of a class, where alpha is not 1.
    """
    logq_NC = F.log_softmax(student_NC / temperature, dim=-1)
    logp_NC = F.log_softmax(teacher_NC.detach() / temperature, dim=-1)
    (first_N, first_surrogate_N), (second_N, second_surrogate_N) = (
        _alpha_divergence(logq_NC, logp_NC, alpha, clip) for alpha in alphas
    )
    is_first_N = first_N > second_N
    value_N = torch.where(is_first_N, first_N, second_N)
    surrogate_N = torch.where(is_first_N, first_surrogate_N, second_surrogate_N)
    loss: Tensor = (value_N + surrogate_N - surrogate_N.detach()).mean() * temperature**2
    return loss


def _alpha_divergence(logq_NC: Tensor, logp_NC: Tensor, alpha: float, clip: float) -> tuple[Tensor, Tensor]:
    """The divergence of every image, clipped, and a number whose gradient is the divergence's."""
    q_NC, ratio_NC = logq_NC.detach().exp(), logp_NC - logq_NC.detach()  # of logarithms
    if alpha == 1:
        p_NC = logp_NC.exp()
        return (p_NC * ratio_NC).sum(-1), -(p_NC * logq_NC).sum(-1)
    weight_NC = (alpha * ratio_NC).exp().clamp(max=clip)
    value_N = (q_NC * (weight_NC - 1)).sum(-1) / (alpha * (alpha - 1))
    return value_N, -(q_NC * weight_NC * logq_NC).sum(-1) / alpha


hard_smoothed_loss = partial(hard_target_loss, smoothing=HARD_SMOOTHING)


@dataclass(frozen=True, slots=True)
class BatchPart:
    """What part of a batch some images are, so that losses of the parts add up to the batch's.

    Attributes:
        labels: share of the weights that the mean of the label loss divides by.
        images: share of the images.
    """

    labels: float = 1.0
    images: float = 1.0


WHOLE = BatchPart()


@dataclass(frozen=True, slots=True, eq=False)
class TrainingLoss:
    """What a student minimises: ``(1 - kd_weight)`` times the label loss plus ``kd_weight`` times the distillation loss.

    Attributes:
        smoothing: of the labels.
        class_weights_C: of the labels' classes, on the student's device.
        kd: key of `DISTILLATION_LOSSES`.
        kd_weight: in [0, 1]; without a teacher the label loss counts fully.
        temperature: of soft targets.
        in_place_weight: in place of ``kd_weight`` where the first subnet of a step teaches the others; None takes that.
    """

    smoothing: PartialShare = 0.0
    class_weights_C: Tensor | None = None
    kd: Annotated[str, OneOf(DISTILLATION_LOSSES)] = "soft"
    kd_weight: Share = 0.5
    temperature: Amount = 1.0
    in_place_weight: Share | None = None

    def __post_init__(self) -> None:
        require_allowed(self)

    @property
    def in_place(self) -> TrainingLoss:
        """What those minimise that the first subnet of a step teaches."""
        return self if self.in_place_weight is None else replace(self, kd_weight=self.in_place_weight)

    def mass(self, labels_N: Tensor) -> float:
        """What the mean of the label loss divides by: the images, or the sum of their classes' weights."""
        if self.class_weights_C is None or labels_N.ndim > 1:  # PyTorch divides losses of distributions by the images
            return float(len(labels_N))
        return float(self.class_weights_C.double()[labels_N].sum())

    def parts(self, labels_N: Tensor, slices: Sequence[slice], mass: float, num: float) -> list[BatchPart]:
        """What part of a batch of ``num`` images, whose `mass` is known, each slice of these is."""
        return [BatchPart(self.mass(labels_N[each]) / mass, len(labels_N[each]) / num) for each in slices]

    def __call__(
        self, student_NC: Tensor, labels_N: Tensor, teacher_NC: Tensor | None, part: BatchPart = WHOLE
    ) -> dict[str, Tensor]:
        """Scalars ``loss`` (to minimise), ``label_loss`` and, with a teacher, ``kd_loss``, in float32 or better.

        Args:
            student_NC: logits.
            labels_N: class indices, or distributions over the classes.
            teacher_NC: logits; None for labels alone.
            part: of a batch that these images are; losses are its share of the batch's.

        Raises:
            ValueError: if the teacher's logits are of another shape.
        """
        student_NC = student_NC.to(torch.promote_types(student_NC.dtype, torch.float32))
        weights_C = None if self.class_weights_C is None else self.class_weights_C.to(student_NC.dtype)
        label = label_loss(student_NC, labels_N, smoothing=self.smoothing, class_weights_C=weights_C)
        label = label * part.labels if part is not WHOLE else label
        if teacher_NC is None or self.kd_weight == 0:
            return {LOSS: label, "label_loss": label}
        if teacher_NC.shape != student_NC.shape:
            shapes = f"{tuple(teacher_NC.shape)}, the student of shape {tuple(student_NC.shape)}"
            raise ValueError(f"the teacher gives logits of shape {shapes}")
        kd = DISTILLATION_LOSSES[self.kd](student_NC, teacher_NC.to(student_NC.dtype), temperature=self.temperature)
        kd = kd * part.images if part is not WHOLE else kd
        return {LOSS: (1 - self.kd_weight) * label + self.kd_weight * kd, "label_loss": label, "kd_loss": kd}
