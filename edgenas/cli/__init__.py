"""The command line: parse, call a recipe, hand its records to `report`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

import click

from edgenas.cli.groups import Group
from edgenas.errors import EdgeNASError

COMMANDS = (
    "run",
    "init",
    "profile",
    "plan",
    "train",
    "search",
    "retrain",
    "evaluate",
    "export",
    "report",
    "predict",
    "serve",
    "verify",
    "info",
    "settings",
    "compare",
    "fidelity",
    "tables",
    "spaces",
    "count",
    "recipes",
    "doctor",
    "demo",
)


class LazyGroup(Group):
    """Imports a command's module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Commands in the order in which they are used."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None when there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"edgenas.cli.{cmd_name}"), cmd_name)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is meant.

        Raises:
            click.UsageError: if there is none of that name, with the nearest.
        """
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            from edgenas.registries import choices

            raise click.UsageError(f"there is no command {name!r}; {choices(name, COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="edgenas")
def cli() -> None:
    """From labelled images to a small vision transformer that is proven to fit an edge device.

    The order: init, profile, plan, train, search, retrain, evaluate, export, report; `edgenas run` takes them all.

    `edgenas demo` shows it all on real images.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with the contract's status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    from edgenas.cli.runner import emit_failure
    from edgenas.cli.speaking import keep_streams

    keep_streams()

    command = next((argument for argument in arguments if argument in COMMANDS), "")
    as_json = "--json" in arguments
    try:
        cli.main(arguments, prog_name="edgenas", standalone_mode=False)
        sys.exit(0)
    except click.ClickException as error:
        if not as_json:
            error.show()
        else:
            usage = EdgeNASError(error.format_message())
            emit_failure(command, usage, status="usage", exit_code=error.exit_code)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        interrupted = EdgeNASError("interrupted")
        emit_failure(command, interrupted, status="interrupted", exit_code=130, as_json=as_json)
        sys.exit(130)
