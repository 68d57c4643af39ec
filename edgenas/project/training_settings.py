"""How nets are trained: the tables ``[teacher]`` and ``[train]`` of `edgenas.toml`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from edgenas.data.preprocess import Augmentation
from edgenas.fields import Amount, AmountOrZero, Count, CountOrZero, OneOf, PartialShare, Range, Seed, Share
from edgenas.project.named_recipes import RECIPES
from edgenas.training.loop_settings import AmpType, DeviceChoice
from edgenas.training.mixing import Mixing
from edgenas.training.optimizing import Undecayed
from edgenas.training.sampling import SAMPLING_RULES, SINGLE_PATH
from edgenas.training.schedule import ScheduleName
from edgenas.training.teaching_losses import DISTILLATION_LOSSES

AUTO: Literal["auto"] = "auto"  # a probe decides
FITTED = ("left-only", "bilateral")  # sampling rules whose share of identities is fitted to what nets are to cost


@dataclass(frozen=True, slots=True)
class OptimizerSettings:
    """How a net is optimised, in ``[teacher]`` and in ``[train]``, beside what either has defaults of its own for.

    Attributes:
        final_learning_rate: at the end of cosine and wsd, and the lowest of plateau.
        plateau_factor, plateau_patience: of the schedule plateau: the learning rate is multiplied by the factor when the accuracy
            on select did not rise for more than so many evaluations, of which there is one an epoch unless ``evaluate_every`` says
            otherwise.
        stop_patience: training ends when the accuracy on select did not rise for so many evaluations; None trains all epochs.
        undecayed: what weight decay leaves alone: norms and biases (vectors), these and tables of positions and class tokens
            (positions), or nothing (none).
        layer_decay: factor on the learning rate from one block to the one before it, 1 at the head.
        sam_rho: radius of sharpness-aware minimisation, which doubles the time of a step; None does without.
        accumulate: parts that a batch is run in, one after the other, so that it fits into memory.
        mixup, cutmix_alpha: of the beta distributions by which images of a batch are mixed, or pasted into each other; 0 does not.
        mix_switch_prob: how often is pasted where both are asked for.
        erasing: probability that a rectangle of an image becomes noise.
        amp_dtype: of mixed precision: auto (on a GPU: bf16 where it has it, else fp16), bf16 or fp16, or off.
        channels_last: keep images channels last, which some GPUs compute faster, and CPUs where a net is of convolutions.
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
        init: file of weights that a net of timm starts from before it is trained here; a head of other classes starts afresh.
        weights: of a list, in the mean; none weighs all alike.
        image_px: side of the images that teachers read; None takes the students', or what an ONNX file says.
        mean, std: by which their images are normalised; none takes what edgenas wrote beside an ONNX file, of a checkpoint of
            timm:NAME what timm says that its weights were trained with, else the students' or of an ONNX file ImageNet's.
        classes: names of the classes in the order of a given net's outputs; none takes the images' order, or what edgenas wrote
            beside the net.
        check: given nets are asked about select before they teach; one that is no better than chance, or right more often under
            another order of the classes, is refused.
        candidates: what auto tries; by default a plain convolutional net, two small ones of timm and the space's largest.
        probe_steps: optimiser steps of every net that is tried, here and for ``train.kd_weight``.
        epochs: passes over the training images.
        learning_rate: highest.
        warmup_epochs: over which the learning rate rises; None takes a tenth of the run.
        batch_size, weight_decay, schedule, end_early, label_smoothing, augmentation, ema_decay, clip_norm: as in ``[train]``.
        freeze_stages: of a net with stages of blocks (self, timm's pyramids), whose blocks keep their weights, from the image on.
    """

    name: str | tuple[str, ...] = AUTO
    checkpoint: str | None = None
    init: str | None = None
    weights: tuple[Amount, ...] = ()
    image_px: Annotated[int, Range(ge=16, le=4096)] | None = None
    mean: tuple[float, ...] = ()
    std: tuple[Amount, ...] = ()
    classes: tuple[str, ...] = ()
    check: bool = True
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
        if AUTO in self.names and (self.image_px is not None or self.mean or self.std or self.classes):
            problems.append("image_px, mean, std and classes are of teachers that are named, not of auto")
        if self.init is not None and (len(self.names) > 1 or not self.names[0].startswith("timm:") or self.checkpoint is not None):
            problems.append("init is of one teacher timm:NAME that is trained here, not of a list, another net or a checkpoint")
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
            from MACs, and 1 where they decide (the schedules wsd and plateau, stop_patience). The epoch that is kept is the best of
            those that were evaluated.
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
    device: DeviceChoice = "auto"
    threads: Count | None = None
    checkpoint_every: Amount = 60.0
    seed: Seed = 0
    init: str | None = None
    init_selection: Literal["auto", "leading", "even", "importance"] = AUTO
    sharing: Literal["entangled", "classical"] = "entangled"
    evaluate_every: Count | Literal["auto"] = AUTO
    tensorboard: bool = False

    def __post_init__(self) -> None:
        if self.sampling == "even" and self.num_random < 1:
            raise ValueError("num_random is at least 1 with sampling even")
        if self.sampling == "adjacent" and self.num_random < 1:
            raise ValueError("num_random is at least 1 with sampling adjacent")
        if self.min_macs is not None and self.sampling not in FITTED:
            raise ValueError(f"min_macs and max_macs go with sampling {' or '.join(FITTED)}, not with {self.sampling}")
        if (self.project or self.in_place) and self.sampling in SINGLE_PATH:
            raise ValueError(f"in_place and project need several subnets a step; with sampling {self.sampling} there is one")
        if (self.min_macs is None) != (self.max_macs is None) or (self.min_macs or 0) > (self.max_macs or 0):
            raise ValueError("min_macs and max_macs go together, and min_macs is at most max_macs")
        if self.sampling == "bilateral" and self.sharing != "entangled":
            raise ValueError("sampling bilateral goes with sharing entangled: both sides are slices of one net")
        if self.init is not None and self.sharing == "classical":
            raise ValueError("init goes with sharing entangled: existing weights are those of one net")
        if self.repeats > 1 and self.balance in ("sampler", "downsample"):
            raise ValueError(f"repeats {self.repeats} goes with balance none or weights, not with {self.balance}")
