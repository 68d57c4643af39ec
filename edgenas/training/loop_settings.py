"""How a net is optimised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Literal

from edgenas.fields import Amount, AmountOrZero, Count, CountOrZero, PartialShare, Range, require_allowed
from edgenas.training.optimizing import Undecayed
from edgenas.training.schedule import Schedule, ScheduleName

AmpType = Literal["auto", "off", "bf16", "fp16"]
DeviceChoice = Literal["auto", "cpu", "cuda"]

WARMUP = 0.1  # share of the epochs
_LATER = (
    *("undecayed", "layer_decay", "plateau_factor", "plateau_patience", "stop_patience"),
    *("sam_rho", "accumulate", "amp_dtype", "channels_last", "compile"),
)


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """How a net is optimised.

    Attributes:
        epochs: passes over the training images that the run is laid out for; wsd may end earlier.
        learning_rate: highest, after a linear warm-up.
        final_learning_rate: at the end.
        warmup_epochs: may be a fraction; None takes `WARMUP` of the epochs.
        schedule: of the learning rate, see `edgenas.training.schedule`.
        weight_decay: of weights with two axes or more; norms and biases have none unless ``undecayed`` says otherwise.
        clip_norm: largest gradient norm; None does not clip.
        ema_decay: largest decay of the weights' moving average, which starts lower; None keeps no average.
        amp: mixed precision on CUDA: bf16 where the GPU has it, else fp16 with loss scaling.
        seed: of everything random.
        max_seconds: time budget; when the pace of the epochs so far does not fit, fewer epochs are laid out. With wsd the run goes
            on beyond ``epochs`` while the accuracy on select rises and time is left.
        keep_best: end with the weights of the epoch that was best on select, rather than with the last.
        end_early: a plateau on select ends wsd before its epochs are spent.
        undecayed, layer_decay: see `edgenas.training.optimizing.parameter_groups`.
        plateau_factor, plateau_patience: of the schedule plateau.
        stop_patience: evaluated epochs without a better accuracy on select after which training ends; None trains them all.
        sam_rho: radius of sharpness-aware minimisation, see `edgenas.training.sharpness`; None does without.
        accumulate: parts that a batch is run in, one after the other, whose gradients add up to the batch's.
        amp_dtype: of mixed precision; auto as ``amp`` says, off is none, bf16 is possible on a CPU, too.
        channels_last: keep images and convolutions' weights channels last, which some GPUs and CPUs compute faster.
        compile: let `torch.compile` translate the net; for a plain net; auto: where `fit` finds that it ends sooner.
    """

    epochs: CountOrZero
    learning_rate: Amount
    final_learning_rate: AmountOrZero = 1e-5
    warmup_epochs: AmountOrZero | None = None
    schedule: ScheduleName = "cosine"
    weight_decay: AmountOrZero = 0.05
    clip_norm: Amount | None = 1.0
    ema_decay: PartialShare | None = 0.998
    amp: bool = True
    seed: CountOrZero = 0
    max_seconds: float | None = None
    keep_best: bool = False
    end_early: bool = False
    undecayed: Undecayed = "vectors"
    layer_decay: Annotated[float, Range(gt=0, le=1)] = 1.0
    plateau_factor: Annotated[float, Range(gt=0, lt=1)] = 0.5
    plateau_patience: CountOrZero = 2
    stop_patience: Count | None = None
    sam_rho: Amount | None = None
    accumulate: Count = 1
    amp_dtype: AmpType = "auto"
    channels_last: bool = False
    compile: bool | Literal["auto"] = False

    def __post_init__(self) -> None:
        require_allowed(self)

    @property
    def plan(self) -> Schedule:
        """The learning rate of every step."""
        warmup_epochs = self.warmup_epochs if self.warmup_epochs is not None else WARMUP * self.epochs
        return Schedule(
            self.schedule,
            self.learning_rate,
            self.final_learning_rate,
            warmup_epochs,
            self.plateau_factor,
            self.plateau_patience,
        )

    @staticmethod
    def completed(facts: Mapping[str, Any]) -> dict[str, Any]:
        """What a checkpoint says of itself, with the later settings that its ``identity`` left out."""
        settings = facts.get("settings")
        if not isinstance(settings, Mapping):
            return dict(facts)
        plain = {each.name: each.default for each in fields(LoopSettings) if each.name in _LATER}
        return {**facts, "settings": {**plain, **settings}}

    @property
    def identity(self) -> dict[str, Any]:
        """What the weights depend on, JSON-ready; later settings are left out where they say nothing, so that older runs go on."""
        plain = {each.name: each.default for each in fields(self) if each.name in _LATER}
        return {name: value for name, value in asdict(self).items() if name not in plain or value != plain[name]}
