"""Text of others, written so that the place where it goes takes it for text: terminal, Markdown, HTML, CSV.

Names of classes, devices and files come from images, tables and manifests of strangers. What is shown is always the name itself;
only characters that would do something there are written in another way.
"""

from __future__ import annotations

import html
import re

# control characters but tab and line feed, what turns the direction of writing, other line ends, halves of characters
_ACTIVE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_PLAIN_CODE = re.compile(r"[\w .,:;/()+=%@-]+")
_MARKDOWN = {ord(char): f"&#{ord(char)};" for char in "\\`*[]<>|&~$!#"}
_CODE = {ord(char): f"&#{ord(char)};" for char in "\\`*_[]<>|&~$!#()\"'{}:@."}
_FORMULA = ("=", "+", "-", "@")  # what spreadsheets take for the start of a formula, also behind white space


def terminal(text: str) -> str:
    r"""Text whose control characters are written as ``\x1b``; lines and tabs stay."""
    return _ACTIVE.sub(lambda found: _named(found.group()), text)


def one_line(text: str) -> str:
    r"""As `terminal`, with ``\n`` and ``\t`` written out as well."""
    return terminal(text).replace("\n", "\\n").replace("\t", "\\t")


def markdown(text: str) -> str:
    """A line of prose or a cell of a table in Markdown: nothing in it is markup, HTML or a link."""
    return one_line(text).translate(_MARKDOWN)


def markdown_code(text: str) -> str:
    """A name in Markdown that looks like code; backticks where nothing in it could end them."""
    if _PLAIN_CODE.fullmatch(text) and text.isprintable() and text == text.strip():
        return f"`{text}`"
    return f"<code>{one_line(text).translate(_CODE)}</code>"


def html_text(text: str) -> str:
    """Text between HTML tags or in a quoted attribute."""
    return html.escape(terminal(text), quote=True)


def csv_cell(text: str) -> str:
    """A cell that a spreadsheet shows as it is: one line, and a ' before what would be a formula; quoting is the CSV writer's."""
    shown = one_line(text)
    return f"'{shown}" if text.lstrip().startswith(_FORMULA) else shown


def _named(char: str) -> str:
    number = ord(char)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
