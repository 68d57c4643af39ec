"""``--device`` where another machine may be meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgenas.cli.options import NearestChoice

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from edgenas.remote import Address

HERE = ("auto", "cpu", "cuda")
SCHEME = "ssh://"


class AnyDevice(click.ParamType):  # type: ignore[type-arg] # generic in the newest versions of click alone
    """A device of this machine by its kind, or the `Address` of one over the network.

    Args:
        here: this machine's may be meant.
    """

    name = "device"

    def __init__(self, *, here: bool = True) -> None:
        self.here = HERE if here else ()

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """What help shows."""
        return f"[{'|'.join((*self.here, 'ssh://USER@HOST'))}]" if self.here else "ssh://USER@HOST"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str | Address:
        """Read it.

        Raises:
            click.BadParameter: naming what is wrong with it, and what is allowed.
        """
        text = str(value)
        if "://" not in text and self.here:
            here: str = NearestChoice(self.here).convert(text, param, ctx)
            return here
        from edgenas.remote import Address

        try:
            return Address.parse(text)
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """What the shell offers."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(word) for word in (*self.here, SCHEME) if word.startswith(incomplete)]
