"""`edgenas count` on published nets that their own space does not hold."""

from __future__ import annotations

from tests.cli.conftest import Run, as_object


def test_count_checks_a_net_outside_of_its_space(edgenas: Run) -> None:
    command = ("count", "--space", "autoformer-tiny", "--arch", "autoformer-t", "--check")
    code, out, _ = edgenas(*command, "--json")
    (row,) = as_object(out)["result"]["rows"]
    assert code == 0
    assert row["params"] == row["built"]["params"] == 5_867_944
    assert row["macs"] == row["built"]["macs"]
    assert row["reported"]["top1"] == 0.747
    code, out, _ = edgenas(*command)
    assert (code, "agrees" in out, "no subnet of autoformer-tiny" in out) == (0, True, True)
