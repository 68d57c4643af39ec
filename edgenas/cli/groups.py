"""Commands that have commands: help lists each with the whole first sentence of its own."""

from __future__ import annotations

import click

WHOLE = 1000  # characters of a first sentence, more than any has


class Group(click.Group):
    """A group whose help cuts no sentence by an ellipsis: what does not fit goes on in the next line."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        commands = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [
            (name, command.get_short_help_str(WHOLE)) for name, command in commands if command is not None and not command.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
