"""Compile the kernels for a set of capacities, with progress; a second time they come from the cache.

Where there are two cores a second process takes its share: the kernels of a venue's messages while this one compiles
those of an EMS's, then the replay of a journal while this one compiles the step that writes it. They meet in the cache.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import structlog
from numba import from_dtype
from numba.core import event as numba_event
from numba.core.config import DISABLE_JIT
from numba.core.dispatcher import Dispatcher
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from gateway.core import events as ev
from gateway.core import handle as core
from gateway.core import layout as a
from gateway.core.driver import Driver, Event
from gateway.core.events import BUFFER, EVENT, OUT
from gateway.core.handlers.pushed import restore_parameters
from gateway.core.layout import CAPACITIES, NONE, record_dtype, state_dtype
from gateway.core.setup import add_entity, add_exposure, add_instrument
from gateway.jit import cache_root, may_cache
from gateway.journal import format as f
from gateway.journal import scan
from gateway.journal.append import append_settings, step
from gateway.params.seqlock import changed_records
from gateway.params.store import HEADER_BYTES
from gateway.state.build import EMPTY
from gateway.state.memory import new_block

TELL_EVERY_S = 10.0
MOST_WAIT_S = 120.0  # for the other process, when this one has done its own share

log = structlog.get_logger()


def _kernels() -> int:
    """How many kernels there are."""
    modules = [module for name, module in sys.modules.items() if name.startswith(f"{__package__}.")]
    return len({id(v) for module in modules for v in vars(module).values() if isinstance(v, Dispatcher)})


class _Compiled(numba_event.Listener):
    """Tells what is compiled, by its name, as it begins and when it is done."""

    def __init__(self, begun: Callable[[str], None], done: Callable[[str], None]) -> None:
        self._begun, self._done = begun, done

    def on_start(self, event: numba_event.Event) -> None:
        """A kernel is about to be compiled."""
        self._begun(_name_of(event))

    def on_end(self, event: numba_event.Event) -> None:
        """A kernel has been compiled."""
        self._done(_name_of(event))


def _name_of(event: numba_event.Event) -> str:
    function = event.data["dispatcher"].py_func
    return f"{function.__module__}.{function.__qualname__}"


class _Tally:
    """What has been compiled, here and in the other process: on a progress bar, without a terminal in the log."""

    def __init__(self, progress: Progress, total: int) -> None:
        self.names: set[str] = set()
        self._progress = progress
        self._total = total
        self._task = progress.add_task("compiling kernels", total=total, visible=False)
        self._began_s = self._told_s = 0.0

    def begin(self, _: str = "") -> None:
        """A kernel is about to be compiled."""
        now_s = time.monotonic()
        if not self._began_s:
            self._began_s = now_s
            self._progress.reset(self._task, visible=True)
        if not self._progress.console.is_terminal and now_s - self._told_s >= TELL_EVERY_S:
            self._told_s = now_s
            done = len(self.names)
            left = {"seconds_left": round((now_s - self._began_s) * max(self._total - done, 0) / done)} if done else {}
            log.info("compiling kernels", compiled=done, kernels=max(self._total, done), **left)

    def add(self, name: str) -> None:
        """A kernel has been compiled."""
        self.names.add(name)
        self._progress.update(self._task, completed=len(self.names))


def _record(dtype: Any) -> Any:
    """Numba's type of a record."""
    return from_dtype(record_dtype(dtype))


def _of_messages(capacity: str) -> tuple[Any, ...]:
    """Types of what handles a message: state, outputs, bytes, event."""
    state = _record(state_dtype(CAPACITIES[capacity]))
    return state, _record(OUT), _record(BUFFER).typeof("bytes"), _record(EVENT)


def _of_event(capacity: str) -> tuple[Any, ...]:
    """Types of what handles an event: state, event, bytes, outputs."""
    state, outputs, octets, event = _of_messages(capacity)
    return state, event, octets, outputs


def _of_step(capacity: str) -> tuple[Any, ...]:
    """Types of the step that journals and applies an event."""
    dtypes = (state_dtype(CAPACITIES[capacity]), f.CURSOR, f.SEGMENT, EVENT, BUFFER, OUT)
    return tuple(_record(dtype)[::1] for dtype in dtypes)


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


def _warm_loop(block: np.ndarray) -> None:
    """Let the loop of the native engine run without a connection."""
    from gateway.engine.native import layout as n
    from gateway.engine.native.again import find_first, send_again
    from gateway.engine.native.loop import put_message, serve
    from gateway.engine.native.wire import find_frame

    links = np.zeros(1, record_dtype(n.LINK))
    loop = np.zeros(1, record_dtype(n.LOOP))
    links["fd"], loop["epoll"] = NONE, NONE
    cursor = np.zeros(1, record_dtype(f.CURSOR))
    buffers = (np.zeros(1, record_dtype(dtype)) for dtype in (f.SEGMENT, EVENT, BUFFER, OUT))
    serve(block, cursor, *buffers, links, loop, np.zeros(64, np.int64))
    lines = block[0].lines
    put_message(lines, links, loop, 0, 48, 1, 0, 0, np.frombuffer(b"1=A\x01", np.uint8))
    words = np.frombuffer(bytes(1024), np.int64)
    find_first(words, 0, 1)
    send_again(lines, links, loop, 0, words, words.view(np.uint8), np.zeros(1, record_dtype(n.RESEND)), False, 0, 0)
    find_frame(np.frombuffer(bytes(8), np.uint8), 0, 8)


def _warm_feeds() -> None:
    """Read an empty file of a publisher."""
    memory = np.frombuffer(bytes(HEADER_BYTES), np.int64)
    changed_records(memory, np.zeros(1, np.int64), np.zeros((1, 2), np.int64), np.zeros((1, 1), np.int64))


@contextmanager
def _beside(tally: _Tally, capacity: str, share: str) -> Iterator[None]:
    """Have another process compile a share meanwhile, where there is a core for it and a cache to meet in. What it
    cannot do, or not in time, is done here.
    """
    if len(os.sched_getaffinity(0)) < 2 or not may_cache():
        yield
        return
    # -P: nothing is imported from the folder that this process was started in.
    command = [sys.executable, "-P", "-m", "gateway.warmup", capacity, share]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:

        def follow() -> None:
            for line in process.stdout or ():
                tally.add(line.strip())

        reader = threading.Thread(target=follow, daemon=True)
        reader.start()
        try:
            yield
            deadline_s = time.monotonic() + MOST_WAIT_S
            while process.poll() is None and time.monotonic() < deadline_s:
                tally.begin()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(1.0)
        finally:
            process.kill()
            reader.join()
    if process.returncode:
        log.warning("a process that compiles beside this one has failed", share=share, status=process.returncode)


def _compile_venue_messages(capacity: str) -> None:
    core._from_venue.compile(_of_messages(capacity))


def _compile_replay(capacity: str) -> None:
    block = new_block(capacity)
    Driver(block).handle(Event(ev.TICK, 0))
    _warm_journal(block)


SHARES = {"venue": _compile_venue_messages, "replay": _compile_replay}


def warm_up(capacity: str, console: Console | None = None, native: bool = True) -> float:
    """Make every kernel ready to run for a named capacity, those of the native engine where it is used; returns the
    seconds it took.
    """
    console = console or Console(file=sys.stderr)
    started = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    shown = console.is_terminal  # else a line would be printed at the end
    with Progress(*columns, *times, console=console, transient=True, disable=not shown) as progress:
        tally = _Tally(progress, _kernels())
        with numba_event.install_listener("numba:compile", _Compiled(tally.begin, tally.add)):
            if not DISABLE_JIT and step._cache.load_overload(_of_step(capacity), step.targetctx) is None:
                with _beside(tally, capacity, "venue"):
                    core._from_ems.compile(_of_messages(capacity))
                core.handle_event.compile(_of_event(capacity))
                with _beside(tally, capacity, "replay"):
                    step.compile(_of_step(capacity))
            block = new_block(capacity)
            add_entity(block, a.FIRM, EMPTY, 0)
            add_instrument(block, EMPTY, 0, EMPTY, 0)
            add_exposure(block, 0, 0, 0, NONE)
            restore_parameters(block)
            Driver(block).handle(Event(ev.TICK, 0))
            _warm_journal(block)
            _warm_feeds()
            if native:
                _warm_loop(block)
    seconds = time.monotonic() - started
    compiled = len(tally.names)
    if compiled and console.is_terminal:
        console.print(f"compiled {compiled} kernels for capacity {capacity} in {seconds:.0f} s ({cache_root()})")
    elif compiled:
        folder = str(cache_root())
        log.info("compiled kernels", compiled=compiled, capacity=capacity, seconds=round(seconds), folder=folder)
    return seconds


def main(capacity: str, share: str) -> None:
    """Compile a share, in a process of its own; prints the name of each kernel that is ready."""

    def tell(name: str) -> None:
        print(name, flush=True)

    with numba_event.install_listener("numba:compile", _Compiled(lambda _: None, tell)):
        SHARES[share](capacity)


if __name__ == "__main__":
    main(*sys.argv[1:])
