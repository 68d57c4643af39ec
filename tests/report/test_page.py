"""The page of all results: what was found with its interval, what is missing with its command, and every name as text."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from edgenas.records import Latencies, Manifest, Proportion, TableFacts
from edgenas.report.page.axes import Axis, Plot, round_ticks
from edgenas.report.page.decisions import confusion
from edgenas.report.page.document import SECTIONS, document, write
from edgenas.report.page.marks import Point, limit, line, points
from edgenas.report.page.markup import Html, rows_table, tag
from edgenas.report.page.nets import trained
from edgenas.report.page.sheets import limits, quoted
from edgenas.report.page.tiles import BAD, GOOD, OPEN, four_tiles, latency_limit, sentence
from edgenas.report.page.wording import first_upper
from edgenas.report.terminal import Screen
from edgenas.runs import Outcome, Picture
from tests.report.pages import WRITTEN, a_page, data_sheet, image, judged, nothing_yet
from tests.report.test_views import POSITIVE, benched, retrain

NASTY = ("<script>alert(1)</script>", '"onload="alert(1)', "=cmd|' /C calc'!A0", "</title><img src=x>", "\x1b[31m\u202ered")


class Reading(HTMLParser):
    """Text and elements of a page; unbalanced elements are an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in ("meta", "img"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_what_matters_is_on_the_page() -> None:
    read = Reading(document(a_page()))
    for words in (
        "The searched net finds 58 of 61 images of covid-19 in the test split, mistakes 5 of 479 others for it and needs 1.19 ms "
        "an image (measured, within the limit of 1.25 ms)",
        "95 %: 86.4 to 98.3 %, 58 of 61 found in test",
        "Missed covid-19: all 3 shown",
        "False alarms: 4 of 5 shown",
        "1 could not be read any more.",
        "ROC: area 96.3 % [94.0, 98.0]",
        "Reliability: off by 4.3 % [2.0, 7.0]",
        "Select chose these nets, so it flatters them; 270 images. Costs are predicted, not measured.",
        "mobilenetv4_conv_sma",
        "Latency by stage: 1 ms predicted",
        "Predicted against measured: off by 2.1 % on average",
        "differ by 1.1 % on average (the noise floor)",
        "0.52 [0.11, 0.78]",
        "57 odd things, 1 of them shown",
        "scp -r edgenas-run/export/trt DEVICE:",
        "A sensitivity above 86.4 %: 61 images of covid-19 prove no more (95 %).",
        "This machine is noisy.",
        "train.epochs",
        "12" * 32,
    ):
        assert words in read.text, words
    assert read.names.count("svg") >= 8
    assert all(f'id="{name}"' in document(a_page()) for name in SECTIONS)


def test_the_page_needs_no_network_and_runs_no_script_but_its_own() -> None:
    text = document(a_page())
    assert not re.search(r"(src|href)=\"(?!data:|#)", text)
    assert "url(" not in text
    assert "default-src 'none'; img-src data:; style-src 'sha256-" in text.replace("&#x27;", "'")
    assert "unsafe-inline" not in text
    assert not any(name == "style" or name.startswith("on") for _, name, _ in Reading(text).attributes)


@pytest.mark.parametrize("nasty", NASTY)
def test_every_name_is_text(nasty: str) -> None:
    names = (nasty, "normal", "pneumonia")
    plain = a_page()
    assert plain.retrain is not None
    named = retrain(names).result
    assert plain.deployed is not None
    page = a_page(
        positive=nasty,
        retrain=named,
        deployed=replace(plain.deployed, name=nasty, metrics=named.net.metrics, notes=(nasty,)),
        judged=judged(names),
        data=replace(data_sheet(names), source=f"csv:{nasty}", sites={nasty: {"train": 1}}, contact=(image(1, nasty),)),
        settings={"data": {"positive": nasty}},
        unread=(nasty,),
    )
    text, harmless = document(page), document(plain)
    read = Reading(text)
    assert read.names.count("script") == 1
    assert set(read.names) <= set(Reading(harmless).names)
    assert {(tag, name) for tag, name, _ in read.attributes} <= {(tag, name) for tag, name, _ in Reading(harmless).attributes}
    if nasty.isprintable():
        assert nasty in "".join(read.words)
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_what_is_missing_is_said_with_the_command_that_makes_it() -> None:
    read = Reading(document(nothing_yet()))
    assert "No net has been chosen yet: edgenas search --latency-ms MS chooses one." in read.text
    for command in (
        "edgenas train",
        "edgenas profile",
        "edgenas retrain --baseline",
        "edgenas export --format onnx",
        "edgenas fidelity",
    ):
        assert command in read.text, command
    assert read.text.count("Not shown yet:") >= 6
    assert "test has not been read yet" in read.text


def test_without_answers_the_command_that_keeps_them_is_named() -> None:
    text = Reading(document(a_page(judged=None))).text
    assert "what the net answers to every test image is kept by edgenas evaluate --split test" in text
    assert "Confusion matrix" in text


def test_without_a_positive_class_accuracy_and_the_most_frequent_class_are_shown() -> None:
    plain = a_page()
    assert plain.deployed is not None
    assert plain.deployed.metrics is not None
    page = a_page(
        positive=None, deployed=replace(plain.deployed, metrics=replace(plain.deployed.metrics, positive=None, threshold=None))
    )
    assert "is right on 524 of 540 test images" in sentence(page)
    titles = [tile.title for tile in four_tiles(page)]
    assert titles == ["Accuracy", "Always one answer", "Latency", "Export"]
    Reading(document(page))


def test_a_tile_is_good_only_where_something_was_shown() -> None:
    page = a_page()
    found, alarms, latency, export = four_tiles(page)
    assert (found.state, alarms.state, latency.state, export.state) == (OPEN, OPEN, GOOD, OPEN)
    assert export.value == "not run"
    assert page.deployed is not None
    slow = a_page(deployed=replace(page.deployed, latency_ms_measured=1.3))
    assert four_tiles(slow)[2].state == BAD
    predicted = a_page(deployed=replace(page.deployed, latency_ms_measured=None))
    assert (four_tiles(predicted)[2].state, "not measured" in four_tiles(predicted)[2].under) == (OPEN, True)


def test_limits_on_further_devices_are_shown_with_what_is_predicted_there() -> None:
    page = a_page()
    assert page.search is not None
    assert page.search.winner is not None
    there = Latencies(predicted_ms=0.5, upper_ms=0.6, measured_ms=None)
    facts = TableFacts(path="n", sha256="0" * 64, device="Box N100", runtime="onnxruntime-cpu", precision="fp32", batch_size=1)
    limits = {"latency_ms[box]": 0.7, **page.search.limits, "latency_ms>=": 0.1}
    winner = replace(page.search.winner, latencies={"box": there})
    search = replace(page.search, limits=limits, tables={"box": facts}, winner=winner)
    assert page.deployed is not None
    ours = a_page(search=search, deployed=replace(page.deployed, arch=winner.arch))
    tile = four_tiles(ours)[2]
    assert latency_limit(ours) == latency_limit(page)  # that of this device, whatever comes first
    assert (tile.state, tile.under.endswith("; on box (Box N100): 0.5 ms predicted, limit 0.7 ms")) == (OPEN, True)
    assert "What the net takes on box (Box N100): 0.5 ms predicted, limit 0.7 ms." in Reading(document(ours)).text
    rival = a_page(search=search, deployed=replace(page.deployed, arch=None))
    assert four_tiles(rival)[2].under.endswith("; on box (Box N100): not known of this net, limit 0.7 ms")
    timed = replace(search, winner=replace(winner, latencies={"box": replace(there, measured_ms=0.55)}))
    assert four_tiles(a_page(search=timed, deployed=replace(page.deployed, arch=winner.arch)))[2].state == GOOD


def test_an_export_of_other_weights_does_not_count() -> None:
    manifest = Manifest.from_json(WRITTEN["Manifest"])
    page = a_page()
    other = replace(page.exports[0], manifest=replace(manifest, weights=replace(manifest.weights, sha256="0" * 64)))
    page = a_page(exports=(other,))
    assert four_tiles(page)[3].under == "these weights are not exported yet: edgenas export"
    assert "These are other weights than those of the net above." in Reading(document(page)).text


def test_pictures_of_one_kind_beside_each_other_share_a_legend() -> None:
    made = trained(a_page())
    assert made.count("<figure>") == 2
    assert made.count('class="legend"') == 1
    assert made.index('class="legend"') > made.rindex("</figure>")


def test_before_a_comparison_the_searched_net_stands_with_what_the_search_measured_of_it() -> None:
    page = a_page(compare=None)
    assert page.retrain is not None
    assert page.search is not None
    assert page.search.winner is not None
    net = replace(page.retrain.net, latency_ms_measured=None)
    alone = replace(page.retrain, net=net, baseline=None, comparison=None, cnn=None)
    winner = replace(page.search.winner, arch=net.arch, latency_ms_measured=0.153)
    text = Reading(document(replace(page, retrain=alone, search=replace(page.search, winner=winner)))).text
    assert "searched 0.153 ms" in text
    assert "Trained to the end: judged on test" in text
    another = replace(winner, arch={"depths": [9]})
    assert (
        "searched –"
        in Reading(document(replace(page, retrain=alone, search=replace(page.search, winner=another, finalists=())))).text
    )


def test_artefacts_that_were_timed_in_turn_are_shown_with_what_is_recommended() -> None:
    assert "Timed in turn" not in Reading(document(a_page())).text
    bench = benched().result.bench
    assert bench is not None
    text = " ".join(Reading(document(a_page(bench=bench))).text.split())
    assert "Timed in turn" in text
    assert "0.64 [0.62, 0.66]" in text
    assert "Recommended: fastest here with its gates passed: export/openvino/model-fp32-b1.xml in openvino-cpu" in text
    none = a_page(bench=replace(bench, choice=None))
    assert "No file is recommended: no gates passed." in Reading(document(none)).text


def test_an_empty_class_has_no_share() -> None:
    page = a_page()
    assert page.deployed is not None
    assert page.deployed.metrics is not None
    none = Proportion(float("nan"), 0.0, 1.0, 0)
    shares = {**page.deployed.metrics.sensitivity, POSITIVE: none}
    empty = replace(page.deployed.metrics, sensitivity=shares, confusion_matrix=((0, 0, 0), (0, 377, 0), (5, 8, 89)))
    text = document(a_page(deployed=replace(page.deployed, metrics=empty)))
    assert "0 of 0 found in test" in text
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)


def test_of_many_classes_the_pairs_that_are_confused_most_are_listed() -> None:
    names = tuple(f"class {i}" for i in range(30))
    plain = a_page()
    assert plain.deployed is not None
    assert plain.deployed.metrics is not None
    matrix = tuple(tuple(3 if i == j else int(j == (i + 1) % 30) for j in range(30)) for i in range(30))
    shares = {name: Proportion(0.75, 0.3, 0.95, 4) for name in names}
    many = replace(plain.deployed.metrics, positive=None, threshold=None, sensitivity=shares, confusion_matrix=matrix)
    text = Reading(document(a_page(positive=None, deployed=replace(plain.deployed, metrics=many)))).text
    assert "20 of 30 pairs of 30 classes are shown." in text


def test_the_tile_of_the_export_counts_the_files_that_images_went_through() -> None:
    page = a_page()
    (own,) = page.exports
    file = replace(own.parity.files[0], parity=replace(own.parity.files[0].parity, num_images=466))
    unrun = replace(file, path="other.engine", parity=replace(file.parity, num_images=0))
    two = replace(own, parity=replace(own.parity, files=(file, unrun)))
    both = replace(own, parity=replace(own.parity, files=(file, file)))
    assert "2 files, 466 test images through each" in four_tiles(replace(page, exports=(both,)))[-1].under
    assert "2 files, 466 test images through 1 of them" in four_tiles(replace(page, exports=(two,)))[-1].under


def test_a_matrix_of_many_classes_has_a_row_of_its_own() -> None:
    plain = a_page()
    assert plain.deployed is not None
    assert plain.deployed.metrics is not None
    for num, is_wide in ((6, False), (7, True)):
        shares = {f"c{i}": Proportion(0.75, 0.3, 0.95, 4) for i in range(num)}
        many = replace(plain.deployed.metrics, sensitivity=shares, confusion_matrix=((1,) * num,) * num)
        assert (' matrix wide"' in confusion(many)) is is_wide


def test_the_name_of_a_net_is_written_as_it_is_where_it_begins_a_sentence() -> None:
    assert first_upper("starnet_s050 takes 2 ms") == "starnet_s050 takes 2 ms."
    assert first_upper("ahead of all") == "Ahead of all."


def test_the_page_stays_small() -> None:
    assert len(document(a_page())) < 300_000


def test_what_was_not_shown_depends_on_what_is_known() -> None:
    assert any("edgenas compare asks that" in text for text in limits(a_page(compare=None)))
    assert not any("names no patients" in text or "name no patients" in text for text in limits(a_page()))
    assert any("name no patients" in text for text in limits(a_page(data=replace(data_sheet(), patients=None))))


def test_texts_are_escaped_and_elements_are_not() -> None:
    assert tag("p", "<b>", tag("b", "&"), title='"') == '<p title="&quot;">&lt;b&gt;<b>&amp;</b></p>'
    assert isinstance(rows_table(("a", "b"), [("<", ">")]), Html)
    assert tag("details", open=True) == "<details open></details>"
    assert quoted("my run/export") == "'my run/export'"


def test_ticks_are_round_and_within_the_ends() -> None:
    assert round_ticks(0.0, 1.0) == (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    assert round_ticks(0.134, 0.217) == (0.14, 0.16, 0.18, 0.2)
    one = Axis.over("ms", [3.0])
    assert one.low < 3.0 < one.high
    assert Axis.over("share", [1.0, 1.0], least=0.0, most=1.0).high == 1.0
    assert Axis.over("none", []).ticks


def test_a_page_that_cannot_be_drawn_ends_no_command_that_it_is_an_extra_of(tmp_path: Path) -> None:
    (tmp_path / "report").write_text("a file where a folder must be")
    picture = Picture(a_page(), (tmp_path / "report" / "index.html",), is_extra=True)
    screen = Screen()
    outcome: Outcome[None] = Outcome(None)
    assert screen.follow(iter([picture, outcome])) is outcome
    assert "index.html is not written" in screen.warnings[0]
    with pytest.raises(Exception, match="cannot be written"):
        Screen().follow(iter([replace(picture, is_extra=False), outcome]))


def test_the_page_is_written_whole(tmp_path: Path) -> None:
    write(a_page(), tmp_path / "index.html")
    assert (tmp_path / "index.html").read_text(encoding="utf-8") == document(a_page())
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


def test_a_page_of_a_quick_run_says_so_above_everything() -> None:
    text = Reading(document(a_page(quick=("train", "search")))).text
    assert "quick: train, search took a few steps only" in text
    assert text.index("quick: train") < text.index("What was not shown")
    assert "took a few steps only" not in Reading(document(a_page())).text


def test_what_was_judged_at_one_epoch_alone_is_seen() -> None:
    plot = Plot(Axis("epoch", 1.0, 3.0, (2.0,)), Axis("accuracy", 0.0, 1.0, ()))
    assert re.search(r'd="M[\d.]+ [\d.]+h14"', line(plot, [(2.0, 0.5)], "l-main"))


def test_shares_of_equal_decisions_are_written_as_all_others() -> None:
    page = a_page()
    (export,) = page.exports
    file = export.parity.files[0]
    decision = replace(file.parity.decision, agreement=Proportion(0.9981, 0.9896, 0.9997, 540))
    judged = replace(file, parity=replace(file.parity, decision=decision))
    shown = document(replace(page, exports=(replace(export, parity=replace(export.parity, files=(judged,))),)))
    assert "99.8 % [99.0, 99.97]" in shown


def test_a_comparison_says_which_nets_it_is_about() -> None:
    assert "Searched against hand-made, as retrain trained them: " in document(a_page())


def test_names_of_one_line_do_not_touch() -> None:
    plot = Plot(Axis("latency", 0.0, 1.0, ()), Axis("found", 0.0, 1.0, ()))
    near = [Point(0.7, 0.5, "k-cnn", "", "cnn"), Point(0.7 + 91 / 342, 0.5, "k-winner", "", "searched")]
    placed = re.findall(r'<text x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)" class="name">(\w+)</text>', points(plot, near))
    (cnn, row, _, _), (searched, other, anchor, _) = placed
    gap = float(searched) - (6.4 * len("searched") if anchor == "end" else 0) - float(cnn) - 6.4 * len("cnn")
    assert row != other or gap >= 4, placed


def test_a_name_covers_neither_a_limit_nor_its_words_nor_the_interval_of_another_net() -> None:
    plot = Plot(Axis("latency", 0.0, 1.0, ()), Axis("found", 0.0, 1.0, ()))
    bound, bar = plot.x_px(0.8), plot.x_px(0.5)
    near = [Point(0.76, 0.97, "k-timm", "", "starnet_s1"), Point(0.5, 0.5, "k-cnn", "", "cnn", y_ends=(0.1, 0.9))]
    near += [Point(0.48, 0.3, "k-hand", "", "hand-made")]
    drawn = points(plot, near, limits=[(0.8, "limit 5 ms")]) + limit(plot, 0.8, "limit 5 ms")
    found = re.findall(r'<text x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)" class="name">([^<]+)</text>', drawn)
    boxes = {}
    for x, y, anchor, name in found:
        width = 6.4 * len(name)
        left = float(x) - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
        boxes[name] = (left, left + width, float(y) - 10, float(y) + 3)
    assert list(boxes) == ["starnet_s1", "cnn", "hand-made", "limit 5 ms"]
    assert all(right <= bound or left >= bound for left, right, _, _ in boxes.values())
    left, right, top, bottom = boxes["starnet_s1"]
    words = boxes["limit 5 ms"]
    assert right <= words[0] or words[1] <= left or bottom <= words[2] or words[3] <= top
    assert not boxes["hand-made"][0] < bar < boxes["hand-made"][1]


def test_a_line_leads_to_a_name_that_stands_away_from_its_point() -> None:
    plot = Plot(Axis("latency", 0.0, 1.0, ()), Axis("found", 0.0, 1.0, ()))
    apart = [Point(0.2, 0.5, "k-cnn", "", "cnn"), Point(0.7, 0.5, "k-winner", "", "searched")]
    assert "link" not in points(plot, apart)
    there = plot.x_px(0.2), plot.y_px(0.5)
    twins = [Point(0.2, 0.5, "k-cnn", "", "cnn"), Point(0.2, 0.5, "k-winner", "", "searched")]
    assert f'd="M{there[0]} {there[1]}L' in points(plot, twins)
