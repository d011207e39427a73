"""The `tidegate` command.

A module of this folder is a group of commands: it has a Typer `app`, which is added below. Other packages add commands
by entry points of the group `tidegate.commands`: a Typer app each.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

import typer
from typer.core import TyperGroup

from gateway import __version__
from gateway.cli import audit, exits, kill, limits, params, posture, replay, resolve, run, security, session, status

COMMANDS = "tidegate.commands"


class _WithEntryPoints(TyperGroup):
    """The commands added here, then those of entry points, which are imported when they are asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *sorted(entry_points(group=COMMANDS).names)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if (own := super().get_command(ctx, cmd_name)) is not None:
            return own
        for point in entry_points(group=COMMANDS, name=cmd_name):
            return typer.main.get_command(point.load())
        return None


app = typer.Typer(
    cls=_WithEntryPoints, no_args_is_help=True, add_completion=False, help="Inline FIX pre-trade risk gateway."
)
for group in (run, status, kill, posture, exits, resolve, limits, params, session, replay, audit, security):
    app.add_typer(group.app)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Entry point of the `tidegate` command."""
    app()
