"""`tidegate resolve`."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.console import DEFAULT_CONFIG, ConfigOption, one_line_errors, refuse, tables
from gateway.cli.status import tell_unproven, unproven_of

app = typer.Typer()


@app.command()
def resolve(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    order: Annotated[
        str | None, typer.Argument(help="OrderID(37) of an order in doubt; without one they are listed")
    ] = None,
    verdict: Annotated[
        str | None, typer.Option("--as", help="gone: not at the venue any more; working: as counted")
    ] = None,
    executed: Annotated[
        str | None, typer.Option(help="quantity executed in all, where it is not what is known")
    ] = None,
    reason: Annotated[str, typer.Option(help="why; goes to the journal with your name")] = "",
) -> None:
    """Say what became of an order in doubt, as its venue says.

    Exit status 2: what is listed is not proven, or nothing was done.
    """
    from gateway.config.settings import load_settings
    from gateway.ops.commands import VERDICTS
    from gateway.ops.control import ControlError, give_command
    from gateway.state.attach import NoGateway, attach
    from gateway.view.orders import orders_in_doubt
    from gateway.view.table import table

    with one_line_errors(NoGateway, ControlError):
        gateway = load_settings(config).config.gateway
        if order is not None:
            if verdict not in VERDICTS:
                refuse(f"--as: want {' or '.join(VERDICTS)}, got {verdict or 'nothing'}")
            if not reason.strip():
                refuse("--reason: want one, it goes to the journal")
            request = {"command": "resolve", "order": order, "verdict": verdict, "executed": executed, "reason": reason}
            typer.echo(give_command(gateway.state_dir, request))
            return
        attached = attach(gateway)
        rows = orders_in_doubt(attached.state)
    unproven = unproven_of(attached)
    ids = ("order", "venue", "OrderID there", "ClOrdID there", "account")
    made = table(*ids, "symbol", "side", "quantity", "executed", "why")
    for row in rows:
        made.add_row(*row)
    if rows or not unproven:
        tables().print(made if rows else "no order is in doubt")
    tell_unproven(unproven)
