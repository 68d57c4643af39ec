"""What `import edgenas` offers a notebook."""

from __future__ import annotations

import ast
import copy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edgenas
from edgenas.data.images import Images
from edgenas.errors import CheckpointError, ConfigError, LatencyTableError, MissingInputError
from edgenas.project import loading
from edgenas.project.net_facts import facts_of
from edgenas.project.opening import images_of, open_project
from edgenas.spaces.pvt import PVT_NANO
from edgenas.supernets import build_net, build_supernet
from edgenas.training.checkpoints import save_weights
from edgenas.training.folder import WEIGHTS
from edgenas.training.library import extract, train_net, train_supernet
from edgenas.training.loop import LoopSettings
from tests.predicting.conftest import artefact, models, pictures
from tests.recipes.budgets import edgenas_in, toy_table

pytestmark = pytest.mark.usefixtures("one_thread")
__all__ = ["artefact", "models", "pictures"]  # fixtures

GENES = tuple(int(gene) for gene in PVT_NANO.extreme(largest=False)[0])


def test_importing_edgenas_imports_neither_numpy_nor_torch() -> None:
    script = "import sys, edgenas; dir(edgenas); print(sorted({'numpy', 'torch', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_name_is_there_documented_and_known_to_the_type_checker() -> None:
    tree = ast.parse(Path(edgenas.__file__).read_text(encoding="utf-8"))
    typed = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert set(edgenas.__all__) == typed - {"TYPE_CHECKING", "annotations", "import_module"}
    assert all(getattr(edgenas, name).__doc__ for name in edgenas.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'edgenas' has no attribute 'searsch'"):
        edgenas.searsch  # noqa: B018  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def images() -> Images:
    return edgenas.open_images("digits", image_px=32, division=edgenas.Division(seed=1))


def test_splits_are_disjoint_and_the_same_for_the_same_seed(images: Images) -> None:
    again = edgenas.open_images("digits", image_px=32, division=edgenas.Division(seed=1))
    assert again.splits.sha256 == images.splits.sha256
    assert len(np.unique(np.concatenate(list(images.splits.indices.values())))) == len(images.splits) == 1797


def test_a_plain_net_learns_in_place_and_holds_what_was_kept(images: Images) -> None:
    torch.manual_seed(0)
    net = build_net(PVT_NANO, images.task, GENES)
    before = [parameter.detach().clone() for parameter in net.parameters()]
    (epoch,) = train_net(net, images, LoopSettings(epochs=1, learning_rate=2e-3))
    assert not net.training
    assert not all(torch.equal(old, new) for old, new in zip(before, net.parameters(), strict=True))
    select_NCHW, select_N = images.arrays("select")
    assert float((edgenas.logits(net, select_NCHW).argmax(axis=1) == select_N).mean()) == epoch.select["top1"] > 0.3


def test_a_supernet_learns_and_gives_a_net_that_answers_the_same(images: Images) -> None:
    torch.manual_seed(0)
    supernet = build_supernet(PVT_NANO, images.task)
    (epoch,) = train_supernet(supernet, images, LoopSettings(epochs=1, learning_rate=4e-3))
    assert set(epoch.select) == {"smallest", "random", "largest"}
    select_NCHW, _ = images.arrays("select")
    net = extract(supernet, GENES)
    own_KC = edgenas.logits(net, select_NCHW[:8])
    with torch.no_grad():
        shared_NK = supernet(torch.from_numpy(select_NCHW[:8]), GENES).numpy()
    np.testing.assert_allclose(own_KC, shared_NK, atol=1e-5)
    by_name = extract(supernet, PVT_NANO.to_json(np.array(GENES, dtype=np.int16)))
    np.testing.assert_array_equal(edgenas.logits(by_name, select_NCHW[:8]), own_KC)


def test_a_positive_class_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="positive class 'ten' is no class"):
        edgenas.open_images("digits", image_px=32, positive="ten")


def test_a_table_is_loaded_by_file_and_an_unknown_name_says_what_there_is(tmp_path: Path) -> None:
    toy_table().write(tmp_path / "toy.json")
    assert edgenas.load_table(tmp_path / "toy.json").sha256 == toy_table().sha256
    with pytest.raises(LatencyTableError, match="there is no latency table 'none'"):
        edgenas.load_table("none")


def test_a_file_that_decides_otherwise_fails_its_gate(images: Images, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = build_net(PVT_NANO, images.task, GENES).eval()
    (file,) = edgenas.export(net, edgenas.ExportSpec(input_shape=(3, 32, 32)), tmp_path / "new" / "folder")
    test_NCHW, test_N = images.arrays("test")
    own_NK = edgenas.logits(net, test_NCHW)
    same, other = (
        edgenas.judge_parity(file, reference_NK, test_NCHW, test_N, images.class_names) for reference_NK in (own_NK, -own_NK)
    )
    same.require()
    assert (same.verdict, same.num_images, other.verdict) == ("passed", len(test_N), "failed")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module]:
    """A run folder with a net of `edgenas retrain`, and that net."""
    folder = tmp_path_factory.mktemp("library")
    code, value, _ = edgenas_in(folder, "init", "--data", "digits")
    assert code == 0, value["error"]
    run = folder / "edgenas-run"
    opened = open_project(run, {}, ())
    data = images_of(opened)
    torch.manual_seed(0)
    net = build_net(PVT_NANO, data.task, GENES).eval()
    arch = PVT_NANO.to_json(np.array(GENES, dtype=np.int16))
    facts = facts_of(opened.space, data, "winner", arch=arch, weights="scratch", from_search=False)
    save_weights(opened.run.retrain / WEIGHTS, net, facts)
    return run, net


def test_the_deployed_net_of_a_run_folder_is_a_module_that_needs_no_images(
    project: tuple[Path, nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> Images:
        raise AssertionError("images were opened")

    monkeypatch.setattr(loading, "images_of", forbidden)
    monkeypatch.setattr(loading, "open_source", forbidden)
    run, net = project
    threads = torch.get_num_threads()
    loaded = edgenas.load(run)
    assert torch.get_num_threads() == threads
    assert not loaded.training
    images_NCHW = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(loaded(images_NCHW), net(images_NCHW))


def test_the_loaded_net_answers_about_files_with_what_was_exported(
    project: tuple[Path, nn.Module], artefact: Path, pictures: Callable[..., list[Path]], tmp_path: Path
) -> None:
    run = tmp_path / "edgenas-run"
    shutil.copytree(project[0], run)
    loaded = edgenas.load(run)
    first, second = pictures(2)
    with pytest.raises(MissingInputError, match="run `edgenas export --format onnx --run "):
        loaded.predict(first)
    shutil.copytree(artefact, run / "export" / "onnx")
    with pytest.warns(UserWarning, match="is of earlier weights than"):
        row = loaded.predict(first)
    assert row == edgenas.Predictor.open(artefact).predict(first)
    assert [each.path for each in loaded.predict([first, second])] == [str(first), str(second)]
    same = copy.deepcopy(loaded)
    assert same._predictor is None
    assert all(torch.equal(one, other) for one, other in zip(same.parameters(), loaded.parameters(), strict=True))


def test_a_folder_without_a_project_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError) as raised:
        edgenas.load(tmp_path)
    assert "edgenas.toml does not exist" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_net_of_another_project_is_refused(project: tuple[Path, nn.Module], tmp_path: Path) -> None:
    run, _ = project
    code, value, _ = edgenas_in(tmp_path, "init", "--data", "digits", "--set", "data.seed=7")
    assert code == 0, value["error"]
    other = tmp_path / "edgenas-run"
    (other / "retrain").mkdir()
    (other / "retrain" / WEIGHTS).write_bytes((run / "retrain" / WEIGHTS).read_bytes())
    with pytest.raises(CheckpointError, match="belongs to another project"):
        edgenas.load(other)


def test_a_project_without_a_net_names_the_command(project: tuple[Path, nn.Module], tmp_path: Path) -> None:
    run, _ = project
    empty = tmp_path / "edgenas-run"
    (empty / "data").mkdir(parents=True)
    for name in ("edgenas.toml", "data/splits.json"):
        (empty / name).write_bytes((run / name).read_bytes())
    with pytest.raises(MissingInputError, match="there is no winner yet"):
        edgenas.load(empty)
