"""The ways in which one net is trained to the end, and the race that says which nets are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Weights = Literal["finetuned", "scratch", "given"]
START_WORDS: Mapping[str, str] = {"finetuned": "inherited weights", "scratch": "fresh weights", "given": "given weights"}
FINALISTS = 2  # of a race, which are trained to the end


@dataclass(frozen=True, slots=True)
class Way:
    """How a net is trained: where its weights start, what teaches it, how long and how fast.

    Attributes:
        learning_rate: highest.
        is_choice: whether the rate is one of several that are tried, and so a part of its name.
    """

    weights: Weights
    teaching: str
    epochs: int
    learning_rate: float
    is_choice: bool = False

    @property
    def name(self) -> str:
        """What its folder is called."""
        return f"{self.weights}-{self.teaching}{f'-{self.learning_rate:g}' if self.is_choice else ''}"

    @property
    def chosen_rate(self) -> float | None:
        """The learning rate where several are tried."""
        return self.learning_rate if self.is_choice else None

    def __str__(self) -> str:
        rate = f", learning rate {self.learning_rate:g}" if self.is_choice else ""
        return f"{START_WORDS[self.weights]}, {'the teacher' if self.teaching == 'teacher' else 'labels alone'}{rate}"


def fresh_ways(teaching: str, epochs: int, rates: Sequence[float]) -> list[Way]:
    """Fresh weights at each learning rate, each once."""
    rates = list(dict.fromkeys(rates))
    return [Way("scratch", teaching, epochs, rate, is_choice=len(rates) > 1) for rate in rates]


@dataclass(frozen=True, slots=True)
class Race:
    """Rounds of short trainings from fresh weights, in which half of the nets leave.

    Those stay that find the classes of select likeliest, the best of every resolution in turn: nets of more pixels learn later.

    Attributes:
        rounds: nets and epochs of each; none where there are few nets.
        way: of their training.
    """

    rounds: tuple[tuple[int, int], ...]
    way: Way

    @classmethod
    def plan(cls, num_nets: int, ways: Sequence[Way], first: int | None) -> Race:
        """Halve ``num_nets`` until two are left; rounds double their epochs up to half of a whole training."""
        way = next(way for way in ways if way.weights == "scratch")
        rounds: list[tuple[int, int]] = []
        epochs = max(1, way.epochs // 4) if first is None else first
        while epochs and num_nets > FINALISTS:
            rounds.append((num_nets, min(epochs, way.epochs)))
            num_nets, epochs = max(FINALISTS, num_nets // 2), max(epochs, min(2 * epochs, way.epochs // 2))
        return cls(tuple(rounds), way)

    @property
    def epochs(self) -> int:
        """Epochs of all its trainings together."""
        return sum(num * epochs for num, epochs in self.rounds)
