"""Everything that can be set in `edgenas.toml`: one dataclass a table, defaults here and nowhere else."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Any, Literal

from edgenas.data.pixels import PixelSettings, require_pixels
from edgenas.data.preprocess import Resize, ResizeMode
from edgenas.data.splits import DEFAULT_FRACTIONS
from edgenas.data.tones import Alpha
from edgenas.deploy.plugins import RUNTIMES
from edgenas.fields import Amount, AmountOrZero, Count, CountOrZero, OneOf, PartialShare, Range, Seed, Share
from edgenas.project.setting_limits import given_limits
from edgenas.project.training_settings import TeacherSettings, TrainSettings
from edgenas.proxies import PROXIES
from edgenas.records import MAX_MEMBERS, CalibrationMethod, Precision
from edgenas.search import ALGORITHMS, Goal, parse_goals
from edgenas.search.limits import LATENCY, SENSITIVITY, THROUGHPUT, Limit, conflicts
from edgenas.stats import DEFAULT_SENSITIVITY
from edgenas.training.loop_settings import DeviceChoice

THIS_DEVICE = ""  # name of the latency limit that was given without one

# settings of searches that journals of before know nothing of
LATER = frozenset({"limits", "algorithm", "proxy", "maximize", "minimize", "prefilter", "num_samples", "proxy_seeds", "surrogate"})
LATER |= {"explored", "min_params", "min_macs", "max_memory_mb", "min_throughput", "racing", "racing_margin", "strict_sensitivity"}

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
        map_label: new name of a label by its old one; an empty one leaves its images out, the same says that it is a class.
        near_duplicates: keep pictures that are nearly the same (re-encoded, resized, slightly cropped) in one split.
        select_per_class: images of every class in select instead of a share.
        max_per_class: images of every class that are used, drawn by ``seed`` from what is not published as test; None uses all.
        val_as: what a published val is: select (with confirm and calibrate) or test.
        grey_range: grey values of more than 8 bits that become black and white: auto (by the data set's own range, one for all
            images), full (0 and 65535), or two numbers.
        alpha: what transparent pixels are laid on: auto (what the drawings stand out against), white, grey, black, or drop.
        normalise: by which mean and deviation: imagenet, computed (on images of train), or auto (those that the weights of
            teacher.checkpoint or train.init were trained with, where timm says it, else ImageNet's).
        mean, std: three values each, of pixels in [0, 1]; none takes what normalise says.
        resize: filter.
        resize_mode: squash (to a square), crop (the middle of the longer side) or letterbox (the whole image on a square).
        crop_pct: share of the resized square's side that the middle crop keeps.
        cache_mb: memory for decoded images.
        workers: processes that load training images; 0 loads in the main process, None decides by the machine.
        threshold_sensitivity: share of the positive class on calibrate that its threshold must find where no floor is asked.
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
    map_label: dict[str, str] = field(default_factory=dict)
    near_duplicates: bool = True
    select_per_class: Count | None = None
    max_per_class: Count | None = None
    val_as: Literal["select", "test"] = "select"
    grey_range: Literal["auto", "full"] | tuple[float, ...] = "auto"
    alpha: Alpha = "auto"
    normalise: Literal["auto", "imagenet", "computed"] = "auto"
    mean: tuple[float, ...] = ()
    std: tuple[Amount, ...] = ()
    resize: Resize = "bilinear"
    resize_mode: ResizeMode = "squash"
    crop_pct: Annotated[float, Range(gt=0, le=1)] = 1.0
    cache_mb: CountOrZero = 2048
    workers: Annotated[int, Range(ge=0, le=64)] | None = None
    threshold_sensitivity: Annotated[float, Range(gt=0, le=1)] = DEFAULT_SENSITIVITY

    def __post_init__(self) -> None:
        if abs(sum(self.fractions.values()) - 1) > 1e-6 or min(self.fractions.values()) <= 0:
            raise ValueError("train, select, confirm, calibrate and test must be positive and sum to 1")
        require_pixels(self.grey_range, self.mean, self.std)

    @property
    def division(self) -> dict[str, Any]:
        """What decides which image goes where, by setting; splits are only of use to settings that they were drawn with."""
        names = ("seed", "skip_bad_images", "map_label", "near_duplicates", "select_per_class", "max_per_class", "val_as")
        return {
            "fractions": self.fractions,
            "drop_overlap": list(self.drop_overlap),
            **{name: getattr(self, name) for name in names},
        }

    @property
    def pixels(self) -> PixelSettings:
        """How images become pixels."""
        return PixelSettings(**{each.name: getattr(self, each.name) for each in fields(PixelSettings)})

    @property
    def fractions(self) -> dict[str, float]:
        """Share of every split."""
        return {name: getattr(self, name) for name in DEFAULT_FRACTIONS}


@dataclass(frozen=True, slots=True)
class SpaceSettings:
    """``[space]``: which nets are possible.

    Attributes:
        name: one of `edgenas spaces`, or a part of it, NAME[CHOICE=VALUE,...].
    """

    name: str = "pvt-nano"


@dataclass(frozen=True, slots=True)
class ProfileSettings:
    """``[profile]``: how this device is measured.

    Attributes:
        device: that is measured: auto takes a GPU if there is one.
        runtime: entry-point name; None takes the one that will ship.
        precision: None takes fp32.
        batch_size: None takes 1.
        threads: on a CPU; None takes all usable cores.
        visits, runs_per_visit: every net is timed ``visits`` times, far apart, ``runs_per_visit`` calls each.
        calibration_nets: whole nets that the calibration and its bound are fitted on.
        bound_nets: whole nets that nothing is fitted on, which promises of a quantile come from; a confidence of 0.95 needs 19.
        validation_nets: whole nets that nothing is fitted on.
        budget_min: minutes that tracing and timing may take: fewer visits, then fewer blocks; what makes a table at all is traced
            and timed even so. None is no limit.
        fps: calls a second with idle time between them, as a camera makes them; None for call after call.
        soak_min: minutes of work before anything is timed, so that the device has settled.
        pause_min: minutes between the two sessions that tell how well measurements repeat.
        seed: of the nets that are drawn to be timed.
    """

    device: DeviceChoice = "auto"
    runtime: Annotated[str, OneOf(RUNTIMES)] | None = None
    precision: Precision | None = None
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
            ``latency_ms``, ``max_params``, ``min_params``, ``max_macs``, ``min_macs``, ``max_memory_mb``, ``min_throughput`` and
            ``min_sensitivity`` are short forms.
        latency_ms: one limit, or limits by the name of their latency table.
        max_params, min_params: most and fewest parameters; None is no limit.
        max_macs, min_macs: most and fewest multiply-accumulates of an image; None is no limit.
        min_sensitivity: floors of sensitivities, shares by class.
        latency_quantile: of a net's calls, whose upper bound must stay below ``latency_ms``; None limits the prediction itself.
        confidence: one-sided, of that bound; None is 0.95 where a quantile is given. Alone it bounds p50. Where a sensitivity has a
            floor, also two-sided of the interval whose lower end must reach it; without one the share itself must.
        max_memory_mb: weights and the largest tensor of one image in fp32, in 10^6 bytes.
        min_throughput: images a second in calls of the table's batch, one after another: a limit on the latency of a call.
        strict_sensitivity: a search in which no net reaches the floors of sensitivities fails; else it takes the nearest.
        maximize, minimize: what is searched for, in this order: accuracy (the default), sensitivity:CLASS, latency_ms,
            latency_ms:NAME, params, macs or another quantity. Of several the nets are wanted that no other beats in all; the first
            chooses among the finalists.
        algorithm: evolution, random (as many nets, drawn), exhaustive (all nets that meet the limits; the others do so, too, where
            these are no more than the budget), nsga2 (for several objectives, needs the extra nsga), surrogate (guided by a model
            that is fitted to what was evaluated), training-free (the best by ``proxy`` of ``num_samples`` nets), or one that an
            installed package brings.
        racing: none, or the probability at most of dropping a net before it has seen all of select though it would be better there
            than the last of ``num_finalists`` by ``racing_margin``; nets that cannot win are dropped as soon as that is shown.
        racing_margin: standard errors of the difference by which a net must be able to be better, else it may be dropped; 1.645:
            by more than chance (one-sided, 0.05).
        proxy: a training-free indicator, which `plan` shows of the nets that fit and a training-free search takes (None: dss).
        prefilter: a training-free indicator by which the nets are chosen that a search starts with, of ``num_samples`` that meet
            the limits; None starts with nets spread evenly over cost.
        num_samples: nets that a training-free indicator chooses among.
        proxy_seeds: fresh supernets whose scores are averaged.
        num_generations: rounds of the search after its first nets.
        population: nets that it starts with.
        num_parents: best nets that the next round descends from.
        num_mutations, num_crossovers: children of a round that are mutants of one parent, and mixtures of two.
        mutation_prob: that a gene of a mutant is redrawn, in evolution and on the surrogate; nsga2 changes one gene on average.
        surrogate: ridge or boosted (regression trees), on one-hot genes.
        explored: share of a generation that the surrogate does not choose.
        proof_epochs: that the best finalists are trained alone for before one is chosen; 0 lets inherited accuracy choose, None
            takes 0.6 of those that `retrain` trains fresh weights for, or 30 where it trains none.
        proof_nets, proof_hand: searched and hand-designed nets that are proven.
        num_finalists: that are measured and confirmed where nothing is proven.
        device: as in ``[train]``.
        seed: of everything that is drawn in the search.
    """

    limits: tuple[str, ...] = ()
    latency_ms: float | dict[str, float] | None = None
    latency_quantile: Literal["p50", "p90", "p95", "p99"] | None = None
    confidence: Annotated[float, Range(gt=0, lt=1)] | None = None
    max_params: int | None = None
    max_macs: int | None = None
    min_params: int | None = None
    min_macs: int | None = None
    max_memory_mb: float | None = None
    min_throughput: float | None = None
    min_sensitivity: dict[str, float] = field(default_factory=dict)
    strict_sensitivity: bool = False
    maximize: tuple[str, ...] = ()
    minimize: tuple[str, ...] = ()
    algorithm: Annotated[str, OneOf(ALGORITHMS)] = "evolution"
    racing: Literal["none"] | Annotated[float, Range(gt=0, lt=1)] = "none"
    racing_margin: Annotated[float, Range(ge=0, le=5)] = 1.645
    proxy: Annotated[str, OneOf(PROXIES)] | None = None
    prefilter: Annotated[str, OneOf(PROXIES)] | None = None
    num_samples: Count = 8000
    proxy_seeds: Count = 3
    num_generations: CountOrZero = 8
    population: Count = 32
    num_parents: Count = 10
    num_mutations: CountOrZero = 16
    num_crossovers: CountOrZero = 16
    mutation_prob: Share = 0.2
    surrogate: Literal["ridge", "boosted"] = "ridge"
    explored: Share = 0.2
    num_finalists: Count = 5
    proof_epochs: CountOrZero | None = None
    proof_nets: Count = 12
    proof_hand: CountOrZero = 8
    device: DeviceChoice = "auto"
    seed: Seed = 0

    def __post_init__(self) -> None:
        limits, problems = given_limits(asdict(self))
        problems += conflicts(limits)
        problems += [f"objective {problem}" for problem in parse_goals(self.maximize, self.minimize)[1]]
        if self.racing != "none" and (self.maximize or self.minimize):
            problems.append("racing is for accuracy, the default objective; leave out racing, or maximize and minimize")
        if self.prefilter is not None and self.algorithm == "training-free":
            problems.append("prefilter is of other algorithms; what a training-free search takes is proxy")
        if problems:
            raise ValueError(*problems)

    @property
    def goals(self) -> tuple[Goal, ...]:
        """What is searched for; accuracy where nothing else is asked for."""
        return tuple(parse_goals(self.maximize, self.minimize)[0])

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
    def least_throughputs(self) -> dict[str, float]:
        """Fewest images a second, likewise."""
        return {limit.subject: limit.value for limit in self.all_limits if limit.kind == THROUGHPUT}

    @property
    def floors(self) -> dict[str, float]:
        """Least sensitivity by class."""
        return {limit.subject: limit.value for limit in self.all_limits if limit.kind == SENSITIVITY}

    @property
    def identity(self) -> dict[str, Any]:
        """What tells a search from others, JSON-ready; a setting that says nothing is left out, so that other journals go on."""
        default = asdict(SearchSettings())
        return {name: value for name, value in asdict(self).items() if name not in LATER or value != default[name]}


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
        scratch_learning_rates: that fresh weights are tried with, each to the end, of which the best on select is kept; none takes
            ``train.learning_rate``. Hand-designed nets, the plain CNN and the rivals of `compare` get the same choice.
        learning_rate: of inherited and of given weights.
        teaching: by the teacher, by labels alone, or auto: the teacher, and with a baseline both, of which the better on select is
            kept.
        finals: finalists of the search that are trained to the end where it proved them, its winner among them; the best on select
            is the searched net. As many hand-designed ones are.
        ensemble: nets of the winner's architecture, trained apart by seeds of their own, that may answer together: as many at most,
            if the search's limits leave room for them and together they find the classes of select and confirm likelier; where
            there is room for one winner alone, of the best proven net that leaves some. 1 keeps to one net.
        baseline: also train the hand-designed nets that meet the search's limits, and a plain CNN of equal latency, in the same
            ways.
        baseline_epochs: of their fresh weights, at least as many as the winner was trained for here; None takes as many as the
            winner's weights saw in the supernet and here.
        race_epochs: of the first round in which hand-designed nets are compared on select until two are left, later rounds are
            longer; None takes a quarter of the epochs to the end, 0 trains all of them to the end.
        device, seed: as in ``[train]``.
        compile: let `torch.compile` translate nets before they are trained: off, on, or auto, which tries it where much is left to
            be trained and takes what ends sooner. true and false are on and off.
    """

    epochs: Count = 15
    start: Literal["auto", "inherited", "scratch", "given"] = "auto"
    init: str | None = None
    scratch_epochs: Count | None = None
    scratch_learning_rates: tuple[Amount, ...] = ()
    learning_rate: Amount = 1e-3
    teaching: Literal["auto", "teacher", "labels"] = "auto"
    finals: Count = 1
    ensemble: Annotated[int, Range(ge=1, le=MAX_MEMBERS)] = 1
    baseline: bool = False
    baseline_epochs: Count | None = None
    race_epochs: CountOrZero | None = None
    compile: Literal["off", "on", "auto"] | bool = "off"
    device: DeviceChoice = "auto"
    seed: Seed = 0

    def __post_init__(self) -> None:
        if isinstance(self.compile, bool):
            object.__setattr__(self, "compile", "on" if self.compile else "off")
        if self.start == "given" and self.init is None:
            raise ValueError("start given needs init: the weights that are given")


@dataclass(frozen=True, slots=True)
class CompareSettings:
    """``[compare]``: the searched net beside those that its user would take instead.

    Attributes:
        rivals: as `edgenas compare --with` takes them: auto, hand, cnn, timm:NAME[@SIDE[/STRIDE]][=FILE], the folder of another run
            on the same images, onnx:FILE.
        equal: what rivals get as much of as the searched net's weights have had, those of a supernet included: epochs, or time.
        sides: of images, in pixels, that auto looks at.
        stem_stride: of the first striding convolution of timm's nets; None leaves their own, 1 keeps more of small images.
        budget_min: minutes after which no training begins or goes on; rivals that are not trained by then are left out. None is no
            limit.
    """

    rivals: tuple[str, ...] = ("auto", "hand", "cnn")
    equal: Literal["epochs", "time"] = "epochs"
    sides: tuple[Annotated[int, Range(ge=16, le=4096)], ...] = (32, 48, 64, 96, 128, 160, 224)
    stem_stride: Literal[1, 2, 4] | None = None
    budget_min: Amount | None = None

    def __post_init__(self) -> None:
        if not self.rivals or not self.sides:
            raise ValueError("rivals and sides name at least one")


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """``[export]``: what is written.

    Attributes:
        net: the searched one, the hand-designed one (baseline), auto (the one that `retrain` chose on select and confirm), or a
            rival by its name in `edgenas compare`.
        precision: None takes the format's own default: fp32 for onnx, fp16 for trt.
        targets: GPU architectures that engines are built for where no GPU is; ``sm86+sm89`` is one engine for both, ``portable``
            one for every architecture from Ampere on.
        opset: version of ONNX's operators.
        rewrites: of the graph, by name, that change how fast it runs and not what it computes; None for those that were measured
            to be fastest on the runtime that a file is for, [] for none. `profile` times the graphs that `export` writes.
        bench_visits: that ``--bench`` makes to every file, in turn; fewer than 6 give no interval.
        calibration: how int8 takes the ranges of activations from images of calibrate: minmax (the extremes), percentile (all but
            one in 100,000 values), entropy (what loses least information in 8 bits).
        calibration_images: of calibrate at most, that int8 is fitted and tried on; half of them positive where there are as many.
        logit_adjustment: int8 files of onnx, openvino and trt raise the logit of the class that must not be missed by a little more
            than rounding lowered it on calibrate, so that none is missed for it, at the price of a few false alarms.
        repair: where a gate fails in fp16 or bf16 on calibrate, let those blocks and operators stay fp32 that make it fail.
    """

    net: str = "auto"
    precision: Precision | None = None
    targets: tuple[str, ...] = ("sm86", "sm89", "sm120")
    opset: Annotated[int, Range(ge=18, le=25)] = 20
    rewrites: tuple[str, ...] | None = None
    bench_visits: Nets = 21
    calibration: CalibrationMethod = "minmax"
    calibration_images: Annotated[int, Range(ge=8, le=2048)] = 256
    logit_adjustment: bool = True
    repair: bool = True

    def __post_init__(self) -> None:
        if not self.targets:
            raise ValueError("targets names at least one architecture")


@dataclass(frozen=True, slots=True)
class GateSettings:
    """``[gates]``: what an export must show on the whole test split; a failed or undecided gate exits 4.

    Attributes:
        min_agreement: share of images that source and export decide alike, proven by its interval; None takes min_top1_agreement
            where that is set, else 0.99.
        max_new_false_negatives: positives that the source finds and the export misses, as a count.
        max_new_false_negative_share: the same as a share of the positives, proven by its interval.
        max_new_false_positives: other images that only the export calls positive, as a count; None for no gate.
        max_new_false_positive_share: the same as a share of the other images, proven by its interval.
        min_p_mcnemar: least p of McNemar's exact test where the export is less often right than the source; 0 for no gate.
        min_top1_agreement: share of images with the same argmax as the source, proven by its interval; None for no gate.
        min_sensitivity: of the positive class, for the exported model; None for no gate.
        accuracy_margin: largest loss of accuracy against the source, proven by the interval of the paired difference; None takes
            what min_agreement leaves.
        sensitivity_margin: the same of the positive class's sensitivity; None takes max_new_false_negative_share.
    """

    min_agreement: float | None = None
    max_new_false_negatives: int | None = 0
    max_new_false_negative_share: Annotated[float, Range(gt=0, le=1)] = 0.02
    max_new_false_positives: int | None = None
    max_new_false_positive_share: Annotated[float, Range(gt=0, le=1)] = 0.02
    min_p_mcnemar: PartialShare = 0.05
    min_top1_agreement: float | None = None
    min_sensitivity: float | None = None
    accuracy_margin: Annotated[float, Range(gt=0, lt=1)] | None = None
    sensitivity_margin: Annotated[float, Range(gt=0, lt=1)] | None = None


@dataclass(frozen=True, slots=True)
class DecisionSettings:
    """``[decision]``: which images a person decides.

    Attributes:
        refer: none, two probabilities of the positive class from and to which an image is referred to a person, as [0.2, 0.6], or
            auto: the zone around the threshold with the fewest images of calibrate that keeps to ``refer_error``.
        refer_error: share of the images not referred that may be wrongly decided as to whether they are positive, for auto.
    """

    refer: Literal["none", "auto"] | tuple[Share, ...] = "none"
    refer_error: Annotated[float, Range(ge=0, lt=1)] = 0.01

    def __post_init__(self) -> None:
        if not isinstance(self.refer, str) and (len(self.refer) != 2 or not self.refer[0] <= self.refer[1]):
            raise ValueError("refer is none, auto or two probabilities, the lower one first")


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
    compare: CompareSettings
    export: ExportSettings
    gates: GateSettings
    decision: DecisionSettings
