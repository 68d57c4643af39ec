"""What containers are held to, from the files of control groups of both generations."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgenas.errors import MissingBackendError
from edgenas.latency.measuring import Workshop, workshop
from edgenas.portable import facts, machine, quota
from edgenas.portable.machine import joined, look, summary
from edgenas.project import opening
from edgenas.runs.place import threads_here
from edgenas.spaces import SPACES, Task
from tests.latency.toy import ToyRuntime

BOX = {"quota": "150000", "period": "100000"}


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system of eight cores whose control groups lie in a folder; none holds this process."""
    monkeypatch.setattr(quota, "GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(quota, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(quota, "usable_cores", lambda: list(range(8)))
    (tmp_path / "cgroup").mkdir()
    return tmp_path


def in_group(folder: Path, line: str, files: dict[str, str]) -> None:
    """Put this process into a group, and files under the folder of all groups."""
    (folder / "own").write_text(f"9:pids:/elsewhere\n{line}\n")
    for name, text in files.items():
        path = folder / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


@pytest.mark.parametrize(
    ("line", "files", "cores", "threads"),
    [
        ("0::/", {"cpu.max": "max 100000"}, None, 8),
        ("0::/", {"cpu.max": "250000 100000"}, 2.5, 2),
        ("0::/", {"cpu.max": "50000 100000"}, 0.5, 1),
        ("0::/", {"cpu.max": "1600000 100000"}, 16.0, 8),  # more than there are
        ("0::/pod/box", {"pod/box/cpu.max": "max 100000", "pod/cpu.max": "300000 100000"}, 3.0, 3),
        ("0::/pod/box", {"pod/box/cpu.max": "400000 100000", "cpu.max": "150000 50000"}, 3.0, 3),
        ("0::/outside/box", {"cpu.max": "200000 100000"}, 2.0, 2),  # a container that sees its group as the root
        ("0::/", {"unified/cpu.max": "200000 100000"}, 2.0, 2),  # both generations at once
        (
            "4:cpu,cpuacct:/box",
            {"cpu,cpuacct/box/cpu.cfs_quota_us": "150000", "cpu,cpuacct/box/cpu.cfs_period_us": "100000"},
            1.5,
            1,
        ),
        ("1:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None, 8),
        ("1:cpu:/gone", {"cpu/cpu.cfs_quota_us": "700000", "cpu/cpu.cfs_period_us": "100000"}, 7.0, 7),
        ("0::/", {"cpu.max": "some words"}, None, 8),
        ("0::/", {"cpu.max": "100000 0"}, None, 8),
        ("no group", {}, None, 8),
    ],
)
def test_the_smallest_quota_around_a_process_is_what_it_may_use(
    line: str, files: dict[str, str], cores: float | None, threads: int, groups: Path
) -> None:
    in_group(groups, line, files)
    assert (quota.cpu_quota(), quota.usable_threads(), threads_here()) == (cores, threads, threads)


def test_without_control_groups_every_core_counts(groups: Path) -> None:
    assert (quota.cpu_quota(), quota.usable_threads(), quota.times_held_back()) == (None, 8, None)


def test_what_a_quota_held_back_is_counted_while_nets_are_timed(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: [0])
    monkeypatch.setattr(facts, "STAT", groups / "none")
    held = {"cpu.max": "150000 100000", "cpu.stat": "usage_usec 9\nnr_periods 20\nnr_throttled 3"}
    in_group(groups, "0::/", held)
    before = look()
    in_group(groups, "0::/", held | {"cpu.stat": "nr_throttled 10"})
    found = summary([before, look()])
    assert (found["cpu_quota"], found["quota_events"]) == (1.5, 7)
    assert joined([found, found])["quota_events"] == 14
    in_group(groups, "0::/", {"cpu.max": "max 100000"})
    assert "quota_events" not in summary([look(), look()])


def test_more_threads_than_a_quota_has_cores_are_refused_with_the_quota(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_group(groups, "0::/", {"cpu.max": "250000 100000"})
    monkeypatch.setattr(workshop, "usable_cores", lambda: list(range(8)))
    shop = Workshop(SPACES["pvt-nano"], Task(2), ToyRuntime(), "fp32", 1, opset=18, cache=groups, scratch=groups)  # type: ignore[arg-type]
    assert shop.target(2).threads == 2
    with pytest.raises(MissingBackendError, match=r"4 threads: this process may use 2 cores, for its quota is 2.5 of 8"):
        shop.target(4)


def test_pytorch_takes_no_more_threads_than_a_quota_has_cores(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_group(groups, "0::/", {"cpu.max": "250000 100000"})
    taken: list[int] = []
    monkeypatch.setattr("torch.get_num_threads", lambda: 16)
    monkeypatch.setattr("torch.set_num_threads", taken.append)
    opening.use_threads(None, Task(2, 3, 256))
    opening.use_threads(None, Task(2, 3, 32))
    opening.use_threads(4, Task(2, 3, 256))
    assert taken == [2, 1, 4]
