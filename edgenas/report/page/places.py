"""Where names beside points stand so that they cover nothing, as far as there is room.

A place is a direction from a mark and a distance. Every name takes the place that costs least, by what it covers and how far it is,
then each looks again beside the others until none wants to move. Lengths are in points of typography. Legend of axes: N names,
P places, B boxes or links, 2 for (x, y), 4 for (left, bottom, right, top) of a box or (x, y, x, y) of a link's ends, which leads
from a mark to its name.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NEAR = 2.5  # from mark to name, where no link is needed
GAPS = (NEAR, 7, 11, 15, 20, 26, 33, 41, 50, 60, 72, 90, 110, 135, 165)  # from mark to name
DIRECTIONS = 32
APART = 1.5  # that stays free around a name
NAMES_APART = 4.0  # that stays free between names
CLEAR = 5.0  # beyond which another mark or bar is not taken for the name's own
SWEEPS = 12  # in which names move, at most
OUTSIDE = 1e7  # what a point of typography outside of the room costs; one from the mark to the name costs 1
COVERED_NAME, COVERED_MARK, COVERED_LINE = 1e4, 1e3, 1e2  # what covering such a thing costs
CROSSED_NAME, CROSSED_LINK, CROSSED_MARK, CROSSED_LINE = 1e3, 3e2, 1e2, 1.0  # what a link costs that runs through such a thing
NOT_CLEAR = 6.0  # that a mark or bar of another costs


@dataclass(frozen=True, slots=True)
class Scene:
    """What names stand in; the marks' order is that of the names.

    Attributes:
        room_4: that names do not leave.
        sizes_N2: width and height of the names.
        marks_N4: around the marks.
        bars_N4: around the bars through them.
        lines_B4: around what belongs to no mark, e.g. the line of a limit.
        words_B4: around other words that stand there.
    """

    room_4: Floats
    sizes_N2: Floats
    marks_N4: Floats
    bars_N4: Floats
    lines_B4: Floats
    words_B4: Floats


@dataclass(frozen=True, slots=True)
class Places:
    """Where names stand.

    Attributes:
        boxes_N4: of the names.
        is_linked_N: whether a line must say whose name it is.
        num_covering: names that cover another name or word, a mark, a bar or a line.
    """

    boxes_N4: Floats
    is_linked_N: NDArray[np.bool_]
    num_covering: int


@dataclass(frozen=True, slots=True)
class _Options:
    """All places that a name may take, first those to the right.

    Attributes:
        boxes_P4: of the name.
        links_P4: that lead to it.
        far_P: how far it is, where a point above or below counts as one more.
    """

    boxes_P4: Floats
    links_P4: Floats
    far_P: Floats


def find_places(scene: Scene) -> Places:
    """The places of all names; the same for the same scene."""
    num = len(scene.sizes_N2)
    options = [_options(scene, name) for name in range(num)]
    alone = [_alone(scene, name, each) for name, each in enumerate(options)]
    chosen = [int(np.argmin(cost_P)) for cost_P in alone]
    for _ in range(SWEEPS):
        before = list(chosen)
        for name in range(num):
            others = [(options[each], chosen[each]) for each in range(num) if each != name]
            chosen[name] = int(np.argmin(alone[name] + _beside(options[name], others)))
        if chosen == before:
            break
    boxes_N4 = np.array([each.boxes_P4[place] for each, place in zip(options, chosen, strict=True)]).reshape(-1, 4)
    is_far_N = np.array([each.far_P[place] > NEAR + 1 for each, place in zip(options, chosen, strict=True)], dtype=bool)
    is_clear_N = np.array([_others_near(scene, name, boxes_N4[name, None])[0] == 0 for name in range(num)], dtype=bool)
    return Places(boxes_N4, is_far_N | ~is_clear_N, _num_covering(scene, boxes_N4))


def _options(scene: Scene, name: int) -> _Options:
    """The places of one name."""
    angles_D = 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    gaps_P, angles_P = (each.ravel() for each in np.meshgrid(np.array(GAPS), angles_D, indexing="ij"))
    ways_P2 = np.stack([np.cos(angles_P), np.sin(angles_P)], axis=1)
    ways_P2 /= np.abs(ways_P2).max(axis=1, keepdims=True)  # around a square
    mark_4, size_2 = scene.marks_N4[name], scene.sizes_N2[name]
    anchor_2, radius_2 = (mark_4[:2] + mark_4[2:]) / 2, (mark_4[2:] - mark_4[:2]) / 2
    centres_P2 = anchor_2 + ways_P2 * (radius_2 + gaps_P[:, None] + size_2 / 2)
    boxes_P4 = np.concatenate([centres_P2 - size_2 / 2, centres_P2 + size_2 / 2], axis=1)
    anchors_P2 = np.broadcast_to(anchor_2, centres_P2.shape)
    links_P4 = np.concatenate([anchors_P2, np.clip(anchors_P2, boxes_P4[:, :2], boxes_P4[:, 2:])], axis=1)
    return _Options(boxes_P4, links_P4, gaps_P + np.abs(ways_P2[:, 1]))


def _alone(scene: Scene, name: int, options: _Options) -> Floats:
    """What every place of a name costs without the other names, shape (P,)."""
    others = np.arange(len(scene.marks_N4)) != name
    lines_B4, other_lines_B4 = (np.concatenate([bars_B4, scene.lines_B4]) for bars_B4 in (scene.bars_N4, scene.bars_N4[others]))
    cost_P = options.far_P + OUTSIDE * _leaves(options.boxes_P4, scene.room_4)
    cost_P += COVERED_MARK * _covered(options.boxes_P4, scene.marks_N4) + COVERED_LINE * _covered(options.boxes_P4, lines_B4)
    cost_P += COVERED_NAME * _covered(options.boxes_P4, scene.words_B4) + CROSSED_NAME * _crossed(options.links_P4, scene.words_B4)
    cost_P += CROSSED_MARK * _crossed(options.links_P4, scene.marks_N4[others])
    cost_P += CROSSED_LINE * _crossed(options.links_P4, other_lines_B4)
    return cost_P + NOT_CLEAR * _others_near(scene, name, options.boxes_P4)


def _beside(options: _Options, others: list[tuple[_Options, int]]) -> Floats:
    """What every place of a name costs beside the places that the other names have now, shape (P,)."""
    if not others:
        return np.zeros_like(options.far_P)
    boxes_B4 = np.array([each.boxes_P4[place] for each, place in others])
    links_B4 = np.array([each.links_P4[place] for each, place in others])
    cost_P = COVERED_NAME * _covered(options.boxes_P4, boxes_B4, NAMES_APART) + CROSSED_NAME * _crossed(options.links_P4, boxes_B4)
    cost_P += CROSSED_NAME * np.array([_crossed(links_B4, box_4[None]).sum() for box_4 in options.boxes_P4])
    return cost_P + CROSSED_LINK * _meet(options.links_P4, links_B4)


def _others_near(scene: Scene, name: int, boxes_P4: Floats) -> Floats:
    """How many marks and bars of other names each box is so near to that it might be theirs."""
    others = np.arange(len(scene.marks_N4)) != name
    return _covered(boxes_P4, np.concatenate([scene.marks_N4[others], scene.bars_N4[others]]), CLEAR)


def _num_covering(scene: Scene, boxes_N4: Floats) -> int:
    """How many names cover something."""
    shapes_B4 = np.concatenate([scene.marks_N4, scene.bars_N4, scene.lines_B4, scene.words_B4])
    num = 0
    for name, box_4 in enumerate(boxes_N4):
        around_B4 = np.concatenate([shapes_B4, np.delete(boxes_N4, name, axis=0)])
        num += bool(_covered(box_4[None], around_B4)[0] or _leaves(box_4[None], scene.room_4)[0])
    return num


def _leaves(boxes_P4: Floats, room_4: Floats) -> Floats:
    """How far each box reaches out of the room, or nearly."""
    out_P4 = np.concatenate([room_4[:2] - boxes_P4[:, :2], boxes_P4[:, 2:] - room_4[2:]], axis=1)
    return np.asarray(np.maximum(out_P4 + APART, 0.0).sum(axis=1))


def _covered(boxes_P4: Floats, shapes_B4: Floats, apart: float = APART) -> Floats:
    """How many of the shapes each box covers, or comes nearer to than that."""
    low_P2, high_P2 = boxes_P4[:, None, :2] - apart, boxes_P4[:, None, 2:] + apart
    return np.asarray(((low_P2 < shapes_B4[:, 2:]) & (shapes_B4[:, :2] < high_P2)).all(axis=2).sum(axis=1), dtype=np.float64)


def _crossed(links_P4: Floats, shapes_B4: Floats) -> Floats:
    """How many of the shapes each link runs through: being between left and right and between bottom and top at once."""
    start_P2, way_P2 = links_P4[:, None, :2], links_P4[:, None, 2:] - links_P4[:, None, :2]
    way_P2 = np.where(np.abs(way_P2) < 1e-9, 1e-9, way_P2)
    one_PB2, other_PB2 = (shapes_B4[:, :2] - start_P2) / way_P2, (shapes_B4[:, 2:] - start_P2) / way_P2
    enters_PB = np.maximum(np.minimum(one_PB2, other_PB2).max(axis=2), 0.0)
    leaves_PB = np.minimum(np.maximum(one_PB2, other_PB2).min(axis=2), 1.0)
    return np.asarray((enters_PB < leaves_PB).sum(axis=1), dtype=np.float64)


def _meet(links_P4: Floats, links_B4: Floats) -> Floats:
    """How many of the other links each link crosses: the ends of either lie on two sides of the other."""

    def side(a_2: Floats, b_2: Floats, c_2: Floats) -> Floats:
        one, other = b_2 - a_2, c_2 - a_2
        return np.asarray(np.sign(one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]))

    a_2, b_2 = links_P4[:, None, :2], links_P4[:, None, 2:]
    c_2, d_2 = links_B4[None, :, :2], links_B4[None, :, 2:]
    meets_PB = (side(a_2, b_2, c_2) * side(a_2, b_2, d_2) < 0) & (side(c_2, d_2, a_2) * side(c_2, d_2, b_2) < 0)
    return np.asarray(meets_PB.sum(axis=1), dtype=np.float64)
