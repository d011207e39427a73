"""What commands share: consoles and tables, a progress bar, errors of one line."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console

UNUSABLE = 2  # exit status of a command whose arguments are of no use
SILENT_S = 2.0  # work that takes longer shows how far it is


WIDTH = 220  # of tables that do not go to a terminal


def tables() -> Console:
    """A console for tables, wide where it is no terminal: no figure may be cut in a file or a pipe. Text is printed as
    it is: an id such as `X:100:7` has what would be an emoji.
    """
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else WIDTH)


def refuse(line: str) -> NoReturn:
    """End the command with one line and status UNUSABLE."""
    typer.echo(line, err=True)
    raise typer.Exit(UNUSABLE)


def config_there(path: Path) -> Path:
    """The config file of a command; ends the command where the default one is not there."""
    if path == DEFAULT_CONFIG and not path.exists():
        refuse(f"--config: there is no {path} in this folder: name the config file, or set TIDEGATE_CONFIG")
    return path


DEFAULT_CONFIG = Path("gateway.yaml")
ConfigOption = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="TIDEGATE_CONFIG", callback=config_there, help="main config file (YAML)"),
]
"""Of every command about a gateway; without it TIDEGATE_CONFIG, or else DEFAULT_CONFIG in the current folder."""
GroupConfigOption = Annotated[
    Path, typer.Option("--config", "-c", envvar="TIDEGATE_CONFIG", help="main config file (YAML)")
]
"""Of a command that has others under it, for which it must not look: `config_there` does."""

ReasonOption = Annotated[str, typer.Option("--reason", help="why; goes to the journal with your name")]
ScopeOption = Annotated[str, typer.Option("--scope", help="firm, or a scope and a name as in strategy=MOMO")]


def scope_of(text: str) -> tuple[str, str]:
    """Name of the scope, and of the entity, of `firm` or `strategy=MOMO`."""
    from gateway.kill.format import SCOPE_NAMES, parse_scope

    try:
        number, name = parse_scope(text)
    except ValueError as error:
        refuse(f"--scope: {error}")
    return SCOPE_NAMES[number], name


def give(config: Path, request: dict[str, Any]) -> None:
    """Give a running gateway a person's command, which must have a reason, and print the answer."""
    from gateway.config.settings import load_settings
    from gateway.ops.control import ControlError, give_command

    if not str(request["reason"]).strip():
        refuse("--reason: want one, it goes to the journal")
    with one_line_errors(ControlError):
        typer.echo(give_command(load_settings(config).config.gateway.state_dir, request))


@contextmanager
def one_line_errors(*more: type[Exception]) -> Iterator[None]:
    """Ends the command with one line and status UNUSABLE where what it was given is of no use, or for `more` errors."""
    from gateway.config.files import ConfigError
    from gateway.journal.read import JournalError

    expected: tuple[type[Exception], ...] = (JournalError, ConfigError, *more)
    try:
        yield
    except expected as error:
        refuse(str(error))
    except OSError as error:
        refuse(f"{error.filename}: {error.strerror}" if error.filename else str(error))


@contextmanager
def progress(what: str) -> Iterator[Callable[[float], None]]:
    """A progress bar on stderr once it takes long; gives the function to tell it the share that is done, 0 to 1."""
    from rich.console import Console
    from rich.progress import Progress

    started = time.monotonic()
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=1.0, visible=False)

        def watch(share: float) -> None:
            bar.update(task, completed=share, visible=time.monotonic() - started > SILENT_S)

        yield watch
