"""`edgenas spaces` and `edgenas count` on spaces with identities and with tied blocks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgenas.spaces.named import NAMED
from tests.cli.conftest import Run, as_object


@pytest.mark.parametrize(("space", "name"), [("vitas-384", "ViTAS-A"), ("vitas-block", "vitas-c")])
def test_a_published_net_is_counted_built_and_compared(edgenas: Run, space: str, name: str) -> None:
    code, out, _ = edgenas("count", "--space", space, "--arch", name, "--check", "--json")
    (row,) = as_object(out)["result"]["rows"]
    assert code == 0
    assert row["built"] == {"params": row["params"], "macs": row["macs"]}
    assert row["macs"] == row["reference_macs"] < row["ancestor_macs"]
    assert row["arch"]["blocks"].count(None) == (9 if space == "vitas-384" else 4)
    assert row["reported"]["source"].startswith("ViTAS")


def test_a_file_with_identities_is_counted_like_the_name(edgenas: Run, tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text(json.dumps(NAMED["ViTAS-F"].arch), encoding="utf-8")
    counts: list[Any] = []
    for arch in (str(tmp_path / "f.json"), "ViTAS-F"):
        code, out, _ = edgenas("count", "--space", "vitas-768", "--arch", arch, "--json")
        assert code == 0
        counts += as_object(out)["result"]["rows"]
    assert counts[0] | {"name": "ViTAS-F", "reported": counts[1]["reported"]} == counts[1]
    assert counts[0]["params"] == 22_540_277


def test_illegal_blocks_are_all_named(edgenas: Run, tmp_path: Path) -> None:
    blocks = [{"num_heads": 5, "qkv_out": 1, "mlp_hidden": 144}, None, {"num_heads": 3, "qkv_out": 145, "mlp_hidden": 2}]
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps({"patch_size": 7, "embed_dim": 38, "blocks": blocks}), encoding="utf-8")
    code, out, _ = edgenas("count", "--space", "vitas-384", "--arch", str(path), "--json")
    problems = as_object(out)["error"]["problems"]
    assert code == 1
    for start in (
        "patch_size is 7",
        "blocks[0].num_heads is 5",
        "blocks[0].qkv_out is 1",
        "blocks[2].qkv_out is 145",
        "blocks[2].mlp_hidden is 2",
    ):
        assert any(problem.startswith(start) for problem in problems), start


def test_blocks_that_differ_in_their_number_alone_share_a_line(edgenas: Run) -> None:
    code, out, err = edgenas("spaces", "vitas-384")
    shown = " ".join((out + err).split())
    assert code == 0
    assert "blocks[0-15].qkv_out" in shown
    assert "blocks[0-15].mlp_hidden" in shown
    assert "its num_heads is 3" in shown
    assert "·–·" in shown
    assert "None" not in shown
