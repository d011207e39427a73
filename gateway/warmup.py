"""Compile the kernels for a set of capacities, with progress; a second time they come from the cache."""

from __future__ import annotations

import sys
import time
from importlib import import_module
from pathlib import Path

from numba.core import event as numba_event
from numba.core.dispatcher import Dispatcher
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from gateway import core, fix
from gateway.core import layout as a
from gateway.core.driver import Driver, Event
from gateway.core.layout import NONE
from gateway.core.setup import add_entity, add_exposure, add_instrument
from gateway.jit import cache_root
from gateway.state import EMPTY, new_block


def _kernels() -> int:
    """How many kernels there are."""
    found = set()
    for package in (core, fix):
        for path in Path(package.__path__[0]).glob("*.py"):
            module = import_module(f"{package.__name__}.{path.stem}")
            found |= {id(v) for v in vars(module).values() if isinstance(v, Dispatcher)}
    return len(found)


class _Listener(numba_event.Listener):
    """Advances a progress bar by each kernel that is compiled."""

    def __init__(self, progress: Progress, total: int) -> None:
        self.progress = progress
        self.task = progress.add_task("compiling kernels", total=total, start=True)
        self.compiled: set[object] = set()

    def on_start(self, event: numba_event.Event) -> None:
        """A kernel is about to be compiled."""

    def on_end(self, event: numba_event.Event) -> None:
        """A kernel has been compiled."""
        self.compiled.add(event.data["dispatcher"])
        self.progress.update(self.task, completed=len(self.compiled))


def warm_up(capacity: str, console: Console | None = None) -> float:
    """Make every kernel ready to run for a named capacity; returns the seconds it took."""
    console = console or Console(file=sys.stderr)
    started = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        listener = _Listener(progress, _kernels())
        with numba_event.install_listener("numba:compile", listener):
            block = new_block(capacity)
            add_entity(block, a.FIRM, EMPTY, 0)
            add_instrument(block, EMPTY, 0, EMPTY, 0)
            add_exposure(block, 0, 0, 0, NONE)
            Driver(block).handle(Event(a.TICK, 0))
    seconds = time.monotonic() - started
    if listener.compiled:
        console.print(
            f"compiled {len(listener.compiled)} kernels for capacity {capacity} in {seconds:.0f} s ({cache_root()})"
        )
    return seconds
