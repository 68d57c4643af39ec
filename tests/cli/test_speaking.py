"""How messages are laid out on a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

from edgenas.cli.speaking import wrapped

PATH = "/data/of/somebody/with/a/very/long/path/to/their/images/edgenas-run/edgenas.toml"


def test_a_message_ends_its_lines_between_words_and_cuts_no_path_or_command() -> None:
    text = f"{PATH} does not exist; run `edgenas init --data SOURCE` first, or name another folder with --run DIR"
    lines = wrapped(text, 60, 9).split("\n")
    assert PATH in lines[0]
    assert all(len(line) <= 60 for line in lines if PATH not in line)
    assert "`edgenas init --data SOURCE`" in "|".join(lines)
    assert " ".join(lines) == text


def test_the_head_takes_room_in_the_first_line_alone() -> None:
    assert wrapped("ab cd ef", 11, 9) == "ab\ncd ef"


def test_lines_of_their_own_stay_and_problems_keep_their_indent() -> None:
    text = "two things are wrong:\n  the first is that a word is too long\n  the second"
    assert wrapped(text, 30) == "two things are wrong:\n  the first is that a word is\n    too long\n  the second"


def test_without_a_width_nothing_is_wrapped() -> None:
    assert wrapped("a " * 200, 0) == "a " * 200


def test_notes_are_as_wide_as_stderrs_terminal_where_stdout_is_a_pipe() -> None:
    above, below = pty.openpty()
    fcntl.ioctl(below, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 44, 0, 0))
    said = "from edgenas.cli.speaking import note; note('some words ' * 12)"
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    subprocess.run([sys.executable, "-c", said], stdout=subprocess.PIPE, stderr=below, env=environment, check=True)
    os.close(below)
    lines = os.read(above, 4096).decode().splitlines()  # all of it is there: the process has ended
    os.close(above)
    assert lines == ["some words some words some words some words"] * 3
