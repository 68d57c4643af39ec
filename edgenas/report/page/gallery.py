"""Pictures of the data set: what was missed, false alarms, some of every class; a click enlarges."""

from __future__ import annotations

import base64

from edgenas.records import DataSheet, Gallery, PageImage, ResultsPage
from edgenas.report.page.markup import Html, join, note, tag

PIXELS_PX = 64  # longest side up to which pixels are shown as squares


def galleries(page: ResultsPage) -> Html:
    """What the net decides wrongly: images of the positive class that it misses, and false alarms, with p(positive)."""
    judged = page.judged
    if judged is None:
        why = "what the net answers to every test image is kept by"
        return note(f"Not shown yet: {why} {page.command_for('retrain') or 'edgenas evaluate --split test'}.")
    positive = page.positive or ""
    parts: list[Html] = []
    if judged.missed is not None:
        parts += _gallery(f"Missed {positive}", judged.missed, f"images of {positive} are decided otherwise", "p", "missed")
    if judged.alarms is not None:
        parts += _gallery("False alarms", judged.alarms, f"other images are decided as {positive}", "p", "alarms")
    if judged.confused is not None:
        parts += _gallery("Decided wrongly", judged.confused, "images are decided as another class", "confidence", "confused")
    if page.positive is not None:
        parts.append(note(f"p is the probability of {positive}; the worst come first. Labels may be wrong, too: look."))
    return join(parts)


def _gallery(title: str, gallery: Gallery, what: str, figure: str, name: str) -> list[Html]:
    if not gallery.num:
        return [tag("h3", title), note(f"None: 0 of {gallery.of:,} {what}.")]
    shown = len(gallery.images)
    heading = f"{title}: {shown} of {gallery.num:,} shown" if shown < gallery.num else f"{title}: all {shown} shown"
    said = f"{gallery.num:,} of {gallery.of:,} {what}."
    unread = [note(f"{gallery.unread} could not be read any more.", kind="warn")] if gallery.unread else []
    return [
        tag("h3", heading),
        note(said),
        *unread,
        tag("div", *(_card(each, figure) for each in gallery.images), class_="gallery", id=name),
    ]


def _card(image: PageImage, figure: str) -> Html:
    p = "" if image.positive is None else f"{figure} {image.positive:.3f}"
    words = f"{image.name}: is {image.label}, decided {image.decided}, {p}"
    inside = (
        picture(image, words),
        tag("span", p, class_="p"),
        tag("span", f"{image.label} → {image.decided}", class_="as"),
    )
    return tag("button", *inside, type="button", class_="card", data_enlarge=words)


def picture(image: PageImage, words: str) -> Html:
    """An image in the page itself."""
    content = f"data:{image.mime};base64,{base64.b64encode(image.content).decode()}"
    is_small = max(image.width, image.height) <= PIXELS_PX
    return tag("img", src=content, alt=words, width=image.width, height=image.height, class_="pixels" if is_small else None)


def contact_sheet(data: DataSheet) -> Html:
    """Some images of every class."""
    if not data.contact:
        return note(f"No images are shown: {data.why_no_images or 'none could be read'}.")
    classes: dict[str, list[PageImage]] = {}
    for image in data.contact:
        classes.setdefault(image.label, []).append(image)
    rows = []
    for name, images in classes.items():
        cards = [
            tag("button", picture(each, each.name), type="button", class_="card", data_enlarge=f"{each.name}: {name}")
            for each in images
        ]
        rows.append(tag("div", tag("h4", name), tag("div", *cards, class_="strip"), class_="class"))
    more = len(data.classes) - data.classes_shown
    said = f" {more} more classes are not shown." if more > 0 else ""
    return join([tag("div", *rows, class_="contact"), note(f"Images of train, spread evenly over each class.{said}")])
