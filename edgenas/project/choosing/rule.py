"""Which of the spaces that were looked at is taken: one rule on a table of numbers.

It is a rule, no measurement of accuracy on these images: nothing is trained for it. What is known of accuracy is used where it is
known of kinds of nets rather than of these ones: of two nets of one kind the one with more MACs is the more accurate as long as
it is trained (MobileNet, arXiv:1704.04861, table 6; EfficientNet, arXiv:1905.11946, figure 3), and transformers without
convolutions ask for more images (ViT, arXiv:2010.11929, section 4.3). So MACs within the limit stand for what a net can learn: a
family whose operators this device runs fast has more of them. The steps, each of which parts rows that the steps before leave
equal:

1. a net fits at all;
2. there are as many training images as the space asks for;
3. enough nets fit for a search to choose among;
4. the supernet is trained within the time there is;
5. nets that were chosen in it have been measured ahead of others on images as small as these, with as few of them to learn from:
   MACs of different kinds of nets cannot be compared, and a measurement says more than they do (`SearchSpace.ahead_px`);
6. the most MACs of a net that fits. What comes close to the best is equal: these MACs are estimates, and half as many again are
   worth little (of ImageNet's top-1 EfficientNet-B1 has two points more than B0 for 1.8 times the MACs);
7. the larger share of nets that fits, for passes of a supernet through nets that cannot ship are lost; then more nets, then the
   larger side, then the order in which the spaces are listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgenas.percents import percent
from edgenas.records import ChosenSpace, LookedSpace


@dataclass(frozen=True, slots=True)
class ChoosingRule:
    """The numbers of the rule.

    Attributes:
        min_nets: that must fit: fewer are no search, all of them could be trained alone.
        max_training_s: that the supernet may train with all epochs.
        close: share of the most MACs from which on a space is equal to the best.
    """

    min_nets: int = 100
    max_training_s: float = 86_400.0
    close: float = 2 / 3


RULE = ChoosingRule()
NEEDED = 4  # steps without which a space is taken with a reservation
AHEAD = "its chosen nets were measured ahead of others on images as small as these"


def ranked(rows: Sequence[LookedSpace], num_images: int, rule: ChoosingRule = RULE) -> list[LookedSpace]:
    """The rows in the rule's order, the one that is taken first.

    Args:
        rows: of all spaces and sides that were looked at.
        num_images: of the train split.
        rule: its numbers.
    """
    most: dict[tuple[bool, ...], float] = {}
    for row in rows:
        key = _steps(row, num_images, rule)
        most[key] = max(most.get(key, 0.0), float(row.best_macs))
    first = {row.space: position for position, row in reversed(list(enumerate(rows)))}

    def order(row: LookedSpace) -> tuple[object, ...]:
        key = _steps(row, num_images, rule)
        is_close = row.best_macs >= rule.close * most[key]
        macs = most[key] if is_close else row.best_macs
        least_ms = 0.0 if row.fits else row.least_ms
        return (*(not step for step in key), -macs, -row.share, -row.num_fitting, least_ms, -row.image_px, first[row.space])

    return sorted(rows, key=order)


def choose(rows: Sequence[LookedSpace], num_images: int, limit_ms: float, rule: ChoosingRule = RULE) -> ChosenSpace | None:
    """The space and side that are taken, with the reason in words; None where nothing fits."""
    order = ranked(rows, num_images, rule)
    if not order or not order[0].fits:
        return None
    best = order[0]
    largest, num = best.nets.get("largest"), amount(best.num_fitting)
    is_loose = best.share == 1 and largest is not None
    fit = f"all {num} nets fit into {limit_ms:g} ms" if is_loose else f"{num} of its nets fit into {limit_ms:g} ms"
    words = [f"{best.space} at {best.image_px} px: {fit}"]
    words += [f"the slowest that was timed takes {max(net.latency_ms for net in best.nets.values()):.3g} ms"] if is_loose else []
    words += [AHEAD] if best.is_ahead else []
    words.append(f"the largest with {_macs(best.best_macs)}")
    others = {row.space: row for row in reversed(order) if row.space != best.space and row.fits}
    rival = max((row.best_macs for row in others.values() if _stands(row, num_images, rule)), default=None)
    if not _stands(best, num_images, rule):
        words.append(f"with a reservation, as all that fit: {why_not(best, best, num_images, rule)}")
    elif rival is None:
        words.append("no other space has as many for these images")
    elif best.is_ahead:
        words.append(f"{_macs(rival)} in another space")
    elif rival > best.best_macs:
        words.append(f"about as large as the {_macs(rival)} of another space, with more nets to choose among")
    else:
        words.append(f"against {_macs(rival)} of the next")
    return ChosenSpace(space=best.space, image_px=best.image_px, words=", ".join(words))


def set_aside(rows: Sequence[LookedSpace], num_images: int, rule: ChoosingRule = RULE) -> dict[str, str]:
    """Why every other space is not taken, by its name, in the rule's order."""
    order = ranked(rows, num_images, rule)
    reasons: dict[str, str] = {}
    for row in order[1:] if order and order[0].fits else order:
        if row.space != order[0].space or not order[0].fits:
            reasons.setdefault(row.space, why_not(row, order[0], num_images, rule))
    return reasons


def why_not(row: LookedSpace, best: LookedSpace, num_images: int, rule: ChoosingRule = RULE) -> str:
    """The first step of the rule at which a row falls behind the one that is taken, in words."""
    if not row.fits:
        return f"nothing fits: its smallest net takes {row.least_ms:.3g} ms at {row.image_px} px"
    if row.needs_images > num_images:
        return f"{row.needs_images:,} training images are asked for, there are {num_images:,}"
    if row.num_fitting < rule.min_nets:
        return f"{amount(row.num_fitting)} nets fit, a search wants {rule.min_nets}"
    if row.training is not None and row.training.full_s > rule.max_training_s:
        return f"its supernet trains for about {row.training.full_s / 3600:.3g} hours, more than {rule.max_training_s / 3600:g}"
    if best.is_ahead and not row.is_ahead:
        return f"nets of {best.space} were ahead on images as small as these"
    if row.best_macs < rule.close * best.best_macs:
        return f"its largest net that fits has {_macs(row.best_macs)}, that of {best.space} {_macs(best.best_macs)}"
    equal = f"its largest net is about equal to that of {best.space}"
    if row.share < best.share:
        return f"{equal}, but {_share(row.share)} of its nets fit, there {_share(best.share)}"
    if row.num_fitting < best.num_fitting:
        return f"{equal}, but {amount(row.num_fitting)} nets fit, there {amount(best.num_fitting)}"
    return f"{equal}, which is as good and comes first"


def amount(num: float) -> str:
    """A number of nets, exact while it is small."""
    return f"{num:,.0f}" if num < 1e6 else f"{num:.1e}".replace("e+0", "e").replace("e+", "e")


def _steps(row: LookedSpace, num_images: int, rule: ChoosingRule) -> tuple[bool, ...]:
    """Which of the first five steps a row passes."""
    training = row.training is None or row.training.full_s <= rule.max_training_s
    return row.fits, row.needs_images <= num_images, row.num_fitting >= rule.min_nets, training, bool(row.is_ahead)


def _stands(row: LookedSpace, num_images: int, rule: ChoosingRule) -> bool:
    return all(_steps(row, num_images, rule)[:NEEDED])


def _share(share: float) -> str:
    return percent(share) if share < 0.99 else "nearly all" if share < 1 else "all"


def _macs(macs: float) -> str:
    """MACs in words."""
    for factor, unit in ((1e9, "GMACs"), (1e6, "MMACs"), (1e3, "kMACs")):
        if macs >= factor:
            return f"{macs / factor:.3g} {unit}"
    return f"{macs:.0f} MACs"
