"""The `tidegate` command."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from gateway import __version__
from gateway.cli.audit import audit_app
from gateway.cli.console import DEFAULT_CONFIG, ConfigOption, one_line_errors, refuse
from gateway.cli.kill import kill, rearm
from gateway.cli.params import params_app
from gateway.cli.replay import replay
from gateway.cli.security import hash_password
from gateway.cli.status import ops_app, tell_unproven, unproven_of

if TYPE_CHECKING:
    from gateway.config.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Inline FIX pre-trade risk gateway.")
limits_app = typer.Typer(no_args_is_help=True, help="Look at limits.")
app.add_typer(limits_app, name="limits")
app.add_typer(audit_app, name="audit")
app.add_typer(params_app, name="params")
app.add_typer(ops_app)
app.command()(kill)
app.command()(rearm)
app.command("hash-password")(hash_password)

CONFIG_FAULT = 2


@app.command()
def run(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    forget: Annotated[
        int | None,
        typer.Option(
            metavar="RUN", help="put the journal aside, whose last run this is, and begin from the positions file"
        ),
    ] = None,
    accept_loss: Annotated[
        int | None,
        typer.Option(metavar="RUN", help="start though a part of the journal up to this run is lost: it is reconciled"),
    ] = None,
    clear_fault: Annotated[
        int | None, typer.Option(metavar="WORD", help="take this fault word back: what raised it is reconciled")
    ] = None,
) -> None:
    """Run the gateway until SIGTERM or SIGINT."""
    from gateway.config.files import ConfigError
    from gateway.config.limits import missing_limits
    from gateway.config.settings import load_settings
    from gateway.fix.dictionary import DictionaryError
    from gateway.ops.log import configure_log
    from gateway.service.core_thread import Service
    from gateway.warmup import warm_up

    configure_log()
    log = structlog.get_logger()
    with one_line_errors():
        settings = load_settings(config)
    for who, key in missing_limits(settings):
        log.warning("blocked until it is set", blocked=who, key=key)
    try:
        warm_up(settings.config.gateway.capacity)
        service = Service(settings, forget, accept_loss, clear_fault)
    except (ConfigError, DictionaryError, OSError) as error:
        refuse("\n".join(_lines(error, settings)))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.stop())
    status = 0
    try:
        service.run()
    except Exception:
        log.critical("the gateway ends: unexpected error", exc_info=True)
        status = 1
    # QuickFIX's threads run to the end, and destroying its objects under them would crash: no ordinary exit.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(status)


def _lines(error: Exception, settings: Settings) -> list[str]:
    """Why the service could not be made of settings, each line with its file: most are told by their key only."""
    lines = str(error).splitlines()
    if isinstance(error, OSError) and error.filename:
        of_state = Path(error.filename).is_relative_to(settings.config.gateway.state_dir)
        lines = [f"{'gateway.state_dir: ' if of_state else ''}{error.filename}: {error.strerror}"]
    return [line if line.startswith((str(settings.path), "/")) else f"{settings.path}: {line}" for line in lines]


@app.command()
def warmup(
    capacity: Annotated[str, typer.Option(help="small, standard or large")] = "standard",
) -> None:
    """Compile the kernels for a capacity, so that the first start is quick."""
    from gateway.core.layout import CAPACITIES
    from gateway.ops.log import configure_log
    from gateway.warmup import warm_up

    configure_log()
    if capacity not in CAPACITIES:
        typer.echo(f"--capacity: want one of {', '.join(CAPACITIES)}, got {capacity}", err=True)
        raise typer.Exit(CONFIG_FAULT)
    seconds = warm_up(capacity)
    typer.echo(f"kernels for capacity {capacity} are ready ({seconds:.1f} s)")


@limits_app.command()
def check(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """List who could not trade for want of a mandatory limit, and the key to set."""
    from gateway.cli.console import folded, tables
    from gateway.config.files import ConfigError
    from gateway.config.limits import missing_limits
    from gateway.config.settings import load_settings

    try:
        missing = missing_limits(load_settings(config))
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(CONFIG_FAULT) from None
    if not missing:
        typer.echo("every mandatory limit is set")
        return
    table = folded("blocked", "because this is not set")
    for who, key in missing:
        table.add_row(who, key)
    tables().print(table)
    raise typer.Exit(1)


@app.command()
def resolve(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    order: Annotated[
        str | None, typer.Argument(help="OrderID(37) of an order that is not sure; without one they are listed")
    ] = None,
    verdict: Annotated[
        str | None, typer.Option("--as", help="gone: not at the venue any more; working: as counted")
    ] = None,
    executed: Annotated[
        str | None, typer.Option(help="quantity executed in all, where it is not what is known")
    ] = None,
    reason: Annotated[str, typer.Option(help="why; goes to the journal with your name")] = "",
) -> None:
    """Say what became of an order in doubt, as its venue told you.

    Exit status 2: what is listed is not proven, or nothing was done.
    """
    from gateway.cli.console import folded, tables
    from gateway.config.settings import load_settings
    from gateway.ops.control import ControlError, give_command
    from gateway.state.attach import NoGateway, attach
    from gateway.view.orders import orders_in_doubt

    with one_line_errors(NoGateway, ControlError):
        gateway = load_settings(config).config.gateway
        if order is not None:
            request = {"command": "resolve", "order": order, "verdict": verdict, "executed": executed, "reason": reason}
            typer.echo(give_command(gateway.state_dir, request))
            return
        attached = attach(gateway)
        rows = orders_in_doubt(attached.state)
    unproven = unproven_of(attached)
    table = folded("order", "venue", "symbol", "side", "quantity", "executed", "")
    for row in rows:
        table.add_row(*row)
    if rows or not unproven:
        tables().print(table if rows else "no order is in doubt")
    tell_unproven(unproven)


@app.command()
def demo(
    serve: Annotated[bool, typer.Option("--serve", help="keep everything up afterwards, for you to connect")] = False,
    fast: Annotated[bool, typer.Option("--fast", help="leave out the pauses that let a person follow")] = False,
) -> None:
    """Three venues, the gateway, three EMS and a calibrator: orders pass and are refused before your eyes, and are
    counted.
    """
    from tidegate_tools.demo.run import run_demo

    raise typer.Exit(run_demo(serve, fast))


app.command()(replay)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Entry point of the `tidegate` command."""
    app()
