"""Gates of parity: what an exported model must show, each judged on its own.

A share of images is judged by Wilson's interval: a gate is passed only if the interval proves the limit, failed only if it excludes
it, undecided otherwise. Two things help where images are few. A conversion that is equal within rounding has changed no number that
a decision could depend on, so there is nothing to estimate (`margins.equality`). And where no image changed its decision, margins
bound the share that does (`margins.flip_bound`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

from edgenas import stats
from edgenas.records import Gate, Verdict

SPREAD = 1e-5  # of the largest logit: outputs that differ by no more over all images are one output


@dataclass(frozen=True, slots=True)
class Gates:
    """What an exported model must meet; None leaves a gate out.

    Attributes:
        min_agreement: share of images that source and export decide alike, by the rule that the artefact carries; None takes
            ``min_top1_agreement`` where that is given, else 0.99.
        min_top1_agreement: share of images with the same argmax.
        max_new_false_negatives: positives that the source finds and the export misses, as a count.
        max_new_false_negative_share: the same as a share of the positives.
        max_new_false_positives: other images that only the export decides as positive, as a count.
        max_new_false_positive_share: the same as a share of the other images.
        min_p_mcnemar: least p-value that source and export are equally often right, where the export is less often right.
        min_sensitivity: share of positives that the export finds.
        max_abs_logit: largest absolute difference of two logits.
        accuracy_margin: largest loss of accuracy against the source; None takes what ``min_agreement`` leaves.
        sensitivity_margin: largest loss of the positive class's sensitivity; None takes ``max_new_false_negative_share``.
        floors: least sensitivity by class, of a search.
        floor_confidence: of the interval that proves a floor; None holds the share itself against it.
    """

    min_top1_agreement: float | None = None
    max_new_false_negatives: int | None = 0
    min_sensitivity: float | None = None
    max_abs_logit: float | None = None
    floors: Mapping[str, float] = field(default_factory=dict)
    floor_confidence: float | None = None
    min_agreement: float | None = None
    max_new_false_negative_share: float | None = 0.02
    max_new_false_positives: int | None = None
    max_new_false_positive_share: float | None = 0.02
    min_p_mcnemar: float | None = 0.05
    accuracy_margin: float | None = None
    sensitivity_margin: float | None = None

    def __post_init__(self) -> None:
        for name in ("min_agreement", "min_top1_agreement", "min_sensitivity"):
            share = getattr(self, name)
            if share is not None and not 0 <= share < 1:
                raise ValueError(f"{name} {share} is not in [0, 1): no number of images proves 1")
        for name in ("max_new_false_negatives", "max_new_false_positives"):
            count = getattr(self, name)
            if count is not None and count < 0:
                raise ValueError(f"{name} {count} is below 0, which no export can meet")
        for name in ("max_new_false_negative_share", "max_new_false_positive_share"):
            share = getattr(self, name)
            if share is not None and not 0 < share <= 1:
                raise ValueError(f"{name} {share} is not in (0, 1]: no number of images proves 0")
        for name in ("accuracy_margin", "sensitivity_margin"):
            margin = getattr(self, name)
            if margin is not None and not 0 < margin < 1:
                raise ValueError(f"{name} {margin} is not in (0, 1): no number of images proves that nothing is lost")
        if self.min_p_mcnemar is not None and not 0 <= self.min_p_mcnemar < 1:
            raise ValueError(f"min_p_mcnemar {self.min_p_mcnemar} is not in [0, 1)")

    @classmethod
    def from_limits(cls, limits: Mapping[str, float], floor_confidence: float | None) -> Gates:
        """The gates whose `limits` these are; a limit that is not among them is no gate.

        Raises:
            ValueError: if a limit is out of range.
        """
        names = [each.name for each in fields(cls) if each.name not in ("floors", "floor_confidence")]
        floors = {name[12:-1]: limit for name, limit in limits.items() if name.startswith("sensitivity[") and name.endswith("]")}
        made = cls(**{name: limits.get(name) for name in names}, floors=floors, floor_confidence=floor_confidence)  # type: ignore[arg-type]
        plain = replace(made, accuracy_margin=None, sensitivity_margin=None)
        followed = {
            "accuracy_margin": None if made.accuracy_margin == plain.accuracy_loss else made.accuracy_margin,
            "sensitivity_margin": None if made.sensitivity_margin == plain.sensitivity_loss else made.sensitivity_margin,
        }
        return replace(made, **followed)  # type: ignore[arg-type]

    @property
    def agreement(self) -> float:
        """The least share of images that are decided alike."""
        if self.min_agreement is not None:
            return self.min_agreement
        return 0.99 if self.min_top1_agreement is None else self.min_top1_agreement

    @property
    def accuracy_loss(self) -> float:
        """How much accuracy the export may lose; without a margin of its own what the agreement asked for leaves."""
        return round(1 - self.agreement, 12) if self.accuracy_margin is None else self.accuracy_margin

    @property
    def sensitivity_loss(self) -> float | None:
        """How much of the positive class's sensitivity it may lose; None where neither that nor its misses are limited."""
        return self.max_new_false_negative_share if self.sensitivity_margin is None else self.sensitivity_margin

    @property
    def followed(self) -> tuple[str, ...]:
        """Margins that follow from other limits."""
        return tuple(name for name in ("accuracy_margin", "sensitivity_margin") if getattr(self, name) is None)

    @property
    def limits(self) -> dict[str, float | int]:
        """The limits in force by the name of their gate, for the manifest."""
        names: tuple[str, ...] = ("min_top1_agreement", "max_new_false_negatives", "max_new_false_negative_share")
        names += ("max_new_false_positives", "max_new_false_positive_share", "min_p_mcnemar", "min_sensitivity", "max_abs_logit")
        limits = {"min_agreement": self.agreement} | {name: getattr(self, name) for name in names}
        limits |= {"accuracy_margin": self.accuracy_loss, "sensitivity_margin": self.sensitivity_loss}
        return {name: limit for name, limit in limits.items() if limit is not None} | {
            f"sensitivity[{name}]": floor for name, floor in self.floors.items()
        }


@dataclass(frozen=True, slots=True)
class Help:
    """What can decide a gate whose interval does not.

    Attributes:
        is_equal: the conversion is equal within rounding.
        bound: largest share of images that margins leave room for; None where they say nothing.
        words: how that bound comes about.
    """

    is_equal: bool = False
    bound: float | None = None
    words: str = ""


def count_gate(name: str, value: float, limit: float) -> Gate:
    """A count or a distance that must not exceed a limit; what is not a number does not pass."""
    passed = value <= limit
    shown = f"{value:,.0f}" if float(value).is_integer() else f"{value:g}"
    return Gate(name, limit, value, value, value, "passed" if passed else "failed", "" if passed else f"{shown} > {limit:g}")


def share_gate(
    name: str, share: stats.Proportion, limit: float, trials: str, *, confidence: float = 0.95, helped: Help | None = None
) -> Gate:
    """A share that must be at least a limit, proven by its interval.

    Args:
        name: of the gate.
        share: with its interval.
        limit: least share.
        trials: what more of would decide it.
        confidence: of the interval.
        helped: what decides in its stead.
    """
    judged = Gate(name, limit, share.value, share.low, share.high, "passed", n=share.n)
    if share.low >= limit:
        return judged
    by_other = None if helped is None else _helped(judged, helped, lambda bound: 1 - bound >= limit)
    if by_other is not None:
        return by_other
    numbers = f"{share.value:.4f} of {share.n:,} ({100 * confidence:g} % interval {share.low:.4f} to {share.high:.4f})"
    if share.high < limit:
        return replace(judged, verdict="failed", reason=f"{numbers} is below {limit:g}")
    needs = stats.trials_to_prove(limit, confidence=confidence) if limit < 1 else None
    needed = f"no number of {trials}" if needs is None else f"{needs:,} {trials}"
    reason = f"{numbers} does not decide {limit:g}; {needed} would, there are {share.n:,}{_more(helped)}"
    return replace(judged, verdict="undecided", reason=reason, needs=needs)


def rare_gate(name: str, num: int, total: int, limit: float, trials: str, *, helped: Help) -> Gate:
    """A share that must be at most a limit, proven by its interval: ``num`` of ``total`` images.

    Args:
        name: of the gate.
        num: images that were found.
        total: of so many.
        limit: largest share.
        trials: what more of would decide it.
        helped: what decides in its stead.
    """
    share = stats.wilson(num, total)
    judged = Gate(name, limit, None if total == 0 else share.value, share.low, share.high, "passed", n=total)
    needs = stats.trials_to_prove(1 - limit) if limit < 1 else 1
    if total > 0 and share.high <= limit:
        return judged
    by_other = _helped(judged, helped, lambda bound: total > 0 and bound <= limit)
    if by_other is not None:
        return by_other
    if total == 0:
        kind = trials.split(maxsplit=1)[0]
        return replace(judged, verdict="undecided", reason=f"there are no {kind}; {needs:,} {trials} would decide it", needs=needs)
    numbers = f"{num:,} of {total:,} (95 % interval {share.low:.4f} to {share.high:.4f})"
    if share.low > limit:
        return replace(judged, verdict="failed", reason=f"{numbers} is above {limit:g}")
    reason = f"{numbers} does not decide {limit:g}; {needs:,} {trials} would, there are {total:,}{_more(helped)}"
    return replace(judged, verdict="undecided", reason=reason, needs=needs)


def loss_gate(name: str, lost: int, won: int, total: int, margin: float, kind: str, *, helped: Help) -> Gate:
    """Whether an export is not inferior: what it finds less often than its source is at most a margin, by the paired interval.

    Args:
        name: of the gate.
        lost: images that only the source gets right.
        won: images that only the export gets right.
        total: of so many.
        margin: largest loss, as a share.
        kind: what the images are called.
        helped: what decides in the interval's stead: no decision changed, so that none is lost.
    """
    loss = stats.paired_score(lost, won, total)
    judged = Gate(name, margin, None if total == 0 else loss.value, loss.low, loss.high, "passed", n=total)
    if total > 0 and loss.high <= margin:
        return judged
    by_other = _helped(judged, helped, lambda bound: total > 0 and bound <= margin)
    if by_other is not None:
        return by_other
    interval = f"(95 % interval {loss.low:.4f} to {loss.high:.4f})"
    words = f"a loss of {lost:,} less {won:,} gained of {total:,} {kind} {interval}"
    if total > 0 and loss.low > margin:
        return replace(judged, verdict="failed", reason=f"{words} is above {margin:g}")
    needs = stats.images_to_show(lost, won, total, margin)
    if total == 0:
        return replace(judged, verdict="undecided", reason=f"there are no {kind}; {needs:,} would decide it", needs=needs)
    needed = f"no number of {kind}" if needs is None else f"{needs:,} {kind}"
    reason = f"{words} does not decide {margin:g}; at these rates {needed} would, there are {total:,}{_more(helped)}"
    return replace(judged, verdict="undecided", reason=reason, needs=needs)


def _helped(judged: Gate, helped: Help, suffices: Callable[[float], bool]) -> Gate | None:
    """The gate as passed by something else than its interval; None where nothing helps."""
    if helped.is_equal:
        return replace(judged, basis="rounding")
    if helped.bound is not None and suffices(helped.bound):
        return replace(judged, basis="margins", reason=helped.words)
    return None


def _more(helped: Help | None) -> str:
    return f" (margins: {helped.words})" if helped is not None and helped.words else ""


def floor_gate(class_name: str, found: int, num: int, floor: float, confidence: float | None) -> Gate:
    """Whether a class is found as often as a search's floor says.

    Args:
        class_name: whose images they are.
        found: images that were decided as it.
        num: of its images.
        floor: least share.
        confidence: two-sided, of the interval that must prove it; None holds the share itself against it.
    """
    name, sure = f"sensitivity[{class_name}]", 0.95 if confidence is None else confidence
    share = stats.wilson(found, num, confidence=sure)
    if confidence is not None:
        return share_gate(name, share, floor, "images without a miss", confidence=sure)
    if num == 0:
        return Gate(name, floor, None, share.low, share.high, "undecided", f"there are no images of {class_name}")
    passed = share.value >= floor
    reason = "" if passed else f"{found} of {num} is below {floor:g}"
    return Gate(name, floor, share.value, share.low, share.high, "passed" if passed else "failed", reason)


def mcnemar_gate(before_right_N: NDArray[np.bool_], after_right_N: NDArray[np.bool_], limit: float, *, helped: Help) -> Gate:
    """Whether the export is less often right than its source by more than chance: McNemar's exact test on the same images."""
    lost, won = int((before_right_N & ~after_right_N).sum()), int((after_right_N & ~before_right_N).sum())
    p = stats.mcnemar(lost, won)
    judged = Gate("min_p_mcnemar", limit, p, p, p, "passed")
    if before_right_N.size == 0:
        return replace(judged, verdict="undecided", reason="there are no images")
    if helped.is_equal or p >= limit or lost <= won:
        return judged
    return replace(judged, verdict="failed", reason=f"{lost} images are right only before, {won} only after, p {p:.2g} < {limit:g}")


def life_gates(
    logits: Mapping[str, NDArray[np.floating]], decisions: Mapping[str, NDArray[np.int64]], labels_N: NDArray[np.integer]
) -> list[Gate]:
    """Whether nets answer to the image at all, and more rightly than by always naming the most frequent class.

    Args:
        logits: shape (images, classes), by whose they are; nothing of a net of which decisions alone are known.
        decisions: classes by the decision rule, by whose they are.
        labels_N: true classes.
    """
    return [_varies(logits), _learned(logits, decisions, labels_N)]


def spread_of(logits_NC: NDArray[np.floating]) -> float | None:
    """How far outputs differ from image to image, of the largest logit; None of fewer than two images with finite logits."""
    finite_NC = logits_NC[np.isfinite(logits_NC).all(axis=1)].astype(np.float64)
    if len(finite_NC) < 2:
        return None
    size = float(np.abs(finite_NC).max())
    return float(np.ptp(finite_NC, axis=0).max()) / size if size else 0.0


def _varies(logits: Mapping[str, NDArray[np.floating]]) -> Gate:
    """Whether outputs differ from image to image; images whose logits are not finite are judged by another gate."""
    spreads: dict[str, float] = {}
    for whose, each_NC in logits.items():
        spread = spread_of(each_NC)
        if spread is not None:
            spreads[whose] = spread
    least = min(spreads.values(), default=None)
    judged = Gate("varies_with_image", SPREAD, least, least, least, "passed")
    dead = [whose for whose, spread in spreads.items() if spread <= SPREAD]
    if dead:
        return replace(judged, verdict="failed", reason=f"the outputs of {' and '.join(dead)} do not depend on the image")
    if len(spreads) < len(logits):
        return replace(judged, verdict="undecided", reason="is shown by two images with finite logits or more")
    return judged


def _learned(
    logits: Mapping[str, NDArray[np.floating]], decisions: Mapping[str, NDArray[np.int64]], labels_N: NDArray[np.integer]
) -> Gate:
    name, share = "above_most_frequent", stats.most_frequent(labels_N)[1]
    rights = {whose: stats.accuracy(decided_N, labels_N) for whose, decided_N in decisions.items()}
    worst = min(rights.values(), key=lambda right: right.value)
    judged = Gate(name, share.value, worst.value, worst.low, worst.high, "passed")
    if len(np.unique(labels_N)) < 2:
        return replace(judged, verdict="undecided", reason="the images are not of two classes")
    argmax = {whose: _argmax(logits[whose]) if whose in logits else decided_N for whose, decided_N in decisions.items()}
    poor = [whose for whose in decisions if not stats.beats_most_frequent(argmax[whose], decisions[whose], labels_N)]
    if not poor:
        return judged
    rights_words = ", ".join(f"{whose} decides {rights[whose].value:.4f} of {share.n:,} rightly" for whose in poor)
    reason = f"{rights_words}, always answering the most frequent class {share.value:.4f}: nothing shows that anything was learned"
    return replace(judged, verdict="failed", reason=reason)


def _argmax(logits_NC: NDArray[np.floating]) -> NDArray[np.int64]:
    finite_N = np.isfinite(logits_NC).all(axis=1)
    return np.where(finite_N, np.where(finite_N[:, None], logits_NC, 0).argmax(axis=1), -1)


def overall(gates: Sequence[Gate]) -> tuple[Verdict, str]:
    """The worst verdict of some gates, and why."""
    order: tuple[Verdict, ...] = ("failed", "undecided")
    for verdict in order:
        reasons = [f"{gate.name} {gate.reason}" for gate in gates if gate.verdict == verdict]
        if reasons:
            return verdict, "; ".join(reasons)
    return "passed", ""
