"""A page with everything on it, of records that are made up."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from edgenas.records import (
    BreakdownFacts,
    CandidateRow,
    ContextFacts,
    DataSheet,
    DeployedNet,
    Gallery,
    JudgedImages,
    Manifest,
    OddThing,
    PageExport,
    PageImage,
    PageTable,
    ParityFile,
    Proportion,
    Reliability,
    ReliabilityBin,
    ResultsPage,
    RocCurve,
    RocPoint,
    StageFacts,
    TimedNet,
    TrainingPicture,
    ValidationFigures,
)
from tests.report.test_views import ARCH, CLASSES, OTHER_ARCH, candidate, comparison, fidelity, proven_search, side_by_side

WRITTEN = json.loads((Path(__file__).parents[1] / "fixtures" / "records.json").read_text(encoding="utf-8"))
STAGES = ("data", "teacher", "supernet", "latency table", "search", "retrain", "export", "compare", "fidelity")


def image(number: int, label: str, decided: str | None = None, positive: float | None = None) -> PageImage:
    """A small grey picture."""
    file = io.BytesIO()
    Image.new("RGB", (24, 24), (20 * (number % 12), 90, 140)).save(file, format="PNG")
    return PageImage(
        name=f"{label}/{number}.png",
        mime="image/png",
        content=file.getvalue(),
        width=24,
        height=24,
        label=label,
        decided=decided,
        positive=positive,
    )


def judged(classes: tuple[str, ...] = CLASSES) -> JudgedImages:
    points = ((1.0, 0.0, 0.0), (0.8, 0.05, 0.6), (0.31, 0.1, 0.95), (0.0, 1.0, 1.0))
    curve = RocCurve(
        points=tuple(RocPoint(threshold=t, false_alarms=x, sensitivity=y) for t, x, y in points),
        area=Proportion(0.963, 0.94, 0.98, 540),
        threshold=0.31,
        sensitivity=Proportion(0.9512, 0.8641, 0.9833, 61),
        false_alarms=Proportion(0.0104, 0.004, 0.024, 479),
    )
    bins = tuple(
        ReliabilityBin(low=low, high=low + 0.1, confidence=low + 0.05, accuracy=Proportion(low, low - 0.1, low + 0.1, 50))
        for low in (0.5, 0.7, 0.8)
    )
    positive, *others = classes
    return JudgedImages(
        roc=curve,
        reliability=Reliability(bins=bins, error=Proportion(0.043, 0.02, 0.07, 540)),
        missed=Gallery(images=tuple(image(i, positive, others[0], 0.01 * i) for i in range(1, 4)), num=3, of=61),
        alarms=Gallery(images=tuple(image(i, others[0], positive, 0.9) for i in range(4, 8)), num=5, of=479, unread=1),
        confused=None,
    )


def data_sheet(classes: tuple[str, ...] = CLASSES) -> DataSheet:
    splits = {
        name: dict.fromkeys(classes, num)
        for name, num in (("train", 281), ("select", 94), ("confirm", 61), ("calibrate", 48), ("test", 61))
    }
    return DataSheet(
        source="csv:x-rays.csv",
        fingerprint="ab" * 32,
        splits_sha256="cd" * 32,
        classes=classes,
        splits=splits,
        patients=dict.fromkeys(splits, 123),
        sites={"Lyon": dict.fromkeys(splits, 77)},
        provable=("61 images in test prove a sensitivity of at most 94 %",),
        excluded=2,
        odd=(OddThing(path="a/b.png", what="is truncated", done="left out"),),
        num_odd=57,
        contact=tuple(image(i, name) for name in classes for i in range(4)),
        classes_shown=len(classes),
    )


def table() -> PageTable:
    context = {"device": "Intel Xeon 6975P-C", "device_kind": "cpu", "runtime": "onnxruntime-cpu", "runtime_version": "1.23.2"}
    context |= {"precision": "fp32", "batch_size": 1, "threads": 2, "scope": "end_to_end", "spinning": False}  # type: ignore[dict-item]
    parts = [
        {"stage": 1, "kind": "block", "num": 2, "ms": 0.7, "share": 0.7},
        {"stage": None, "kind": "call", "num": 1, "ms": -0.01, "share": -0.01},
    ]
    breakdown = {"name": "searched", "arch": ARCH, "predicted_ms": 1.0, "upper_ms": 1.1, "parts": parts}
    nets = [TimedNet(name=f"random net {i}", predicted_ms=1 + i / 10, measured_ms=1.02 + i / 10) for i in range(6)]
    return PageTable(
        name="xeon.json",
        sha256="ef" * 32,
        date="2026-11-22T06:48:00+00:00",
        context=ContextFacts.from_json(context),
        validation=ValidationFigures(mape=0.0213, noise_floor_mape=0.0112, num_subnets=20),
        nets=(*nets, TimedNet(name="finalist 1", predicted_ms=1.3, measured_ms=1.25, is_finalist=True)),
        breakdown=BreakdownFacts.from_json(breakdown),
        remarks=("this machine is noisy",),
    )


def export() -> PageExport:
    return PageExport(
        folder="export/trt", manifest=Manifest.from_json(WRITTEN["Manifest"]), parity=ParityFile.from_json(WRITTEN["ParityFile"])
    )


def rows() -> tuple[CandidateRow, ...]:
    found = [
        candidate(OTHER_ARCH, measured=None) | {"latency_ms_predicted": 1.0 + i / 20, "top1": 0.9 + (i % 7) / 100}
        for i in range(20)
    ]
    return tuple(CandidateRow.from_json(each) for each in [*found, candidate(ARCH)])


def a_page(**changes: Any) -> ResultsPage:
    """With every section."""
    retrain = side_by_side().result
    picture = TrainingPicture(
        epochs=(1, 2, 3), loss=(2.0, 1.0, 0.5), select={"smallest": {1: 0.5, 3: 0.8}, "largest": {1: 0.6, 3: 0.9}}, title="supernet"
    )
    whole = ResultsPage(
        run="edgenas-run",
        made="2026-11-29 19:02",
        space="pvt-nano",
        positive=CLASSES[0],
        stages=tuple(StageFacts(name=name, state="there", made="2026-11-22 06:48", command="") for name in STAGES),
        deployed=DeployedNet(
            name="searched",
            weights="finetuned",
            weights_sha256=WRITTEN["Manifest"]["weights"]["sha256"],
            arch=ARCH,
            params=131_338,
            macs=2_345_678,
            metrics=retrain.net.metrics,
            latency_ms_predicted=1.234,
            latency_ms_upper=1.3,
            latency_ms_measured=1.187,
            notes=("the searched net is better on select",),
        ),
        judged=judged(),
        search=proven_search().result,
        rows=rows(),
        cost="latency_ms_predicted",
        retrain=retrain,
        compare=comparison().result,
        fidelity=fidelity().result,
        table=table(),
        curves=(picture,),
        exports=(export(),),
        data=data_sheet(),
        settings={"data": {"source": "csv:x-rays.csv", "positive": None}, "train": {"epochs": 30}},
        versions={"python": "3.11.9", "edgenas": "0.1.0"},
        hashes={"search/result.json": "12" * 32},
    )
    return replace(whole, **changes)


def nothing_yet() -> ResultsPage:
    """As it is after `init` alone."""
    commands = {
        "latency table": "edgenas profile",
        "teacher": "edgenas train",
        "supernet": "edgenas train",
        "search": "edgenas search --latency-ms MS",
    }
    commands |= {"retrain": "edgenas retrain --baseline", "export": "edgenas export --format onnx", "compare": "edgenas compare"}
    commands |= {"fidelity": "edgenas fidelity", "data": ""}
    stages = tuple(
        StageFacts(name=name, state="missing" if command else "there", made=None, command=command)
        for name, command in commands.items()
    )
    gone = dict.fromkeys(("deployed", "judged", "search", "retrain", "compare", "fidelity", "table"))
    return a_page(stages=stages, rows=(), curves=(), exports=(), **gone)
