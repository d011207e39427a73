"""The `tidegate` command."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import structlog
import typer

from gateway import __version__
from gateway.audit_cli import audit_app
from gateway.kill_cli import kill, rearm
from gateway.ops_cli import ops_app
from gateway.params_cli import params_app
from gateway.replay_cli import replay
from gateway.security_cli import hash_password

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Inline FIX pre-trade risk gateway.")
limits_app = typer.Typer(no_args_is_help=True, help="Look at limits.")
app.add_typer(limits_app, name="limits")
app.add_typer(audit_app, name="audit")
app.add_typer(params_app, name="params")
app.add_typer(ops_app)
app.command()(kill)
app.command()(rearm)
app.command("hash-password")(hash_password)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="main config file (YAML)")]
CONFIG_FAULT = 2


@app.command()
def run(
    config: ConfigOption,
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
    from gateway.fix.dictionary import DictionaryError
    from gateway.ops.log import configure_log
    from gateway.service import Service
    from gateway.settings import ConfigError, load_settings
    from gateway.warmup import warm_up

    configure_log()
    log = structlog.get_logger()
    try:
        settings = load_settings(config)
        warm_up(settings.config.gateway.capacity)
        service = Service(settings, forget, accept_loss, clear_fault)
    except (ConfigError, DictionaryError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(CONFIG_FAULT) from None
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


@app.command()
def warmup(
    capacity: Annotated[str, typer.Option(help="small, standard or large")] = "standard",
) -> None:
    """Compile the kernels for a capacity, so that the first start is quick."""
    from gateway.core.layout import CAPACITIES
    from gateway.warmup import warm_up

    if capacity not in CAPACITIES:
        typer.echo(f"--capacity: want one of {', '.join(CAPACITIES)}, got {capacity}", err=True)
        raise typer.Exit(CONFIG_FAULT)
    seconds = warm_up(capacity)
    typer.echo(f"kernels for capacity {capacity} are ready ({seconds:.1f} s)")


@limits_app.command()
def check(config: ConfigOption) -> None:
    """List who could not trade for want of a mandatory limit, and the key to set."""
    from gateway.console import folded, tables
    from gateway.limits import missing_limits
    from gateway.settings import ConfigError, load_settings

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
    config: ConfigOption,
    order: Annotated[
        str | None, typer.Argument(help="OrderID(37) of an order in doubt; without one they are listed")
    ] = None,
    verdict: Annotated[
        str | None, typer.Option("--as", help="gone: not at the venue any more; working: as counted")
    ] = None,
    executed: Annotated[
        str | None, typer.Option(help="quantity executed in all, where it is more than is known")
    ] = None,
    reason: Annotated[str, typer.Option(help="why; goes to the journal with your name")] = "",
) -> None:
    """Say what became of an order in doubt, as its venue told you."""
    from gateway.console import folded, tables
    from gateway.ops.control import ControlError, give_command
    from gateway.ops.doubts import orders_in_doubt
    from gateway.settings import ConfigError, load_settings
    from gateway.state import map_state

    try:
        gateway = load_settings(config).config.gateway
        if order is None:
            rows = orders_in_doubt(map_state(gateway.state_dir / "state.bin", gateway.capacity))
            table = folded("order", "venue", "symbol", "side", "quantity", "executed", "")
            for row in rows:
                table.add_row(*row)
            tables().print(table if rows else "no order is in doubt")
            return
        request = {"command": "resolve", "order": order, "verdict": verdict, "executed": executed, "reason": reason}
        typer.echo(give_command(gateway.state_dir, request))
    except (ConfigError, ControlError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(CONFIG_FAULT) from None


@app.command()
def demo(
    serve: Annotated[bool, typer.Option("--serve", help="keep everything up afterwards, for you to connect")] = False,
    fast: Annotated[bool, typer.Option("--fast", help="leave out the pauses that let a person follow")] = False,
) -> None:
    """Three venues, the gateway, three EMS and a calibrator: orders pass and are refused before your eyes, and are
    counted.
    """
    from tools.demo import run_demo

    raise typer.Exit(run_demo(serve, fast))


app.command()(replay)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Entry point of the `tidegate` command."""
    app()


if __name__ == "__main__":
    main()
