"""A job goes to a device, runs there and comes back, whatever happens to the line, to this process or to the device."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgenas.errors import InterruptedRunError, MissingBackendError
from edgenas.remote import PYTHON, Address, Device, Job, RemoteError, UnreachableError, clear, run_job
from edgenas.remote import device as device_module
from edgenas.remote.line import OPTIONS, agent_source
from edgenas.runs import Note, Progress
from tests.latency.kits import old_python
from tests.remote.servers import Server

POLL_S = (0.05,)
# counts to a number, goes on where it was, and says how often it was started; half-way it waits for a file, if one is named
WORK = """
import json, sys, time
from pathlib import Path
count, gate = int(sys.argv[1]), [Path(name) for name in sys.argv[2:]]
kept, starts = Path("count.txt"), Path("starts.txt")
starts.write_text(str(int(starts.read_text()) + 1 if starts.exists() else 1))
done = int(kept.read_text()) if kept.exists() else 0
print("hello \\x1b[31mred", file=sys.stderr)
try:
    while done < count:
        done += 1
        kept.write_text(str(done))
        print(f"counting: {done}/{count}, 0.1 min left", file=sys.stderr, flush=True)
        while done >= count // 2 and not all(path.exists() for path in gate):
            time.sleep(0.01)
except KeyboardInterrupt:
    print("stopped", file=sys.stderr)
    sys.exit(130)
Path("results.json").write_text(json.dumps({"done": done, "starts": int(starts.read_text())}))
print("done: type something", file=sys.stderr)
"""


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    """Makes jobs of a script; every test's are others."""

    def make(script: str = WORK, *arguments: str, more: bytes = b"", is_held: bool = False) -> Job:
        (tmp_path / "here").mkdir(exist_ok=True)
        path, data = tmp_path / "here" / "work.py", tmp_path / "here" / "data.bin"
        path.write_text(script)
        data.write_bytes(str(tmp_path).encode() + more)
        files = {"work.py": path, "deep/data.bin": data}
        gate = (str(tmp_path / "gate"),) if is_held else ()
        return Job(files, (PYTHON, "work.py", *arguments, *gate), ("results.json",), ("count.txt", "starts.txt"))

    return make


@pytest.fixture
def release(tmp_path: Path) -> Callable[[], None]:
    """Lets work that is held go on."""
    return (tmp_path / "gate").touch


def counted(records: Iterator[Any], number: int = 1) -> None:
    """Follow work until it has counted so far."""
    for record in records:
        if isinstance(record, Progress) and record.label == "counting" and record.done >= number:
            return
    raise AssertionError("the work has ended")


@pytest.fixture
def device(server: Server) -> Iterator[Device]:
    with Device(server.address()) as found:
        yield found


def done(records: Iterator[Any]) -> tuple[list[Any], Any]:
    """All records, and what the generator returned."""
    seen = []
    while True:
        try:
            seen.append(next(records))
        except StopIteration as end:
            return seen, end.value


def results_of(server: Server, job: Job, into: Path, **settings: Any) -> tuple[list[Any], dict[str, Any]]:
    with Device(server.address(**settings)) as device:
        seen, found = done(run_job(device, job, into, poll_s=POLL_S))
    return seen, json.loads(found["results.json"].read_text())


def there(server: Server, job: Job) -> Path:
    return server.folder / "there" / job.name


def test_files_go_there_a_command_runs_and_results_come_back(server: Server, job: Callable[..., Job], tmp_path: Path) -> None:
    work = job(WORK, "3", more=os.urandom(300_000))
    with Device(server.address()) as device:
        seen, found = done(run_job(device, work, tmp_path, poll_s=POLL_S))
        assert (there(server, work) / "deep" / "data.bin").read_bytes() == work.files["deep/data.bin"].read_bytes()
        assert (there(server, work).stat().st_mode & 0o777) == 0o700
        list(clear(device, work, keep=False))
    assert json.loads(found["results.json"].read_text()) == {"done": 3, "starts": 1}
    assert not there(server, work).exists()
    steps = [record for record in seen if isinstance(record, Progress)]
    sending = [step.done for step in steps if step.label == "sending, kB"]
    assert sending == sorted(sending)
    assert len(set(sending)) > 2
    assert ("counting", 3, 3) in {(step.label, step.done, step.total) for step in steps}
    notes = [record.text for record in seen if isinstance(record, Note)]
    assert notes == ["127.0.0.1: hello \\x1b[31mred"]  # as text, and not what a kit says to who measures by hand


def test_a_folder_that_is_kept_keeps_its_files_and_starts_anew(server: Server, job: Callable[..., Job], tmp_path: Path) -> None:
    work = job(WORK, "1")
    for _ in range(2):
        with Device(server.address()) as device:
            seen, found = done(run_job(device, work, tmp_path, poll_s=POLL_S))
            list(clear(device, work, keep=True))
        assert json.loads(found["results.json"].read_text())["starts"] == 1
    assert {path.name for path in there(server, work).iterdir()} == {"work.py", "deep", "run.edgenas", "run.lock"}
    assert any("are on ssh://" in record.text for record in seen if isinstance(record, Note))
    shutil.rmtree(there(server, work))


def test_sending_goes_on_within_a_file(device: Device, server: Server, job: Callable[..., Job], tmp_path: Path) -> None:
    work = job(WORK, "1", more=os.urandom(700_000))
    records = run_job(device, work, tmp_path, poll_s=POLL_S)
    for record in records:
        if isinstance(record, Progress) and record.label == "sending, kB" and record.done > 250:
            break
    server.drop()
    seen, result = done(records)
    assert result
    assert any("trying again" in record.text for record in seen if isinstance(record, Note))
    assert min(step.done for step in seen if isinstance(step, Progress) and step.label == "sending, kB") > 250


def test_a_line_that_drops_while_it_runs_is_made_again(
    device: Device, server: Server, job: Callable[..., Job], tmp_path: Path, release: Callable[[], None]
) -> None:
    work = job(WORK, "4", is_held=True)
    records = run_job(device, work, tmp_path, poll_s=POLL_S)
    counted(records, 2)
    assert server.drop() == 1
    release()
    seen, _ = done(records)
    assert any("trying again" in record.text for record in seen if isinstance(record, Note))
    assert json.loads((tmp_path / "results.json").read_text()) == {"done": 4, "starts": 1}


def test_a_server_that_stays_away_is_named_while_the_work_goes_on(
    device: Device,
    server: Server,
    job: Callable[..., Job],
    tmp_path: Path,
    release: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device_module, "WAITS_S", (0.1, 0.3))
    work = job(WORK, "4", is_held=True)
    device.patience_s = 1.0
    records = run_job(device, work, tmp_path, poll_s=POLL_S)
    counted(records)
    server.stop()
    with pytest.raises(UnreachableError) as caught:
        done(records)
    assert caught.value.exit_code == 5
    assert "refuses the connection; it did not come back within 1\xa0s" in caught.value.message
    assert "what was begun there goes on" in caught.value.hint
    release()
    server.start()
    _, result = results_of(server, work, tmp_path)
    assert result == {"done": 4, "starts": 1}  # it went on alone


def test_a_second_command_follows_what_runs(
    device: Device, server: Server, job: Callable[..., Job], tmp_path: Path, release: Callable[[], None]
) -> None:
    work = job(WORK, "4", is_held=True)
    first = run_job(device, work, tmp_path, poll_s=POLL_S)
    counted(first)
    with Device(server.address()) as another:
        second = run_job(another, work, tmp_path, poll_s=POLL_S)
        notes = next(record.text for record in second if isinstance(record, Note) and "it runs on" in record.text)
        assert notes == f"it runs on {server.address()} already: following it"
        release()
        done(second)
    assert json.loads((tmp_path / "results.json").read_text()) == {"done": 4, "starts": 1}
    done(first)


def test_ctrl_c_stops_the_work_there_and_the_same_command_goes_on(
    device: Device, server: Server, job: Callable[..., Job], tmp_path: Path, release: Callable[[], None]
) -> None:
    work = job(WORK, "4", is_held=True)
    records = run_job(device, work, tmp_path, poll_s=POLL_S)
    counted(records, 2)
    with pytest.raises(KeyboardInterrupt):
        records.throw(KeyboardInterrupt())
    assert (there(server, work) / "run.exit").read_text() == "130"
    assert (there(server, work) / "count.txt").read_text() == "2"
    release()
    _, result = results_of(server, work, tmp_path)
    assert result == {"done": 4, "starts": 2}


def test_ctrl_c_without_a_line_says_that_the_work_goes_on(
    device: Device, server: Server, job: Callable[..., Job], tmp_path: Path, release: Callable[[], None]
) -> None:
    work = job(WORK, "4", is_held=True)
    records = run_job(device, work, tmp_path, poll_s=POLL_S)
    counted(records)
    server.stop()
    with pytest.raises(InterruptedRunError, match="could not be told, so the work goes on there") as caught:
        records.throw(KeyboardInterrupt())
    assert caught.value.exit_code == 130
    release()
    server.start()
    assert results_of(server, work, tmp_path)[1] == {"done": 4, "starts": 1}


def test_a_command_here_that_is_killed_leaves_the_work_running(
    server: Server, job: Callable[..., Job], tmp_path: Path, release: Callable[[], None]
) -> None:
    work = job(WORK, "4", is_held=True)
    files = {name: str(path) for name, path in work.files.items()}
    code = (
        "from pathlib import Path; from edgenas.remote import *\n"
        f"files = {{name: Path(path) for name, path in {files}.items()}}\n"
        f"work = Job(files, {work.command}, {work.results}, {work.others})\n"
        f"for record in run_job(Device({server.address()!r}), work, Path({str(tmp_path)!r}), poll_s=(0.05,)):\n"
        "    print(record, flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert any("counting" in line for line in process.stdout)
    process.kill()
    process.communicate()
    release()
    _, result = results_of(server, work, tmp_path)
    assert result == {"done": 4, "starts": 1}


def test_what_a_device_ends_together_with_the_line_is_started_again(
    device: Device, server: Server, job: Callable[..., Job], tmp_path: Path, release: Callable[[], None]
) -> None:
    work = job(WORK, "4", is_held=True)
    records = run_job(device, work, tmp_path, poll_s=POLL_S)
    counted(records, 2)
    os.killpg(int((there(server, work) / "run.pid").read_text()), signal.SIGKILL)  # as systemd does at logout, and a power cut
    release()
    done(records)
    assert json.loads((tmp_path / "results.json").read_text()) == {"done": 4, "starts": 2}


@pytest.mark.parametrize(
    ("script", "message", "hint"),
    [
        ("import os; os.kill(os.getpid(), 9)", "ended the work by SIGKILL, often because memory ran out", "goes on"),
        ("import sys; sys.exit('measure.py: no \\x1b[31mweights')", r"127.0.0.1.*: measure.py: no \\x1b\[31mweights", "status 1"),
        ("import sys; sys.exit(130)", "the work was stopped on", "goes on"),
    ],
)
def test_work_that_fails_there_is_one_line(
    script: str, message: str, hint: str, server: Server, job: Callable[..., Job], tmp_path: Path
) -> None:
    with pytest.raises(RemoteError, match=message) as caught:
        results_of(server, job(script), tmp_path)
    assert caught.value.exit_code == 1
    assert hint in caught.value.hint
    assert "\n" not in str(caught.value)


def refused(address: Address) -> MissingBackendError | RemoteError:
    with Device(address) as device, pytest.raises((MissingBackendError, RemoteError)) as caught:
        done(device.facts(("json", "no_such_module"), {}))
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_device_says_what_it_has(server: Server) -> None:
    with Device(server.address()) as device:
        _, facts = done(device.facts(("json", "numpy", "no_such_module"), {"a": ("no-such-program", "/bin/sh"), "b": ("no-such",)}))
    assert facts.python == sys.version.split()[0]
    assert facts.modules["json"] is not None
    assert facts.modules["no_such_module"] is None
    assert facts.programs == {"a": "/bin/sh", "b": None}


def test_the_oldest_python_does_the_work(server: Server, job: Callable[..., Job], tmp_path: Path) -> None:
    tree = ast.parse(agent_source(), feature_version=(3, 8))
    used = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    used |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert used <= sys.stdlib_module_names
    program = old_python()
    if program is None:
        pytest.skip("needs Python 3.8")
    assert results_of(server, job(WORK, "2"), tmp_path, python=program)[1] == {"done": 2, "starts": 1}


def test_a_host_that_does_not_answer(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPTIONS, "ConnectTimeout", "1")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        error = refused(replace(server.address(), port=int(silent.getsockname()[1])))
    assert error.exit_code == 5
    assert "does not answer" in error.message


def test_a_host_that_is_not_known(server: Server) -> None:
    error = refused(Address("no-such-host.invalid"))
    assert error.exit_code == 5
    assert error.message == "ssh://no-such-host.invalid is not found: no host is called no-such-host.invalid"


def test_a_port_that_nobody_listens_on(server: Server) -> None:
    server.stop()
    error = refused(server.address())
    assert error.exit_code == 5
    assert "refuses the connection" in error.message


def test_a_host_key_that_is_new_or_another_is_never_accepted(server: Server) -> None:
    (server.folder / "known").write_text("")
    error = refused(server.address())
    assert (error.exit_code, "is not known yet" in error.message) == (5, True)
    assert f"ssh -p {server.port} " in error.hint
    assert (server.folder / "known").read_text() == ""
    server.know(key="other")
    error = refused(server.address())
    assert (error.exit_code, "shows another host key" in error.message) == (5, True)
    assert f"ssh-keygen -R [127.0.0.1]:{server.port}" in error.hint


def test_a_key_that_is_not_let_in(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(server.config.read_text().replace("/user\n", "/stranger\n"))
    monkeypatch.setenv("EDGENAS_SSH_CONFIG", str(config))
    error = refused(server.address())
    assert (error.exit_code, "with a key" in error.message) == (5, True)
    assert "ssh-copy-id" in error.hint


def test_a_configuration_that_openssh_cannot_read(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("NoSuchOption yes\n")
    monkeypatch.setenv("EDGENAS_SSH_CONFIG", str(tmp_path / "config"))
    error = refused(server.address())
    assert "OpenSSH cannot use its configuration: " in error.message
    assert "nosuchoption" in error.message.lower()


def test_a_device_without_python_or_with_an_old_one(server: Server, tmp_path: Path) -> None:
    error = refused(server.address(python="/no/python3"))
    assert (error.exit_code, error.message.endswith("has no /no/python3")) == (5, True)
    assert "?python=" in error.hint
    old = tmp_path / "old python"
    old.write_text("#!/bin/sh\necho edgenas-python 3.6\ncat > /dev/null\n")
    old.chmod(0o755)
    error = refused(server.address(python=str(old)))
    assert (error.exit_code, "has Python 3.6 as " in error.message) == (5, True)


def test_a_shell_that_greets_is_listened_past_and_one_that_never_stops_is_not(server: Server, tmp_path: Path) -> None:
    shell = tmp_path / "python"
    shell.write_text(f'#!/bin/sh\necho welcome\necho "to this board"\nexec {sys.executable} "$@"\n')
    shell.chmod(0o755)
    with Device(server.address(python=str(shell))) as device:
        assert done(device.facts((), {}))[1].executable == sys.executable
    shell.write_text("#!/bin/sh\nexec yes\n")
    assert "says other things than Python does" in refused(server.address(python=str(shell))).message


def test_folders_that_cannot_be_used(server: Server, job: Callable[..., Job], tmp_path: Path) -> None:
    def error_of(folder: Path | str) -> RemoteError:
        with pytest.raises(RemoteError) as caught:
            results_of(server, job(WORK, "1"), tmp_path, folder=str(folder))
        assert caught.value.exit_code == 1
        assert "?dir=" in caught.value.hint
        return caught.value

    assert "/proc/edgenas" in error_of("/proc/edgenas").message
    work = job(WORK, "1")
    (tmp_path / "full" / work.name).mkdir(parents=True)
    (tmp_path / "full" / work.name / "own.txt").write_text("of somebody")
    assert "holds other things" in error_of(tmp_path / "full").message
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / work.name).symlink_to(tmp_path / "full")
    assert "is not a folder of this user" in error_of(tmp_path / "linked").message


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few kilobytes, where one can be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("may not mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_named_and_gone_on_with(server: Server, job: Callable[..., Job], tmp_path: Path, small_disk: Path) -> None:
    work = job(WORK, "1", more=os.urandom(100_000))
    with pytest.raises(RemoteError, match="No space left on device") as caught:
        results_of(server, work, tmp_path, folder=str(small_disk))
    assert caught.value.hint == "free space there; the same command goes on"
    subprocess.run(["mount", "-o", "remount,size=1m", str(small_disk)], check=True)
    assert results_of(server, work, tmp_path, folder=str(small_disk))[1] == {"done": 1, "starts": 1}
