"""`tidegate session`: look at sessions, and change them while the gateway runs."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.console import DEFAULT_CONFIG, ConfigOption, ReasonOption, give, one_line_errors, tables
from gateway.cli.status import tell_unproven, unproven_of

app = typer.Typer(
    name="session", no_args_is_help=True, help="Look at FIX sessions of the native engine, and change them."
)

SessionArgument = Annotated[str, typer.Argument(metavar="SESSION", help="its id in the config")]


@app.command("list")
def list_sessions(*, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """State and sequence numbers of each session.

    Exit status 2: what is listed is not proven.
    """
    from gateway.config.settings import load_settings
    from gateway.state.attach import NoGateway, attach
    from gateway.view.sessions import lines_of
    from gateway.view.table import table

    with one_line_errors(NoGateway):
        attached = attach(load_settings(config).config.gateway)
        lines = lines_of(attached.state, attached.pulse, int(attached.state.record.now_ns))
    unproven = unproven_of(attached)
    made = table(
        *("session", "role", "state", "next in", "next out", "resend asked for", "last message", "bytes unsent", "held")
    )
    for line in lines:
        heard = "" if line.heard_s is None else f"{max(line.heard_s, 0):.0f} s ago"
        queues = f"{line.unsent_bytes:,}", f"{line.held_messages:,}"
        numbers = f"{line.next_in:,}", f"{line.next_out:,}"
        made.add_row(line.name, line.role, line.state, *numbers, line.waits_for, heard, *queues)
    tables().print(made if lines else "no session is of the native engine")
    tell_unproven(unproven)


def _operate(config: ConfigOption, session: str, what: str, reason: str, **numbers: int) -> None:
    give(config, {"command": "session", "session": session, "what": what, "reason": reason, **numbers})


@app.command()
def disconnect(session: SessionArgument, *, config: ConfigOption = DEFAULT_CONFIG, reason: ReasonOption = "") -> None:
    """Log a session out; it may connect again."""
    _operate(config, session, "disconnect", reason)


@app.command()
def disable(session: SessionArgument, *, config: ConfigOption = DEFAULT_CONFIG, reason: ReasonOption = "") -> None:
    """Log a session out, and let it connect no more until it is enabled. Orders at a venue stay there."""
    _operate(config, session, "disable", reason)


@app.command()
def enable(session: SessionArgument, *, config: ConfigOption = DEFAULT_CONFIG, reason: ReasonOption = "") -> None:
    """Let a session that was disabled connect."""
    _operate(config, session, "enable", reason)


@app.command("set-seq")
def set_seq(
    session: SessionArgument,
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    next_in: Annotated[int, typer.Option("--in", min=0, help="MsgSeqNum(34) that comes next; 0: as it is")] = 0,
    next_out: Annotated[int, typer.Option("--out", min=0, help="MsgSeqNum(34) that goes next; 0: as it is")] = 0,
    reason: ReasonOption = "",
) -> None:
    """Set the sequence numbers of a session that has no connection. Orders at a venue are in doubt then, until it says
    what became of them.
    """
    _operate(config, session, "set-seq", reason, next_in=next_in, next_out=next_out)


@app.command()
def reset(session: SessionArgument, *, config: ConfigOption = DEFAULT_CONFIG, reason: ReasonOption = "") -> None:
    """Begin both sequence numbers of a session that has no connection at 1, as agreed with the peer."""
    _operate(config, session, "set-seq", reason, next_in=1, next_out=1)
