"""What a terminal shows of every command: nothing that matters is cut off, and names are shown as they are."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from edgenas.cli import COMMANDS
from edgenas.records import (
    CandidateRow,
    ComparePicture,
    CompareResult,
    CountResult,
    DemoResult,
    DoctorResult,
    EvaluateResult,
    ExportResult,
    FidelityReport,
    InfoResult,
    InitResult,
    LookResult,
    ParetoPicture,
    PlanResult,
    PredictResult,
    ProfileAnswer,
    PromisedQuantile,
    RecipesResult,
    ReportResult,
    RetrainResult,
    RunResult,
    SearchResult,
    ServeResult,
    SettingsResult,
    SpacesResult,
    TablesCompared,
    TableShown,
    TablesListed,
    TablesMerged,
    TableValidated,
    TrainResult,
    VerifyResult,
)
from edgenas.report.compare import compare_plot
from edgenas.report.pareto import pareto_plot
from edgenas.report.terminal import Screen
from edgenas.report.views import VIEWS
from edgenas.runs import Epoch, Note, Outcome, Picture, Progress, Record

ARCH = {"pool_size": 2, "depths": [2, 2, 1, 1], "qkv_dims": [4, 8, 32, 16], "mlp_ratios": [4, 4, 2, 4]}
OTHER_ARCH = {"pool_size": 4, "depths": [1, 2, 3, 1], "qkv_dims": [8, 16, 8, 64], "mlp_ratios": [2, 4, 4, 2]}
POSITIVE = "covid-19"
CLASSES = (POSITIVE, "normal", "pneumonia")


def share(value: float, low: float, high: float, n: int) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "n": n}


def metrics(classes: tuple[str, ...] = CLASSES) -> dict[str, Any]:
    """What `training.evaluation.report` says of a net."""
    shares = [share(0.9512, 0.8641, 0.9833, 61), share(1.0, 0.9899, 1.0, 377), share(0.8725, 0.7934, 0.9243, 102)]
    return {
        "n": 540,
        "top1": share(0.9704, 0.9525, 0.9817, 540),
        "top1_decision": share(0.9667, 0.9480, 0.9788, 540),
        "sensitivity": dict(zip(classes, shares, strict=True)),
        "balanced_accuracy": 0.9412,
        "confusion_matrix": [[58, 2, 1], [0, 377, 0], [5, 8, 89]],
        "positive": classes[0],
        "threshold": 0.31,
        "most_frequent": {"class_name": classes[1], "share": share(0.6981, 0.6581, 0.7353, 540)},
        "threshold_choice": {
            "threshold": 0.31,
            "split": "calibrate",
            "floor": 0.95,
            "confidence": None,
            "is_asked": False,
            "is_shown": True,
            "sensitivity": share(0.9583, 0.8602, 0.9885, 48),
            "false_alarms": share(0.0311, 0.0179, 0.0536, 386),
        },
    }


def net(arch: Mapping[str, Any], classes: tuple[str, ...] = CLASSES) -> dict[str, Any]:
    """One net as `retrain` reports it."""
    return {
        "arch": arch,
        "weights": "finetuned",
        "epochs": 15,
        "params": 131_338,
        "macs": 2_345_678,
        "latency_ms_predicted": 1.234,
        "latency_ms_measured": 1.187,
        "split": "test",
        **metrics(classes),
        "baseline": None,
    }


def candidate(arch: Mapping[str, Any], *, rejected_by: tuple[str, ...] = (), measured: float | None = 1.187) -> dict[str, Any]:
    """The contract's CAND."""
    return {
        "arch": arch,
        "params": 131_338,
        "macs": 2_345_678,
        "latency_ms_predicted": 1.234,
        "latency_ms_upper": 1.301,
        "latency_ms_measured": measured,
        "top1": 0.9412,
        "top1_confirm": share(0.9389, 0.8921, 0.9663, 180),
        "sensitivity": {POSITIVE: share(0.9512, 0.8641, 0.9833, 61)},
        "generation": 3,
        "origin": "mutation",
        "rejected_by": list(rejected_by),
    }


def row(**changes: Any) -> CandidateRow:
    """A candidate that differs from `candidate`."""
    return CandidateRow.from_json(candidate(ARCH) | changes)


def parity(verdict: str, reason: str = "", *, emulated: dict[str, Any] | None = None) -> dict[str, Any]:
    """The contract's PARITY; nothing was compared where it did not run."""
    ran = verdict != "not_run"
    agreement = {"name": "min_top1_agreement", "limit": 0.99, "value": 0.9981, "low": 0.9896, "high": 0.9997, "verdict": verdict}
    return {
        "verdict": verdict,
        "reason": reason,
        "reference": "PyTorch fp32 on this CPU",
        "num_images": 540 if ran else 0,
        "num_positives": 61 if ran else None,
        "top1_agreement": 0.9981 if ran else None,
        "flips": {POSITIVE: 1} if ran else {},
        "new_false_negatives": 1 if ran else None,
        "new_false_positives": 2 if ran else None,
        "logits": {"max_abs": 0.0123 if ran else None, "mean_abs": 1e-4 if ran else None, "min_cosine": 1.0 if ran else None},
        "gates": [agreement] if ran else [],
        "decision": {"flips": 1 if ran else 0, "agreement": share(0.9981, 0.9896, 0.9997, 540) if ran else None},
        "emulated": emulated,
    }


def exported(name: str, judged: dict[str, Any]) -> dict[str, Any]:
    """One file as `export` reports it."""
    kind = "engine" if name.endswith("engine") else "onnx"
    return {
        "path": f"export/trt/{name}",
        "kind": kind,
        "runtime": "tensorrt-rtx" if kind == "engine" else "onnxruntime-cpu",
        "precision": "fp16",
        "batch_size": 1,
        "targets": ["sm86"] if kind == "engine" else [],
        "size_bytes": 654_321,
        "sha256": "0" * 64,
        "emulation": None,
        "notes": PROVEN if kind == "engine" else {},
        "parity": judged,
    }


PROVEN = {
    "precision_share": "99.8 % of multiply-accumulates and 90.1 % of operators in fp16",
    "precision_proof": "types of the network",
    "precision_rest": "1 Gemm (gives the logits), 26 LayerNormalization (sums of squares)",
    "rebuild_words": "3 builds, byte-identical, one network, latency and outputs not compared",
}


MOST_FREQUENT = {"class_name": "normal", "share": share(0.9, 0.88, 0.92, 820)}
NO_GPU = "tensorrt-rtx cannot run here: no NVIDIA driver (libcuda.so.1 is missing)"


def init(classes: tuple[str, ...] = CLASSES) -> Outcome[InitResult]:
    sizes = {"train": (281, 1713, 462), "select": (94, 571, 154), "confirm": (61, 380, 102), "calibrate": (48, 304, 82)}
    splits = {name: dict(zip(classes, counts, strict=True)) for name, counts in sizes.items()}
    result = {
        "data": "folder:/data/x-rays",
        "num_images": 4_252,
        "num_excluded": 0,
        "num_not_drawn": 0,
        "notes": [],
        "classes": list(classes),
        "positive": classes[0],
        "space": {"name": "pvt-nano", "num_subnets": 62_208},
        "task": {"num_classes": 3, "in_channels": 3, "image_px": 32},
        "splits": splits,
        "fingerprint": "f" * 64,
        "provable": ["94 images of covid-19 in select prove a sensitivity of at most 96.1 %; 99 % needs 381, about 1,500 more"],
    }
    return Outcome(InitResult.from_json(result), {"config": Path("run/edgenas.toml")})


def look() -> LookResult:
    """Two spaces with nets that fit, one of them by a hair, and one without."""

    def row(space: str, image_px: int, least_ms: float, share: float, best_macs: int, **more: Any) -> dict[str, Any]:
        net = {"image_px": image_px, "params": 10**6, "macs": 10**7, "latency_ms": least_ms}
        found = {
            "share": share,
            "num_fitting": share * 1e19,
            "best_macs": best_macs,
            "nets": {"smallest": net},
            "least_ms": least_ms,
        }
        of = {"space": space, "image_px": image_px, "purpose": "photos", "num_subnets": 10**19, "needs_images": 0}
        return of | found | more

    training = {"quick_s": 77.4, "quick_epochs": 10, "full_s": 309.6, "full_epochs": 40}
    rows = [
        row("pvt-elastic-32", 256, 0.8153, 0.0634, 193_600_000, training=training),
        row("autoformer-[base]", 224, 1.674, 2.2e-7, 263_800_000),
        row("pvt-covidx", 128, 23.91, 0.0, 0),
    ]
    chosen = {"space": "pvt-elastic-32", "image_px": 256, "words": "pvt-elastic-32 at 256 px: 6.3e17 of its nets fit into 5 ms"}
    reasons = {"autoformer-[base]": "100,000 training images are asked for, there are 81", "pvt-covidx": "nothing fits"}
    timing = {"device": "Intel Xeon 6975P-C", "runtime": "onnxruntime-cpu", "precision": "fp32", "batch_size": 1, "threads": 1}
    facts = {"limit_ms": 5.0, "num_images": 81, "images_px": 256, "seconds": 148.2, "date": "2026-11-29T15:56:49+00:00"}
    return LookResult.from_json(timing | facts | {"rows": rows, "chosen": chosen, "set_aside": reasons})


def doctor() -> Outcome[DoctorResult]:
    works = {"works": True, "reason": "ran a tiny net", "fix": "", "version": "1.23.2", "device": "Intel Xeon 6975P-C"}
    fails = {"works": False, "reason": NO_GPU, "fix": "install an NVIDIA driver", "version": "", "device": ""}
    runtimes = [{"name": "onnxruntime-cpu", **works}, {"name": "tensorrt-rtx", **fails}]
    formats = [{"name": "onnx", **works}, {"name": "trt", **fails}]
    return Outcome(DoctorResult.from_json({"runtimes": runtimes, "formats": formats}))


def train() -> Outcome[TrainResult]:
    subnets = {name: share(0.9, 0.8821 + i / 100, 0.95, 1_000) for i, name in enumerate(("smallest", "random", "largest"))}
    teacher = {"name": "timm:test_resnet", "select_top1": share(0.9704, 0.9525, 0.9817, 540)}
    return Outcome(
        TrainResult.from_json(
            {"teacher": teacher, "supernet": {"epochs": 40, "select_top1": subnets}, "most_frequent": MOST_FREQUENT}
        )
    )


def profile() -> Outcome[ProfileAnswer]:
    context = {
        "device": "Intel Xeon 6975P-C",
        "device_kind": "cpu",
        "runtime": "onnxruntime-cpu",
        "runtime_version": "1.23.2",
        "precision": "fp32",
        "batch_size": 1,
        "threads": 2,
        "scope": "end_to_end",
        "spinning": False,
        "details": {},
    }
    result = {"table": "latency/t.json", "context": context, "num_entries": 77, "num_nets_timed": 96, "seconds": 61.4}
    more = {"table_sha256": "0" * 64, "validation": VALIDATION | {"rows": []}, "promises": [BOUND]}
    return Outcome(ProfileAnswer.from_json(result | more))


VALIDATION = {
    "num_subnets": 20,
    "mape": 0.0213,
    "within_5": 0.9,
    "within_10": 0.95,
    "p95_error": 0.0641,
    "kendall_tau": 0.9371,
    "noise_floor_mape": 0.0112,
}
ENDS = {"arch": ARCH, "params": 131_338, "macs": 2_345_678}
SPACE = {"name": "pvt-nano", "num_subnets": 62_208, "feasible_share": 0.4321, "is_exact": True}
SPACE |= {"smallest": ENDS, "median": ENDS, "largest": ENDS}
BOUND = {
    "quantile": "p95",
    "confidence": 0.95,
    "factor": 1.2345,
    "num_nets": 40,
    "num_runs": 36,
    "coverage": share(0.95, 0.751, 0.999, 20),
    "slack": share(0.087, 0.061, 0.113, 20),
}


def plan(*, is_exact: bool = True) -> Outcome[PlanResult]:
    fits = {k: v for k, v in candidate(ARCH, measured=None).items() if k.startswith(("arch", "params", "macs", "latency"))}
    fits |= {"depth": 6, "mean_width": 151.7, "used": {"latency_ms": 0.97}}
    seconds = {"value": 754.0, "low": 701.0, "high": 9_876.0, "n": 40}
    part = {"seconds": seconds, "epochs": 40, "steps": 1_234, "batch_size": 64, "step_ms": seconds, "evaluation_s": 1.0}
    feasible = share(0.4321, 0.4321, 0.4321, 62_208) if is_exact else share(0.4321, 0.4299, 0.4343, 200_000)
    result = {
        "space": SPACE
        | {"is_exact": is_exact, "feasible": feasible, "num_feasible": {"value": 26_880, "low": 26_743, "high": 27_017}},
        "limits": {"latency_ms": 1.25, "macs": 2_000_000},
        "table": None,
        "tables": {},
        "rejected": {"latency_ms": 35_328, "macs": 0},
        "promises": {"latency_ms": BOUND},
        "nets": {"largest_macs": fits, "deepest": fits | {"depth": 8}, "fastest": fits},
        "method": "enumeration" if is_exact else "evolution",
        "binding": ["latency_ms"],
        "device": "cpu",
        "training": {"teacher": part | {"net": "self", "is_done": True}, "supernet": part | {"net": "pvt-nano", "is_done": False}},
        "search": {"seconds": seconds, "nets": 288, "images": 270},
        "probes": {"teaching": {"seconds": seconds, "nets": 5, "epochs": 23, "steps": 1_499}},
        "proof": {"seconds": seconds, "epochs": 175, "nets": 16, "first_epochs": 6, "last_nets": 5, "last_epochs": 19},
        "retrain": {
            "alone": {"seconds": seconds, "epochs": 70, "ways": 2},
            "baseline": {"seconds": seconds, "epochs": 731, "ways": 4, "hand_designed": 9},
        },
    }
    return Outcome(PlanResult.from_json(result))


def latency_tables() -> Outcome[TableShown]:
    """What `edgenas tables show` says."""
    machine = {"num_cores": 2, "other_cores": 0.31, "steal_share": 0.004, "governors": None, "load_average_before": 1.25}
    gpu = {"driver": "590.44", "sm_clock_mhz": {"min": 1100, "max": 1980}, "power_w": None, "throttle_reasons": ["power limit"]}
    parts = [
        {"stage": 1, "kind": "block", "num": 2, "ms": 0.5, "share": 0.5},
        {"stage": None, "kind": "frame", "num": 9, "ms": 0.51, "share": 0.51},
        {"stage": None, "kind": "call", "num": 1, "ms": -0.01, "share": -0.01},
    ]
    quantiles = {"p50_ms": 1.44, "p90_ms": 1.55, "p95_ms": 1.61, "p99_ms": 1.72}
    result = {
        "action": "show",
        "table": latency_header(),
        "entries": {"measured": 44, "interpolated": 3, "missing": 1},
        "calibration": {"scale": 1.0625, "offset_ms": -0.0123, "upper_factor": 1.1, "confidence": 0.95, "num_nets": 20},
        "reference": quantiles | {"level_ms": 1.44, "min_ms": 1.4, "mad_ms": 0.0315, "variation": 0.046},
        "measuring": {
            "date": "2026-11-25T06:48:00+00:00",
            "seconds": 60.0,
            "visits": 3,
            "runs_per_visit": 8,
            "warmup_ms": 20.0,
            "machine": [machine, machine | {"gpu": gpu}, machine | {"gpu": {"unknown": "there is no NVML"}}],
        },
        "details": {},
        "remarks": ["this machine is noisy"],
        "nets": [{"name": "median", "arch": ARCH, "predicted_ms": 1.0, "upper_ms": 1.03, "parts": parts}],
    }
    return Outcome(TableShown.from_json(result))


def latency_header() -> dict[str, Any]:
    """What every subcommand says of a table."""
    validation = {"mape": 0.021, "noise_floor_mape": 0.011, "num_subnets": 20}
    return {
        "name": "xeon-6975p-c_onnxruntime-cpu_fp32_b1_pvt-nano",
        "path": "latency_tables/xeon-6975p-c_onnxruntime-cpu_fp32_b1_pvt-nano.json",
        "sha256": "0" * 64,
        "device": "Xeon 6975P-C",
        "device_kind": "cpu",
        "runtime": "onnxruntime-cpu",
        "runtime_version": "1.23.2",
        "precision": "fp32",
        "batch_size": 1,
        "threads": 1,
        "scope": "end_to_end",
        "spinning": False,
        "space": "pvt-nano",
        "task": {"num_classes": 10, "in_channels": 3, "image_px": 32},
        "date": "2026-11-25T06:48:00+00:00",
        "age_days": 12.3,
        "num_entries": 48,
        "validation": validation,
        "source": "edgenas",
        "of_this_device": True,
    }


def found_nets(classes: tuple[str, ...] = CLASSES) -> dict[str, Any]:
    """What a search says whose finalists were measured alone."""
    floor = f"sensitivity[{classes[0]}]"
    winner = candidate(ARCH)
    return {
        "splits_sha256": "0" * 64,
        "supernet_sha256": "1" * 64,
        "space": SPACE,
        "limits": {"latency_ms": 1.25, floor: 0.9},
        "table": None,
        "evaluations": {"candidates": 62_208, "evaluated": 288, "images": 270, "rejected": {"latency_ms": 37_000, floor: 12}},
        "finalists": [winner, candidate(OTHER_ARCH, rejected_by=("latency_ms", floor), measured=1.391)],
        "winner": winner,
        "closest": None,
        "binding": ["latency_ms"],
        "seed": 0,
        "positive": classes[0],
        "most_frequent": dict.fromkeys(("select", "confirm", "both"), MOST_FREQUENT),
    }


def search() -> Outcome[SearchResult]:
    return Outcome(SearchResult.from_json(found_nets()), {"candidates": Path("run/search/search.jsonl")})


def proven_search() -> Outcome[SearchResult]:
    """A search whose finalists were trained alone."""
    result = found_nets()
    proofs = [{"epochs": epochs, "top1": share(0.85, 0.83, 0.87, 500), "score": 0.85} for epochs in (12, 4)]
    rows = [
        row | {"proof": proof, "hand_designed": hand}
        for row, proof, hand in zip(result["finalists"], proofs, (True, False), strict=True)
    ]
    tau = {"value": 0.52, "low": 0.11, "high": 0.78, "n": 16}
    unknown = {"value": None, "low": -1.0, "high": 1.0, "n": 8}
    found = {"num_nets": 16, "epochs": 4, "band": [0.9, 1.0], "num_band": 8, "ranker": "combined"}
    taus = {"tau": {"inherited": tau, "macs": tau}, "tau_band": {"inherited": tau, "macs": unknown}}
    return Outcome(SearchResult.from_json(result | {"finalists": rows, "winner": rows[0], "fidelity": found | taus}))


def retrain(classes: tuple[str, ...] = CLASSES) -> Outcome[RetrainResult]:
    baseline = net(OTHER_ARCH, classes) | {"params": 172_106, "macs": 3_456_789, "latency_ms_measured": 1.391}
    return Outcome(RetrainResult.from_json(net(ARCH, classes) | {"baseline": baseline}))


def side_by_side() -> Outcome[RetrainResult]:
    """What `retrain --baseline` reports: three nets, how they were trained, what they cost, which is better."""
    tries = [
        {"weights": w, "teaching": t, "epochs": e, "seconds": 61.2, "select_top1": share(v, v - 0.03, v + 0.02, 270)}
        for w, t, e, v in (("finetuned", "teacher", 15, 0.9411), ("scratch", "labels", 55, 0.9522))
    ]
    kept = {"weights": "scratch", "teaching": "labels", "epochs": 55, "select_top1": tries[1]["select_top1"], "starts": tries}
    interval = {"value": 0.002, "low": -0.004, "high": 0.008, "n": 540}
    comparison = {"better": "neither", "difference": interval, "p_mcnemar": 0.6, "words": "equal within 0.8 points"}
    worse = comparison | {"better": "cnn", "words": "worse by 3.1 [1.2, 5.1] points than the plain CNN: take the plain CNN"}
    cnn = net(ARCH) | kept | {"arch": None, "width": 12, "params": 34_567, "latency_ms_predicted": None, "comparison": worse}
    cost = {
        "searched": {
            "probes_s": 24.0,
            "teacher_s": 72.0,
            "supernet_s": 330.0,
            "search_s": None,
            "final_s": 90.0,
            "total_s": 516.0,
            "total_epochs": 130,
        },
        "baseline": {"teacher_s": 72.0, "supernet_s": 0.0, "race_s": 66.0, "final_s": 102.0, "total_s": 240.0, "total_epochs": 217},
    }
    by = {"splits": ["select", "confirm"], "searched": share(0.9, 0.8, 0.95, 540), "baseline": share(0.91, 0.81, 0.96, 540)}
    by |= {"weights_sha256": {}, "words": "the hand-made net is to be deployed"}
    more = {"chosen": "baseline", "chosen_by": by, "remarks": ["only a ranker here"]}
    nets = {"baseline": net(OTHER_ARCH) | kept, "cnn": cnn}
    return Outcome(RetrainResult.from_json(net(ARCH) | kept | nets | {"comparison": comparison, "cost": cost} | more))


def comparison(classes: tuple[str, ...] = CLASSES) -> Outcome[CompareResult]:
    ours = {"name": "searched", "kind": "searched", "family": "pvt-nano", "arch": ARCH, "params": 131_338, "macs": 2_345_678}
    ours |= {"image_px": 32, "latency_ms_measured": 4.34, "fits": True, "weights": "finetuned", "epochs": 123, "seconds": 732.0}
    ours |= {"parity": "passed", "false_alarms": share(0.021, 0.01, 0.04, 479), **metrics(classes)}
    rival = ours | {"name": "mobilenetv4_conv_small_035", "kind": "timm", "family": "MobileNetV4", "stem_stride": 1, "fits": False}
    rival |= {"latency_ms_measured": 7.12, "difference": share(0.009, 0.003, 0.015, 540), "p_mcnemar": 0.002, "p_holm": 0.0034}
    rival |= {"better": "searched", "notes": ["its stem strides by 1"], "parity": "undecided", "weights": "scratch"}
    rival |= {"sensitivity_difference": share(0.033, -0.05, 0.11, 61)}
    stranger = rival | {"name": "stranger", "kind": "onnx", "macs": None, "epochs": None, "seconds": None, "parity": "not_run"}
    facts = {"limit_ms": 5.5, "equal": "epochs", "epochs": 123, "seconds": 732.0, "winner": "searched", "verdict": "ahead of all"}
    facts |= {"remarks": ["corrected for 2"], "splits_sha256": "", "searched_sha256": ""}
    return Outcome(CompareResult.from_json(facts | {"nets": [ours, rival, stranger]}))


def fidelity() -> Outcome[FidelityReport]:
    net = {"arch": ARCH, "params": 131_338, "macs": 2_345_678, "latency_ms_predicted": 1.234, "inherited": 0.712}
    known = net | {"alone_log_likelihood": -0.4, "scores": {"dss": 12.0}}
    rows = [known | {"alone": 0.91 - i / 100, "in_band": i < 6} for i in range(12)]
    tau = {name: share(0.52, 0.11, 0.78, 12) for name in ("inherited", "params", "macs", "dss")}
    facts = {"splits_sha256": "", "supernet_sha256": "", "num_nets": 12, "epochs": 30, "images": 5400, "cost": "latency_ms"}
    found = {"band": [1.2, 1.3], "num_band": 6, "tau": tau, "tau_band": tau}
    found |= {"tau_sensitivity": {"inherited": share(0.33, 0, 1, 12)}}
    result = facts | found | {"regret": share(0.004, -0.002, 0.01, 5400), "rows": rows, "seconds": 90.0}
    return Outcome(FidelityReport.from_json(result))


def evaluate(classes: tuple[str, ...] = CLASSES, **changes: Any) -> Outcome[EvaluateResult]:
    result = {"split": "test", "weights": "finetuned", "net": "searched", "arch": ARCH, "params": 131_338, "macs": 2_345_678}
    each = {
        "ppv": share(0.714, 0.6, 0.8, 54),
        "npv": share(0.985, 0.96, 0.99, 480),
        "specificity": share(0.888, 0.85, 0.91, 400),
        "auroc": share(0.963, 0.94, 0.98, 540),
        "ppv_at_prevalence": share(0.222, 0.1, 0.4, 540),
        "npv_at_prevalence": share(0.997, 0.99, 1.0, 540),
    }
    whole = {"macro_f1": share(0.876, 0.8, 0.9, 540), "calibration_error": share(0.043, 0.02, 0.07, 540), "prevalence": 0.02}
    scores = {"scores": {"classes": dict.fromkeys(classes, each), **whole}}
    return Outcome(EvaluateResult.from_json({**result, **metrics(classes), **scores, **changes}))


def test_published_rows_stand_beside_and_say_that_they_are_reported() -> None:
    row = {"name": "COViT, the teacher", "source": "its README", "dataset": "COVIDx8A test", "top1": 0.9284}
    both = {"sensitivity": {"covid-19": 0.9299}, "ppv": {"covid-19": 0.9755}, "note": "16 images are in train, too"}
    other = {"name": "COViT++", "source": "README", "dataset": "COVIDx8A test", "top1": 0.8854}
    text = drawn("evaluate", evaluate(published=[{**row, **both}, other]), 100)
    assert "As reported by its authors, not measured here" in text
    lines = {line.split("  ")[0].strip(): line.split() for line in text.splitlines() if line.startswith(" COViT")}
    assert lines["COViT, the teacher"][-3:] == ["92.84", "92.99", "97.55"]
    assert lines["COViT++"][-3:] == ["88.54", "–", "–"]
    assert "16 images are in train, too" in text
    assert "reported" not in drawn("evaluate", evaluate(), 100)


def test_evaluate_shows_sensitivity_and_ppv_of_a_class_in_one_line() -> None:
    text = drawn("evaluate", evaluate(), 80)
    lines = [line for line in text.splitlines() if "(positive)" in line]
    assert len(lines) == 1
    assert "71.4 [60.0, 80.0]" in lines[0]  # PPV
    assert max(map(len, text.splitlines())) <= 80


def export() -> Outcome[ExportResult]:
    emulated = parity("passed")
    files = [
        exported("model-fp16-b1.onnx", parity("undecided", "min_top1_agreement 0.9981 of 540 does not decide 0.99")),
        exported("model-fp16-b1-sm86.engine", parity("not_run", NO_GPU, emulated=emulated)),
    ]
    result = {"artifact": "export/trt", "verdict": "undecided", "weights": "finetuned", "net": "searched", "files": files}
    return Outcome(ExportResult.from_json(result), {"artifact": Path("run/export/trt")})


def benched() -> Outcome[ExportResult]:
    """Two artefacts that were timed in turn, with the net itself and a file that cannot run here."""
    calls = {"calls": 672, "calls_needed": 64, "upper_ms": 3.4, "confidence": 0.99}
    few = {"calls": 168, "calls_needed": 662, "upper_ms": None, "confidence": 0.99}
    common = {
        "runtime_version": "1.31.1",
        "device": "AMD EPYC",
        "mad_ms": 0.02,
        "batch_size": 1,
        "size_bytes": 9,
        "sha256": "0" * 64,
    }

    def row(artifact: str, path: str, runtime: str, precision: str, ms: float, times: tuple[float, ...], **more: Any) -> Any:
        ratio = dict(zip(("value", "low", "high"), times, strict=True)) | {"n": 21}
        percentiles = {"p90": calls | {"ms": 1.1 * ms}, "p99": calls | {"ms": 1.2 * ms}}
        name = {"artifact": artifact, "path": path, "runtime": runtime, "precision": precision}
        return {
            **name,
            **common,
            "latency_ms": ms,
            "calls": 672,
            "percentiles": percentiles,
            "ratio": ratio,
            "parity": "passed",
            **more,
        }

    baseline = row("export/onnx", "model-fp32-b1.onnx", "onnxruntime-cpu", "fp32", 2.5, (1.0, 1.0, 1.0))
    fast = row("export/openvino", "model-fp32-b1.xml", "openvino-cpu", "fp32", 1.6, (0.64, 0.62, 0.66))
    int8 = row("export/onnx-int8", "model-int8-b1.onnx", "onnxruntime-cpu", "int8", 1.2, (0.48, 0.47, 0.49), parity="failed")
    itself = row("", "", "torch-cpu", "fp32", 9.1, (3.64, 3.2, 4.0), parity=None, calls=168, percentiles={"p90": few | {"ms": 9.9}})
    name = ("artifact", "path", "runtime", "precision", "ratio")
    words = (
        "fastest here with its gates passed: export/openvino/model-fp32-b1.xml in openvino-cpu, fp32, 0.64 [0.62, 0.66] of the time"
    )
    left = {"artifact": "export/trt", "path": "model-fp16-b1-sm86.engine", "runtime": "tensorrt-rtx", "reason": NO_GPU}
    facts = {"created_by": "edgenas 1", "device": "AMD EPYC", "threads": 2, "batch_size": 1, "weights_sha256": "0" * 64}
    facts |= {"baseline": {key: baseline[key] for key in name[:4]}, "rows": [int8, fast, baseline, itself], "left_out": [left]}
    facts |= {"choice": {**{key: fast[key] for key in name}, "words": words}, "visits": 21, "seconds": 80.0}
    facts |= {"why": ["export/onnx-int8/model-int8-b1.onnx in onnxruntime-cpu, int8, takes 0.48, but its gates failed"]}
    one = export().result.as_json()
    two = one | {"artifact": "export/onnx-int8", "verdict": "failed", "files": [exported("model-int8-b1.onnx", parity("failed"))]}
    result = ExportResult.from_json(one | {"artifacts": [one, two], "bench": facts})
    return Outcome(result, {"artifact": Path("run/export/trt"), "bench": Path("run/export/bench.json")})


def test_export_says_what_its_files_compute_in_and_what_does_not() -> None:
    text = " ".join(drawn("export", export(), 80).split())
    assert "precision: 99.8 % of multiply-accumulates and 90.1 % of operators in fp16 (proof: types of the network)" in text
    assert "not: 1 Gemm (gives the logits), 26 LayerNormalization (sums of squares)" in text
    assert "model-fp16-b1-sm86.engine: 3 builds, byte-identical" in text


def verify() -> Outcome[VerifyResult]:
    checks = [
        {"path": "README.md", "name": "sha256", "verdict": "passed", "reason": "812 bytes"},
        {"path": "model.onnx", "name": "sha256", "verdict": "passed", "reason": "654321 bytes"},
        {"path": "model.onnx", "name": "precision", "verdict": "passed", "reason": "100.0 % of operators in fp32"},
        {"path": "model.onnx", "name": "golden", "verdict": "failed", "reason": "largest error 0.21 of the largest logit"},
        {"path": "model.engine", "name": "golden", "verdict": "not_run", "reason": NO_GPU},
    ]
    result = VerifyResult.from_json({"artifact": "run/export/trt", "verdict": "failed", "checks": checks})
    return Outcome(result, {"artifact": Path("run/export/trt")})


def report() -> Outcome[ReportResult]:
    result = {
        "page": "report/index.html",
        "size_bytes": 1_234_567,
        "sections": ["errors", "nets"],
        "missing": {"rivals": "edgenas compare", "device": "edgenas export --format onnx"},
        "older_than": ["search/result.json", "retrain/result.json"],
        "images": 68,
        "unread": ["search: it is damaged"],
    }
    return Outcome(ReportResult.from_json(result), {"page": Path("run/report/index.html")})


def info() -> Outcome[InfoResult]:
    stages = [
        {"name": "data", "state": "there", "made": "2026-11-22 06:48", "command": ""},
        {"name": "latency table", "state": "missing", "made": None, "command": "edgenas profile"},
    ]
    loader = {"images_per_second": 1234.5, "workers": 2, "cached": False, "num_images": 640}
    versions = {"python": "3.11.9", "torch": "2.11.0"}
    result = {"run": "edgenas-run", "stages": stages, "loader": loader, "settings": {}, "versions": versions}
    return Outcome(InfoResult.from_json(result | {"space": {"name": "pvt-nano", "num_subnets": 62_208}}))


def deployed() -> dict[str, Any]:
    return {
        "artifact": "edgenas-run/export/onnx",
        "file": "model-fp32-b1.onnx",
        "runtime": "onnxruntime-cpu 1.23",
        "device": "AMD EPYC",
        "positive": POSITIVE,
        "threshold": 0.31,
        "refer": [0.2, 0.4],
    }


def predicted(path: str = "door.png") -> Outcome[PredictResult]:
    p = {POSITIVE: 0.339, "normal": 0.461, "pneumonia": 0.2}
    rows = [
        {"path": path, "class": "normal", "probability": 0.461, "decision": POSITIVE, "referred": True, "probabilities": p},
        {"path": "b.png", "class": "normal", "probability": 0.91, "decision": "normal", "referred": False, "probabilities": p},
        {"path": "text.png", "error": "text.png is no image that can be read (8 bytes)"},
    ]
    sums = {"num_images": 5, "num_errors": 1, "num_referred": 1, "decisions": {POSITIVE: 1, "normal": 3, "pneumonia": 0}}
    return Outcome(PredictResult.from_json({"rows": rows, "images_per_s": 212.4, "deployed": deployed(), **sums}))


def served() -> Outcome[ServeResult]:
    result = {"deployed": deployed(), "address": "http://127.0.0.1:8000", "seconds": 3600.4, "num_requests": 1204}
    return Outcome(ServeResult.from_json(result | {"num_images": 1310, "num_errors": 7}))


def demo(classes: tuple[str, ...] = CLASSES) -> Outcome[DemoResult]:
    verdicts = [
        {"name": "parity model-fp32-b1.onnx", "verdict": "passed", "reason": "100.0% of 397 images agree, 0 newly missed"},
        {"name": "parity model-fp16-sm86.engine", "verdict": "not_run", "reason": NO_GPU},
    ]
    result = {
        "run": "edgenas-demo",
        "latency_limit_ms": 0.777,
        "device": "Intel Xeon 6975P-C",
        "runtime": "onnxruntime-cpu",
        "latency_validation": VALIDATION,
        "feasible_share": 0.5,
        "winner": net(ARCH, classes),
        "baseline": net(OTHER_ARCH, classes) | {"latency_ms_measured": 1.391},
        "verdicts": verdicts,
        "seconds": 213.4,
        "peak_memory_mb": 1_234.0,
    }
    return Outcome(DemoResult.from_json(result), {"result": Path("edgenas-demo/demo.json")})


def new_demo(
    classes: tuple[str, ...] = CLASSES, *, missed: tuple[str, ...] = ("edgenas-demo/missed/a.png",)
) -> Outcome[DemoResult]:
    """As `demo` ends today: beside rivals, with pictures and the page."""
    words = ("ahead of the best hand-made net by 0.9 [0.3, 1.5] points; both within", "not told apart from timm's starnet (0.2 [-")
    more = {"task": "photos of clothes", "words": words, "is_ahead": False, "missed": missed}
    found = demo(classes).result
    return Outcome(
        replace(found, baseline=None, comparison=comparison(classes).result, page="edgenas-demo/report/index.html", **more)
    )


def spaces() -> Outcome[SpacesResult]:
    named = {"name": "Net-T", "arch": ARCH, "reported": REPORTED}
    ends = {"smallest": {"params": 82_106, "macs": 627_000}, "largest": {"params": 242_000, "macs": 1_800_000}}
    choices = [
        {"name": "pool_size", "options": [2, 4], "active_when": None},
        *({"name": f"depths[{n}]", "options": [1, 2, 3] if n == 2 else [1, 2], "active_when": None} for n in range(4)),
        {"name": "blocks[1].qkv", "options": [16, 24], "active_when": {"choice": "depths[0]", "values": [2]}},
        {"name": "blocks[2].qkv", "options": [16, 24], "active_when": {"choice": "depths[0]", "values": [2]}},
        {"name": "qkv_dims", "options": [[8, 16], [16, 32]], "active_when": None},
    ]
    task = {"num_classes": 1000, "in_channels": 3, "image_px": 224}
    space = {"name": "autoformer-small", "family": "autoformer", "num_subnets": 77_100_000_000_000, "num_genes": 44, "task": task}
    said = {"purpose": "photos: [wide] nets of one kind", "needs_images": 100_000}
    return Outcome(SpacesResult.from_json({"spaces": [space | ends | said | {"choices": choices, "named": [named]}]}))


REPORTED = {
    "source": "Its README",
    "top1": 0.8854,
    "dataset": "COVIDx8A",
    "params": 3_161_987,
    "macs": 295_827_000,
    "note": "does not reproduce [1]",
}


def counted(*, num: int = 1, wrong: bool = False, ancestor: bool = True) -> Outcome[CountResult]:
    row = {"params": 131_338, "macs": 2_345_678, "reference_macs": 2_345_000, "ancestor_macs": 2_222_222 if ancestor else None}
    row |= {"arch": ARCH, "name": "Net-T" if num == 1 else None, "reported": REPORTED if num == 1 else None}
    row |= {"built": {"params": 131_338, "macs": 2_345_679 if wrong else 2_345_678}}
    task = {"num_classes": 10, "in_channels": 3, "image_px": 32}
    return Outcome(CountResult.from_json({"space": "pvt-nano", "task": task, "rows": [row] * num}))


def recipes() -> Outcome[RecipesResult]:
    explained = [
        {
            "key": "train.supernet_drop_path_rate",
            "value": 0.1,
            "default": 0.0,
            "why": "linear from 0",
            "meaning": "of the supernet",
        },
        {"key": "teacher.name", "value": "timm:pvt_v2_b2_li+mlp", "default": "auto", "why": "", "meaning": "who teaches [1]"},
        {"key": "train.flip", "value": False, "default": None, "why": "no mirror", "meaning": ""},
    ]
    row = {"name": "covit-teacher", "title": "The teacher [1]", "trains": "teacher", "source": "COViT", "suits": "pvt-covidx"}
    row |= {"settings": {"train": {"flip": False}}, "departures": ["nothing is downloaded [2]"], "explained": explained}
    return Outcome(RecipesResult.from_json({"rows": [row]}))


def whole_run() -> Outcome[RunResult]:
    estimate = {"value": 150.0, "low": 100.0, "high": 200.0, "n": 3}
    stages = [
        {"name": "init", "state": "kept", "seconds": 12.3, "words": "330 images of [3] classes"},
        {"name": "train", "state": "done", "seconds": 150.0, "estimate": estimate, "words": "largest subnet 97.0 % [95.2, 98.2]"},
        {"name": "evaluate", "state": "failed", "seconds": 3.21, "words": "nothing meets the floor"},
        {"name": "export", "state": "not reached"},
    ]
    return Outcome(RunResult.from_json({"stages": stages, "seconds": 153.0, "quick": False, "results": {}}))


def settings(*, single: bool = False) -> Outcome[SettingsResult]:
    rows = [
        {"key": "train.supernet_drop_path_rate", "default": 0.0, "value": 0.1, "source": "file", "recipe": "covitpp"},
        {"key": "export.targets", "default": ["sm86", "sm89"], "value": ["sm120"], "source": "flag"},
        {"key": "train.flip", "default": None, "value": True, "source": "default"},
    ]
    words = {"allowed": "a number [1]", "help": "of the supernet [2]"}
    shown = rows[:1] if single else rows
    return Outcome(SettingsResult.from_json({"rows": [row | words for row in shown], "is_single": single}))


METRICS = "97.0 [95.2, 98.2] 95.1 [86.4, 98.3] 100.0 [99.0, 100.0] 87.2 [79.3, 92.4] 540 61 377 102 covid-19 pneumonia"
NETS = "131,338 2,345,678 1.23 1.19 1.39 2·2·1·1 4·8·32·16 4·4·2·4 1·2·3·1 8·16·8·64"
SHOWN: dict[str, tuple[Outcome, str]] = {
    "init": (init(), "covid-19 pneumonia 281 1,713 462 94 61 48 304 82 96.1 381, 1,500"),
    "doctor": (doctor(), "onnxruntime-cpu tensorrt-rtx yes no 1.23.2 6975P-C libcuda.so.1 driver"),
    "spaces": (
        spaces(),
        "autoformer-small 7.7e13 44 224 1000 82.1k–242k 627k–1.8M pool_size depths[0-1, 3] depths[2] 8·16, blocks[1-2].qkv 88.54 "
        "photos: [wide] 100,000 "
        "3,161,987 295,827,000 2·2·1·1 [1] README",
    ),
    "recipes": (
        recipes(),
        "covit-teacher teacher [1] COViT pvt-covidx train.supernet_drop_path_rate 0.1 linear auto no – [2]",
    ),
    "count": (counted(), "131,338 2,345,678 2,345,000 2,222,222 agrees Net-T 4·8·32·16 88.54 3,161,987 [1] README 32 10 3"),
    "train": (train(), "97.0 [95.2, 98.2] 90.0 [88.2, [89.2, [90.2, 95.0] smallest random largest"),
    "profile": (profile(), "6975P-C, onnxruntime-cpu 1.23.2, fp32, 2.1 1.1 90.0 95.0 6.4 0.937 20 77 96 61 p95 1.234 [75.1, 8.7"),
    "tables": (
        latency_tables(),
        "6975P-C, thread, end_to_end; block frame call 0.51 51.0 -1.0 ████████████ 44 3 1 1.062 -0.0123 2.1 1.1 1.72 0.0315 4.6 "
        "0.31 unknown, 590.44, 1100 1980 unknown, noisy 1.03 2·2·1·1 NVML)",
    ),
    "plan": (
        plan(),
        "43.2 26,880) 62,208 131 2.35 1.23 1.3 6 8 152 most MACs deepest fastest 2·2·1·1 4·8·32·16 p95 1.234 95.0 [75.1, 99.9] 8.7 "
        "35,328 12.6 11.7 2.74 40 1,234 64 288 270 exactly: already) teach 1,499 proof 16 19 --baseline 731 hand-designed "
        "compare rivals",
    ),
    "search": (search(), "58/61 90.0 1.19 1.39 94.1 93.9 [89.2, 96.6] 131 2.35 288 270 2·2·1·1 4·8·32·16 binding: latency_ms"),
    "retrain": (retrain(), f"{METRICS} {NETS} 172,106 3,456,789"),
    "compare": (
        comparison(),
        "searched stranger 131 2.35 4.34 7.12 5.5 123 12.2 32/1 97.0 [95.2, 98.2] 0.9 [0.3, 1.5] 0.0034 undecided not run "
        "95.1 2.1 [1.0, 4.0] 3.3 61 540 ahead corrected strides finetuned",
    ),
    "fidelity": (
        fidelity(),
        "131 2.35 1.23 71.2 91.0 80.0 0.52 [0.11, 0.78] dss inherited 0.33 0.4 [-0.2, 1.0] 5,400 30",
    ),
    "evaluate": (evaluate(), f"{METRICS} 71.4 98.5 88.8 96.3 22.2 99.7 87.6 4.3 calibration AUROC specificity where 2"),
    "export": (export(), "undecided not run passed 479 99.8 [99.0, 99.97] 0.012 61 540 0.9981 libcuda.so.1"),
    "verify": (verify(), "passed failed not run 0.21 libcuda.so.1 model.onnx model.engine README.md"),
    "report": (report(), "older search/result.json, retrain/result.json; damaged wrong, compare onnx 1.2 68 timm lines"),
    "predict": (
        predicted(),
        "image probability decision door.png 46.1 covid-19 yes text.png read decided referred 25.0 75.0 212 second --csv --json",
    ),
    "serve": (served(), "http://127.0.0.1:8000 1,204 requests predictions, 1,310 images, refused 3,600"),
    "info": (info(), "data there missing 06:48 profile 1,234 loaded 2 3.11.9 2.11.0"),
    "run": (whole_run(), "kept 12.3 done failed 3.21 reached 2.5 330 [3] largest 97.0 [95.2, 98.2] floor 2.55 – 2.76"),
    "settings": (settings(), "[train] [export] train.supernet_drop_path_rate 0.1 covitpp [sm120] flag true [2] default"),
    "demo": (demo(), f"{METRICS} {NETS} 0.777 passed not run 213 100.0% 397 libcuda.so.1 6975P-C"),
}


def drawn(command: str, outcome: Outcome, width: int) -> str:
    """What a terminal of ``width`` columns shows."""
    file = io.StringIO()
    Screen(Console(file=file, width=width, highlight=False)).show(command, outcome)
    return file.getvalue()


def test_the_rules_stand_in_tables_of_their_own_with_how_the_threshold_was_chosen() -> None:
    text = drawn("evaluate", evaluate(), 160)
    order = [text.index(words) for words in ("as decided  ", "accuracy  ", "  false alarms", "macro F1", "by the argmax", "top-1")]
    assert order == sorted(order)
    assert "decided: covid-19 where p(covid-19) ≥ 0.31, else the likeliest of the others" in text
    assert "the highest that finds 95 % on calibrate (default); it finds 46 of 48 there" in text
    assert re.search(r"its specificity +479 +99\.0 ", text)  # 5 of 479 others
    assert re.search(r"its PPV +92\.1 ", text)  # 58 of 63
    assert re.search(r"false alarms +5 of 479", text)
    assert text.count("always normal") == 2
    assert re.search(r"1 covid-19 +58 +2 +1", text)


def test_a_comparison_within_a_limit_on_slow_calls_shows_them_beside_the_medians() -> None:
    found = comparison().result
    slow = [replace(net, fits=False, latency_ms_quantile=PromisedQuantile(quantile="p95", ms=7.77)) for net in found.nets]
    text = drawn("compare", Outcome(replace(found, quantile="p95", nets=tuple(slow))), 160)
    assert "limit 5.5 ms (p95)" in text
    assert text.count("7.77 !") == len(found.nets)


def test_a_limit_on_slow_calls_that_a_finalist_breaks_is_said_with_what_was_found() -> None:
    found = search()
    first, *others = found.result.finalists
    slow = replace(first, rejected_by=(), reasons=None).rejected("latency_ms", "measured 33 ms (p95); asked 12")
    text = drawn("search", replace(found, result=replace(found.result, finalists=(slow, *others), winner=others[0])), 120)
    assert "1 cannot win: latency_ms (measured 33 ms (p95); asked 12)" in text  # its median is in the table


def test_without_a_threshold_there_is_one_rule_and_one_table() -> None:
    text = drawn("retrain", Outcome(RetrainResult.from_json(net(ARCH) | {"threshold": None, "threshold_choice": None})), 100)
    assert "Test split, 95 % intervals: by the argmax" in text
    assert "as decided by the threshold" not in text
    assert "sensitivity covid-19 (positive)" in text


def test_classes_with_short_names_stand_above_their_columns() -> None:
    names, counts = ("0", "1", "no"), [[39, 0, 1], [0, 40, 0], [2, 0, 38]]
    whole = {"sensitivity": dict.fromkeys(names, share(0.9, 0.8, 0.95, 40)), "confusion_matrix": counts, "positive": None}
    whole |= {"threshold": None, "threshold_choice": None}
    text = " ".join(drawn("retrain", Outcome(RetrainResult.from_json(net(ARCH) | whole)), 60).replace("─", "").split())
    assert "is 0 1 no 0 39 0 1 1 0 40 0 no 2 0 38" in text


def test_of_many_classes_the_pairs_that_are_confused_most_are_listed() -> None:
    names = [f"kind {i}" for i in range(20)]
    counts = [[9 if i == j else 3 if (i, j) == (4, 7) else 0 for j in range(20)] for i in range(20)]
    whole = {"sensitivity": dict.fromkeys(names, share(0.9, 0.8, 0.95, 9)), "confusion_matrix": counts, "positive": None}
    whole |= {"threshold": None, "threshold_choice": None}
    text = drawn("retrain", Outcome(RetrainResult.from_json(net(ARCH) | whole)), 100)
    assert re.search(r"kind 4 +kind 7 +3", text)
    assert "Images by class" not in text


@pytest.mark.parametrize("command", ["train", "search", "retrain", "export", "info"])
def test_a_net_that_may_have_learned_nothing_is_said(command: str) -> None:
    common = {"class_name": "normal", "share": share(0.99, 0.98, 1.0, 540)}
    doubted = metrics() | {"most_frequent": common}
    made: dict[str, Outcome[Any]] = {
        "train": Outcome(TrainResult.from_json(train().result.as_json() | {"most_frequent": common})),
        "search": search(),
        "retrain": Outcome(RetrainResult.from_json(net(ARCH) | doubted)),
        "export": replace(
            export(), result=ExportResult.from_json(export().result.as_json() | {"metrics": doubted | {"split": "test"}})
        ),
        "info": Outcome(InfoResult.from_json(info().result.as_json() | {"doubts": ["the net is not shown to be above 99 %"]})),
    }
    assert "is not shown to be above" in " ".join(drawn(command, made[command], 100).split())


def test_export_names_the_rule_that_ships_and_how_its_threshold_was_chosen() -> None:
    judged = ExportResult.from_json(export().result.as_json() | {"metrics": metrics() | {"split": "test"}})
    text = drawn("export", replace(export(), result=judged), 100)
    assert "decided: covid-19 where p(covid-19) ≥ 0.31" in text
    assert "threshold: the highest that finds 95 % on calibrate" in text


def test_the_export_s_verdict_is_repeated_in_its_own_word() -> None:
    word = "equal within rounding"
    assert f"as exported: {word}" in drawn("verify", Outcome(replace(verify().result, exported=word)), 100)
    assert f"export onnx: {word}" in drawn("info", Outcome(replace(info().result, exports={"onnx": word})), 100)
    equal = {"is_equal": True, "max_abs_error": 2e-7, "logits_range": 20.0, "nearest_decision": 0.03}
    files = [exported("model-fp32-b1.onnx", parity("passed") | {"equality": equal})]
    result = ExportResult.from_json(export().result.as_json() | {"files": files, "verdict": "passed", "word": word})
    text = drawn("export", replace(export(), result=result), 100)
    assert f"artefact: {word}" in text
    assert "1.0e-08 of the logits' range; nearest other decision 0.03 away, 150,000 times that" in " ".join(text.split())


def test_what_stays_fp32_and_what_that_costs_is_said_with_the_export() -> None:
    kept = ["blocks.1.attn/MatMul", *(f"blocks.1.mlp/Mul_{i}" for i in range(2, 7))]
    trials = [{"kept": [], "passed": False, "reason": "r"}, {"kept": kept, "passed": True, "reason": ""}]
    repair = {"precision": "fp16", "verdict": "repaired", "split": "calibrate", "num_images": 145, "kept": kept, "trials": trials}
    repair |= {
        "blocks": ["blocks.1"],
        "macs_share": 0.0051,
        "reason": "non_finite_images 3 > 0; first in [blocks.1]/MatMul; and more",
    }
    result = ExportResult.from_json(export().result.as_json() | {"repair": repair})
    words = " ".join(drawn("export", replace(export(), result=result), 80).split())
    listed = "repaired: blocks.1.attn/MatMul, blocks.1.mlp/Mul_2, blocks.1.mlp/Mul_3, blocks.1.mlp/Mul_4 and 2 more stay fp32"
    assert listed in words
    assert "(0.5 % of the multiply-accumulates, 2 attempts on 145 images of calibrate)" in words
    assert words.count("first in [blocks.1]/MatMul") == 1
    assert "and more" not in words.partition("repaired:")[2]
    needless = ExportResult.from_json(export().result.as_json() | {"repair": repair | {"verdict": "not_needed"}})
    assert "repaired" not in drawn("export", replace(export(), result=needless), 80)


@pytest.mark.parametrize("width", [60, 80, 110, 160])
def test_artefacts_in_turn_are_shown_with_calls_gates_and_what_is_recommended(width: int) -> None:
    text = drawn("export", benched(), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    words = " ".join(text.split())
    for part in (
        "artefact export/trt: undecided",
        "artefact export/onnx-int8: failed",
        "In turn on AMD EPYC, 2 threads, batch 1: 21 visits to each",
        "baseline: export/onnx/model-fp32-b1.onnx in onnxruntime-cpu",
        "168 to 672 calls behind each row",
        "not timed: export/trt/model-fp16-b1-sm86.engine in tensorrt-rtx:",
        "but its gates failed",
        "0.64 [0.62, 0.66]",
        "(9.9)",
    ):
        assert part in words, part
    assert words.endswith("fp32, 0.64 [0.62, 0.66] of the time")


def test_files_that_were_not_timed_for_one_reason_share_a_sentence() -> None:
    bench = benched().result.bench
    assert bench is not None
    (left,) = bench.left_out
    others = [replace(left, path="model-fp16-b1-sm80.engine"), replace(left, reason="it is damaged")]
    result = replace(benched().result, bench=replace(bench, left_out=type(bench.left_out)([left, *others])))
    words = " ".join(drawn("export", Outcome(result, {}), 80).split())
    assert words.count("not timed: ") == 2
    assert "not timed: export/trt/model-fp16-b1-sm86.engine, export/trt/model-fp16-b1-sm80.engine in tensorrt-rtx: " in words


def test_where_nothing_was_written_what_was_timed_is_all_that_is_shown() -> None:
    text = drawn("export", Outcome(replace(benched().result, only_timed=True), {}), 80)
    assert "artefact" not in text
    assert "In turn on AMD EPYC" in text
    assert "fastest here with its gates passed" in " ".join(text.split())


def test_what_was_timed_is_a_table_at_80_columns() -> None:
    rows = [line.split() for line in drawn("export", benched(), 80).splitlines()]
    assert ["openvino/model-fp32-b1.xml", "1.6", "1.76", "1.92", "0.64", "[0.62,", "0.66]", "passed"] in rows


def test_a_proof_is_shown_beside_inherited_accuracy() -> None:
    text = drawn("search", proven_search(), 160)
    assert "→ 1 hand" in text
    assert "85.0 [83.0, 87.0]" in text
    assert "Kendall's tau [95 %] with 16 nets alone for 4 epochs" in text
    assert re.search(r"inherited +0\.52 \[0\.11, 0\.78\] +0\.52", text)
    assert re.search(r"macs +0\.52 \[0\.11, 0\.78\] +–", text)
    assert "winner: hand-designed" in text


def test_a_slow_start_is_no_rate_of_nothing() -> None:
    outcome = predicted()
    assert "5 images, 0.42 a second" in drawn("predict", Outcome(replace(outcome.result, images_per_s=0.4217)), 80)


def test_every_command_has_a_view_and_an_example_here() -> None:
    assert set(VIEWS) == set(SHOWN) == set(COMMANDS)


@pytest.mark.parametrize(("command", "width"), [(name, width) for name in SHOWN for width in (60, 80, 110, 160)])
def test_nothing_that_matters_is_cut_off(command: str, width: int) -> None:
    outcome, words = SHOWN[command]
    text = drawn(command, outcome, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert [word for word in words.split() if word not in text.split() and word not in text.replace("(", " ").split()] == [], text


@pytest.mark.parametrize("width", [60, 110])
def test_one_setting_is_shown_with_what_it_may_be(width: int) -> None:
    text = drawn("settings", settings(single=True), width)
    assert max(map(len, text.splitlines())) <= width
    words = " ".join(text.split())
    for part in ("train.supernet_drop_path_rate", "of the supernet [2]", "from recipe covitpp", "allowed a number [1]"):
        assert part in words
    assert "drop_path_rate = VALUE under [train]" in words


@pytest.mark.parametrize("width", [80, 160])
def test_a_look_at_spaces_says_what_fits_and_why_one_is_taken(width: int) -> None:
    looked = drawn("plan", Outcome(look()), width)
    divided = drawn("init", Outcome(replace(init().result, look=look())), width)
    for text in (looked, divided):
        assert max(map(len, text.splitlines())) <= width
        assert "…" not in text
        rows = [line.split() for line in text.splitlines()]
        assert ["pvt-elastic-32", "256", "0.815", "ms", "6.3", "%", "190M", "77", "s", "5.17", "min"] in rows
        assert ["autoformer-[base]", "224", "1.67", "ms", "2.2e-5", "%", "260M", "–", "–"] in rows
        assert ["pvt-covidx", "128", "23.9", "ms", "none", "–", "–", "–"] in rows
        words = " ".join(text.split())
        assert "taken: pvt-elastic-32 at 256 px: 6.3e17 of its nets fit into 5 ms" in words
        assert "not autoformer-[base]: 100,000 training images are asked for, there are 81" in words
        assert "by a rule, not by accuracy" in words
        assert "onnxruntime-cpu, 1 thread" in words


@pytest.mark.parametrize("width", [80, 160])
def test_searched_hand_made_and_plain_nets_stand_side_by_side_with_the_verdict(width: int) -> None:
    text = drawn("retrain", side_by_side(), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    words = " ".join(text.split())
    for sentence in (
        "searched against hand-made: equal within 0.8 points",
        "searched against the plain CNN: worse by 3.1 [1.2, 5.1] points than the plain CNN: take the plain CNN",
        "the hand-made net is to be deployed",
        "only a ranker here",
    ):
        assert sentence in words
    for cell in ("34,567", "12", "95.2 [92.2, 97.2]", "0.4", "1.0", "5.5", "8.6", "4.0", "217", "labels", "scratch"):
        assert cell in words, text


def test_the_demo_ends_with_its_rivals_its_misses_and_its_page() -> None:
    text = drawn("demo", new_demo(), 100)
    words = " ".join(text.replace("│", " ").split())
    for shown in (
        "searched: ahead of the best hand-made net by 0.9 [0.3, 1.5] points",
        "searched: not told apart from timm's starnet (0.2 [-",
        "mobilenetv4_conv_small_035 7.12 !",
        "540 test images",
        "0.9 [0.3, 1.5]",
        "! takes more than the limit",
        "missed, the surest first: edgenas-demo/missed/a.png",
        "everything as a page: edgenas-demo/report/index.html",
    ):
        assert shown in words, text
    assert "no covid-19 was missed" in drawn("demo", new_demo(missed=()), 100)


@pytest.mark.parametrize("width", [60, 80, 110])
def test_what_the_demo_names_can_be_copied_at_every_width(width: int) -> None:
    text = drawn("demo", new_demo(), width)
    assert max(map(len, text.splitlines())) <= width
    assert "edgenas-demo/missed/a.png" in text
    assert "edgenas-demo/report/index.html" in text
    assert "…" not in text


def test_the_demo_says_when_its_task_cannot_tell() -> None:
    result, trained = demo().result, side_by_side().result
    assert "cannot tell" not in drawn("demo", Outcome(result), 160)
    text = drawn("demo", Outcome(replace(result, winner=trained, baseline=trained.baseline)), 160)
    assert "equal within 0.8 points: this task cannot tell" in text
    assert "34,567" in text


@pytest.mark.parametrize("command", ["init", "retrain", "evaluate", "demo"])
def test_a_class_name_is_shown_as_it_is(command: str) -> None:
    make = {"init": init, "retrain": retrain, "evaluate": evaluate, "demo": demo}[command]
    text = drawn(command, make(("[red]x[/red]", "[/]", "[link=a]b")), 160)
    assert all(name in text for name in ("[red]x[/red]", "[/]", "[link=a]b")), text


def test_a_plan_lists_a_net_once_with_all_that_it_is() -> None:
    lines = drawn("plan", plan(), 110).splitlines()
    assert [line.split("  ")[0].strip() for line in lines if "131 k" in line or "131\xa0k" in line] == [
        "most MACs, fastest",
        "deepest",
    ]
    assert sum("4·8·32·16" in line for line in lines) == 2


LONG_ARCH = {"resolution_px": 24, "stem_dim": 8, "stages": [[8, 1], [48, 2, [[0, 1, 3], 1]], [32, 2, [[0, 1, 3], 3, ["none", 0]]]]}


@pytest.mark.parametrize("width", [60, 80, 110])
def test_an_architecture_too_long_for_a_column_is_a_line_below(width: int) -> None:
    outcome = retrain()
    shown = replace(outcome.result, net=replace(outcome.result.net, arch=LONG_ARCH), baseline=None, comparison=None)
    lines = drawn("retrain", Outcome(shown), width).splitlines()
    assert any(line.split() == ["parameters", "131,338"] for line in lines)
    assert any(line.startswith("winner: resolution_px 24  stem_dim 8") for line in lines)


def test_a_sampled_plan_says_how_sure_it_is() -> None:
    text = drawn("plan", plan(is_exact=False), 80)
    assert "43.2 % [43.0, 43.4] of 62,208 nets of pvt-nano fit (about 26,880)" in text
    assert "there may be better ones" in text


def test_every_device_of_a_search_is_shown() -> None:
    result = found_nets()
    values = {"predicted_ms": 4.321, "upper_ms": 5.0, "measured_ms": None}
    for finalist in result["finalists"]:
        finalist["latencies"] = {"jetson": values, "cpu": values | {"predicted_ms": 28.76, "measured_ms": 29.1}}
    text = drawn("search", Outcome(SearchResult.from_json(result | {"promises": {"latency_ms[jetson]": BOUND}})), 80)
    assert all(word in text for word in ("jetson: predicted", "cpu: measured", "4.32 ms", "28.8 ms", "29.1 ms")), text
    assert "latency_ms[jetson]" in text


def test_a_floor_with_a_confidence_says_what_it_has_judged_of_the_winner() -> None:
    share = {"value": 1.0, "low": 0.95248, "high": 1.0, "n": 77}
    row = {"floor": 0.9, "confidence": 0.95, "threshold": 0.05385, "sensitivity": share}
    result = found_nets()
    result["winner"] = result["winner"] | {"floors": {"sensitivity[a]": row, "sensitivity[b]": row | {"threshold": None}}}
    text = " ".join(drawn("search", Outcome(SearchResult.from_json(result)), 200).split())
    found = "100.0 [95.2, 100.0] of 77 on select"
    assert f"winner: sensitivity[a] {found}, from p = 0.054 on, as chosen on calibrate; the lower end is held against 0.9" in text
    assert f"winner: sensitivity[b] {found}, by the argmax; the lower end is held against 0.9" in text


def test_bounds_of_few_sessions_say_what_they_take_from_elsewhere() -> None:
    several = BOUND | {
        "num_sessions": 2,
        "covers_days": True,
        "between": 0.2,
        "prior": {"scale": 0.13, "sessions": 3, "source": "a"},
    }
    text = drawn("search", Outcome(SearchResult.from_json(found_nets() | {"promises": {"a": several, "b": several}})), 110)
    assert "sessions measured elsewhere differed by 13.0 % (p95), which counts as 3 more here" in text, text
    assert "elsewhere" not in drawn("search", Outcome(SearchResult.from_json(found_nets() | {"promises": {"a": BOUND}})), 110)


def test_a_net_without_a_table_has_no_latency_but_everything_else() -> None:
    result = net(ARCH) | {"latency_ms_predicted": None, "latency_ms_measured": None}
    text = drawn("retrain", Outcome(RetrainResult.from_json(result)), 80)
    assert "latency" not in text
    assert "131,338" in text


def test_an_empty_class_has_no_share() -> None:
    shares = metrics()["sensitivity"] | {"normal": {"value": None, "low": 0.0, "high": 1.0, "n": 0}}
    text = drawn("evaluate", evaluate(sensitivity=shares, scores=None), 80)
    (line,) = [line for line in text.splitlines() if "sensitivity normal" in line]
    assert "–" in line
    assert "None" not in line


def records(*, picture: Path | None = None) -> Iterator[Record]:
    """A short piece of work."""
    yield Note("[1/2] reading [bold]images[/bold]", is_heading=True)
    for done in range(3):
        yield Progress("searching", done, 2, {"nets": 10 * done, "top1": 0.91234})
    yield Note("the clock is unsteady", is_warning=True)
    yield Note("parity not run", is_warning=True, in_view=True)
    yield Progress("[b]parity", 1, 1, {"file": "[x].onnx"})
    if picture is not None:
        yield Picture(plot_data(2), (picture,))
    yield Outcome({"answer": 42})


@pytest.mark.parametrize("is_terminal", [False, True])
def test_records_are_followed_to_the_outcome(is_terminal: bool, tmp_path: Path) -> None:
    file = io.StringIO()
    screen = Screen(Console(file=file, width=120, force_terminal=is_terminal, highlight=False))
    outcome = screen.follow(records(picture=tmp_path / "pareto.png"))
    assert outcome.result == {"answer": 42}
    assert screen.warnings == ["the clock is unsteady", "parity not run"]
    text = file.getvalue()
    assert "[1/2] reading [bold]images[/bold]" in text
    assert text.count("the clock is unsteady") == 1
    assert "parity not run" not in text  # the outcome's view says it
    assert "2/2" in text
    assert "0.912" in text
    assert (tmp_path / "pareto.png").stat().st_size > 0


def test_without_a_terminal_progress_is_one_plain_line_a_part() -> None:
    file = io.StringIO()
    Screen(Console(file=file, width=120, force_terminal=False, highlight=False)).follow(records())
    assert "\x1b" not in file.getvalue()
    lines = [line for line in file.getvalue().splitlines() if line.strip()]
    assert [line for line in lines if line.startswith("searching")] == ["searching: 2/2  nets 20  top1 0.912"]
    assert len(lines) == 4, lines


EPOCH = Epoch("supernet", 3, 40, 1.2344, {"smallest": 0.7123, "random": 0.7401, "largest": 0.78}, 0.0019, 16.2)


def epoch_line(record: Epoch, *, width: int, is_terminal: bool) -> str:
    """What is shown of an epoch, without escapes."""
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=is_terminal, highlight=False)
    Screen(console).follow(iter([record, Outcome({})]))
    lines = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line).strip() for line in file.getvalue().splitlines()]
    (line,) = [line for line in lines if "epoch" in line]
    return line


def test_an_epoch_is_one_line_that_fits_the_terminal() -> None:
    whole = "supernet: epoch  3/40  loss 1.234  smallest 0.712  random 0.740  largest 0.780  lr 0.0019   16 s"
    assert epoch_line(EPOCH, width=120, is_terminal=True) == whole
    assert epoch_line(EPOCH, width=80, is_terminal=False) == whole  # a file has no width
    assert epoch_line(EPOCH, width=90, is_terminal=True) == whole.removesuffix("   16 s")
    assert epoch_line(EPOCH, width=80, is_terminal=True) == whole.removesuffix("  lr 0.0019   16 s")
    assert epoch_line(EPOCH, width=60, is_terminal=True) == "supernet: epoch  3/40  smallest 0.712  random 0.740"
    plain = Epoch("[b]winner", 1, 1, 0.5, {}, 1e-5, 0.42)
    assert epoch_line(plain, width=80, is_terminal=True) == "[b]winner: epoch 1/1  loss 0.500  lr 1e-05    0.4 s"


def test_a_long_name_costs_an_epoch_s_line_what_it_says_in_brackets_but_not_its_accuracy() -> None:
    name = "mobilenetv4_conv_small_035 (fresh weights, labels alone)"
    record = Epoch(name, 12, 12, 0.5, {"top1": 0.734}, 1e-5, 0.42)
    assert epoch_line(record, width=90, is_terminal=True) == f"{name}: epoch 12/12  top1 0.734"
    assert epoch_line(record, width=80, is_terminal=True) == "mobilenetv4_conv_small_035: epoch 12/12  top1 0.734"
    assert epoch_line(record, width=60, is_terminal=True) == "mobilenetv4_conv_small_035: epoch 12/12  top1 0.734"


def test_on_a_terminal_bars_are_drawn() -> None:
    file = io.StringIO()
    Screen(Console(file=file, width=120, force_terminal=True, highlight=False)).follow(records())
    assert "\x1b[" in file.getvalue()
    assert file.getvalue().count("searching: 2/2") == 1  # put away when the next part begins
    assert "searching: 2/2  nets" not in file.getvalue()


def test_what_a_stage_left_undone_is_no_bar_of_the_next() -> None:
    file = io.StringIO()
    steps = [Progress("reading images", 744, 808), Note("[6/9] retrain", is_heading=True), Progress("winner", 1, 2), Outcome({})]
    Screen(Console(file=file, width=100, force_terminal=True, highlight=False)).follow(iter(steps))
    before, _, after = file.getvalue().partition("[6/9] retrain")
    assert "reading images: 744/808" in before
    assert "reading images" not in after
    assert "winner" in after


def test_what_is_done_is_said_before_what_it_found() -> None:
    file = io.StringIO()
    steps = [Progress("trying self", 5, 5), Note("self is the best"), Progress("trying self", 6, 8), Outcome({})]
    Screen(Console(file=file, width=100, force_terminal=True, highlight=False)).follow(iter(steps))
    before, _, after = file.getvalue().partition("self is the best")
    assert "trying self: 5/5" in before
    assert "6/8" in after  # what goes on nevertheless has a bar again


def test_the_last_part_becomes_a_line_as_those_before_it() -> None:
    file = io.StringIO()
    steps = [Progress("timing nets", 1, 2), Progress("timing nets", 2, 2), Outcome({})]
    Screen(Console(file=file, width=100, force_terminal=True, highlight=False)).follow(iter(steps))
    assert "timing nets: 2/2" in file.getvalue()


@pytest.mark.parametrize("is_terminal", [True, False])
def test_what_is_counted_has_the_separators_of_every_other_count(is_terminal: bool) -> None:
    file = io.StringIO()
    steps = [Progress("checking images", 14_000, 14_000), Outcome({})]
    Screen(Console(file=file, width=100, force_terminal=is_terminal, highlight=False)).follow(iter(steps))
    assert "14,000/14,000" in file.getvalue()


def test_a_training_s_bar_fits_a_hundred_columns() -> None:
    file = io.StringIO()
    fields = {"epoch": "12/40", "lr": "0.0024", "loss": 0.1234, "label": 1.2345, "kd": 0.0123}
    steps = [Progress("reading images", 2, 2), Progress("supernet", 412, 1640, fields), Outcome({})]
    Screen(Console(file=file, width=100, force_terminal=True, highlight=False)).follow(iter(steps))
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "\n", file.getvalue()).replace("\r", "\n").splitlines()]
    text = " ".join(line for line in lines if line)
    for part in ("412/1,640", "elapsed", "left", "epoch 12/40 lr 0.0024 loss 0.123 label 1.234 kd 0.012"):
        assert part in text, (part, text)


@pytest.mark.parametrize(("width", "cells"), [(80, 18), (100, 24), (200, 24)])
def test_a_bar_without_details_is_long_enough_to_be_read(width: int, cells: int) -> None:
    file = io.StringIO()
    steps = [Progress("tracing components", 22, 45), Outcome({})]
    Screen(Console(file=file, width=width, force_terminal=True, highlight=False)).follow(iter(steps))
    line = next(part for part in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", file.getvalue()).splitlines() if "22/45" in part)
    assert sum(each in "━╸╺" for each in line) == cells, line
    assert all(part in line for part in ("tracing components", "elapsed 0:00", "left -"))


def test_bars_below_each_other_are_of_one_length() -> None:
    file = io.StringIO()
    steps = [Progress("reading images", 1, 2), Progress("proof 1/3, 2 epochs", 1, 2, {"epoch": "1/2"}), Outcome({})]
    Screen(Console(file=file, width=100, force_terminal=True, highlight=False)).follow(iter(steps))
    drawn = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", file.getvalue()).replace("\r", "\n").splitlines()
    ends = [line for line in drawn if "elapsed" in line][-2:]
    assert "epoch 1/2" in ends[1]
    assert [sum(each in "━╸╺" for each in line) for line in ends] == [3, 3], ends


def test_work_that_fails_leaves_the_terminal_usable() -> None:
    def fails() -> Iterator[Record]:
        yield Progress("searching", 0, 2)
        raise ValueError("x")

    console = Console(file=io.StringIO(), force_terminal=True)
    with pytest.raises(ValueError, match="x"):
        Screen(console).follow(fails())
    Screen(console).follow(records())  # a live display that was left open would refuse a second one


def test_a_recipe_without_an_outcome_is_a_bug() -> None:
    with pytest.raises(RuntimeError, match="without an outcome"):
        Screen(Console(file=io.StringIO())).follow(iter([Note("x")]))


def plot_data(num: int, *, generations: int = 1, limit: float | None = 1.2, winner: bool = True) -> ParetoPicture:
    """Candidates in a row, each better and slower than the one before."""
    rows = [row(latency_ms_predicted=1 + i / 10, top1=0.8 + i / 100, generation=i % generations) for i in range(num)]
    return ParetoPicture(
        rows=tuple(rows),
        front=tuple(range(num)),
        cost="latency_ms_predicted",
        limit=limit,
        winner=rows[-1] if winner else None,
        title="pvt-nano on [b]digits[/b]: $x_1$ & <y>",
    )


EXTREMES = [(1, 1, False, None), (12, 1, True, None), (12, 4, True, 1.2)]


@pytest.mark.parametrize(
    ("num", "generations", "winner", "limit"),
    [
        pytest.param(*drawn, marks=[] if drawn in EXTREMES else pytest.mark.slow)
        for drawn in ((*sizes, *rest) for sizes in ((1, 1), (12, 1), (12, 4)) for rest in product((False, True), (None, 1.2)))
    ],
)
def test_the_pareto_plot_opens_as_png_and_svg(
    tmp_path: Path, num: int, generations: int, winner: bool, limit: float | None
) -> None:
    png, svg = tmp_path / "pareto.png", tmp_path / "deep" / "pareto.svg"
    pareto_plot(plot_data(num, generations=generations, limit=limit, winner=winner), [png, svg])
    with Image.open(png) as picture:
        picture.load()
        assert picture.format == "PNG"
        assert min(picture.size) > 400
        assert len(picture.convert("RGB").getcolors(1 << 24) or ()) > 10
    assert ET.parse(svg).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"pareto.png", "pareto.svg"}


def test_the_plots_legend_names_only_what_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "pareto.svg"
    texts = {}
    for given in (False, True):
        pareto_plot(plot_data(3, generations=2, limit=1.2 if given else None, winner=given), [path])
        texts[given] = path.read_text(encoding="utf-8")
    for text in ("winner", "limit 1.2"):
        assert f"<!-- {text} -->" in texts[True]
        assert f"<!-- {text} -->" not in texts[False]
    assert "<!-- predicted latency (ms) -->" in texts[True]
    assert "<!-- generation -->" in texts[True]


def test_counts_that_differ_say_in_what() -> None:
    assert "differs in macs" in drawn("count", counted(wrong=True), 160)
    assert "ancestor" not in drawn("count", counted(ancestor=False), 80)


def test_many_counts_are_cut_with_a_word() -> None:
    text = drawn("count", counted(num=120), 80)
    assert " 100 " in text
    assert " 101 " not in text
    assert "20 more; --json lists all" in text


def timed_again(verdict: str) -> Outcome[TableValidated]:
    """What `edgenas tables validate --measure` says."""
    row = {"arch": ARCH, "predicted_ms": 1.0, "measured_ms": 1.5, "ratio": 1.5, "error": 0.031}
    drift = {
        "verdict": verdict,
        "words": "no longer holds: the machine now takes 1.50 times as long",
        "gates": [],
        "noise_floor_mape": 0.017,
        "ratios": {"n": 1, "median": 1.5, "mad": 0.0, "min": 1.5, "max": 1.5},
        "rows": [row],
        "machine": {"num_cores": 2},
    }
    checks = [{"name": "entries", "verdict": "passed", "reason": "45 components measured"}]
    result = {"table": latency_header(), "checks": checks, "drift": drift, "remarks": ["noisy"]}
    return Outcome(TableValidated.from_json(result | {"entries": {"measured": 45, "interpolated": 0, "missing": 0}}))


def compared() -> Outcome[TablesCompared]:
    """What `edgenas tables diff` says."""
    ratios = {"n": 37, "median": 1.25, "mad": 0.011, "p5": 1.1, "p95": 1.4, "min": 1.0, "max": 3.0}
    components = [{"kind": "Block", "grid": 8, "relu": True}, {"kind": "Block", "grid": 4}]
    entry = {"components": components, "first_ms": 0.1, "second_ms": 0.3, "ratio": 3.0}
    differences = [
        {"key": "device", "first": "A", "second": "[b]B", "weight": "refused"},
        {"key": "driver", "first": "1", "second": "2", "weight": "warns"},
    ]
    entries = {"ratios": ratios, "only_first": 2, "only_second": 0, "largest": [entry]}
    result = {"first": latency_header(), "second": latency_header(), "differences": differences, "can_be_merged": False}
    result |= {"entries": entries, "nets": {"ratios": ratios, "kendall_tau": 0.987}}
    return Outcome(TablesCompared.from_json(result))


def merged() -> Outcome[TablesMerged]:
    result = {"table": latency_header() | {"name": "week"}, "sources": [latency_header()]}
    return Outcome(TablesMerged.from_json(result))


def listed() -> Outcome[TablesListed]:
    tables = [latency_header(), latency_header() | {"age_days": None, "of_this_device": None}]
    return Outcome(TablesListed.from_json({"device": "Xeon 6975P-C", "tables": tables}))


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (listed(), "xeon-6975p-c_onnxruntime-cpu_fp32_b1_pvt-nano one), 12 unknown 2.1 1.1 edgenas,"),
        (timed_again("failed"), "failed passed 1.5 1.500 3.1 1.7 2·2·1·1 noisy unknown,"),
        (compared(), "device [b]B driver 1.250, 3.000, 37 0.987 0.3 Block, only mixed"),
        (merged(), "week xeon-6975p-c_onnxruntime-cpu_fp32_b1_pvt-nano 20 2.1 1.1"),
    ],
    ids=["list", "validate", "diff", "merge"],
)
def test_tables_are_shown_whole(outcome: Outcome, words: str, width: int) -> None:
    text = drawn("tables", outcome, width)
    assert max(map(len, text.splitlines())) <= width
    assert [word for word in words.split() if word not in text.replace("(", " ").split()] == [], text


def test_no_tables_name_the_command_that_makes_one() -> None:
    assert "edgenas profile" in drawn("tables", Outcome(TablesListed(device="Xeon", tables=())), 80)


@pytest.mark.parametrize("positive", [POSITIVE, None])
def test_a_comparison_is_drawn_with_a_panel_for_the_class_that_must_not_be_missed(positive: str | None, tmp_path: Path) -> None:
    result = comparison().result
    nets = tuple(replace(net, metrics=replace(net.metrics, positive=positive)) for net in result.nets)
    nets = (*nets, replace(nets[-1], latency_ms_measured=None))  # not timed, not drawn
    compare_plot(ComparePicture(replace(result, nets=nets), "a title"), (tmp_path / "compare.png", tmp_path / "compare.svg"))
    with Image.open(tmp_path / "compare.png") as image:
        image.verify()
    labels = (tmp_path / "compare.svg").read_text()
    assert labels.count("axes_2") > 0 if positive is not None else "axes_2" not in labels


def test_a_file_s_name_in_a_prediction_stays_one_line_and_is_whole() -> None:
    name = "photographs/" + "x" * 70 + "\n[bold].png"
    text = drawn("predict", predicted(name), 70)
    assert name.replace("\n", "\\n") in "".join(line.strip() for line in text.splitlines())
    assert "normal" in text
    assert "…" not in text


def test_rows_that_are_on_standard_output_are_not_shown_again() -> None:
    assert drawn("predict", Outcome(replace(predicted().result, csv="-")), 80) == ""
    assert "all are in rows.csv" in drawn("predict", Outcome(replace(predicted().result, csv="rows.csv")), 80)


def test_images_for_a_person_are_said_with_what_they_are_worth() -> None:
    zone = {
        "low": 0.2,
        "high": 0.4,
        "target": 0.01,
        "found": {
            "split": "calibrate",
            "share": share(0.1, 0.08, 0.13, 440),
            "error": share(0.01, 0.0, 0.03, 396),
            "error_without": share(0.05, 0.03, 0.07, 440),
            "missed": share(0.0, 0.0, 0.07, 48),
        },
    }
    plain = metrics()
    plain["threshold_choice"] = plain["threshold_choice"] | {"refer": zone}
    plain["referral"] = zone["found"] | {"split": "test"}
    judged = ExportResult.from_json(export().result.as_json() | {"metrics": plain | {"split": "test"}})
    words = " ".join(drawn("export", replace(export(), result=judged), 120).split())
    assert (
        "referred to a person from 0.2 to 0.4 (chosen for at most 1 % wrong): on calibrate 44 of 440 images are referred" in words
    )
    assert "referred: on test 44 of 440 images are referred; of the others 4 of 396 are wrongly decided" in words


PLAN = {
    "path": "acceptance.json",
    "plan_sha256": "5a6c7cde" + "0" * 56,
    "line_sha256": "1" * 64,
    "sealed_at": "2026-11-29T22:53:12+00:00",
    "number": 2,
    "num_plans": 2,
    "num_nets": 1,
    "changes": ["min_agreement 0.9 instead of 0.99"],
}


def test_export_says_by_which_plan_and_what_unseen_images_may_do() -> None:
    judged = parity("failed", "min_agreement 0.9 is below 0.99") | {
        "unseen": {"seen": share(0.0019, 0.0, 0.0103, 540), "independent": share(0.004, 0.0, 0.012, 540)},
        "blocks": {
            "first": "stages.0.mlp",
            "limit": 0.01,
            "steepest": "stages.0.mlp",
            "matched_by": "modules",
            "num_images": 2,
            "blocks": [{"block": "stages.0.mlp", "max_abs": 4.0, "relative": 0.31}],
        },
    }
    result = {**export().result.as_json(), "files": [exported("model-fp16-b1.onnx", judged)], "acceptance": PLAN}
    text = " ".join(drawn("export", Outcome(ExportResult.from_json(result)), 110).split())
    assert "unseen: 1 of 540 images changed, so at most 1 % of unseen ones drawn alike; 0.4 % (at most 1.2 %) if errors" in text
    assert "blocks: first block that differs by more than 1 %: stages.0.mlp (31 %)" in text
    words = "plan 5a6c7cde: the plan was changed after test was read: 2nd plan for these images (min_agreement 0.9 instead of 0.99)"
    assert words in text


def test_verify_says_what_the_plan_is_without_a_row_of_its_own() -> None:
    check = {"path": "acceptance.json", "name": "acceptance", "verdict": "passed", "reason": "the only plan for these images"}
    result = VerifyResult.from_json({**verify().result.as_json(), "checks": [check]})
    text = drawn("verify", Outcome(result), 100)
    assert [line.strip() for line in text.splitlines() if "acceptance" in line] == [
        "acceptance.json: the only plan for these images"
    ]
