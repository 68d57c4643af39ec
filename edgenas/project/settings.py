"""Everything that can be set in `edgenas.toml`: one dataclass a table, defaults here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from edgenas.project.setting_checks import AUTO, LARGEST, check_training

ScheduleName = Literal["cosine", "wsd"]
Device = Literal["auto", "cpu", "cuda"]
THIS_DEVICE = ""  # name of the latency limit that was given without one


@dataclass(frozen=True, slots=True)
class DataSettings:
    """``[data]``: images, classes, splits.

    Attributes:
        source: as `edgenas init --data` takes it.
        positive: class that must not be missed; None if there is none.
        image_px: side of the image that the net sees; None takes the source's.
        seed: of the splits.
        train, select, confirm, calibrate, test: shares of the images where the source brings no split of its own.
        skip_bad_images: leave out images that cannot be decoded instead of refusing the data.
        drop_overlap: published parts (train, val) that give way where parts share files, pictures or patients.
        select_per_class: images of every class in select instead of a share.
        max_per_class: images of every class that are used, drawn by ``seed`` from what is not published as test; None uses all.
        val_as: what a published val is: select (with confirm and calibrate) or test.
        cache_mb: memory for decoded images.
        workers: processes that load training images; 0 loads in the main process, None decides by the machine.
    """

    source: str
    positive: str | None = None
    image_px: int | None = None
    seed: int = 0
    train: float = 0.45
    select: float = 0.15
    confirm: float = 0.10
    calibrate: float = 0.08
    test: float = 0.22
    skip_bad_images: bool = False
    drop_overlap: tuple[Literal["train", "val"], ...] = ()
    select_per_class: int | None = None
    max_per_class: int | None = None
    val_as: Literal["select", "test"] = "select"
    cache_mb: int = 2048
    workers: int | None = None

    def __post_init__(self) -> None:
        if abs(sum(self.fractions.values()) - 1) > 1e-6 or min(self.fractions.values()) <= 0:
            raise ValueError("train, select, confirm, calibrate and test must be positive and sum to 1")
        if not 16 <= (self.image_px or 16) <= 4096 or self.cache_mb < 0 or not 0 <= self.seed < 2**32:
            raise ValueError("image_px is in [16, 4096], cache_mb at least 0, seed in [0, 2**32)")
        for name in ("select_per_class", "max_per_class"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; allowed is 1 or more")
        if self.workers is not None and not 0 <= self.workers <= 64:
            raise ValueError(f"workers is {self.workers}; allowed is 0 to 64")

    @property
    def division(self) -> dict[str, Any]:
        """What decides which image goes where, by setting; splits are only of use to settings that they were drawn with."""
        names = ("seed", "skip_bad_images", "select_per_class", "max_per_class", "val_as")
        return {
            "fractions": self.fractions,
            "drop_overlap": list(self.drop_overlap),
            **{name: getattr(self, name) for name in names},
        }

    @property
    def fractions(self) -> dict[str, float]:
        """Share of every split."""
        return {name: getattr(self, name) for name in ("train", "select", "confirm", "calibrate", "test")}


@dataclass(frozen=True, slots=True)
class SpaceSettings:
    """``[space]``: which nets are possible."""

    name: str = "pvt-nano"


@dataclass(frozen=True, slots=True)
class TeacherSettings:
    """``[teacher]``: who teaches.

    Attributes:
        name: auto (the best on select of a few that are tried on labels), cnn (a plain convolutional net), self (the space's
            largest net) or timm:NAME.
        checkpoint: trained weights; without them the teacher is trained first. With auto, NAME=FILE takes part in the choice.
        candidates: what auto tries; by default a plain convolutional net, two small ones of timm and the space's largest.
        probe_steps: optimiser steps of every net that is tried, here and for ``train.kd_weight``.
        warmup_epochs: None takes a tenth of the run.
        schedule, end_early: as in ``[train]``.
    """

    name: str = AUTO
    checkpoint: str | None = None
    candidates: tuple[str, ...] = ()
    probe_steps: int = 300
    epochs: int = 40
    learning_rate: float = 2e-3
    batch_size: int = 64
    weight_decay: float = 0.05
    warmup_epochs: float | None = None
    schedule: ScheduleName = "cosine"
    end_early: bool = True
    label_smoothing: float = 0.05
    augmentation: Literal["none", "light", "base", "autoaug", "randaug", "torchio"] = "light"
    ema_decay: float = 0.99
    clip_norm: float = 1.0

    def __post_init__(self) -> None:
        check_training(self)


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """``[train]``: the supernet.

    Attributes:
        warmup_epochs: None takes a tenth of the run.
        schedule: of the learning rate: cosine, or wsd (constant, then a short decay).
        end_early: with wsd, a plateau on select ends the run before its epochs are spent.
        budget_min: minutes for the supernet; with wsd it trains beyond ``epochs`` while its accuracy rises and time is left.
        sampling: which subnets learn in a step: even (``num_random``, evenly over cost and depth, and now and then the largest or
            the smallest), sandwich (largest, smallest, ``num_random`` others), uniform (one), uniform-genes (one, all depths alike)
            or identities (one, half of its blocks left out where a space allows it).
        latency_ms: with even, the limit that is going to be searched under: most subnets are drawn near it. Needs a latency table.
        near_share: of the subnets that are near ``latency_ms``; the others are drawn from everywhere.
        in_place: the first subnet of a step teaches the others.
        drop_path_rate: of the last block of the largest net; less before it, and less in nets of fewer blocks.
        kd_weight: share of the distillation in the loss; auto takes what a short probe of one student found best, 0 needs no
            teacher.
        temperature: of the soft targets, or auto.
        cutmix: share of a batch that nets trained alone by a teacher see with a rectangle of another image pasted into it; auto is
            a half where the supernet is trained for 1,500 steps or more, else none.
        flip: mirror every other image where augmentation is none or light; auto where a short probe found it no worse.
        balance: none, class weights in the loss (weights), as many images of every class, drawn with replacement (sampler), or of
            every class as many as the smallest has, drawn anew every epoch (downsample).
        repeats: differently augmented copies of an image in a batch; an epoch then shows one in ``repeats`` images.
        threads: of PyTorch on a CPU, here and in every later stage; None takes one for images of up to 64 px, whose operators are
            too small for more, else all cores.
        checkpoint_every: most seconds of training that a kill may cost, here, for the teacher and in `retrain`.
        init: weights that the supernet starts from, timm:NAME or a file; None draws them.
        sharing: of weights between subnets: entangled (slices of one net), or classical (every option of a block has its own, which
            needs more memory and steps), to compare with.
    """

    epochs: int = 40
    learning_rate: float = 4e-3
    batch_size: int = 64
    weight_decay: float = 0.05
    warmup_epochs: float | None = None
    schedule: ScheduleName = "cosine"
    end_early: bool = True
    budget_min: float | None = None
    label_smoothing: float = 0.05
    augmentation: Literal["none", "light", "base", "autoaug", "randaug", "torchio"] = "light"
    flip: bool | Literal["auto"] = AUTO
    cutmix: float | Literal["auto"] = AUTO
    ema_decay: float = 0.99
    sampling: Literal["even", "sandwich", "uniform", "uniform-genes", "identities"] = "even"
    num_random: int = 2
    latency_ms: float | None = None
    near_share: float = 0.7
    in_place: bool = False
    drop_path_rate: float = 0.0
    kd_weight: float | Literal["auto"] = AUTO
    temperature: float | Literal["auto"] = AUTO
    balance: Literal["none", "weights", "sampler", "downsample"] = "weights"
    repeats: int = 1
    clip_norm: float = 1.0
    device: Device = "auto"
    threads: int | None = None
    checkpoint_every: float = 60.0
    seed: int = 0
    init: str | None = None
    sharing: Literal["entangled", "classical"] = "entangled"

    def __post_init__(self) -> None:
        check_training(self)
        if self.latency_ms is not None and not 0 < self.latency_ms < LARGEST:
            raise ValueError(f"latency_ms must be above 0 and below {LARGEST:g}")
        if not isinstance(self.cutmix, str) and not 0 <= self.cutmix <= 1:
            raise ValueError("cutmix must be in [0, 1], or auto")
        if not 0 <= self.near_share <= 1:
            raise ValueError("near_share must be in [0, 1]")
        if self.sampling == "even" and self.num_random < 1:
            raise ValueError("num_random is at least 1 with sampling even")
        if self.init is not None and self.sharing == "classical":
            raise ValueError("init goes with sharing entangled: existing weights are those of one net")
        if not 1 <= self.repeats <= 10:
            raise ValueError(f"repeats is {self.repeats}; allowed is 1 to 10")
        if self.repeats > 1 and self.balance in ("sampler", "downsample"):
            raise ValueError(f"repeats {self.repeats} goes with balance none or weights, not with {self.balance}")


@dataclass(frozen=True, slots=True)
class ProfileSettings:
    """``[profile]``: how this device is measured.

    Attributes:
        runtime: entry-point name; None takes the one that will ship.
        precision: None takes fp32.
        batch_size: None takes 1.
        threads: on a CPU; None takes all usable cores.
        visits, runs_per_visit: every net is timed ``visits`` times, far apart, ``runs_per_visit`` calls each.
        calibration_nets: whole nets that the calibration and its bound are fitted on.
        bound_nets: whole nets that nothing is fitted on, which promises of a quantile come from; a confidence of 0.95 needs 19.
        validation_nets: whole nets that nothing is fitted on.
        budget_min: minutes that timing may take: fewer visits, then fewer blocks; None is no limit.
        fps: calls a second with idle time between them, as a camera makes them; None for call after call.
        soak_min: minutes of work before anything is timed, so that the device has settled.
        pause_min: minutes between the two sessions that tell how well measurements repeat.
    """

    device: Device = "auto"
    runtime: str | None = None
    precision: Literal["fp32", "fp16", "bf16"] | None = None
    batch_size: int | None = None
    threads: int | None = None
    visits: int = 6
    runs_per_visit: int = 3
    calibration_nets: int = 20
    bound_nets: int = 40
    validation_nets: int = 20
    budget_min: float | None = None
    fps: float | None = None
    soak_min: float = 0.0
    pause_min: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < (1.0 if self.budget_min is None else self.budget_min) < LARGEST or any(
            not 0 <= minutes < LARGEST for minutes in (self.soak_min, self.pause_min)
        ):
            raise ValueError("budget_min is above 0, soak_min and pause_min at least 0")
        if self.fps is not None and not 0.01 <= self.fps <= 10_000:
            raise ValueError("fps is in [0.01, 10000]")
        if self.visits < 1 or self.runs_per_visit < 1:
            raise ValueError("visits and runs_per_visit are at least 1")
        if max(self.visits, self.runs_per_visit, self.calibration_nets, self.bound_nets, self.validation_nets) > 10_000:
            raise ValueError("visits, runs_per_visit, calibration_nets, bound_nets and validation_nets are at most 10000")
        if any(value is not None and value < 1 for value in (self.batch_size, self.threads)) or not 0 <= self.seed < 2**32:
            raise ValueError("batch_size and threads are at least 1, seed in [0, 2**32)")
        if self.calibration_nets < 4 or self.validation_nets < 2 or self.bound_nets < 0:
            raise ValueError("calibration_nets is at least 4, validation_nets at least 2, bound_nets at least 0")


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """``[search]``: limits and the size of the search; limits that are None do not count.

    Attributes:
        latency_ms: one limit, or limits by the name of their latency table.
        latency_quantile: of a net's calls, whose upper bound must stay below ``latency_ms``; None limits the prediction itself.
        confidence: one-sided, of that bound; None is 0.95 where a quantile is given. Alone it bounds p50.
        proof_epochs: that the best finalists are trained alone for before one is chosen; 0 lets inherited accuracy choose.
        proof_nets, proof_hand: searched and hand-designed nets that are proven.
        num_finalists: that are measured and confirmed where nothing is proven.
    """

    latency_ms: float | dict[str, float] | None = None
    latency_quantile: Literal["p50", "p90", "p95", "p99"] | None = None
    confidence: float | None = None
    max_params: int | None = None
    max_macs: int | None = None
    min_sensitivity: dict[str, float] = field(default_factory=dict)
    num_generations: int = 8
    population: int = 32
    num_parents: int = 10
    num_mutations: int = 16
    num_crossovers: int = 16
    mutation_prob: float = 0.2
    num_finalists: int = 5
    proof_epochs: int = 30
    proof_nets: int = 12
    proof_hand: int = 4
    device: Device = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        limits = [*self.latency_limits.values(), *(limit for limit in (self.max_params, self.max_macs) if limit is not None)]
        if any(not 0 < limit < float("inf") for limit in limits):
            raise ValueError("latency_ms, max_params and max_macs must be positive")
        if self.confidence is not None and not 0 < self.confidence < 1:
            raise ValueError("confidence must be in (0, 1)")
        if any(not 0 < floor <= 1 for floor in self.min_sensitivity.values()):
            raise ValueError("a floor in min_sensitivity must be in (0, 1]")
        if min(self.proof_epochs, self.proof_hand) < 0 or self.proof_nets < 1:
            raise ValueError("proof_epochs and proof_hand are at least 0, proof_nets at least 1")
        if min(self.population, self.num_parents, self.num_finalists) < 1 or self.num_generations < 0:
            raise ValueError("population, num_parents and num_finalists are at least 1, num_generations at least 0")
        if min(self.num_mutations, self.num_crossovers) < 0 or not 0 <= self.mutation_prob <= 1 or not 0 <= self.seed < 2**32:
            raise ValueError("num_mutations and num_crossovers are at least 0, mutation_prob in [0, 1], seed in [0, 2**32)")

    @property
    def has_cost_limit(self) -> bool:
        """Whether anything limits what a net may cost."""
        return bool(self.latency_limits) or self.max_params is not None or self.max_macs is not None

    @property
    def latency_limits(self) -> dict[str, float]:
        """Milliseconds by name; under `THIS_DEVICE` the limit without one."""
        if self.latency_ms is None:
            return {}
        return self.latency_ms if isinstance(self.latency_ms, dict) else {THIS_DEVICE: self.latency_ms}


@dataclass(frozen=True, slots=True)
class RetrainSettings:
    """``[retrain]``: the winner on its own.

    Attributes:
        epochs: of weights that are inherited.
        start: inherited (fine-tune the supernet's weights), scratch (fresh weights at the supernet's learning rate), or auto: both,
            and the better on select is kept.
        scratch_epochs: of fresh weights; None takes as many as inherited ones see in the supernet and here, or ``epochs`` where
            start is scratch.
        learning_rate: of inherited weights.
        teaching: by the teacher, by labels alone, or auto: the teacher, and with a baseline both, of which the better on select is
            kept.
        baseline: also train the hand-designed nets that meet the search's limits, and a plain CNN of equal latency, in the same
            ways.
        baseline_epochs: of their fresh weights, at least as many as the winner was trained for here; None takes as many as the
            winner's weights saw in the supernet and here.
        race_epochs: of the first round in which hand-designed nets are compared on select until two are left, later rounds are
            longer; None takes a quarter of the epochs to the end, 0 trains all of them to the end.
    """

    epochs: int = 15
    start: Literal["auto", "inherited", "scratch"] = "auto"
    scratch_epochs: int | None = None
    learning_rate: float = 1e-3
    teaching: Literal["auto", "teacher", "labels"] = "auto"
    baseline: bool = False
    baseline_epochs: int | None = None
    race_epochs: int | None = None
    device: Device = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        check_training(self)
        if any(epochs is not None and epochs < 1 for epochs in (self.scratch_epochs, self.baseline_epochs)):
            raise ValueError("scratch_epochs and baseline_epochs are at least 1")
        if (self.race_epochs or 0) < 0:
            raise ValueError("race_epochs is at least 0")


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """``[export]``: what is written.

    Attributes:
        net: the searched one, the hand-designed one (baseline), or auto: the one that `retrain` chose on select and confirm.
        precision: None takes fp32 for onnx and fp16 for trt.
        targets: GPU architectures that engines are built for where no GPU is.
    """

    net: Literal["auto", "searched", "baseline"] = "auto"
    precision: Literal["fp32", "fp16"] | None = None
    targets: tuple[str, ...] = ("sm86", "sm89", "sm120")
    opset: int = 18

    def __post_init__(self) -> None:
        if not self.targets or not 18 <= self.opset <= 25:
            raise ValueError("targets names at least one architecture, opset is in [18, 25]")


@dataclass(frozen=True, slots=True)
class GateSettings:
    """``[gates]``: what an export must show on the whole test split; a failed or undecided gate exits 4.

    Attributes:
        min_top1_agreement: share of images with the same argmax as the source; its Wilson interval decides.
        max_new_false_negatives: positives that the source finds and the export misses.
        min_sensitivity: of the positive class, for the exported model; None for no gate.
    """

    min_top1_agreement: float = 0.99
    max_new_false_negatives: int = 0
    min_sensitivity: float | None = None


@dataclass(frozen=True, slots=True)
class ProjectSettings:
    """All of `edgenas.toml`."""

    data: DataSettings
    space: SpaceSettings
    teacher: TeacherSettings
    train: TrainSettings
    profile: ProfileSettings
    search: SearchSettings
    retrain: RetrainSettings
    export: ExportSettings
    gates: GateSettings
