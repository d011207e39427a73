"""`tidegate params`: push a limit by hand, look at what is pushed, release one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.console import DEFAULT_CONFIG, ConfigOption, ScopeOption, one_line_errors, refuse, scope_of, tables
from gateway.cli.status import tell_unproven, unproven_of

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from gateway.config.sections import GatewaySection
    from gateway.config.settings import Settings

REFRESH_S = 0.5

app = typer.Typer(name="params", no_args_is_help=True, help="Push limits, look at what is pushed, release one.")

SourceOption = Annotated[str, typer.Option("--source", help="id of one of `parameters.sources`")]
LimitOption = Annotated[str, typer.Option("--limit", help="the limit's key, as in limits.yaml")]
SymbolOption = Annotated[str, typer.Option("--symbol", help="the limit of the entity in this instrument")]


@app.command()
def push(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
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
    """Push a limit, as the publisher of a source. It moves within its floor and what a person set; where no person has
    set one there is nothing to tighten, and the push is refused.
    """
    from gateway.config.sections import parse_duration_ns
    from gateway.config.settings import load_settings
    from gateway.params.publisher import ParameterPublisher, PublisherError, limit_units

    scope_name, name = scope_of(scope)
    with one_line_errors(PublisherError, ValueError):
        settings = load_settings(config)
        sections = {section.id: section for section in settings.config.parameters.sources}
        if source not in sections:
            refuse(f"--source: want one of {', '.join(sections) or '(none is configured)'}, got {source}")
        _check_place(settings, scope_name, name, symbol, limit)
        bounded = _bounded(settings, scope_name, name, symbol, limit, limit_units(limit, value))
        try:
            expires_s = parse_duration_ns(expires) / 1e9 if expires else None
        except ValueError as error:
            refuse(f"--expires: {error}, got {expires}")
        section = sections[source]
        with ParameterPublisher(section.file) as publisher:
            epoch = publisher.push(limit, value, scope_name, name, symbol, expires_s, model)
    typer.echo(f"pushed as epoch {epoch}")
    if bounded:
        typer.echo(bounded)
    if section.max_silence is not None:
        why = "this command does not go on publishing: the gateway will take the source for dead and hold the value"
        typer.echo(f"{source}: has a max_silence, and {why}", err=True)


@app.command()
def show(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Show what publishers push and what is in force, and which of them are alive. Exit status 2: what is shown is not
    proven, or nothing can be.
    """
    parts, unproven = _seen(config)
    tables().print(parts)
    tell_unproven(unproven)


@app.command()
def watch(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """The same, live, until Ctrl-C."""
    from rich.console import Group
    from rich.live import Live

    def picture() -> Group:
        parts, unproven = _seen(config)
        return Group(f"NOT PROVEN: {unproven}", parts) if unproven else parts

    try:
        with Live(picture(), console=tables(), auto_refresh=False) as live:
            while True:
                time.sleep(REFRESH_S)
                live.update(picture(), refresh=True)
    except KeyboardInterrupt:
        pass


@app.command()
def release(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    source: SourceOption,
    scope: ScopeOption,
    limit: LimitOption,
    reason: Annotated[str, typer.Option("--reason", help="why; goes to the journal with your name")],
    symbol: SymbolOption = "",
) -> None:
    """Release a pushed limit: what a person set counts again, until the publisher pushes again."""
    from gateway.config.settings import load_settings
    from gateway.ops.control import ControlError, give_command

    scope_name, name = scope_of(scope)
    if not reason.strip():
        refuse("--reason: want one, it goes to the journal")
    with one_line_errors(ControlError):
        request = {"command": "release", "source": source, "scope": scope_name, "name": name}
        request |= {"symbol": symbol, "limit": limit, "reason": reason}
        gateway = load_settings(config).config.gateway
        answer = give_command(gateway.state_dir, request)
        typer.echo(_given_back(gateway, request) or answer)


def _given_back(gateway: GatewaySection, request: dict[str, str]) -> str:
    """What is in force now that a limit is released; empty for those who may not look at the gateway."""
    from gateway.core.layout import NONE
    from gateway.params.store import LIMITS, SCOPES
    from gateway.state.attach import NoGateway, attach
    from gateway.view.pushed import in_force_text

    try:
        state = attach(gateway).state
    except NoGateway:
        return ""
    entity = state.entities[SCOPES[request["scope"]], request["name"]]
    instrument = state.instruments[request["symbol"]] if request["symbol"] else NONE
    in_force = in_force_text(state, entity, instrument, LIMITS[request["limit"]][0])
    return f"{request['limit']} is released; in force: {in_force}"


def _check_place(settings: Settings, scope: str, name: str, symbol: str, limit: str) -> None:
    """Ends the command where the gateway would leave a push aside: what a publisher writes is not answered."""
    from gateway.config.settings import known_entities
    from gateway.params.feed import place_fault
    from gateway.params.store import LIMITS, SCOPES

    if limit not in LIMITS:
        refuse(f"--limit: want one of {', '.join(LIMITS)}, got {limit}")
    if (SCOPES[scope], name) not in known_entities(settings):
        refuse(f"--scope: there is no {scope} {name} in the config")
    if symbol and symbol not in {instrument.symbol for instrument in settings.instruments}:
        refuse(f"--symbol: {symbol} is not in the instruments file")
    fault = place_fault(SCOPES[scope], LIMITS[limit][0], bool(symbol))
    if fault:
        refuse(f"--scope: {fault}")


def _bounded(settings: Settings, scope: str, name: str, symbol: str, limit: str, units: int) -> str:
    """What will be in force of a push (`units` of the limit) that its floor or a person's limit bounds, else empty.
    Ends the command where no person has set a limit: the gateway would not take the push.
    """
    from gateway.config.limits import limit_set
    from gateway.core.layout import UNLIMITED, UNSET
    from gateway.params.store import LIMITS, SCOPES
    from gateway.view.figures import limit_text
    from gateway.view.pushed import floor_of

    file, percent = settings.config.limits.name, settings.config.parameters.floor
    number = LIMITS[limit][0]
    ceiling = limit_set(settings, (SCOPES[scope], name), symbol, number)
    if ceiling in (UNSET, UNLIMITED):
        what = "has no limit" if ceiling == UNSET else "has it unlimited"
        key = ".".join(filter(None, (scope, name, limit)))
        where = f"{scope} {name}".strip() + (f" in {symbol}" if symbol else "")
        refuse(f"--limit: {limit} of {where}: {file} {what} there, a push has nothing to tighten: set {key} first")
    floor, most = floor_of(ceiling, percent), limit_text(number, ceiling)
    if units < floor:
        return f"will be in force: {limit_text(number, floor)}, the floor ({percent}% of {most} in {file})"
    return f"will be in force: {most} as {file} has it, a push only tightens" if units > ceiling else ""


def _seen(config: Path) -> tuple[Group, str]:
    """Tables of the pushed limits and the sources of the gateway that runs, and why they prove nothing."""
    from rich.console import Group

    from gateway.config.settings import load_settings
    from gateway.state.attach import NoGateway, attach
    from gateway.view import pushed
    from gateway.view.table import table

    with one_line_errors(NoGateway):
        settings = load_settings(config).config
        attached = attach(settings.gateway)
    state, monotonic_ns = attached.state, time.monotonic_ns()
    now_ns = monotonic_ns + int(state.record.time_base_ns)
    limits = pushed.pushed_limits(state, now_ns)
    limits += pushed.not_taken_rows(pushed.not_taken(state, settings.parameters.sources, monotonic_ns), monotonic_ns)
    sources = pushed.publishers(state, now_ns, [source.id for source in settings.quotes])
    unproven = unproven_of(attached)
    parts: list[Table | str] = []
    for columns, rows, none in (
        (pushed.PUSHED_COLUMNS, limits, "no limit is pushed"),
        (pushed.SOURCE_COLUMNS, sources, "no source is configured"),
    ):
        made = table(*columns)
        for row in rows:
            made.add_row(*row)
        if rows or not unproven:
            parts.append(made if rows else none)
    return Group(*parts), unproven
