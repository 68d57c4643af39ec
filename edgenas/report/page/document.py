"""The page as a whole: its sections in order, in a file that asks no network and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path

from edgenas.records import ResultsPage
from edgenas.report.page.decisions import decisions
from edgenas.report.page.gallery import galleries
from edgenas.report.page.latency import latency
from edgenas.report.page.markup import Html, note, raw, tag
from edgenas.report.page.nets import nets
from edgenas.report.page.sheets import data_sheet, device, not_shown, origin
from edgenas.report.page.tiles import verdict
from edgenas.report.page.training import ranking, training
from edgenas.runs import write_text
from edgenas.runs.quick import quick_sentence

SECTIONS: dict[str, tuple[str, Callable[[ResultsPage], Html]]] = {
    "errors": ("What it gets wrong", galleries),
    "decisions": ("How it decides", decisions),
    "nets": ("Nets beside each other", nets),
    "latency": ("Where the time goes", latency),
    "training": ("How it was trained", training),
    "ranking": ("Can the supernet's ranking be trusted", ranking),
    "data": ("The images", data_sheet),
    "device": ("On the device", device),
    "limits": ("What was not shown", not_shown),
    "origin": ("Settings, versions, hashes", origin),
}


def write(page: ResultsPage, path: Path) -> None:
    """Write the page atomically.

    Raises:
        RunFolderError: if it cannot be written.
    """
    write_text(path, document(page))


def document(page: ResultsPage) -> str:
    """The HTML of the page."""
    source = page.data.source if page.data is not None else "images"
    title = f"{page.space} on {source}"
    sections = [tag("section", tag("h2", name), draw(page), id=key) for key, (name, draw) in SECTIONS.items()]
    links = tag("nav", *(tag("a", name, href=f"#{key}") for key, (name, _) in SECTIONS.items()), aria_label="sections")
    doubts = [quick_sentence(page.quick)] if page.quick else []
    unread = [note(text, kind="warn") for text in (*doubts, *page.unread)]
    head = tag(
        "header", tag("p", f"edgenas · {page.made} · {page.run}", class_="made"), tag("h1", title), verdict(page), *unread, links
    )
    made_of = (
        "Made by edgenas from the results named at the end; it changes with none of them: `edgenas info` says when it is older."
    )
    body = tag(
        "body",
        head,
        tag("main", *sections),
        tag("footer", tag("p", made_of)),
        _enlarged(),
        tag("div", id="tip", role="status"),
        tag("script", raw(packaged("page.js"))),
    )
    return f"<!doctype html>\n{tag('html', _head(title), body, lang='en')}\n"


def _head(title: str) -> Html:
    """Nothing but what is in the file may be shown or run: names from data sets could not, even if one got through."""
    own = f"style-src {_hashed(packaged('page.css'))}; script-src {_hashed(packaged('page.js'))}"
    policy = f"default-src 'none'; img-src data:; {own}; base-uri 'none'; form-action 'none'"
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"edgenas: {title}"),
        tag("style", raw(packaged("page.css"))),
    )


@cache
def packaged(name: str) -> str:
    """A file that lies beside this one."""
    return files("edgenas.report.page").joinpath(name).read_text(encoding="utf-8")


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _enlarged() -> Html:
    """Where a picture is shown large."""
    return tag(
        "dialog",
        tag("img", alt="", src="data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="),
        tag("p", ""),
        tag("button", "close", type="button"),
        id="large",
        aria_label="enlarged image",
    )
