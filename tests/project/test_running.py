"""`edgenas run` takes stages in order, once, and goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgenas.config import build
from edgenas.data.splits import SPLIT_NAMES, Splits, save_splits
from edgenas.errors import ConfigError, GateError, InfeasibleError, RunFolderError, UsageError
from edgenas.project.running.asking import require_sense
from edgenas.project.running.book import Book
from edgenas.project.running.walk import Walk
from edgenas.project.running.words import expected, headline
from edgenas.project.settings import ProjectSettings
from edgenas.records import Estimate, EvaluateResult, ExportResult, JsonRecord, Metrics, StageRow, ThresholdChoice
from edgenas.runs import Note, Outcome, Record, RunFolder
from edgenas.runs.stages import ORDER
from edgenas.stats import wilson
from tests.test_stages import FILES


@dataclass(frozen=True, slots=True)
class Answer(JsonRecord):
    """What a stage of these tests answers."""

    stage: str


@dataclass
class Project:
    """A run folder whose stages write a file each, as often as they are taken; some fail."""

    run: RunFolder
    taken: list[str] = field(default_factory=list)
    fails: dict[str, Exception | Outcome[Any]] = field(default_factory=dict)
    settings: ProjectSettings = field(
        default_factory=lambda: build(ProjectSettings, {"data": {"source": "digits"}}, source="the settings")
    )

    def _stage(self, name: str) -> Iterator[Record]:
        self.taken.append(name)
        yield Note(f"{name} works")
        failure = self.fails.get(name)
        if isinstance(failure, Exception):
            raise failure
        self.run.config.touch()
        if name in FILES:
            path = self.run.path / FILES[name]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{name} {len(self.taken)}", encoding="utf-8")
        yield failure if failure is not None else Outcome(Answer(name))

    def go(self, *stages: str, **more: Any) -> tuple[Walk, list[str]]:
        """One call of all stages, or of some; what it said."""
        starts: dict[str, Callable[[], Iterator[Record]]] = {}
        for name in stages or ORDER:
            starts[name] = lambda name=name: self._stage(name)  # type: ignore[misc]
        walk = Walk(Book.open(self.run, {}), starts, lambda: self.settings, lambda: False, **more)
        said = []
        for name in starts:
            said += [record.text for record in walk.take(name, name) if isinstance(record, Note)]
            if walk.failure is not None:
                said += [record.text for record in walk.tell() if isinstance(record, Note)]
                break
        return walk, said

    def again(self, *stages: str, **more: Any) -> list[str]:
        """The stages that another call takes."""
        self.taken.clear()
        self.go(*stages, **more)
        return list(self.taken)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(RunFolder(tmp_path))


def states(walk: Walk) -> dict[str, str]:
    return {name: walk.row(name).state for name in ORDER}


def test_every_stage_is_taken_in_order_and_announced_with_its_time(project: Project) -> None:
    walk, said = project.go()
    assert project.taken == list(ORDER)
    assert states(walk) == dict.fromkeys(ORDER, "done")
    assert said[:3] == ["init: reading the images, dividing them", "init works", said[2]]
    assert said[2].startswith("init: done in ")
    assert walk.results["search"] == {"stage": "search"}


def test_what_is_done_is_skipped_in_a_line(project: Project) -> None:
    project.go()
    walk, said = Project(project.run).go()
    assert set(states(walk).values()) == {"kept"}
    assert len(said) == len(ORDER)
    assert said[4].startswith("search: done before (took ")
    assert said[4].endswith("), skipped")


def test_a_changed_setting_takes_the_stages_again_that_rest_on_it(project: Project) -> None:
    project.go()
    search = replace(project.settings.search, max_params=100_000)
    project.settings = replace(project.settings, search=search)
    assert project.again() == ["plan", "search", "retrain", "evaluate", "export", "report"]
    project.settings = replace(project.settings, gates=replace(project.settings.gates, min_agreement=0.9))
    assert project.again() == ["export", "report"]


def test_a_result_that_another_command_has_replaced_is_followed_by_the_later_stages(project: Project) -> None:
    project.go()
    (project.run.path / FILES["train"]).write_text("trained by hand", encoding="utf-8")
    assert project.again() == ["train", "search", "retrain", "evaluate", "export", "report"]


def test_a_failing_stage_ends_the_run_and_the_next_call_goes_on_there(project: Project) -> None:
    project.fails["plan"] = InfeasibleError("no net meets latency_ms <= 1", result={"closest": 2})
    walk, said = project.go()
    assert isinstance(walk.failure, InfeasibleError)
    assert project.taken == ["init", "profile", "plan"]
    assert list(states(walk).values())[2:] == ["failed", *["not reached"] * 6]
    assert walk.results["plan"] == {"closest": 2}
    assert said[-1].startswith("plan: failed after ")
    del project.fails["plan"]
    assert project.again() == list(ORDER[2:])


def test_a_gate_that_fails_ends_the_run_but_the_page_is_written(project: Project) -> None:
    project.fails["retrain"] = Outcome(Answer("retrain"), {}, GateError("sensitivity[8] is too low"))
    walk, _ = project.go()
    assert project.taken == ["init", "profile", "plan", "train", "search", "retrain", "report"]
    assert walk.row("retrain") == StageRow(
        name="retrain", state="failed", seconds=walk.row("retrain").seconds, words="sensitivity[8] is too low"
    )
    assert walk.row("report").state == "not reached"
    del project.fails["retrain"]
    assert project.again() == ["retrain", "evaluate", "export", "report"]


def test_an_interrupted_stage_keeps_its_time_and_is_taken_again(project: Project) -> None:
    project.fails["train"] = KeyboardInterrupt()  # type: ignore[assignment]
    starts: dict[str, Callable[[], Iterator[Record]]] = {
        "init": lambda: project._stage("init"),
        "train": lambda: project._stage("train"),
    }
    walk = Walk(Book.open(project.run, {}), starts, lambda: project.settings, lambda: False)
    list(walk.take("init", "init"))
    stage = walk.take("train", "train")
    next(stage)
    next(stage)
    with pytest.raises(KeyboardInterrupt):
        stage.throw(KeyboardInterrupt())  # type: ignore[attr-defined]
    kept = Book.open(project.run, {}).kept("train")
    assert kept is not None
    assert not kept.is_done
    project.fails.clear()
    assert project.again("init", "train") == ["train"]
    later = Book.open(project.run, {}).kept("train")
    assert later is not None
    assert later.seconds > kept.seconds


def test_a_device_that_tables_stand_for_is_not_measured(project: Project) -> None:
    walk, said = project.go(not_needed={"profile": "--table says what nets take"})
    assert "profile" not in project.taken
    assert states(walk)["profile"] == "not needed"
    assert "profile: not needed: --table says what nets take" in said


def test_every_artefact_is_named_with_its_verdict() -> None:
    one = ExportResult(artifact="export/onnx", verdict="passed", weights="finetuned", net="searched", files=())
    two = replace(one, artifact="export/openvino", verdict="not_run")
    assert headline(one) == "export/onnx: passed"
    assert headline(replace(one, artifacts=(one, two))) == "export/onnx: passed; export/openvino: not run"


def test_a_threshold_that_few_images_set_is_said_in_the_line_of_a_stage() -> None:
    class_names = ("shirt", "coat")
    choice = ThresholdChoice(
        threshold=0.1,
        floor=0.95,
        confidence=None,
        is_asked=False,
        is_shown=True,
        sensitivity=wilson(2, 2),
        false_alarms=wilson(32, 47),
    )
    metrics = Metrics(
        n=132,
        top1=wilson(100, 132),
        top1_decision=wilson(37, 132),
        sensitivity=dict(zip(class_names, (wilson(5, 5), wilson(32, 127)), strict=True)),
        balanced_accuracy=0.6,
        positive="shirt",
        threshold=0.1,
        threshold_choice=choice,
    )
    counts = {"params": 1, "macs": 1}
    one = EvaluateResult(split="test", weights="scratch", net="searched", arch={}, **counts, metrics=metrics)
    assert headline(one).endswith("of shirt 100.0 % [56.6, 100.0] found (only 2 images set the threshold)")
    many = replace(metrics, threshold_choice=replace(choice, sensitivity=wilson(20, 20)))
    assert headline(replace(one, metrics=many)).endswith("of shirt 100.0 % [56.6, 100.0] found")


def test_what_is_expected_is_said_as_a_range() -> None:
    assert (
        expected(Estimate(value=300.0, low=240.0, high=420.0, n=3)).replace("\N{NO-BREAK SPACE}", " ")
        == "about 5 min (4 min to 7 min)"
    )
    assert expected(Estimate(value=3.0, low=3.0, high=3.0, n=3)).replace("\N{NO-BREAK SPACE}", " ") == "about 3 s"
    assert expected(None) == ""


def test_a_format_that_is_unknown_is_said_before_anything_begins(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no format 'onx'\. did you mean 'onnx'\?"):
        require_sense(RunFolder(tmp_path / "new"), {"data": {"source": "digits"}}, ("search.max_macs=1",), ("openvino", "onx"))


def test_a_new_project_needs_images_and_a_limit(tmp_path: Path) -> None:
    run, digits = RunFolder(tmp_path), {"data": {"source": "digits"}}
    with pytest.raises(UsageError, match="no images are named"):
        require_sense(run, {"search": {"latency_ms": 5.0}}, ())
    with pytest.raises(UsageError, match="no limit on what a net may cost is set"):
        require_sense(run, digits | {"search": {"min_sensitivity": {"8": 0.9}}}, ())
    require_sense(run, digits | {"search": {"limits": ["params<=1M"]}}, ())
    require_sense(run, digits, ("search.max_macs=1000000",))


def test_a_project_on_other_images_is_not_gone_on_with(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.config.write_text('[data]\nsource = "digits"\npositive = "8"\n[search]\nlatency_ms = 5.0\n', encoding="utf-8")
    require_sense(run, {}, ())
    require_sense(run, {"data": {"source": "digits", "positive": " 8"}}, ())
    with pytest.raises(RunFolderError) as caught:
        require_sense(run, {"data": {"source": "folder:parts", "positive": "crack"}, "space": {"name": "pvt-nano"}}, ())
    assert [problem.split(" is ")[0] for problem in caught.value.problems] == ["data.source", "data.positive", "space.name"]
    assert "--run" in caught.value.hint


def test_several_processes_are_for_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0"), ("MASTER_ADDR", "x"), ("MASTER_PORT", "1")):
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="one process"):
        require_sense(RunFolder(tmp_path), {"data": {"source": "digits"}}, ())


def test_a_floor_of_no_class_is_refused_before_anything_begins(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.config.write_text('[data]\nsource = "digits"\npositive = "8"\n[search]\nlatency_ms = 5.0\n', encoding="utf-8")
    nothing = {name: np.array([], dtype=np.int64) for name in SPLIT_NAMES}
    counts = {name: {"7": 0, "8": 0} for name in SPLIT_NAMES}
    save_splits(run.splits, Splits(nothing, ("7", "8"), counts, seed=0, fractions=dict.fromkeys(SPLIT_NAMES, 0.2)))
    require_sense(run, {"search": {"min_sensitivity": {"8": 0.9}}}, ())
    with pytest.raises(ConfigError, match=r"no class of the data: 88\. did you mean '8'"):
        require_sense(run, {"search": {"min_sensitivity": {"88": 0.9}}}, ())
