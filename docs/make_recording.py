"""Record a command in a terminal, and draw the recording as an animated SVG: no other program and no service is needed.

    python docs/make_recording.py record demo.jsonl -- edgenas demo
    python docs/make_recording.py draw demo.jsonl docs/demo.svg

The picture loops. Its time is compressed, and it says so: what took minutes is shown in `SHOWN_S` seconds, and the last screen
stays for `STAYS_S`. Seconds are those that the command computed, so that a busy machine makes no longer recording.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import re
import struct
import sys
import termios
import time
from codecs import getincrementaldecoder
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

COLUMNS, ROWS = 100, 40
SHOWN_S, STAYS_S = 14.0, 6.0
FRAMES = 90
GROWING, PICTURE = 5.0, "on the front"  # what the picture of a search says while it is drawn
CELL_W, CELL_H, FONT_PX = 8.4, 18.0, 14
PAD = 14.0
INK, PAPER, QUIET = "#d6dbe5", "#14181f", "#8a93a3"
PALETTE = ("#5c6370", "#e0616c", "#7fc47f", "#e0b65c", "#62a7ea", "#c586d8", "#54bcc8", "#d6dbe5")
ESCAPE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b\][^\x07]*\x07|([\r\n\t\x08])|([^\x00-\x1f\x1b]+)|(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Style:
    """How a cell is written."""

    colour: str = INK
    bold: bool = False
    dim: bool = False


Cell = tuple[str, Style]
Line = tuple[tuple[int, str, Style], ...]  # runs of one style: first column, text
PLAIN = Style()


class Screen:
    """As much of a terminal as rich needs: text, colours, moving up, erasing lines."""

    def __init__(self) -> None:
        self.rows: list[list[Cell]] = [[] for _ in range(ROWS)]
        self.row = self.column = 0
        self.style = PLAIN

    def feed(self, text: str) -> None:
        """Take in what was written."""
        for found in ESCAPE.finditer(text):
            numbers, command, control, plain, _ = found.groups()
            if command is not None:
                self._command(command, [int(part) for part in numbers.strip("?").split(";") if part.isdigit()])
            elif control is not None:
                self._control(control)
            elif plain is not None:
                for character in plain:
                    self._put(character)

    def lines(self) -> tuple[Line, ...]:
        """What is to be seen, a tuple of runs a row."""
        return tuple(tuple(_runs(row)) for row in self.rows)

    def _put(self, character: str) -> None:
        if self.column >= COLUMNS:
            self._control("\n")
            self.column = 0
        row = self.rows[self.row]
        row += [(" ", PLAIN)] * (self.column + 1 - len(row))
        row[self.column] = (character, self.style)
        self.column += 1

    def _control(self, character: str) -> None:
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.row += 1
            if self.row == ROWS:
                self.rows = [*self.rows[1:], []]
                self.row = ROWS - 1

    def _command(self, command: str, numbers: Sequence[int]) -> None:
        first = numbers[0] if numbers else 0
        if command == "A":
            self.row = max(0, self.row - max(1, first))
        elif command == "K":
            self.rows[self.row] = [] if first == 2 else self.rows[self.row][: self.column]
        elif command == "m":
            self.style = _styled(self.style, numbers or [0])


def _styled(style: Style, numbers: Sequence[int]) -> Style:
    """A style after ``ESC [ numbers m``; colours of 256 and of 24 bits are taken as the ink's."""
    colour, bold, dim = style.colour, style.bold, style.dim
    left = list(numbers)
    while left:
        number = left.pop(0)
        if number == 0:
            colour, bold, dim = INK, False, False
        elif number in (1, 2):
            bold, dim = bold or number == 1, dim or number == 2
        elif number == 22:
            bold = dim = False
        elif 30 <= number <= 37 or 90 <= number <= 97:
            colour = PALETTE[number % 10]
        elif number == 39:
            colour = INK
        elif number in (38, 48):
            del left[: 2 if left[:1] == [5] else 4]
            colour = INK if number == 38 else colour
    return Style(colour, bold, dim)


def _runs(row: Sequence[Cell]) -> Iterator[tuple[int, str, Style]]:
    start = 0
    for column in range(1, len(row) + 1):
        if column == len(row) or row[column][1] != row[start][1]:
            text = "".join(character for character, _ in row[start:column])
            if text.strip():
                yield start + len(text) - len(text.lstrip()), text.strip(), row[start][1]
            start = column


def record(path: Path, command: Sequence[str]) -> int:
    """Run a command in a pseudo-terminal and keep what it writes, with the seconds that it had computed; its exit status."""
    process, descriptor = pty.fork()
    if process == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS=str(COLUMNS), LINES=str(ROWS))
        os.execvp(command[0], list(command))
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    decoder = getincrementaldecoder("utf-8")("replace")  # a character may be parted between two reads
    with path.open("w", encoding="utf-8") as file:
        while written := _read(descriptor):
            text = decoder.decode(written)
            file.write(json.dumps([round(time.time(), 3), _computed_s(process), text]) + "\n")
            sys.stdout.write(text)
            sys.stdout.flush()
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # its end, on Linux
        return b""


def _computed_s(process: int) -> float | None:
    try:
        facts = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return (int(facts[11]) + int(facts[12])) / os.sysconf("SC_CLK_TCK")


def draw(recording: Path, path: Path) -> None:
    """Write the recording as a picture that moves."""
    moments = [json.loads(line) for line in recording.read_text(encoding="utf-8").splitlines()]
    took_s = max(second for _, second, _ in moments if second is not None)
    shown = _stretched(moments)
    screen, frames = Screen(), [Screen().lines()]
    for when, (_, _, text) in zip(shown, moments, strict=True):
        while len(frames) < FRAMES * when / shown[-1]:
            frames.append(screen.lines())
        screen.feed(text)
    frames.append(screen.lines())
    path.write_text(_svg(frames, took_s), encoding="utf-8")


def _stretched(moments: Sequence[tuple[float, float | None, str]]) -> list[float]:
    """When every moment is shown, on any scale: as computed, but `GROWING` times longer while a picture grows."""
    shown, latest_s, when = [], 0.0, 0.0
    for _, second, text in moments:
        passed_s = 0.0 if second is None else max(0.0, second - latest_s)
        latest_s += passed_s
        when += passed_s * (GROWING if PICTURE in text else 1.0)
        shown.append(when)
    return shown


def _svg(frames: Sequence[tuple[Line, ...]], took_s: float) -> str:
    """All frames in one document; a line that stands in several of them is written once."""
    width, height = COLUMNS * CELL_W + 2 * PAD, (ROWS + 1) * CELL_H + 2 * PAD
    known: dict[Line, str] = {}
    groups = []
    for number, frame in enumerate(frames):
        uses = []
        for row, line in enumerate(frame):
            if line:
                name = known.setdefault(line, f"l{len(known)}")
                uses.append(f'<use href="#{name}" y="{row * CELL_H:g}"/>')
        groups.append(f'<g class="f" style="animation-name:k{number}">{"".join(uses)}</g>')
    right = f'x="{COLUMNS * CELL_W:g}" y="{ROWS * CELL_H + 6:g}" text-anchor="end" fill="{QUIET}"'
    told = f"recorded, time compressed: {took_s:.0f} s of computing in {SHOWN_S:.0f} s"
    total = SHOWN_S + STAYS_S
    ends = [SHOWN_S * n / (len(frames) - 1) / total * 100 for n in range(len(frames))] + [100.0]
    rules = [_keyframes(n, ends[n], ends[n + 1], is_last=n == len(frames) - 1) for n in range(len(frames))]
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}">',
            "<title>edgenas demo in a terminal</title><style>",
            f"text{{font:{FONT_PX}px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre}}",
            f".f{{visibility:hidden;animation:{total:g}s step-end infinite}}",
            f"@media (prefers-reduced-motion:reduce){{.f{{animation:none}}.f:last-of-type{{visibility:visible}}}}{''.join(rules)}",
            f'</style><rect width="100%" height="100%" rx="8" fill="{PAPER}"/><defs>',
            *(_line(line, name) for line, name in known.items()),
            f'</defs><g transform="translate({PAD:g} {PAD + CELL_H * 0.75:g})">{"".join(groups)}',
            f"<text {right}>{escape(told)}</text></g></svg>",
        ]
    )


def _keyframes(number: int, start: float, end: float, *, is_last: bool) -> str:
    """When a frame is to be seen, in percent of the whole."""
    before = "" if number == 0 else "0%{visibility:hidden}"
    after = "" if is_last else f"{end:.3f}%{{visibility:hidden}}"
    return f"@keyframes k{number}{{{before}{start:.3f}%{{visibility:visible}}{after}}}"


def _line(line: Line, name: str) -> str:
    """One line of text; every run begins, and ends, in its column, whatever the font."""
    runs = []
    for column, text, style in line:
        marks = f' fill="{QUIET if style.dim and style.colour == INK else style.colour}"'
        marks += ' font-weight="bold"' if style.bold else ""
        width = f'textLength="{len(text) * CELL_W:g}" lengthAdjust="spacingAndGlyphs"'
        runs.append(f'<text x="{column * CELL_W:g}" {width}{marks}>{escape(text)}</text>')
    return f'<g id="{name}">{"".join(runs)}</g>'


def main() -> int:
    """Record or draw, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    recorder = steps.add_parser("record")
    recorder.add_argument("recording", type=Path)
    recorder.add_argument("command", nargs="+")
    drawer = steps.add_parser("draw")
    drawer.add_argument("recording", type=Path)
    drawer.add_argument("picture", type=Path)
    asked = parser.parse_args()
    if asked.step == "record":
        return record(asked.recording, asked.command)
    draw(asked.recording, asked.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
