"""How a server begins, how much it takes at a time, and how it ends."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgenas.serving.running import GRACE_S, Running, bind
from tests.serving.conftest import PATIENCE_S, Served, serving

Pictures = Callable[..., list[Path]]
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n"


def begun(server: Served, num_bytes: int) -> socket.socket:
    """A request whose body has not come yet."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)
    connection.sendall(HEAD % num_bytes)
    return connection


def answer_to(connection: socket.socket) -> tuple[int, bytes]:
    """The status and the whole body of an answer, in however many pieces it comes."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer.status, answer.read()


def until_waiting(server: Served, num: int) -> None:
    ends = time.monotonic() + PATIENCE_S
    while server.metrics()["edgenas_requests_in_flight"] != num:
        assert time.monotonic() < ends
        time.sleep(0.02)


def until_closed(server: Served) -> None:
    """Wait until a server that was told to stop takes nothing new."""
    ends = time.monotonic() + PATIENCE_S
    with contextlib.suppress(ConnectionRefusedError):
        while time.monotonic() < ends:
            socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S).close()
            time.sleep(0.02)
        pytest.fail("it takes connections")


def test_a_sigterm_lets_what_has_begun_end_and_takes_nothing_new(artefact: Path, pictures: Pictures) -> None:
    (path,) = pictures(1)
    data = path.read_bytes()
    with serving(artefact) as server:
        slow = begun(server, len(data))
        until_waiting(server, 1)
        server.process.send_signal(signal.SIGTERM)
        until_closed(server)
        slow.sendall(data)
        status, _ = answer_to(slow)
        assert status == 200
        slow.close()
        _, err = server.process.communicate(timeout=PATIENCE_S)
        assert server.process.returncode == 0, err
        assert "answered 1 request for predictions, 1 image, 0 refused or failed" in " ".join(_.split()) + " ".join(err.split())
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)


def test_what_has_begun_and_never_ends_is_told_that_the_server_stops(artefact: Path) -> None:
    with serving(artefact, grace_s=1) as server:
        slow = begun(server, 1000)
        until_waiting(server, 1)
        server.process.send_signal(signal.SIGTERM)
        status, body = answer_to(slow)
        slow.close()
        _, err = server.process.communicate(timeout=PATIENCE_S)
        assert status == 503
        assert b"the server is being stopped" in body
        assert (server.process.returncode, "Traceback" in err) == (0, False), err


def empty() -> Any:
    """An application without routes; FastAPI is imported by the worker that runs this alone."""
    from fastapi import FastAPI

    return FastAPI()


@pytest.mark.parametrize(
    "said",
    [b"", b"GET /hea", b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET", b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"],
)
def test_a_client_that_does_not_say_what_it_wants_is_left(said: bytes) -> None:
    bound = bind("127.0.0.1", 0)
    running = Running(empty(), bound, head_s=0.4)
    running.start()
    try:
        began = time.monotonic()
        with socket.create_connection(bound.getsockname(), timeout=PATIENCE_S) as connection:
            connection.sendall(said)
            with contextlib.suppress(ConnectionResetError):
                while connection.recv(1 << 12):
                    pass
        assert time.monotonic() - began > 0.2
    finally:
        running.stop()
        running.join()


def asked_now_and_then(host: str, port: int) -> tuple[float, bool]:
    """The longest pause of a client that asks five times in three seconds, and whether its connection stayed."""
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE_S)
    longest_s, sockets = 0.0, set()
    for _ in range(5):
        connection.request("GET", "/openapi.json")
        assert connection.getresponse().read()
        sockets.add(connection.sock)
        answered = time.monotonic()
        time.sleep(0.6)
        longest_s = max(longest_s, time.monotonic() - answered)
    connection.close()
    return longest_s, len(sockets) == 1


def test_a_client_that_goes_on_asking_is_not_left() -> None:
    bound = bind("127.0.0.1", 0)
    running = Running(empty(), bound, head_s=2.0)
    running.start()
    try:
        for _ in range(20):  # until this process was never kept waiting for long itself
            longest_s, same = asked_now_and_then(*bound.getsockname())
            if longest_s < 1.5:
                break
        assert same
    finally:
        running.stop()
        running.join()


def seconds_to_the_end(artefact: Path) -> float:
    """How long a server of whom a request has begun goes on after a first signal, and a second one that it heard apart."""
    with serving(artefact, "--json") as server, begun(server, 1000):
        until_waiting(server, 1)
        began = time.monotonic()
        server.process.send_signal(signal.SIGINT)
        until_closed(server)
        server.process.send_signal(signal.SIGINT)
        out, err = server.process.communicate(timeout=PATIENCE_S)
        assert server.process.returncode == 0, err
        assert json.loads(out)["result"]["address"] == server.url
        return time.monotonic() - began


def test_a_second_signal_does_not_wait(artefact: Path) -> None:
    assert any(seconds_to_the_end(artefact) < GRACE_S - 1 for _ in range(5))  # it may be other programs that it waits for


def test_more_than_may_wait_are_told_to_come_again(artefact: Path, pictures: Pictures) -> None:
    (path,) = pictures(1)
    data = path.read_bytes()
    with serving(artefact, "--queue", "2") as server:
        slow = [begun(server, len(data)) for _ in range(2)]
        until_waiting(server, 2)
        status, heads, body = server.ask("POST", "/predict", data, content_type="image/png")
        assert (status, heads["retry-after"]) == (503, "1")
        assert "too many requests are waiting" in json.loads(body)["error"]["message"]
        for connection in slow:
            connection.sendall(data)
            assert answer_to(connection)[0] == 200
            connection.close()
        until_waiting(server, 0)
        assert server.predict((path.name, data))[0] == 200


def test_many_clients_at_a_time_get_their_own_answers(artefact: Path, pictures: Pictures) -> None:
    paths = pictures(24)
    with serving(artefact) as server:
        alone = {path: server.predict((path.name, path.read_bytes())) for path in paths}
        found: dict[Path, object] = {}

        def client(mine: list[Path]) -> None:
            for path in mine:
                found[path] = server.predict((path.name, path.read_bytes()))

        threads = [threading.Thread(target=client, args=(paths[start::8],)) for start in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == alone
        assert all(status == 200 for status, _ in alone.values())


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "edgenas", "serve", *arguments], capture_output=True, text=True, check=False)


def test_no_answer_waits_for_the_clients_word_that_its_head_has_come() -> None:
    with (
        bind("127.0.0.1", 0) as bound,
        socket.create_connection(bound.getsockname(), timeout=PATIENCE_S),
        bound.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_that_is_taken_is_one_line(artefact: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(str(artefact), "--port", str(port))
    assert (done.returncode, done.stdout) == (1, "")
    assert " ".join(done.stderr.split()) == (
        f"edgenas: port {port} of 127.0.0.1 is in use; --port N takes another one, --port 0 a free one"
    )


def test_without_its_packages_it_names_the_extra(artefact: Path) -> None:
    script = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'fastapi': raise ModuleNotFoundError(name)\n"
        "import importlib.util as u; found = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'fastapi' else found(name, package)\n"
        "from edgenas.cli import main; main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", script, "serve", str(artefact), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    value = json.loads(done.stdout)
    assert (done.returncode, value["status"]) == (5, "missing_backend")
    assert value["error"]["message"] == "a server needs fastapi, which is not installed"
    assert value["error"]["hint"] == "pip install 'edgenas[serve]'"


def test_a_folder_without_an_artefact_is_refused(tmp_path: Path) -> None:
    done = run(str(tmp_path), "--json", "--port", "0")
    assert (done.returncode, json.loads(done.stdout)["error"]["type"]) == (1, "MissingInputError")
