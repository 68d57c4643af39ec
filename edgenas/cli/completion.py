"""What the shell offers when the tab key is pressed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Offer: TypeAlias = "list[CompletionItem]"
MOST = 250  # names


def complete_spaces(context: click.Context, parameter: click.Parameter, incomplete: str) -> Offer:
    """Search spaces."""
    from edgenas.offering import spaces

    return _offered(spaces(), incomplete)


def complete_recipes(context: click.Context, parameter: click.Parameter, incomplete: str) -> Offer:
    """Named recipes, with what they are."""
    from edgenas.offering import recipes

    return _offered(recipes(), incomplete)


def complete_formats(context: click.Context, parameter: click.Parameter, incomplete: str) -> Offer:
    """Formats of deployment, after a comma too."""
    from edgenas.offering import formats

    return _offered_in_list(formats(), incomplete)


def complete_precisions(context: click.Context, parameter: click.Parameter, incomplete: str) -> Offer:
    """Precisions of an export, after a comma too."""
    from edgenas.offering import precisions

    return _offered_in_list(precisions(), incomplete)


def complete_runtimes(context: click.Context, parameter: click.Parameter, incomplete: str) -> Offer:
    """Runtimes that can measure."""
    from edgenas.offering import runtimes

    return _offered(runtimes(), incomplete)


def complete_tables(context: click.Context, parameter: click.Parameter, incomplete: str) -> Offer:
    """Latency tables by name, after ``NAME=`` too; files where none is meant."""
    from edgenas.offering import tables

    name, equals, begun = incomplete.rpartition("=")
    offered = _offered((f"{name}{equals}{table}" for table in tables(_run_of(context))), incomplete)
    return offered or [_item(begun, type="file")]


def complete_settings(context: click.Context, parameter: click.Parameter, incomplete: str) -> Offer:
    """``table.key=`` of every setting; after the equals sign what it may be, where that is a few words."""
    from edgenas.offering import setting_words, settings

    key, equals, _ = incomplete.partition("=")
    if equals:
        return _offered((f"{key}={word}" for word in setting_words(key)), incomplete)
    return _offered({f"{name}=": words for name, words in settings().items()}, incomplete)


def complete_setting_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> Offer:
    """Tables of the settings; keys once a table is typed."""
    from edgenas.offering import settings

    keys = settings()
    if "." in incomplete:
        return _offered(keys, incomplete)
    offered = _offered((key.partition(".")[0] for key in keys), incomplete)
    return offered if len(offered) != 1 else [*offered, *_offered(keys, incomplete)]


def complete_classes(context: click.Context, parameter: click.Parameter, incomplete: str) -> Offer:
    """Classes of ``--data folder:DIR`` or of the run; ``CLASS=`` where a share follows."""
    from edgenas.offering import classes

    ends = "=" if parameter.name == "min_sensitivity" else ""
    source = str(context.params.get("data") or "")
    return _offered((f"{name}{ends}" for name in classes(_run_of(context), source)), incomplete)


def complete_runs(context: click.Context, parameter: click.Parameter, incomplete: str) -> Offer:
    """Run folders; any folder where there is none."""
    from edgenas.offering import run_folders

    head, slash, _ = incomplete.rpartition("/")
    offered = _offered((f"{head}{slash}{name}" for name in run_folders(Path(f"{head}{slash}" or "."))), incomplete)
    return offered or [_item(incomplete, type="dir")]


def complete_sources(context: click.Context, parameter: click.Parameter, incomplete: str) -> Offer:
    """Kinds of sources; folders after ``folder:``."""
    from edgenas.offering import SOURCES, folders

    kind, colon, path = incomplete.partition(":")
    if kind != "folder" or not colon:
        return _offered(SOURCES, incomplete)
    head, slash, _ = path.rpartition("/")
    return _offered((f"folder:{head}{slash}{name}" for name in folders(Path(f"{head}{slash}" or ".").expanduser())), incomplete)


def _offered_in_list(names: Iterable[str], incomplete: str) -> Offer:
    """Names for the last of a list that is parted by commas; those before are not offered again."""
    head, comma, begun = incomplete.rpartition(",")
    words = names if isinstance(names, Mapping) else {}
    left = {f"{head}{comma}{name}": str(words.get(name, "")) for name in names if name not in head.split(",")}
    return _offered(left, f"{head}{comma}{begun}")


def _offered(names: Iterable[str], incomplete: str) -> Offer:
    """Names that begin as what is typed, in any case; a mapping says what they are."""
    words = names if isinstance(names, Mapping) else {}
    begun = [name for name in dict.fromkeys(names) if name.casefold().startswith(incomplete.casefold())]
    return [_item(name, help=str(words.get(name, "")).partition(";")[0] or None) for name in begun[:MOST]]


def _run_of(context: click.Context) -> Path:
    """The run folder that the line names, as far as it is typed."""
    return Path(context.params.get("run") or "edgenas-run")


def _item(value: str, *, type: str = "plain", help: str | None = None) -> CompletionItem:
    from click.shell_completion import CompletionItem

    return CompletionItem(value, type=type, help=help)
