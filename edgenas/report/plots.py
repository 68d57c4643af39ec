"""Pictures by kind."""

from __future__ import annotations

from edgenas.records import (
    AnalysisPicture,
    ComparePicture,
    FidelityPicture,
    ParetoPicture,
    ResultsPage,
    SamplePicture,
    TrainingPicture,
)
from edgenas.report.compare import compare_plot
from edgenas.report.curves import training_plot
from edgenas.report.fidelity import fidelity_plot
from edgenas.report.page import document
from edgenas.report.pareto import pareto_plot
from edgenas.report.samples import samples_plot
from edgenas.report.search_pictures import analysis_plot
from edgenas.runs import Picture

Shown = ParetoPicture | AnalysisPicture | TrainingPicture | FidelityPicture | SamplePicture | ComparePicture | ResultsPage


def draw(picture: Picture[Shown]) -> None:
    """Draw a picture into its files."""
    match picture.shows:
        case ParetoPicture():
            pareto_plot(picture.shows, picture.paths)
        case AnalysisPicture():
            analysis_plot(picture.shows, picture.paths)
        case TrainingPicture():
            training_plot(picture.shows, picture.paths)
        case FidelityPicture():
            fidelity_plot(picture.shows, picture.paths)
        case ComparePicture():
            compare_plot(picture.shows, picture.paths)
        case SamplePicture():
            samples_plot(picture.shows, picture.paths)
        case ResultsPage():
            document.write(picture.shows, picture.paths[0])
