"""`tidegate run` and `tidegate warmup`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from gateway.cli.console import DEFAULT_CONFIG, UNUSABLE, ConfigOption, one_line_errors, refuse

if TYPE_CHECKING:
    from gateway.config.settings import Settings

app = typer.Typer()


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
    from gateway.engine.engine import StartError
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
        warm_up(settings.config.gateway.capacity, native=settings.config.gateway.engine == "native")
        service = Service(settings, forget, accept_loss, clear_fault)
    except (ConfigError, DictionaryError, OSError) as error:
        refuse("\n".join(_lines(error, settings)))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.stop())
    status = 0
    try:
        service.run()
    except StartError as error:
        log.critical("the gateway ends", why=str(error))
        typer.echo(f"{settings.path}: {error}", err=True)
        status = UNUSABLE
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
        refuse(f"--capacity: want one of {', '.join(CAPACITIES)}, got {capacity}")
    seconds = warm_up(capacity)
    typer.echo(f"kernels for capacity {capacity} are ready ({seconds:.1f} s)")
