"""One project that went through every stage, for the tests that kill, starve and damage."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from edgenas.latency.measuring import whole
from edgenas.latency.timing import TimingSettings
from edgenas.project.exporting import writing
from edgenas.recipes import info
from tests.recipes.killing import SMALL, STAGES, Reference, Zygote, zygote
from tests.recipes.zygote import FEW_VISITS, LOADER_SECONDS


@pytest.fixture(scope="module", autouse=True)
def few_visits() -> Iterator[None]:
    """Finalists are measured at few visits, once, however fast the machine runs just then, and loading is measured shortly.

    What measuring them often, and again, is good for is tested in `tests/latency`.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whole, "ATTEMPTS", 1)
        patch.setattr(whole, "FINALIST_TIMING", TimingSettings(**FEW_VISITS))
        patch.setattr(info, "LOADER_SECONDS", LOADER_SECONDS)
        yield


@pytest.fixture
def one_batch_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the file for one image a call is written; the README's own export writes both."""
    both = writing.specs_of
    monkeypatch.setattr(writing, "specs_of", lambda *arguments: both(*arguments)[:1])


@pytest.fixture(scope="session")
def zygote_edgenas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """Runs commands in processes that can be killed."""
    with zygote(tmp_path_factory.mktemp("zygote")) as server:
        yield server


@pytest.fixture(scope="session")
def reference(zygote_edgenas: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """A project on the digits, uninterrupted."""
    folder = tmp_path_factory.mktemp("reference")
    work, seconds = folder / "work", {}
    work.mkdir()
    sets = [part for setting in SMALL for part in ("--set", setting)]
    ended = zygote_edgenas(work, "init", "--data", "digits", "--image-px", "16", *sets)
    assert ended.code == 0, ended.out
    for stage, arguments in STAGES.items():
        shutil.copytree(work, folder / f"before-{stage}")
        ended = zygote_edgenas(work, *arguments)
        assert ended.code == 0, (stage, ended.out, ended.err)
        seconds[stage] = ended.seconds
        shutil.copytree(work, folder / f"after-{stage}")
    return Reference(folder, seconds)
