"""Everything that can be set in `edgenas.toml`: one dataclass a table, defaults here and nowhere else."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from edgenas.data.augment import Augmentation
from edgenas.data.splits import DEFAULT_FRACTIONS
from edgenas.deploy.plugins import RUNTIMES
from edgenas.fields import Amount, AmountOrZero, Count, CountOrZero, OneOf, PartialShare, Range, Seed, Share
from edgenas.project.named_recipes import RECIPES
from edgenas.project.setting_limits import given_limits
from edgenas.proxies import PROXIES
from edgenas.search import ALGORITHMS
from edgenas.search.limits import LATENCY, SENSITIVITY, Limit, conflicts
from edgenas.training.distillation import DISTILLATION_LOSSES
from edgenas.training.loop import AmpType
from edgenas.training.mixing import Mixing
from edgenas.training.optimizing import Undecayed
from edgenas.training.sampling import SAMPLING_RULES
from edgenas.training.schedule import ScheduleName

AUTO: Literal["auto"] = "auto"  # a probe decides
Device = Literal["auto", "cpu", "cuda"]
THIS_DEVICE = ""  # name of the latency limit that was given without one

Nets = Annotated[int, Range(ge=1, le=10_000)]


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
    image_px: Annotated[int, Range(ge=16, le=4096)] | None = None
    seed: Seed = 0
    train: float = DEFAULT_FRACTIONS["train"]
    select: float = DEFAULT_FRACTIONS["select"]
    confirm: float = DEFAULT_FRACTIONS["confirm"]
    calibrate: float = DEFAULT_FRACTIONS["calibrate"]
    test: float = DEFAULT_FRACTIONS["test"]
    skip_bad_images: bool = False
    drop_overlap: tuple[Literal["train", "val"], ...] = ()
    select_per_class: Count | None = None
    max_per_class: Count | None = None
    val_as: Literal["select", "test"] = "select"
    cache_mb: CountOrZero = 2048
    workers: Annotated[int, Range(ge=0, le=64)] | None = None

    def __post_init__(self) -> None:
        if abs(sum(self.fractions.values()) - 1) > 1e-6 or min(self.fractions.values()) <= 0:
            raise ValueError("train, select, confirm, calibrate and test must be positive and sum to 1")

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
        return {name: getattr(self, name) for name in DEFAULT_FRACTIONS}


@dataclass(frozen=True, slots=True)
class SpaceSettings:
    """``[space]``: which nets are possible."""

    name: str = "pvt-nano"


@dataclass(frozen=True, slots=True)
class OptimizerSettings:
    """How a net is optimised, in ``[teacher]`` and in ``[train]``, beside what either has defaults of its own for.

    Attributes:
        final_learning_rate: at the end of cosine and wsd, and the lowest of plateau.
        plateau_factor, plateau_patience: of the schedule plateau: the learning rate is multiplied by the factor when the accuracy
            on select did not rise for more than so many epochs.
        stop_patience: training ends when the accuracy on select did not rise for so many epochs; None trains all epochs.
        undecayed: what weight decay leaves alone: norms and biases (vectors), these and tables of positions and class tokens
            (positions), or nothing (none).
        layer_decay: factor on the learning rate from one block to the one before it, 1 at the head.
        sam_rho: radius of sharpness-aware minimisation, which doubles the time of a step; None does without.
        accumulate: parts that a batch is run in, one after the other, so that it fits into memory.
        mixup, cutmix_alpha: of the beta distributions by which images of a batch are mixed, or pasted into each other; 0 does not.
        mix_switch_prob: how often is pasted where both are asked for.
        erasing: probability that a rectangle of an image becomes noise.
        amp_dtype: of mixed precision: auto (on a GPU: bf16 where it has it, else fp16), bf16 or fp16, or off.
        channels_last: keep images channels last, which some GPUs compute faster.
    """

    final_learning_rate: AmountOrZero = 1e-5
    plateau_factor: Annotated[float, Range(gt=0, lt=1)] = 0.5
    plateau_patience: CountOrZero = 2
    stop_patience: Count | None = None
    undecayed: Undecayed = "vectors"
    layer_decay: Annotated[float, Range(gt=0, le=1)] = 1.0
    sam_rho: Amount | None = None
    accumulate: Annotated[int, Range(ge=1, le=1024)] = 1
    mixup: AmountOrZero = 0.0
    cutmix_alpha: AmountOrZero = 0.0
    mix_switch_prob: Share = 0.5
    erasing: Share = 0.0
    amp_dtype: AmpType = AUTO
    channels_last: bool = False

    @property
    def mixing(self) -> Mixing:
        """How batches are changed."""
        return Mixing(self.mixup, self.cutmix_alpha, self.mix_switch_prob, self.erasing)


@dataclass(frozen=True, slots=True)
class TeacherSettings(OptimizerSettings):
    """``[teacher]``: who teaches.

    Attributes:
        name: auto (the best on select of a few that are tried on labels), cnn (a plain convolutional net), self (the space's
            largest net), timm:NAME, onnx:FILE or run:FOLDER (the net of an earlier run), which are not trained here; or a list of
            these, whose log-probabilities are averaged.
        checkpoint: trained weights; without them the teacher is trained first. With auto, NAME=FILE takes part in the choice; with
            a list it says whose weights they are.
        weights: of a list, in the mean; none weighs all alike.
        image_px: side of the images that teachers read; None takes the students', or what an ONNX file says.
        mean, std: by which their images are normalised; none takes ImageNet's, or what edgenas wrote beside an ONNX file.
        candidates: what auto tries; by default a plain convolutional net, two small ones of timm and the space's largest.
        probe_steps: optimiser steps of every net that is tried, here and for ``train.kd_weight``.
        epochs: passes over the training images.
        learning_rate: highest.
        warmup_epochs: over which the learning rate rises; None takes a tenth of the run.
        batch_size, weight_decay, schedule, end_early, label_smoothing, augmentation, ema_decay, clip_norm: as in ``[train]``.
        freeze_stages: of a net of timm, whose blocks keep their weights, counted from the image.
    """

    name: str | tuple[str, ...] = AUTO
    checkpoint: str | None = None
    weights: tuple[Amount, ...] = ()
    image_px: Annotated[int, Range(ge=16, le=4096)] | None = None
    mean: tuple[float, ...] = ()
    std: tuple[Amount, ...] = ()
    candidates: tuple[str, ...] = ()
    probe_steps: Count = 300
    epochs: Count = 40
    learning_rate: Amount = 2e-3
    batch_size: Count = 64
    weight_decay: AmountOrZero = 0.05
    warmup_epochs: AmountOrZero | None = None
    schedule: ScheduleName = "cosine"
    end_early: bool = True
    label_smoothing: PartialShare = 0.05
    augmentation: Augmentation = "light"
    ema_decay: PartialShare = 0.99
    clip_norm: AmountOrZero = 1.0
    freeze_stages: CountOrZero = 0

    def __post_init__(self) -> None:
        problems = []
        if not self.names or (AUTO in self.names and len(self.names) > 1) or len(set(self.names)) < len(self.names):
            problems.append("name is one teacher or a list of different ones, of which none is auto")
        if self.weights and len(self.weights) != len(self.names):
            problems.append(f"weights are {len(self.weights)} for {len(self.names)} teachers")
        if any(values and len(values) != 3 for values in (self.mean, self.std)):
            problems.append("mean and std have three values each")
        if AUTO in self.names and (self.image_px is not None or self.mean or self.std):
            problems.append("image_px, mean and std are of teachers that are named, not of auto")
        if problems:
            raise ValueError(*problems)

    @property
    def names(self) -> tuple[str, ...]:
        """Those that teach."""
        return (self.name,) if isinstance(self.name, str) else self.name


@dataclass(frozen=True, slots=True)
class TrainSettings(OptimizerSettings):
    """``[train]``: the supernet.

    Attributes:
        recipe: settings of one of `edgenas recipes`; what is set beside it counts more. None takes the defaults.
        epochs: passes over the training images.
        learning_rate: highest; of plain nets from fresh weights, too.
        batch_size: images of a step.
        weight_decay: of AdamW, of weights that ``undecayed`` does not name.
        label_smoothing: share of a label that is spread over all classes.
        augmentation: of training images, see docs/data.md.
        warmup_epochs: over which the learning rate rises; None takes a tenth of the run.
        schedule: of the learning rate: cosine, wsd (constant, then a short decay) or plateau (it falls when the accuracy on select
            does not rise).
        end_early: with wsd, a plateau on select ends the run before its epochs are spent.
        budget_min: minutes for the supernet; with wsd it trains beyond ``epochs`` while its accuracy rises and time is left.
        sampling: which subnets learn in a step: even (``num_random``, evenly over cost and depth, and now and then the largest or
            the smallest), sandwich (largest, smallest, ``num_random`` others), uniform (one), uniform-genes (one, all depths
            alike), adjacent (``num_random`` of like cost, and of nearly the cost of the step before), identities (one, half of its
            blocks left out where a space allows it), left-only (the same, as many left out as ``min_macs`` and ``max_macs`` ask
            for: ViTAS with AutoSlim), bilateral (the same, run with the leading and with the trailing channels of every width:
            ViTAS with BCNet) or a rule that a package brings.
        num_random: subnets that a rule draws beside those that it always takes.
        min_macs, max_macs: with left-only and bilateral, what nets are to have on average; the share of blocks that are left out is
            fitted to it. Without them it is a half.
        latency_ms: with even, the limit that is going to be searched under: most subnets are drawn near it. Needs a latency table.
        near_share: of the subnets that are near ``latency_ms``; the others are drawn from everywhere.
        in_place: the first subnet of a step teaches the others; with sampling sandwich that is the largest.
        in_place_weight: share of that teaching in the loss of the others; auto is ``kd_weight``, and a half at least, for the first
            one by its teacher as well. With 1 they learn from the first alone, as in BigNAS.
        project: what of the first subnet's gradient opposes the others' is taken out of it (NASViT).
        drop_path_rate: of plain nets: of the last block of the largest net; less before it, and less in nets of fewer blocks.
        supernet_drop_path_rate: of the supernet's last block, likewise less before it, whatever the depth of a subnet.
        layer_scale: of plain nets: what blocks add is scaled by learnt factors that begin here, e.g. 1e-5 in deep nets and 0.1 in
            shallow ones, and end up in the weights; None does without.
        ema_decay: of the moving average of the weights, which is what is kept; 0 keeps none.
        clip_norm: largest norm of the gradient; 0 does not clip.
        kd: the distillation loss: soft (the teacher's softened distribution), hard (its decisions), hard-smoothed (these,
            smoothed by 0.05 as COViT++ does), alpha-divergence (AlphaNet) or one that an installed package brings.
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
        device: auto takes a GPU if there is one.
        seed: of everything that is drawn in training.
        checkpoint_every: most seconds of training that a kill may cost, here, for the teacher and in `retrain`.
        init: weights that the supernet starts from, timm:NAME, a file or the folder of another run; None draws them.
        init_selection: which weights of a net that is wider than the space's largest are taken: the leading channels and heads,
            evenly spaced ones (even), those of the largest norm (importance), or auto: those on which a linear head has the lowest
            loss on select.
        sharing: of weights between subnets: entangled (slices of one net), or classical (every option of a block has its own, which
            needs more memory and steps), to compare with.
        evaluate_every: epochs between evaluations on select; auto takes so many that they stay within 5 % of the time, as counted
            from MACs. The epoch that is kept is the best of those that were evaluated.
        tensorboard: the curves of the teacher, the supernet and the nets of `retrain` are also written as TensorBoard's events.
    """

    recipe: Annotated[str, OneOf(RECIPES)] | None = None
    epochs: Count = 40
    learning_rate: Amount = 4e-3
    batch_size: Count = 64
    weight_decay: AmountOrZero = 0.05
    warmup_epochs: AmountOrZero | None = None
    schedule: ScheduleName = "cosine"
    end_early: bool = True
    budget_min: Amount | None = None
    label_smoothing: PartialShare = 0.05
    augmentation: Augmentation = "light"
    flip: bool | Literal["auto"] = AUTO
    cutmix: Share | Literal["auto"] = AUTO
    ema_decay: PartialShare = 0.99
    sampling: Annotated[str, OneOf(SAMPLING_RULES)] = "even"
    num_random: CountOrZero = 2
    min_macs: Count | None = None
    max_macs: Count | None = None
    latency_ms: Amount | None = None
    near_share: Share = 0.7
    in_place: bool = False
    in_place_weight: Share | Literal["auto"] = AUTO
    project: bool = False
    drop_path_rate: PartialShare = 0.0
    supernet_drop_path_rate: PartialShare = 0.0
    layer_scale: Amount | None = None
    kd: Annotated[str, OneOf(DISTILLATION_LOSSES)] = "soft"
    kd_weight: Share | Literal["auto"] = AUTO
    temperature: Amount | Literal["auto"] = AUTO
    balance: Literal["none", "weights", "sampler", "downsample"] = "weights"
    repeats: Annotated[int, Range(ge=1, le=10)] = 1
    clip_norm: AmountOrZero = 1.0
    device: Device = "auto"
    threads: Count | None = None
    checkpoint_every: Amount = 60.0
    seed: Seed = 0
    init: str | None = None
    init_selection: Literal["auto", "leading", "even", "importance"] = AUTO
    sharing: Literal["entangled", "classical"] = "entangled"
    evaluate_every: Count | Literal["auto"] = 1
    tensorboard: bool = False

    def __post_init__(self) -> None:
        if self.sampling == "even" and self.num_random < 1:
            raise ValueError("num_random is at least 1 with sampling even")
        if (self.min_macs is None) != (self.max_macs is None) or (self.min_macs or 0) > (self.max_macs or 0):
            raise ValueError("min_macs and max_macs go together, and min_macs is at most max_macs")
        if self.sampling == "bilateral" and self.sharing != "entangled":
            raise ValueError("sampling bilateral goes with sharing entangled: both sides are slices of one net")
        if self.init is not None and self.sharing == "classical":
            raise ValueError("init goes with sharing entangled: existing weights are those of one net")
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
    runtime: Annotated[str, OneOf(RUNTIMES)] | None = None
    precision: Literal["fp32", "fp16", "bf16"] | None = None
    batch_size: Count | None = None
    threads: Count | None = None
    visits: Nets = 6
    runs_per_visit: Nets = 3
    calibration_nets: Annotated[int, Range(ge=4, le=10_000)] = 20
    bound_nets: Annotated[int, Range(ge=0, le=10_000)] = 40
    validation_nets: Annotated[int, Range(ge=2, le=10_000)] = 20
    budget_min: Amount | None = None
    fps: Annotated[float, Range(ge=0.01, le=10_000)] | None = None
    soak_min: AmountOrZero = 0.0
    pause_min: AmountOrZero = 0.0
    seed: Seed = 0


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """``[search]``: limits and the size of the search; limits that are None do not count.

    Attributes:
        limits: on any quantity, upper and lower, as ``--limit`` takes them: ``params>=1M``, ``latency_ms[jetson]<=5``;
            ``latency_ms``, ``max_params``, ``max_macs`` and ``min_sensitivity`` are short forms.
        latency_ms: one limit, or limits by the name of their latency table.
        latency_quantile: of a net's calls, whose upper bound must stay below ``latency_ms``; None limits the prediction itself.
        confidence: one-sided, of that bound; None is 0.95 where a quantile is given. Alone it bounds p50.
        algorithm: evolution, random (as many nets, drawn) or one that an installed package brings.
        proxy: a training-free indicator that `plan` shows of the nets that fit.
        proof_epochs: that the best finalists are trained alone for before one is chosen; 0 lets inherited accuracy choose.
        proof_nets, proof_hand: searched and hand-designed nets that are proven.
        num_finalists: that are measured and confirmed where nothing is proven.
    """

    limits: tuple[str, ...] = ()
    latency_ms: float | dict[str, float] | None = None
    latency_quantile: Literal["p50", "p90", "p95", "p99"] | None = None
    confidence: Annotated[float, Range(gt=0, lt=1)] | None = None
    max_params: int | None = None
    max_macs: int | None = None
    min_sensitivity: dict[str, float] = field(default_factory=dict)
    algorithm: Annotated[str, OneOf(ALGORITHMS)] = "evolution"
    proxy: Annotated[str, OneOf(PROXIES)] | None = None
    num_generations: CountOrZero = 8
    population: Count = 32
    num_parents: Count = 10
    num_mutations: CountOrZero = 16
    num_crossovers: CountOrZero = 16
    mutation_prob: Share = 0.2
    num_finalists: Count = 5
    proof_epochs: CountOrZero = 30
    proof_nets: Count = 12
    proof_hand: CountOrZero = 4
    device: Device = "auto"
    seed: Seed = 0

    def __post_init__(self) -> None:
        limits, problems = given_limits(asdict(self))
        problems += conflicts(limits)
        if problems:
            raise ValueError(*problems)

    @property
    def all_limits(self) -> tuple[Limit, ...]:
        """Those of ``limits`` and of its short forms, which come first."""
        return tuple(given_limits(asdict(self))[0])

    @property
    def has_cost_limit(self) -> bool:
        """Whether anything limits what a net may cost."""
        return any(limit.kind != SENSITIVITY for limit in self.all_limits)

    @property
    def latency_limits(self) -> dict[str, float]:
        """Most milliseconds by name; under `THIS_DEVICE` the limit without one."""
        return {limit.subject: limit.value for limit in self.all_limits if limit.kind == LATENCY and limit.is_upper}

    @property
    def least_latencies(self) -> dict[str, float]:
        """Fewest milliseconds, likewise."""
        return {limit.subject: limit.value for limit in self.all_limits if limit.kind == LATENCY and not limit.is_upper}

    @property
    def floors(self) -> dict[str, float]:
        """Least sensitivity by class."""
        return {limit.subject: limit.value for limit in self.all_limits if limit.kind == SENSITIVITY}

    @property
    def identity(self) -> dict[str, Any]:
        """What tells a search from others, JSON-ready; a setting that says nothing is left out, so that other journals go on."""
        unasked = {"limits": (), "algorithm": "evolution", "proxy": None}
        return {name: value for name, value in asdict(self).items() if name not in unasked or value != unasked[name]}


@dataclass(frozen=True, slots=True)
class RetrainSettings:
    """``[retrain]``: the winner on its own.

    Attributes:
        epochs: of weights that are inherited or given.
        start: inherited (fine-tune the supernet's weights), scratch (fresh weights at the supernet's learning rate), given
            (fine-tune those of ``init``), or auto: all of them, and the best on select is kept; with ``init``, but without a
            supernet none are inherited.
        init: weights that nets may start from as well, timm:NAME, a file or the folder of another run: those of the same net, or
            selected from a larger one as ``train.init_selection`` says. A head of other classes starts fresh, positions are
            interpolated to another resolution.
        scratch_epochs: of fresh weights; None takes as many as inherited ones see in the supernet and here, or ``epochs`` where
            start is scratch.
        learning_rate: of inherited and of given weights.
        teaching: by the teacher, by labels alone, or auto: the teacher, and with a baseline both, of which the better on select is
            kept.
        finals: finalists of the search that are trained to the end where it proved them, its winner among them; the best on select
            is the searched net. As many hand-designed ones are.
        baseline: also train the hand-designed nets that meet the search's limits, and a plain CNN of equal latency, in the same
            ways.
        baseline_epochs: of their fresh weights, at least as many as the winner was trained for here; None takes as many as the
            winner's weights saw in the supernet and here.
        race_epochs: of the first round in which hand-designed nets are compared on select until two are left, later rounds are
            longer; None takes a quarter of the epochs to the end, 0 trains all of them to the end.
        device, seed: as in ``[train]``.
        compile: let `torch.compile` translate nets before they are trained, which pays for long trainings on GPUs.
    """

    epochs: Count = 15
    start: Literal["auto", "inherited", "scratch", "given"] = "auto"
    init: str | None = None
    scratch_epochs: Count | None = None
    learning_rate: Amount = 1e-3
    teaching: Literal["auto", "teacher", "labels"] = "auto"
    finals: Count = 1
    baseline: bool = False
    baseline_epochs: Count | None = None
    race_epochs: CountOrZero | None = None
    compile: bool = False
    device: Device = "auto"
    seed: Seed = 0

    def __post_init__(self) -> None:
        if self.start == "given" and self.init is None:
            raise ValueError("start given needs init: the weights that are given")


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
    opset: Annotated[int, Range(ge=18, le=25)] = 18

    def __post_init__(self) -> None:
        if not self.targets:
            raise ValueError("targets names at least one architecture")


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
