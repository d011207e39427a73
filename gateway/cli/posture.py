"""`tidegate posture`: what still passes for a strategy, an account, the firm."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.console import (
    DEFAULT_CONFIG,
    ConfigOption,
    ReasonOption,
    ScopeOption,
    give,
    one_line_errors,
    scope_of,
    tables,
)
from gateway.cli.status import tell_unproven, unproven_of

app = typer.Typer(
    name="posture",
    no_args_is_help=True,
    help="Say what still passes: normal, no_new_longs, reduce_only or halted. To stop all of it: `tidegate kill`.",
)


@app.command("set")
def set_posture(
    posture: Annotated[str, typer.Argument(metavar="POSTURE", help="normal, no_new_longs, reduce_only or halted")],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    scope: ScopeOption,
    reason: ReasonOption = "",
) -> None:
    """Set the posture of an entity.

    no_new_longs: buys pass that close a short. reduce_only: orders pass that can only bring the entity's position in
    the instrument closer to flat; working orders that could do more are canceled. halted: nothing passes but cancels,
    replaces that lower, and what `tidegate exit` lets through; working orders are canceled. An easier one may take two
    people (`control.rearm_people`).
    """
    scope_name, name = scope_of(scope)
    give(config, {"command": "posture", "scope": scope_name, "name": name, "posture": posture, "reason": reason})


@app.command()
def release(*, config: ConfigOption = DEFAULT_CONFIG, scope: ScopeOption, reason: ReasonOption = "") -> None:
    """Make the posture of an entity normal again; may take two people (`control.rearm_people`)."""
    scope_name, name = scope_of(scope)
    give(config, {"command": "posture", "scope": scope_name, "name": name, "posture": "normal", "reason": reason})


@app.command()
def show(*, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Postures that are not normal, and open exits. Kill switches are in `tidegate status`.

    Exit status 2: what is listed is not proven.
    """
    from gateway.config.settings import load_settings
    from gateway.state.attach import NoGateway, attach
    from gateway.view.figures import Clock
    from gateway.view.postures import exits_of, posture_tables, postures_of

    with one_line_errors(NoGateway):
        attached = attach(load_settings(config).config.gateway)
        clock = Clock(attached.state, int(attached.state.record.now_ns) - int(attached.state.record.time_base_ns))
        postures, exits = postures_of(attached.state, clock), exits_of(attached.state, clock)
    unproven = unproven_of(attached)
    for made in posture_tables(postures, exits):
        tables().print(made)
    if not postures and not exits:
        tables().print("all postures are normal")
    tell_unproven(unproven)
