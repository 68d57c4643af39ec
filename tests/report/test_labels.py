"""Names beside the nets of a comparison's picture: each can be read, and whose it is can be seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from edgenas.records import SEARCHED, ComparedNet, ComparePicture, CompareResult, Proportion
from edgenas.report.compare import compare_figure
from edgenas.report.page.places import NEAR, Scene, find_places
from tests.report.test_views import POSITIVE, comparison

Row = tuple[str, float, float, float]  # name, latency in ms, accuracy and sensitivity in per cent, as reported
MEASURED: dict[float, tuple[Row, ...]] = {  # by limit in ms
    0.12: (
        ("searched", 0.1072, 83.1, 81.3),
        ("hand", 0.0443, 80.54, 85.5),
        ("cnn", 0.0595, 79.02, 83.1),
        ("mobilenetv4_conv_small_050", 0.0784, 72.58, 92.5),
        ("starnet_s100", 0.0962, 81.46, 84.2),
        ("mobilenetv3_small_075", 0.1131, 73.2, 79.4),
    ),
    0.24: (
        ("searched", 0.1763, 81.8, 83.3),
        ("hand", 0.0464, 80.54, 85.5),
        ("cnn", 0.202, 80.39, 89.5),
        ("starnet_s1", 0.21, 81.18, 86.4),
    ),
    0.45: (
        ("searched", 0.1121, 83.1, 81.3),
        ("hand", 0.2482, 81.23, 84.2),
        ("cnn", 0.4448, 81.45, 83.2),
        ("resnet10t", 0.2376, 83.26, 83.0),
        ("mobilenetv4_conv_small", 0.1467, 75.76, 91.3),
        ("efficientformerv2_s0", 0.3458, 83.68, 82.5),
        ("starnet_s2", 0.2539, 81.32, 87.3),
        ("tf_efficientnet_lite2", 0.4553, 71.13, 93.7),
        ("mobilenetv3_large_100", 0.3411, 69.41, 86.5),
    ),
}
MORE = ("repvit_m0_9", "starnet_s150", "mobilenetv4_hybrid_medium")


def result_of(rows: tuple[Row, ...], limit_ms: float) -> CompareResult:
    """A comparison on 10,000 images, 1,000 of them positive."""
    result = comparison().result

    def share(per_cent: float, reach: float) -> Proportion:
        value = per_cent / 100
        return replace(result.nets[0].metrics.top1, value=value, low=value - reach, high=min(1.0, value + reach))

    def net(name: str, latency_ms: float, top1: float, sensitivity: float) -> ComparedNet:
        metrics = result.nets[0].metrics
        metrics = replace(
            metrics, top1=share(top1, 0.0075), sensitivity=metrics.sensitivity | {POSITIVE: share(sensitivity, 0.023)}
        )
        kind = name if name in (SEARCHED, "hand", "cnn") else "timm"
        return replace(result.nets[0], name=name, kind=kind, metrics=metrics, latency_ms_measured=latency_ms)

    return replace(result, nets=tuple(net(*row) for row in rows), limit_ms=limit_ms)


def crowd(seed: int) -> CompareResult:
    """Twelve nets within five per cent of each other in everything, one of them beside the limit."""
    names = (*(name for name, *_ in MEASURED[0.45]), *MORE)
    factors = 1 + 0.05 * np.random.default_rng(seed).random((len(names), 3))
    rows = tuple((name, 0.4 * ms, 82 * top1, 85 * found) for name, (ms, top1, found) in zip(names, factors, strict=True))
    return result_of(rows, rows[3][1])


def drawn(result: CompareResult) -> Figure:
    figure = compare_figure(ComparePicture(result, "nets"))
    figure.canvas.draw()
    return figure


def names_on(axes: Axes) -> dict[str, Bbox]:
    """Boxes of the names, without the lines that lead to them."""
    return {text.get_text(): Text.get_window_extent(text) for text in axes.texts}


def shapes_on(axes: Axes) -> Iterator[Bbox]:
    """Boxes of marks, bars and the limit's line, in pixels; as wide as they are drawn."""
    pixels = axes.figure.dpi / 72
    for line in axes.lines:
        if line.get_marker() in ("o", "*"):
            yield Bbox([line.get_transform().transform((line.get_xdata()[0], line.get_ydata()[0]))] * 2).padded(
                line.get_markersize() / 2 * pixels
            )
        elif line.get_linestyle() == "--":
            yield Bbox(line.get_transform().transform(line.get_xydata())).padded(0.5 * pixels)
    for bars in axes.collections:
        assert isinstance(bars, LineCollection)
        yield from (Bbox(axes.transData.transform(ends)).padded(0.75 * pixels) for ends in bars.get_segments())


def overlapping(boxes: dict[str, Bbox]) -> list[tuple[str, str]]:
    return [(one, other) for one in boxes for other in boxes if one < other and boxes[one].overlaps(boxes[other])]


@pytest.mark.parametrize("limit_ms", MEASURED)
def test_names_of_measured_nets_cover_no_name_point_bar_or_limit(limit_ms: float) -> None:
    rows = MEASURED[limit_ms]
    for axes in drawn(result_of(rows, limit_ms)).axes:
        names = names_on(axes)
        assert sorted(names) == sorted(row[0] for row in rows)
        assert overlapping(names) == []
        shapes = list(shapes_on(axes))
        assert len(shapes) == 2 * len(rows) + 1
        assert [name for name, box in names.items() if box.count_overlaps(shapes)] == []
        assert all(axes.bbox.containsx(x) and axes.bbox.containsy(y) for box in names.values() for x, y in box.corners())


def test_both_panels_share_one_legend_below_them() -> None:
    figure = drawn(result_of(MEASURED[0.12], 0.12))
    assert len(figure.axes) == 2
    assert not [axes for axes in figure.axes if axes.get_legend() is not None]
    (legend,) = figure.legends
    assert sorted(text.get_text() for text in legend.get_texts()) == ["cnn", "hand", "limit 0.12 ms", "searched", "timm"]
    assert legend.get_window_extent().y1 <= min(axes.get_tightbbox().y0 for axes in figure.axes)


@pytest.mark.parametrize("seed", [0, 1])
def test_names_of_twelve_nets_within_five_per_cent_do_not_overlap(seed: int) -> None:
    for axes in drawn(crowd(seed)).axes:
        names = names_on(axes)
        assert len(names) == 12
        assert overlapping(names) == []


def test_a_thin_line_leads_from_a_point_to_a_name_that_stands_away() -> None:
    rows = (*MEASURED[0.24][:3], ("starnet_s1", 0.202, 80.39, 89.5))  # at the very place of the CNN
    axes = drawn(result_of(rows, 0.24)).axes[0]
    texts = {text.get_text(): text for text in axes.texts if isinstance(text, Annotation)}
    linked = [name for name, text in texts.items() if text.arrow_patch is not None]
    assert set(linked) & {"cnn", "starnet_s1"}
    assert not set(linked) & {"searched", "hand"}
    link = texts[linked[0]].arrow_patch
    assert link is not None
    begin, end = link.get_transform().transform(link.get_path().vertices)[[0, -1]]
    point = axes.transData.transform((0.202, 80.39))
    assert np.hypot(*(end - point)) < 10 < np.hypot(*(begin - point))


def scene(*marks: tuple[float, float], room: tuple[float, float] = (200, 100), size: tuple[float, float] = (40, 8)) -> Scene:
    """Marks of 6 points without bars."""
    marks_N2 = np.array(marks)
    marks_N4 = np.concatenate([marks_N2 - 3, marks_N2 + 3], axis=1)
    sizes_N2 = np.tile(np.array(size), (len(marks), 1))
    nothing_B4 = np.zeros((0, 4))
    return Scene(np.array([0.0, 0.0, *room]), sizes_N2, marks_N4, marks_N4, nothing_B4, nothing_B4)


def test_a_name_with_room_stands_right_of_its_mark_and_level_with_it() -> None:
    found = find_places(scene((50, 50)))
    np.testing.assert_allclose(found.boxes_N4, [[53 + NEAR, 46, 93 + NEAR, 54]])
    assert not found.is_linked_N.any()
    assert found.num_covering == 0


def test_a_name_at_the_edge_stands_on_the_other_side() -> None:
    found = find_places(scene((190, 50)))
    assert found.boxes_N4[0, 2] < 190
    assert not found.is_linked_N.any()


def test_names_that_find_no_room_are_counted() -> None:
    assert find_places(scene((20, 10), (22, 11), room=(48, 20))).num_covering > 0
    assert find_places(scene((20, 10), room=(30, 20))).num_covering == 1  # wider than the room
