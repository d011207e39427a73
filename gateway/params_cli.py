"""`tidegate params`: push a limit by hand, look at what is pushed, give one back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.console import folded, one_line_errors, refuse, tables

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from gateway.settings import Settings

REFRESH_S = 0.5

params_app = typer.Typer(no_args_is_help=True, help="Push limits, look at what is pushed, give one back.")

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="main config file (YAML)")]
SourceOption = Annotated[str, typer.Option("--source", help="id of one of `parameters.sources`")]
ScopeOption = Annotated[str, typer.Option("--scope", help="firm, or a scope and a name as in strategy=MOMO")]
LimitOption = Annotated[str, typer.Option("--limit", help="the limit's key, as in limits.yaml")]
SymbolOption = Annotated[str, typer.Option("--symbol", help="the limit of the entity in this instrument")]


@params_app.command()
def push(
    config: ConfigOption,
    source: SourceOption,
    scope: ScopeOption,
    limit: LimitOption,
    value: Annotated[str, typer.Option("--value", help="as in limits.yaml: 400, 25000.50, 5s")],
    symbol: SymbolOption = "",
    expires: Annotated[
        str, typer.Option("--expires", help="until when it counts, as in 1h; without it, for good")
    ] = "",
    model: Annotated[int, typer.Option("--model", min=0, help="a number of your own: what computed the value")] = 0,
) -> None:
    """Push a limit, as the publisher of a source. It moves within its floor and what a person set."""
    from gateway.params.publisher import ParameterPublisher, PublisherError
    from gateway.settings import load_settings, parse_duration_ns

    scope_name, name = _scope(scope)
    with one_line_errors(PublisherError, ValueError):
        settings = load_settings(config)
        sections = {section.id: section for section in settings.config.parameters.sources}
        if source not in sections:
            refuse(f"--source: want one of {', '.join(sections) or '(none is configured)'}, got {source}")
        _check_place(settings, scope_name, name, symbol, limit)
        try:
            expires_s = parse_duration_ns(expires) / 1e9 if expires else None
        except ValueError as error:
            refuse(f"--expires: {error}, got {expires}")
        section = sections[source]
        with ParameterPublisher(section.file) as publisher:
            epoch = publisher.push(limit, value, scope_name, name, symbol, expires_s, model)
    typer.echo(f"pushed as epoch {epoch}")
    if section.max_silence is not None:
        why = "this command does not go on publishing: the gateway will take the source for dead and hold the value"
        typer.echo(f"{source}: has a max_silence, and {why}", err=True)


@params_app.command()
def show(config: ConfigOption) -> None:
    """Show what publishers push and what is in force, and which of them are heard."""
    tables().print(_seen(config))


@params_app.command()
def watch(config: ConfigOption) -> None:
    """The same, live, until Ctrl-C."""
    from rich.live import Live

    try:
        with Live(_seen(config), auto_refresh=False) as live:
            while True:
                time.sleep(REFRESH_S)
                live.update(_seen(config), refresh=True)
    except KeyboardInterrupt:
        pass


@params_app.command()
def release(
    config: ConfigOption,
    source: SourceOption,
    scope: ScopeOption,
    limit: LimitOption,
    reason: Annotated[str, typer.Option("--reason", help="why; goes to the journal with your name")],
    symbol: SymbolOption = "",
) -> None:
    """Give a pushed limit back: what a person set counts again, until the publisher pushes anew."""
    from gateway.ops.control import ControlError, give_command
    from gateway.settings import load_settings

    scope_name, name = _scope(scope)
    if not reason.strip():
        refuse("--reason: want one, it goes to the journal")
    with one_line_errors(ControlError):
        request = {"command": "release", "source": source, "scope": scope_name, "name": name}
        request |= {"symbol": symbol, "limit": limit, "reason": reason}
        typer.echo(give_command(load_settings(config).config.gateway.state_dir, request))


def _scope(text: str) -> tuple[str, str]:
    """Name of the scope, and of the entity, of `firm` or `strategy=MOMO`."""
    from gateway.switches import SCOPE_NAMES, parse_scope

    try:
        number, name = parse_scope(text)
    except ValueError as error:
        refuse(f"--scope: {error}")
    return SCOPE_NAMES[number], name


def _check_place(settings: Settings, scope: str, name: str, symbol: str, limit: str) -> None:
    """Ends the command where the gateway would leave a push aside: what a publisher writes is not answered."""
    from gateway.params.feed import place_fault
    from gateway.params.store import LIMITS, SCOPES
    from gateway.settings import known_entities

    if limit not in LIMITS:
        refuse(f"--limit: want one of {', '.join(LIMITS)}, got {limit}")
    if (SCOPES[scope], name) not in known_entities(settings):
        refuse(f"--scope: there is no {scope} {name} in the config")
    if symbol and symbol not in {instrument.symbol for instrument in settings.instruments}:
        refuse(f"--symbol: {symbol} is not in the instruments file")
    fault = place_fault(SCOPES[scope], LIMITS[limit][0], bool(symbol))
    if fault:
        refuse(f"--scope: {fault}")


def _seen(config: Path) -> Group:
    """Tables of the pushed limits and the sources of the gateway that runs."""
    from rich.console import Group

    from gateway.ops.attach import NoGateway, attach
    from gateway.params.pushed import PUSHED_COLUMNS, SOURCE_COLUMNS, publishers, pushed_limits
    from gateway.settings import load_settings

    with one_line_errors(NoGateway):
        state = attach(load_settings(config).config.gateway).state
    now_ns = time.monotonic_ns() + int(state.record.time_base_ns)
    parts: list[Table | str] = []
    for columns, rows, none in (
        (PUSHED_COLUMNS, pushed_limits(state, now_ns), "no limit is pushed"),
        (SOURCE_COLUMNS, publishers(state, now_ns), "no source is configured"),
    ):
        table = folded(*columns)
        for row in rows:
            table.add_row(*row)
        parts.append(table if rows else none)
    return Group(*parts)
