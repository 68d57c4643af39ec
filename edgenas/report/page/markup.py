"""HTML and SVG in which every text is text: only what `tag` made is markup."""

from __future__ import annotations

from collections.abc import Iterable

from edgenas.escaping import html_text

VOID = frozenset({"img", "meta", "br", "input"})
Attribute = str | float | bool | None


class Html(str):
    """Markup that is whole; any other string is escaped where it is put in."""

    __slots__ = ()


def tag(name: str, /, *inside: str, **attributes: Attribute) -> Html:
    """An element.

    Args:
        name: of the element.
        inside: texts and elements, in order.
        attributes: ``class_`` for ``class``, ``_`` for ``-``; None and False leave one out, True gives it without a value.
    """
    start = f"<{name}{''.join(_attribute(key, value) for key, value in attributes.items())}>"
    return Html(start if name in VOID else f"{start}{join(inside)}</{name}>")


def join(parts: Iterable[str]) -> Html:
    """Texts and elements one after the other."""
    return Html("".join(part if isinstance(part, Html) else html_text(part) for part in parts))


def raw(text: str) -> Html:
    """Text of ours that is markup already: the style, the script."""
    return Html(text)


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    shown = f"{value:.6g}" if isinstance(value, float) else html_text(str(value))
    return f' {name}="{shown}"'


def rows_table(head: Iterable[str], rows: Iterable[Iterable[str]], *, caption: str = "", numbers_from: int = 1) -> Html:
    """A table; columns from ``numbers_from`` on are aligned right."""
    cells = [tag("th", each, scope="col", class_="n" if place >= numbers_from else None) for place, each in enumerate(head)]
    body = []
    for row in rows:
        first, *rest = row
        shown = [tag("td", each, class_="n" if place >= numbers_from else None) for place, each in enumerate(rest, 1)]
        body.append(tag("tr", tag("th", first, scope="row"), *shown))
    named = [tag("caption", caption)] if caption else []
    table = tag("table", *named, tag("thead", tag("tr", *cells)), tag("tbody", *body))
    return tag("div", table, class_="scroll")


def folded(title: str, *inside: str, is_open: bool = False) -> Html:
    """What is shown when it is asked for."""
    return tag("details", tag("summary", title), *inside, open=is_open)


def note(*inside: str, kind: str = "note") -> Html:
    """A line beside a picture; ``kind`` is ``note``, ``warn`` or ``bad``."""
    return tag("p", *inside, class_=kind)
