"""What a server answers, over a real socket."""

from __future__ import annotations

import errno
import http.client
import io
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgenas.predicting.predictor import Predictor
from tests.serving.conftest import BOUNDARY, PATIENCE_S, Served, form

Pictures = Callable[..., list[Path]]
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def png(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (width, height)).save(stream, "PNG")
    return stream.getvalue()


@contextmanager
def hung_up_on() -> Iterator[None]:
    """Let a server hang up at any moment; nothing else."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN):
            raise


def test_it_answers_as_predict_does(served: Served, artefact: Path, pictures: Pictures) -> None:
    paths = pictures(3)
    status, value = served.predict(*((path.name, path.read_bytes()) for path in paths))
    expected = [
        row.as_json() | {"path": path.name} for row, path in zip(Predictor.open(artefact).predict(list(paths)), paths, strict=True)
    ]
    assert (status, value["rows"], value["schema_version"]) == (200, expected, 1)
    assert "error" not in value


def test_an_image_may_be_the_body(served: Served, pictures: Pictures) -> None:
    (path,) = pictures(1)
    status, _, body = served.ask("POST", "/predict?name=door.png", path.read_bytes(), content_type="image/png")
    assert (status, json.loads(body)["rows"][0]["path"]) == (200, "door.png")


def test_health_readiness_and_the_manifest_are_there(served: Served, artefact: Path) -> None:
    assert served.ask("GET", "/health")[::2] == (200, b'{"status":"ok"}')
    assert served.ask("GET", "/ready")[::2] == (200, b'{"status":"ready"}')
    status, _, body = served.ask("GET", "/manifest")
    manifest = json.loads(body)
    stored = json.loads((artefact / "manifest.json").read_text())
    assert (status, manifest["classes"], manifest["files"]) == (200, stored["classes"], stored["files"])
    assert "/predict" in json.loads(served.ask("GET", "/openapi.json")[2])["paths"]


@pytest.mark.parametrize(("path", "code", "words"), [("/docs", 404, "Not Found"), ("/predict", 405, "Method Not Allowed")])
def test_what_there_is_not_is_refused_as_everything_else(served: Served, path: str, code: int, words: str) -> None:
    status, heads, body = served.ask("GET", path)
    assert (status, json.loads(body)["error"]) == (code, {"status": code, "message": words})
    assert heads.get("allow") == ("POST" if code == 405 else None)


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"", 422, "the file is empty"),
        (b"no image at all", 415, "no image of a known kind"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "no image of a known kind"),
        (png(400, 300), 413, "400 x 300 pixels; at most 100,000 are decoded"),
        (png(20, 20)[:45], 422, "cannot be decoded"),
        (b"\x89PNG\r\n\x1a\n" + b"\xff" * 200, 415, "no image of a known kind"),
    ],
    ids=["empty", "text", "PostScript", "many pixels", "cut off", "noise"],
)
def test_bad_images_are_answered_with_4xx_and_why(served: Served, data: bytes, status: int, words: str) -> None:
    found, value = served.predict(("a.png", data))
    assert found == value["error"]["status"] == status
    assert words in value["error"]["message"]
    assert (value["rows"][0]["decision"], words in value["rows"][0]["error"]) == (None, True)


def test_the_good_images_beside_a_bad_one_are_answered(served: Served, pictures: Pictures) -> None:
    (path,) = pictures(1)
    status, value = served.predict(("good.png", path.read_bytes()), ("bad.png", b"text"), ("empty.png", b""))
    assert (status, value["error"]["message"]) == (422, "2 of 3 images could not be judged")
    assert [row["decision"] is None for row in value["rows"]] == [False, True, True]


def test_requests_of_another_kind_or_shape_are_refused(served: Served) -> None:
    def ask(body: bytes, kind: str) -> tuple[int, str]:
        status, _, answer = served.ask("POST", "/predict", body, content_type=kind)
        return status, json.loads(answer)["error"]["message"]

    assert ask(b"{}", "application/json") == (
        415,
        "send multipart/form-data with files, or one image as the body, not application/json",
    )
    assert ask(b"a=b", "application/x-www-form-urlencoded")[0] == 415
    assert ask(b"nothing", "multipart/form-data")[0] == 400
    assert ask(b"no boundary in here", FORM)[0] in (400, 422)
    assert ask(form([("a.png", b"x")])[:40], FORM)[0] in (400, 422)
    assert ask(form([]), FORM) == (422, "the form holds no file")
    field = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="text"\r\n\r\nwords\r\n--{BOUNDARY}--\r\n'.encode()
    assert ask(field, FORM) == (422, "the form holds no file")
    assert ask(form([("a.png", b"x")] * 40), FORM)[0] == 413


def test_what_is_too_large_is_refused_said_beforehand_or_not(served: Served) -> None:
    status, value = served.predict(("a.png", b"x" * 600_000))
    assert (status, value["error"]["message"]) == (413, "the request is larger than 0.5 MB")
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_S)
    parts = (b"x" * 100_000 for _ in range(9))
    connection.request("POST", "/predict", parts, {"Content-Type": "image/png"}, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()
    assert served.ask("GET", "/health")[0] == 200


@pytest.mark.parametrize(
    "text",
    [
        b"\x00\x01\x02\x03\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nContent-Length: 20\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\nonly a part",
        b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
    ],
    ids=["no HTTP", "less than nothing", "two lengths", "cut off", "endless head"],
)
def test_what_is_no_request_does_not_stop_it(served: Served, pictures: Pictures, text: bytes) -> None:
    answer = b""
    with socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE_S) as connection, hung_up_on():
        connection.sendall(text)  # the server may hang up before it has read all of it
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(100)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    (path,) = pictures(1)
    assert served.predict((path.name, path.read_bytes()))[0] == 200


def test_random_bytes_in_forms_are_never_a_fault_of_the_server(served: Served, pictures: Pictures) -> None:
    (path,) = pictures(1)
    whole, rng = form([(path.name, path.read_bytes())]), np.random.default_rng(0)
    for _ in range(60):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), size=int(rng.integers(1, 12))):
            data[place] = rng.integers(0, 256)
        status, _, _ = served.ask("POST", "/predict", bytes(data[: int(rng.integers(1, len(data) + 1))]), content_type=FORM)
        assert status in (200, 400, 413, 415, 422)
    assert served.ask("GET", "/ready")[0] == 200


def test_everything_is_counted(served: Served, pictures: Pictures) -> None:
    before = served.metrics()
    paths = pictures(4)
    started = time.monotonic()
    _, value = served.predict(*((path.name, path.read_bytes()) for path in paths))
    seconds = time.monotonic() - started
    served.predict(("a.png", b"text"))
    after = served.metrics()
    grown = {name: after[name] - before.get(name, 0) for name in after}
    for name in ("healthy", "covid-19", "other"):
        expected = sum(row["decision"] == name for row in value["rows"])
        assert grown[f'edgenas_images_total{{decision="{name}"}}'] == expected
    assert grown["edgenas_referred_images_total"] == sum(row["referred"] for row in value["rows"])
    assert grown['edgenas_requests_total{code="200"}'] == grown['edgenas_requests_total{code="415"}'] == 1
    assert grown['edgenas_image_errors_total{code="415"}'] == 1
    assert grown["edgenas_request_seconds_count"] == grown['edgenas_request_seconds_bucket{le="+Inf"}'] == 2
    assert 0 < grown["edgenas_request_seconds_sum"] < 2 * seconds + 1
    assert after["edgenas_requests_in_flight"] == 0


def test_the_page_stands_alone(served: Served) -> None:
    status, heads, body = served.ask("GET", "/")
    assert (status, heads["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"http://" not in body
    assert b"https://" not in body
    assert "default-src 'none'" in heads["content-security-policy"]
