"""`--device` where another machine may be meant: addresses, and what they are refused for."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenas.remote import Address
from edgenas.remote.line import _command
from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ssh://Pi", Address("Pi")),
        ("ssh://me@10.0.0.7:2222/", Address("10.0.0.7", "me", 2222)),
        ("ssh://[fe80::1%25eth0]:22", Address("fe80::1%eth0", port=22)),
        ("ssh://pi?python=~/env/bin/python&dir=/data/edgenas/", Address("pi", python="~/env/bin/python", folder="/data/edgenas")),
        ("ssh://jetson?trtexec=/usr/src/tensorrt/bin/trtexec", Address("jetson", trtexec="/usr/src/tensorrt/bin/trtexec")),
    ],
)
def test_addresses_are_read(text: str, address: Address) -> None:
    assert Address.parse(text) == address


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ssh://", "'' is no name of a host"),
        ("http://pi", "http://pi does not begin with ssh://"),
        ("ssh://-oProxyCommand=touch", "'-oProxyCommand=touch' is no name of a host"),
        ("ssh://pi;reboot", "'pi;reboot' is no name of a host"),
        ("ssh://$(reboot)@pi", "'$(reboot)' is no name of a user"),
        ("ssh://-l@pi", "'-l' is no name of a user"),
        ("ssh://pi:0", "port 0 is none"),
        ("ssh://pi:99999", "the address cannot be read: Port out of range"),
        ("ssh://pi/data", "a folder there is given by ?dir=/data"),
        ("ssh://pi#x", "#x means nothing here"),
        ("ssh://pi?pyton=a", "?pyton is not known; there are ?python=, ?dir=, ?trtexec="),
        ("ssh://pi?python=a&python=b", "?python is given 2 times"),
        ("ssh://pi?python=-c", "?python=-c is not a Python"),
        ("ssh://pi?python=a;b", "?python=a;b is not a Python"),
        ("ssh://pi?dir=here", "?dir=here is not a folder there"),
        ("ssh://pi?dir=/a/../b", "?dir=/a/../b is not a folder there"),
    ],
)
def test_addresses_that_cannot_be_meant_are_refused_as_usage(text: str, why: str, edgenas: Run) -> None:
    code, _, err = edgenas("profile", "--device", text)
    assert code == 2
    assert why in " ".join(err.split())


def test_a_password_is_refused_and_not_repeated(edgenas: Run) -> None:
    code, out, err = edgenas("profile", "--device", "ssh://me:hunter2@pi:99999", "--json")
    assert code == 2
    assert "hunter2" not in out + err
    code, out, err = edgenas("profile", "--device", "ssh://me:hunter2@pi")
    assert (code, "holds a password, and" in " ".join(err.split()), "hunter2" in out + err) == (2, True, False)


@given(st.text(max_size=40), st.text(max_size=20), st.text(max_size=20))
def test_no_address_becomes_an_option_or_syntax_of_a_shell(host: str, user: str, python: str) -> None:
    try:
        address = Address.parse(f"ssh://{user}@{host}?python={python}")
    except ValueError:
        return
    *words, target, script = _command(address)
    assert words[-1] == "--"
    assert not target.startswith("-")
    assert not (address.user or "").startswith("-")
    program, flag, code = shlex.split(script.replace('"$HOME"/', "home/"))
    assert (flag, "import sys" in code) == ("-c", True)
    assert not program.startswith("-")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--device", "ssh://pi", "--pack", "kit.zip"),
        ("--device", "cpu", "--keep"),
        ("--keep",),
        ("--device", "gpu"),
    ],
)
def test_combinations_that_cannot_be_meant_are_refused(arguments: tuple[str, ...], edgenas: Run) -> None:
    assert edgenas("profile", *arguments)[0] == 2
