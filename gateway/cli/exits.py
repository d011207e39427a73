"""`tidegate exit`: let orders that reduce a position through a halt, for some time and quantity."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.console import DEFAULT_CONFIG, ConfigOption, ReasonOption, ScopeOption, give, refuse, scope_of

app = typer.Typer(
    name="exit", no_args_is_help=True, help="Let orders that reduce a position through a halt; none through a kill."
)

InstrumentOption = Annotated[str, typer.Option("--instrument", help="its symbol")]


@app.command("open")
def open_exit(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    scope: ScopeOption,
    instrument: InstrumentOption,
    quantity: Annotated[str, typer.Option("--quantity", help="how much may pass in all")],
    for_: Annotated[str, typer.Option("--for", help="how long, as in 5m; at most 24h")] = "5m",
    reason: ReasonOption = "",
) -> None:
    """Open an exit: orders of the entity in the instrument that reduce its position pass its postures and those of all
    others, up to the quantity. What was canceled does not come back to it. It takes the place of one that is open.
    """
    from gateway.config.sections import parse_duration_ns

    try:
        for_ns = parse_duration_ns(for_)
    except ValueError as error:
        refuse(f"--for: {error}, got {for_}")
    _give(config, scope, instrument, quantity, for_ns, reason)


@app.command()
def close(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    scope: ScopeOption,
    instrument: InstrumentOption,
    reason: ReasonOption = "",
) -> None:
    """Close an exit before its time. Orders that passed by it go on."""
    _give(config, scope, instrument, "0", 0, reason)


def _give(config: ConfigOption, scope: str, instrument: str, quantity: str, for_ns: int, reason: str) -> None:
    scope_name, name = scope_of(scope)
    request = {"command": "exit", "scope": scope_name, "name": name, "symbol": instrument}
    give(config, request | {"quantity": quantity, "for_ns": for_ns, "reason": reason})
