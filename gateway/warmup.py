"""Compile the kernels for a set of capacities, with progress; a second time they come from the cache."""

from __future__ import annotations

import sys
import time

import numpy as np
import structlog
from numba.core import event as numba_event
from numba.core.dispatcher import Dispatcher
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.driver import Driver, Event
from gateway.core.events import BUFFER, EVENT, OUT
from gateway.core.handlers.pushed import restore_parameters
from gateway.core.layout import NONE, record_dtype
from gateway.core.setup import add_entity, add_exposure, add_instrument
from gateway.jit import cache_root
from gateway.journal import format as f
from gateway.journal import scan
from gateway.journal.append import append_settings, step
from gateway.params.seqlock import changed_records
from gateway.params.store import HEADER_BYTES
from gateway.state.build import EMPTY
from gateway.state.memory import new_block

TELL_EVERY_S = 10.0

log = structlog.get_logger()


def _kernels() -> int:
    """How many kernels there are."""
    modules = [module for name, module in sys.modules.items() if name.startswith(f"{__package__}.")]
    return len({id(v) for module in modules for v in vars(module).values() if isinstance(v, Dispatcher)})


class _Listener(numba_event.Listener):
    """Advances a progress bar by each kernel that is compiled; without a terminal it tells the log every 10 s."""

    def __init__(self, progress: Progress, total: int) -> None:
        self.progress = progress
        self.total = total
        self.task = progress.add_task("compiling kernels", total=total, start=True)
        self.compiled: set[object] = set()
        self._told_s = -TELL_EVERY_S

    def on_start(self, event: numba_event.Event) -> None:
        """A kernel is about to be compiled."""
        now_s = time.monotonic()
        if not self.progress.console.is_terminal and now_s - self._told_s >= TELL_EVERY_S:
            self._told_s = now_s
            log.info("compiling kernels", compiled=len(self.compiled), kernels=self.total)

    def on_end(self, event: numba_event.Event) -> None:
        """A kernel has been compiled."""
        self.compiled.add(event.data["dispatcher"])
        self.progress.update(self.task, completed=len(self.compiled))


def _warm_journal(block: np.ndarray) -> None:
    """Append one event to a segment in memory, and replay it."""
    cursor = np.zeros(1, record_dtype(f.CURSOR))
    segment = np.zeros(1, record_dtype(f.SEGMENT))
    cursor["used"] = f.SEGMENT_HEAD.itemsize
    buffers = [np.zeros(1, record_dtype(dtype)) for dtype in (EVENT, BUFFER, OUT)]
    buffers[0]["kind"] = ev.CLOCK
    append_settings(cursor, segment, np.zeros(1, np.uint8), 0)
    step(block, cursor, segment, *buffers)
    octets = np.zeros(1024, np.uint8)
    words = octets.view(np.int64)
    starts = np.zeros(words.size, np.int64)
    scan.words_crc(words, 0, 1)
    scan.write_record_crc(words[:5])
    scan.scan_records(words, 1, starts)
    scan.find_later_record(words, 0, 1)
    result = np.zeros(scan.RESULT_WORDS, np.int64)
    scan.apply_records(block, words, octets, starts, 0, 0, *buffers, result)


def _warm_feeds() -> None:
    """Read an empty file of a publisher."""
    memory = np.frombuffer(bytes(HEADER_BYTES), np.int64)
    changed_records(memory, np.zeros(1, np.int64), np.zeros((1, 2), np.int64), np.zeros((1, 1), np.int64))


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
            restore_parameters(block)
            Driver(block).handle(Event(ev.TICK, 0))
            _warm_journal(block)
            _warm_feeds()
    seconds = time.monotonic() - started
    if listener.compiled and console.is_terminal:
        console.print(
            f"compiled {len(listener.compiled)} kernels for capacity {capacity} in {seconds:.0f} s ({cache_root()})"
        )
    elif listener.compiled:
        compiled, folder = len(listener.compiled), str(cache_root())
        log.info("compiled kernels", compiled=compiled, capacity=capacity, seconds=round(seconds), folder=folder)
    return seconds
