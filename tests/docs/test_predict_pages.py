"""What the pages on predicting and serving say is what happens."""

from __future__ import annotations

import contextlib
import doctest
import io
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from edgenas.cli import main
from edgenas.data.images import Images
from edgenas.project import loading
from edgenas.project.net_facts import facts_of
from edgenas.project.opening import images_of, open_project
from edgenas.spaces.pvt import PVT_NANO
from edgenas.supernets import build_net
from edgenas.training.checkpoints import save_weights
from edgenas.training.folder import WEIGHTS
from tests.docs.pages import DOCS
from tests.predicting.conftest import artefact, models, pictures
from tests.serving.conftest import serving

__all__ = ["artefact", "models", "pictures"]  # fixtures
MARK = "<!-- executed by tests/docs/test_predict_pages.py -->\n```bash\n"


def commands(page: str) -> list[list[str]]:
    text = (DOCS / page).read_text(encoding="utf-8").split(MARK)[1].split("```")[0]
    return [shlex.split(line) for line in text.splitlines()]


@pytest.fixture
def place(tmp_path: Path, artefact: Path, pictures: Callable[..., list[Path]]) -> Path:
    """A folder with pictures and a run that holds an artefact."""
    pictures(3, "parts")
    shutil.copytree(artefact, tmp_path / "edgenas-run" / "export" / "onnx")
    return tmp_path


def test_the_commands_on_predicting_work(place: Path) -> None:
    for program, *arguments in commands("predict.md"):
        assert program == "edgenas"
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(place),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            main(arguments)
        assert ended.value.code == 0, (arguments, err.getvalue())
        if "--json" in arguments:
            assert len(json.loads(out.getvalue())["result"]["rows"]) == 3
    assert len((place / "answers.csv").read_text(encoding="utf-8").splitlines()) == 4


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_commands_on_serving_work(place: Path) -> None:
    with serving(place / "edgenas-run") as server:
        said = []
        for command in commands("serve.md"):
            assert command[0] == "curl"
            here = [re.sub("http://127.0.0.1:8000", server.url, part) for part in command]
            done = subprocess.run([*here, "--silent", "--fail"], cwd=place, capture_output=True, text=True, check=True)
            said.append(done.stdout)
    assert [row["path"] for row in json.loads(said[0])["rows"]] == ["000.png", "001.png"]
    assert json.loads(said[1])["rows"][0]["probabilities"] == json.loads(said[0])["rows"][0]["probabilities"]
    assert 'edgenas_requests_total{code="200"} 2.0' in said[3]


def test_every_status_of_the_page_is_one_that_the_server_gives() -> None:
    text = (DOCS / "serve.md").read_text(encoding="utf-8")
    source = "".join((DOCS.parent / "edgenas" / "serving" / name).read_text(encoding="utf-8") for name in ("uploads.py", "desk.py"))
    stated = set(re.findall(r"^\| (\d{3}) \|", text, re.MULTILINE))
    raised = set(re.findall(r"RefusedError\((\d{3})", source)) | {"413"}
    assert stated == raised - {"500"}


@pytest.mark.filterwarnings("ignore:.*is of earlier weights than")
def test_a_loaded_net_answers_as_the_page_in_python_shows(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    genes = tuple(int(gene) for gene in PVT_NANO.extreme(largest=False)[0])
    with contextlib.chdir(place), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        with pytest.raises(SystemExit):
            main(["init", "--data", "digits"])
        opened = open_project(Path("edgenas-run"), {}, ())
        data: Images = images_of(opened)
        torch.manual_seed(0)
        facts = facts_of(
            opened.space,
            data,
            "winner",
            arch=PVT_NANO.to_json(np.array(genes, dtype=np.int16)),
            weights="scratch",
            from_search=False,
        )
        save_weights(opened.run.retrain / WEIGHTS, build_net(PVT_NANO, data.task, genes).eval(), facts)
    text = (DOCS / "python.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```pycon\n(.*?)```", text, re.DOTALL)
    monkeypatch.setattr(loading, "images_of", None)
    test = doctest.DocTestParser().get_doctest(block, {}, "python.md", None, 0)
    out = io.StringIO()
    with contextlib.chdir(place):
        found = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=out.write)
    assert (found.failed, found.attempted) == (0, 7), out.getvalue()
