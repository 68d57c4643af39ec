"""The words of a comparison: ahead of all, behind one, or not told apart."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgenas.errors import UsageError
from edgenas.project.comparing.asking import parse_rivals
from edgenas.project.comparing.caps import cap_remarks, held_to
from edgenas.project.comparing.families import FAMILIES, LatencyLimit, Looker, family_of
from edgenas.project.comparing.judging import RivalAnswers, compared
from edgenas.project.comparing.verdict import remarks, verdict, winner_of
from edgenas.records import ComparedNet, LeftOut, Metrics
from edgenas.runs import Record, RunFolder
from edgenas.runs.stages import typed
from edgenas.stats import wilson
from edgenas.training.timm_nets import TimmNet

NUM = 1000
LIMIT = LatencyLimit(5.0, "p50")


def answers(name: str, num_wrong: int, *, first: int = 0, fits: bool | None = True, parity: str = "passed") -> RivalAnswers:
    """A net that gets ``num_wrong`` images wrong, from the ``first`` on; positives are the last hundred."""
    right_N: NDArray[np.bool_] = np.ones(NUM, dtype=np.bool_)
    right_N[first : first + num_wrong] = False
    share = wilson(NUM - num_wrong, NUM)
    row = ComparedNet(
        name=name,
        kind="searched" if name == "searched" else "timm",
        family="test",
        params=1,
        macs=1,
        image_px=32,
        latency_ms_measured=4.0 if fits else 7.1,
        fits=fits,
        weights="scratch",
        epochs=1,
        seconds=1.0,
        parity=parity,
        metrics=Metrics(n=NUM, top1=share, top1_decision=share, sensitivity={"sick": share}, positive="sick"),
        folder=f"compare/nets/{name}",
    )
    return RivalAnswers(row, right_N, right_N[-100:])


def rows(*nets: RivalAnswers) -> list[ComparedNet]:
    return compared(nets, seed=0)


def test_ahead_of_all_says_by_how_much_at_least() -> None:
    found = rows(answers("searched", 20), answers("starnet_s1", 90), answers("resnet18", 60))
    assert winner_of(found) == "searched"
    assert verdict(found, LIMIT) == "ahead of all 2 rivals within 5 ms by at least 4.0 [2.8, 5.2] points (of resnet18)"
    assert (
        verdict(rows(answers("searched", 20), answers("resnet18", 60)), LIMIT)
        == "ahead of resnet18 within 5 ms by 4.0 [2.8, 5.2] points"
    )


def test_a_rival_that_is_shown_to_be_better_is_to_be_taken() -> None:
    found = rows(answers("searched", 60), answers("repvit_m0_9", 20), answers("resnet18", 90))
    assert winner_of(found) == "repvit_m0_9"
    text = "behind repvit_m0_9 within 5 ms by 4.0 [2.8, 5.2] points: take that one: `edgenas export --net repvit_m0_9`"
    assert verdict(found, LIMIT) == text
    assert verdict(found, LIMIT, partial(typed, RunFolder(Path("mine")))) == f"{text[:-1]} --run mine`"


def test_a_hand_designed_net_that_the_search_chose_is_no_rival_of_itself() -> None:
    searched, rival = answers("searched", 20), answers("resnet18", 60)
    searched = replace(searched, row=replace(searched.row, arch=[1, 2]))
    hand = replace(answers("hand", 20), row=replace(answers("hand", 20).row, kind="hand", arch=[1, 2]))
    found = rows(searched, hand, rival)
    assert winner_of(found) == "searched"
    same = "the best hand-designed net is of the same architecture"
    assert verdict(found, LIMIT) == f"ahead of resnet18 within 5 ms by 4.0 [2.8, 5.2] points; {same}"
    assert verdict(rows(searched, hand), LIMIT) == f"no other net is compared within 5 ms; {same}"
    several = replace(hand, row=replace(hand.row, params=2))  # of which several answer together
    assert "not told apart from hand" in verdict(rows(searched, several, rival), LIMIT)


def test_a_better_training_of_the_searched_net_s_architecture_is_taken_and_called_that() -> None:
    searched, hand = answers("searched", 60), answers("hand", 20)
    searched = replace(searched, row=replace(searched.row, arch=[1, 2]))
    hand = replace(hand, row=replace(hand.row, kind="hand", arch=[1, 2]))
    text = verdict(rows(searched, hand), LIMIT)
    assert text.startswith(
        "behind hand within 5 ms by 4.0 [2.8, 5.2] points, another training of the same architecture: take that one"
    )


def test_what_cannot_be_told_apart_is_named() -> None:
    found = rows(answers("searched", 50), answers("starnet_s1", 48, first=30), answers("resnet18", 200))
    assert winner_of(found) == "searched"
    text = verdict(found, LIMIT)
    assert text.startswith("ahead of 1 of 2 rivals, not told apart from starnet_s1 within 5 ms (within ")


def test_seven_tests_need_more_than_one() -> None:
    pair = (answers("searched", 7, first=0), answers("a", 0))
    assert rows(*pair)[1].better == "rival"  # seven against none: p = 0.016
    many = [answers(f"b{number}", 7) for number in range(6)]
    assert rows(*pair, *many)[1].better == "neither"
    assert any("corrected for 7 rivals (Holm)" in text for text in remarks(rows(*pair, *many), LIMIT, []))


def test_a_net_that_learned_nothing_is_not_called_a_broken_export() -> None:
    reason = "above_most_frequent the export decides 0.1000 of 1000 rightly: nothing shows that anything was learned"
    poor = answers("poor", 900, parity="failed")
    poor = replace(poor, row=replace(poor.row, parity_reason=reason, failed_gates=("above_most_frequent",)))
    said = list(remarks(rows(answers("searched", 60), poor), LIMIT, []))
    assert said == [
        "poor: its export answers as the net does, but the export decides 0.1000 of 1000 rightly: nothing shows that anything was "
        "learned"
    ]
    ours = replace(poor, row=replace(poor.row, name="searched", kind="searched"))
    assert verdict(rows(ours, answers("resnet18", 10)), LIMIT).startswith("nothing shows that the searched net learned anything; ")
    both = replace(poor.row, failed_gates=("min_agreement", "above_most_frequent"))
    assert not both.is_unlearned


def test_a_rival_beyond_the_limit_or_whose_export_fails_is_shown_and_not_taken() -> None:
    slow, broken = answers("slow", 0, fits=False), answers("broken", 0, parity="failed")
    found = rows(answers("searched", 60), slow, broken, answers("resnet18", 200))
    assert winner_of(found) == "searched"
    assert verdict(found, LIMIT).startswith("ahead of resnet18 within 5 ms")
    said = " ".join(remarks(found, LIMIT, [LeftOut(name="RepViT", reason="too slow")]))
    for words in ("slow takes 7.1 ms, more than 5 ms", "gates of its export failed", "left out: RepViT (too slow)"):
        assert words in said


def test_a_searched_net_beyond_the_limit_gives_way() -> None:
    found = rows(answers("searched", 0, fits=False), answers("resnet18", 60))
    assert winner_of(found) == "resnet18"
    assert verdict(found, LIMIT).startswith("the searched net takes more than the limit; resnet18 is the most accurate")


def test_a_searched_net_whose_export_fails_gives_way_without_a_claim_that_it_is_behind() -> None:
    found = rows(answers("searched", 20, parity="failed"), answers("resnet18", 60))
    assert winner_of(found) == "resnet18"
    text = "the searched net's export fails a gate; resnet18 is the most accurate within 5 ms: take that one"
    assert verdict(found, LIMIT).startswith(text)


def test_a_searched_net_beyond_the_limit_is_said_without_rivals_too() -> None:
    found = rows(answers("searched", 0, fits=False), answers("slow", 60, fits=False))
    text = "the searched net takes more than the limit; there is no rival within 5 ms: nothing is compared"
    assert verdict(found, LIMIT) == text


def test_without_a_trained_rival_nothing_says_that_none_fits() -> None:
    text = "there is no rival within 5 ms that is trained: nothing is compared"
    assert verdict(rows(answers("searched", 0)), LIMIT) == text


@pytest.mark.parametrize("caps", [{"params": 1000.0, "macs": 2000.0}, {"params": 1000.0}, {"macs": 2000.0}])
def test_a_better_rival_that_breaks_other_limits_of_the_search_is_not_taken(caps: dict[str, float]) -> None:
    found = rows(answers("searched", 60), answers("resnet18", 10))
    found[1] = replace(found[1], params=5_000, macs=7_000)
    assert winner_of(found) == "resnet18"
    found = [held_to(caps, row) for row in found]
    assert winner_of(found) == "searched"
    assert verdict(found, LIMIT) == "there is no rival within the search's limits: nothing is compared"
    (said,) = cap_remarks(caps, found)
    assert said.startswith("resnet18 has ")
    assert said.endswith("it is shown, and not taken")
    assert ("5,000 params, asked at most 1,000" in said, "7,000 macs, asked at most 2,000" in said) == (
        "params" in caps,
        "macs" in caps,
    )


def test_limits_that_nobody_can_ask_of_other_families_are_said() -> None:
    found = [held_to({"memory_mb": 1.5}, row) for row in rows(answers("searched", 60), answers("resnet18", 10))]
    assert winner_of(found) == "resnet18"
    (said,) = cap_remarks({"memory_mb": 1.5, "params>=": 10.0}, found)
    assert said == "limits of the search that nobody has asked of resnet18: memory_mb <= 1.5"
    assert list(cap_remarks({"params": 10.0}, found)) == []


def test_auto_looks_at_no_net_beyond_limits_on_parameters_and_macs() -> None:
    kept: dict[str, list[int]] = {}
    costs = {"resnet10t": [5_000, 100], "resnet18": [5_000, 400], "resnet50": [20_000, 50]}
    for name, pair in costs.items():
        kept[f"costs {TimmNet(name, 64, None)}"] = pair
    memory: Any = SimpleNamespace(recall=kept.get, record=None)
    nothing: Any = None
    looker = Looker(nothing, nothing, {}, nothing, LIMIT, (64,), None, memory, {"params": 5_000.0, "macs": 200.0})
    assert [net.name for net in looker._work(tuple(costs))] == ["resnet10t"]


def test_a_rival_that_misses_fewer_positives_is_said() -> None:
    found = rows(answers("searched", 60, first=NUM - 60), answers("resnet18", 20, first=NUM - 20))
    assert any("resnet18 finds 40.0 [30.0, 50.0] points more of sick" in text for text in remarks(found, LIMIT, []))


def test_a_rival_that_misses_more_positives_is_said_even_where_it_is_to_be_taken() -> None:
    found = rows(answers("searched", 200, first=0), answers("resnet18", 40, first=NUM - 40))
    assert winner_of(found) == "resnet18"
    assert any("resnet18 finds 40.0 [30.0, 50.0] points fewer of sick" in text for text in remarks(found, LIMIT, []))


def test_rivals_are_read_with_side_stem_and_weights() -> None:
    hand, net, bare = parse_rivals(["hand, timm:mobilenetv4_conv_small@64/1", "timm:resnet18,hand"])
    assert (hand.kind, net.kind, bare.kind) == ("hand", "timm", "timm")
    assert (net.name, net.image_px, net.stem_stride, net.file) == ("mobilenetv4_conv_small", 64, 1, None)
    assert (bare.image_px, bare.stem_stride) == (None, None)


@pytest.mark.parametrize("form", ["onnx:{}", "timm:resnet18={}"])
def test_a_pipe_or_a_folder_in_the_place_of_a_rivals_file_is_told_as_such(form: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, words in ((tmp_path / "pipe", "is no regular file but a pipe"), (tmp_path, "Is a directory")):
        with pytest.raises(UsageError, match=words):
            parse_rivals([form.format(path)])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("timm:resnet18@8", "allowed is 16 to 4096"),
        ("timm:resnet18@32/3", "allowed is 1, 2, 4"),
        ("timm:resnet18=none.pth", "none.pth does not exist"),
        ("timm:test_resnet=cached", "timm has fetched no weights of test_resnet here"),
        ("timm:repvit_m09", "similar are repvit_m0_9"),
        ("timm:", "is not written timm:NAME"),
        ("atuo", "did you mean 'auto'?"),
        ("resnet18", "did you mean 'timm:resnet18'?"),
        (" , ", "no rival is named"),
    ],
)
def test_what_is_no_rival_is_told(text: str, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UsageError) as error:
        parse_rivals([text])
    assert words in str(error.value)


def test_seven_families_are_looked_at_and_every_model_is_of_one_that_timm_has() -> None:
    import timm

    assert len(FAMILIES) == 7
    for family, names in FAMILIES.items():
        assert all(family_of(name) == family for name in names)
        assert sum(timm.is_model(name) for name in names) >= 3
    assert family_of("test_resnet") == "test"


def looked(
    monkeypatch: pytest.MonkeyPatch, limit_ms: float, ms_per_mega: float = 0.1
) -> tuple[list[str], dict[str, str], list[str]]:
    """Nets that are found, families left out, and nets that were timed, where all take the same time for the same work."""
    timed: list[str] = []

    def work(self: Looker, names: Sequence[str]) -> dict[TimmNet, float]:
        return {TimmNet(name, 32): 1e6 * 4**place for place, name in enumerate(names)}

    def taken(self: Looker, net: TimmNet, family: str) -> Generator[Record, None, float]:
        timed.append(net.name)
        if net.name == "resnet10t":
            raise UsageError("it cannot be built at this side")
        yield from ()
        place = FAMILIES[family].index(net.name)
        return ms_per_mega * 4**place * (100 if family == "RepViT" else 1)

    monkeypatch.setattr(Looker, "_work", work)
    monkeypatch.setattr(Looker, "_taken", taken)
    nothing: Any = None
    looker = Looker(nothing, nothing, {}, nothing, LatencyLimit(limit_ms, "p50"), (32,), None, nothing)
    looking = looker.look()
    while True:
        try:
            next(looking)
        except StopIteration as stop:
            found, left_out = stop.value
            return [net.name for net in found], {each.name: each.reason for each in left_out}, timed


def test_auto_takes_the_largest_net_of_every_family_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    found, left_out, timed = looked(monkeypatch, 1.7)
    fitting = [names[2] for family, names in FAMILIES.items() if family != "RepViT"]  # 16 times the work of the smallest
    assert found == fitting
    assert left_out == {"RepViT": "its smallest takes 10 ms, more than 1.7 ms"}
    assert len(timed) == len(set(timed))


def test_auto_passes_over_what_cannot_be_built_and_what_must_be_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    found, left_out, timed = looked(monkeypatch, 0.15)
    assert "ResNet" in left_out  # its smallest cannot be built
    assert found[0] == FAMILIES["MobileNetV4"][0]
    largest = {names[-1] for names in FAMILIES.values()}
    assert not largest & set(timed[len(FAMILIES["ResNet"]) :])
