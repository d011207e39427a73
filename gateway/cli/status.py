"""`tidegate status`, `orders`, `positions`, `cancel`, `top`: a running gateway seen from outside."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.console import (
    DEFAULT_CONFIG,
    ConfigOption,
    GroupConfigOption,
    config_there,
    one_line_errors,
    refuse,
    tables,
)

if TYPE_CHECKING:
    from gateway.config.sections import Config
    from gateway.state.attach import Attached

NEEDS_A_PERSON, CANNOT_TELL, WAITS = 1, 2, 3
SHOWN_ORDERS = 1_000

app = typer.Typer()

JsonOption = Annotated[bool, typer.Option("--json", help="for machines: all fields, decimals as text, times in UTC")]


@app.command()
def status(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Say how a running gateway is. Exit status: 0 all is well, 1 something needs a person, 2 nothing is proven:
    none runs, or its core does not respond.
    """
    import time
    from datetime import UTC, datetime

    from gateway.state.attach import NoGateway, attach
    from gateway.view.status import status as status_of

    with one_line_errors(NoGateway):
        settings = _config(config)
        attached = attach(settings.gateway)
        view = status_of(attached.state, attached.pulse, settings, attached.since_ns, time.monotonic_ns())
    if as_json:
        _print_json({"state": view.word, "trouble": view.trouble, "not_ready": view.not_ready} | _fields(view))
    else:
        from gateway.view.screens import status_parts

        _print(status_parts(view, datetime.now(UTC)))
    if not view.live:
        raise typer.Exit(CANNOT_TELL)
    if view.trouble:
        raise typer.Exit(NEEDS_A_PERSON)


@app.command()
def orders(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    account: Annotated[str | None, typer.Option(help="only of this account")] = None,
    strategy: Annotated[str | None, typer.Option(help="only of this strategy")] = None,
    symbol: Annotated[str | None, typer.Option(help="only in this instrument")] = None,
    session: Annotated[str | None, typer.Option(help="only of this EMS session")] = None,
    venue: Annotated[str | None, typer.Option(help="only at this venue")] = None,
    side: Annotated[str | None, typer.Option(help='only this side: buy, sell or "sell short"')] = None,
    finished: Annotated[bool, typer.Option("--all", help="finished orders of the day too")] = False,
    as_json: JsonOption = False,
) -> None:
    """List open orders, oldest first. Exit status 2: what is shown is not proven, or nothing can be."""
    import time

    from gateway.state.attach import NoGateway, attach
    from gateway.view.orders import Wanted, find_orders, order_views

    with one_line_errors(NoGateway):
        attached = attach(_config(config).gateway)
        state = attached.state
        rows = find_orders(state, Wanted(account, strategy, symbol, session, venue, side, finished))
    shown = rows if as_json else rows[-SHOWN_ORDERS:]
    views = list(order_views(state, shown, time.monotonic_ns()))
    unproven = unproven_of(attached)
    if as_json:
        _print_json(views)
    elif not views and not unproven:
        typer.echo("no such order" if finished else "no open order")
    elif views:
        from gateway.view.screens import order_table

        _print([order_table(views)])
        if rows.size > shown.size:
            typer.echo(f"and {rows.size - shown.size:,} older ones: --json has all")
    tell_unproven(unproven)


positions_app = typer.Typer(invoke_without_command=True)
app.add_typer(positions_app, name="positions")


@positions_app.callback()
def positions(
    *,
    context: typer.Context,
    config: GroupConfigOption = DEFAULT_CONFIG,
    scope: Annotated[
        str, typer.Option(help="whose: firm, desk, account, strategy, trader, flow or instrument")
    ] = "account",
    as_json: JsonOption = False,
) -> None:
    """List positions with what is open, and how much of max_long and max_short they use at worst.

    Exit status 2: what is shown is not proven, or nothing can be. `adjust` adjusts a position.
    """
    from gateway.state.attach import NoGateway, attach
    from gateway.view.positions import positions as positions_of

    if context.invoked_subcommand is not None:
        return

    with one_line_errors(NoGateway):
        gateway = _config(config_there(config)).gateway
        attached = attach(gateway)
        views = positions_of(attached.state, scope)
    unproven = unproven_of(attached)
    if as_json:
        _print_json(views)
    elif not views and not unproven:
        typer.echo("no position, and none can arise from an open order")
    elif views:
        from gateway.view.screens import position_table

        _print([position_table(views), f"market values in {gateway.currency}"])
    tell_unproven(unproven)


@positions_app.command()
def adjust(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    account: Annotated[str, typer.Option(help="whose position")],
    symbol: Annotated[str, typer.Option(help="in which instrument")],
    by: Annotated[str, typer.Option(help="what is added to it; with a minus: taken away, as in --by=-100")],
    reason: Annotated[str, typer.Option(help="why; goes to the journal with your name")],
    desk: Annotated[str | None, typer.Option(help="whose position it is too")] = None,
    strategy: Annotated[str | None, typer.Option(help="the same")] = None,
    trader: Annotated[str | None, typer.Option(help="the same")] = None,
    flow: Annotated[str | None, typer.Option(help="the same")] = None,
) -> None:
    """Add a quantity to a position that is wrong: of the account and whom else you name, the firm and the instrument.

    Where `control.adjust_people` is 2, another person must give the same command. Exit status: 0 done, 2 not done, 3
    waits for the other person.
    """
    from gateway.ops.control import ControlError, give_command

    named = {"account": account, "desk": desk, "strategy": strategy, "trader": trader, "flow": flow}
    request = {"command": "adjust", "symbol": symbol, "by": by, "reason": reason} | named
    with one_line_errors(ControlError):
        answer = give_command(_config(config).gateway.state_dir, request)
    typer.echo(answer)
    if answer.startswith("nothing"):
        raise typer.Exit(WAITS)


@app.command()
def cancel(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    order: Annotated[str, typer.Argument(metavar="ORDER", help="its OrderID(37), such as O1-3")],
    reason: Annotated[str, typer.Option(help="why; goes to the journal with your name")],
) -> None:
    """Cancel an open order at its venue, whatever its EMS does."""
    from gateway.ops.control import ControlError, give_command

    with one_line_errors(ControlError):
        request = {"command": "cancel", "order": order, "reason": reason}
        typer.echo(give_command(_config(config).gateway.state_dir, request))


@app.command()
def top(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Watch a running gateway; q or Ctrl-C ends it."""
    from gateway.state.attach import NoGateway
    from gateway.view.top import watch

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        refuse("top: want a terminal; for machines there is `tidegate status --json`")
    with one_line_errors(NoGateway):
        watch(_config(config))


def unproven_of(attached: Attached) -> str:
    """Why what has been read of a gateway proves nothing; empty: it does."""
    import time

    from gateway.view.status import not_proven

    return not_proven(attached.state, attached.pulse, time.monotonic_ns())


def tell_unproven(why: str) -> None:
    """End the command with status CANNOT_TELL where what it has shown proves nothing (`why` is not empty)."""
    if why:
        typer.echo(f"NOT PROVEN: {why}", err=True)
        raise typer.Exit(CANNOT_TELL)


def _config(path: Path) -> Config:
    from gateway.config.settings import load_settings

    return load_settings(path).config


def _print(parts: Iterable[Any]) -> None:
    console = tables()
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str))


def _fields(view: Any) -> dict[str, Any]:
    return {name: getattr(view, name) for name in view.__slots__}


def _print_json(data: Any) -> None:
    import json
    from datetime import datetime
    from decimal import Decimal

    from gateway.view.figures import UNLIMITED

    def encode(value: object) -> Any:
        if isinstance(value, Decimal):
            return "unlimited" if value == UNLIMITED else f"{value:f}"
        return value.isoformat() if isinstance(value, datetime) else _fields(value)

    typer.echo(json.dumps(data, default=encode))
