"""What an exported net says of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from edgenas.records.codec import OMITTED, Called, JsonRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction(JsonRecord):
    """What a net says of one image; ``class_name`` is the JSON's key ``class``. All is None of an image that cannot be read.

    Attributes:
        path: of the image; of a frame with its number, as ``door.mp4#12``.
        class_name: the likeliest class.
        probability: of that class.
        decision: class by the decision rule: the positive one from its threshold on, else the likeliest of the others.
        referred: whether a person is to decide; False where the artefact refers nothing.
        probabilities: by class.
        error: why the image could not be read or judged; None where it was.
    """

    path: str
    class_name: Annotated[str | None, Called("class")] = None
    probability: float | None = None
    decision: str | None = None
    referred: bool | None = None
    probabilities: Mapping[str, float] | None = None
    error: Annotated[str | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed(JsonRecord):
    """The artefact that answers, and how.

    Attributes:
        artifact: its folder.
        file: that computes the net, in it.
        runtime: that runs it here.
        device: that it runs on.
        positive: class that must not be missed; None without one.
        threshold: probability from which it is decided; None without one.
        refer: probabilities of it from and to which a person is to decide; None where nothing is referred.
    """

    artifact: str
    file: str
    runtime: str
    device: str
    positive: str | None = None
    threshold: float | None = None
    refer: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictResult(JsonRecord):
    """What `edgenas predict` answers.

    Attributes:
        rows: of the images, in order; of many the first ones, where the rest goes elsewhere.
        images_per_s: decoding included; None without an image.
        deployed: what answered.
        num_images: that were asked for, those that could not be read included.
        num_errors: that could not be read.
        num_referred: that a person is to decide.
        decisions: images by class, as decided.
        csv: where all rows went, ``-`` for standard output; None where they went nowhere else.
    """

    rows: tuple[Prediction, ...]
    images_per_s: float | None
    deployed: Deployed
    num_images: int
    num_errors: int
    num_referred: int
    decisions: Mapping[str, int] = field(default_factory=dict)
    csv: Annotated[str | None, OMITTED] = None

    @property
    def rate(self) -> str:
        """Images a second, for reading."""
        rate = self.images_per_s
        return "–" if rate is None else f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal(JsonRecord):
    """Why a request to a server was not answered, or not all of it: its HTTP status, and that in words."""

    status: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedAnswer(JsonRecord):
    """What a server says to a request for predictions.

    Attributes:
        rows: of the images, in order.
        error: why some or all of them were not judged; None where all were.
    """

    schema_version: int = 1  # 1: first
    rows: tuple[Prediction, ...] = ()
    error: Annotated[Refusal | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeResult(JsonRecord):
    """What `edgenas serve` answers once it has been stopped.

    Attributes:
        deployed: what answered.
        address: where it did.
        seconds: that it was there.
        num_requests: for predictions.
        num_images: that were answered.
        num_errors: requests for predictions that were answered with 4xx or 5xx.
    """

    deployed: Deployed
    address: str
    seconds: float
    num_requests: int
    num_images: int
    num_errors: int
