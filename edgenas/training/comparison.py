"""The difference of two nets on the same images, with its interval and in words; shapes: N images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgenas.records import Comparison
from edgenas.stats import Proportion, mcnemar, paired_difference

HAND_WORDS, CNN_WORDS = "the best hand-made net", "the plain CNN"
SAME_WORDS = "the searched net is a hand-made one, and no other of these is better on select"


def compare(
    searched_right_N: NDArray[np.bool_], other_right_N: NDArray[np.bool_], other: str, name: str, *, seed: int
) -> Comparison:
    """The contract's ``comparison`` of the searched net with another on the same images.

    Args:
        searched_right_N: which images it gets right.
        other_right_N: the same of the other net.
        other: its key in the result, ``baseline`` or ``cnn``.
        name: of the other net in words.
        seed: of the bootstrap.
    """
    difference = paired_difference(searched_right_N, other_right_N, rng=np.random.default_rng(seed))
    only_searched = int((searched_right_N & ~other_right_N).sum())
    only_other = int((other_right_N & ~searched_right_N).sum())
    better = "searched" if difference.low > 0 else (other if difference.high < 0 else "neither")
    return Comparison(
        better=better,
        difference=difference,
        p_mcnemar=mcnemar(only_searched, only_other),
        words=_words(difference, better, name),
    )


def _words(difference: Proportion, better: str, name: str) -> str:
    """One sentence, in points of accuracy."""
    value, low, high = (100 * number for number in (difference.value, difference.low, difference.high))
    if better == "searched":
        return f"better by {value:.1f} [{low:.1f}, {high:.1f}] points than {name}"
    if better != "neither":
        instead = "take the hand-made one" if name == HAND_WORDS else f"take {name}"
        than = "" if name == HAND_WORDS else f" than {name}"
        return f"worse by {-value:.1f} [{-high:.1f}, {-low:.1f}] points{than}: {instead}"
    return f"equal within {max(-low, high):.1f} points" + ("" if name == HAND_WORDS else f" to {name}")
