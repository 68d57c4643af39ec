"""What a machine is called, from the files of its system."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgenas.portable import facts


@pytest.mark.parametrize(
    ("cpuinfo", "board", "name"),
    [
        ("processor : 0\nmodel name : Xeon (R)\n", "Board", "Xeon (R)"),
        ("processor : 0\nHardware : BCM2835\n", None, "BCM2835"),
        ("processor : 0\nBogoMIPS : 38.40\n", "NVIDIA Jetson Orin Nano\0", "NVIDIA Jetson Orin Nano"),
        ("processor : 0\nModel : \n", None, "aarch64"),
    ],
)
def test_a_processor_without_a_name_is_called_after_its_board(
    cpuinfo: str, board: str | None, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    if board is not None:
        (tmp_path / "model").write_text(board)
    monkeypatch.setattr(facts, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(facts, "BOARD", tmp_path / "model")
    monkeypatch.setattr(facts.platform, "processor", lambda: "")
    monkeypatch.setattr(facts.platform, "machine", lambda: "aarch64")
    assert facts.cpu_model() == name


def test_what_cannot_be_read_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("BOARD", "CPUS", "THERMAL", "STAT"):
        monkeypatch.setattr(facts, place, tmp_path / "none")
    found = facts.machine_facts(("no package",))
    assert not {"board", "governor", "temperature_c", "frequency_mhz"} & found.keys()
    assert found["versions"] == {}
    assert found["affinity"] == facts.usable_cores()
    assert facts.core_seconds([0]) == (None, None)


def test_the_hottest_zone_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for zone, text in {"a": "41500\n", "b": "55000\n", "c": "-1000\n", "d": "no number\n"}.items():
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "temp").write_text(text)
    monkeypatch.setattr(facts, "THERMAL", tmp_path)
    assert facts.temperature_c() == 55.0
