"""One gateway process: made from its settings, run until it is told to stop."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path
from typing import IO

import structlog

from gateway.core import layout as a
from gateway.core.driver import Driver, Event, Output, clock_event
from gateway.core.layout import NONE
from gateway.engine.inbox import Inbox
from gateway.engine.quickfix import QuickFixEngine
from gateway.journal.recording import Recorder
from gateway.settings import ConfigError, Settings
from gateway.state import State, build_state, map_state

TICK_NS = 100_000_000
CLOCK_STEP_NS = 50_000_000  # a wall clock that moved by more is told to the core
LAST_RESORT_S = 10.0

log = structlog.get_logger()


class Service:
    """Owns the state: the thread that calls `run` is the only one that touches it."""

    def __init__(self, settings: Settings, forget: bool = False) -> None:
        """Take the state folder and build the state.

        Raises ConfigError when another process has the folder, or when the last run left orders or fills behind and
        `forget` does not say that a person has dealt with them.
        """
        self.settings = settings
        gateway = settings.config.gateway
        self.folder = gateway.state_dir
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(self.folder / "lock")
        _put_last_run_aside(self.folder, gateway.capacity, forget)
        self.run_number = _next_run(self.folder / "run")
        self.state: State = build_state(settings, self.run_number, self.folder / "state.bin")
        self._driver = Driver(self.state.block)
        self._inbox = Inbox()
        self._engine = QuickFixEngine(settings.config.sessions, self.folder / "fix", self._inbox)
        self._stopping = threading.Event()
        self._recorder: Recorder | None = None
        if gateway.record:
            self._recorder = Recorder(self.folder / f"recording-{self.run_number}.bin", settings, self.run_number)
        self._wall_offset_ns = 0
        self._fault = 0

    def stop(self) -> None:
        """Ask `run` to end; any thread and any signal handler may call it."""
        self._stopping.set()

    def run(self) -> None:
        """Serve until `stop`; an unexpected error anywhere ends it and is raised here."""
        try:
            self._set_clock()
            self._engine.start()
            log.info("gateway is up", name=self.settings.config.gateway.name, run=self.run_number)
            self._loop()
        finally:
            self._close()

    def _loop(self) -> None:
        next_tick = time.monotonic_ns() + TICK_NS
        while not self._stopping.is_set():
            wait_ns = max(next_tick - time.monotonic_ns(), 0)
            event = self._inbox.get(wait_ns / 1e9)
            if event is not None:
                self._apply(event)
            if time.monotonic_ns() >= next_tick:
                if self._recorder is not None:
                    self._recorder.flush()
                self._set_clock()
                self._apply(Event(a.TICK, 0))
                next_tick = time.monotonic_ns() + TICK_NS

    def _apply(self, event: Event) -> None:
        stamped = Event(
            *(
                event.kind,
                time.monotonic_ns(),
                event.session,
                event.msg_seq_num,
                event.poss_dup,
                event.data,
                event.value,
            )
        )
        outputs = self._driver.handle(stamped)
        if self._recorder is not None:
            self._recorder.write(stamped, outputs)
        for output in outputs:
            self._send(output)
        if event.kind in (a.LOGON, a.LOGOUT):
            name = self.settings.config.sessions[event.session].id
            log.info("session is up" if event.kind == a.LOGON else "session is down", session=name)
        fault = int(self.state.record.fault)
        if fault != self._fault:
            self._fault = fault
            log.critical("fault: every order is blocked", fault=fault)

    def _send(self, output: Output) -> None:
        if output.session == NONE:
            log.error("alert", text=output.body.replace(b"\x01", b"|").decode("utf-8", "replace"))
        else:
            self._engine.send(output.session, output.message_type, output.body)

    def _set_clock(self) -> None:
        now_ns = time.monotonic_ns()
        offset_ns = time.time_ns() - now_ns
        if abs(offset_ns - self._wall_offset_ns) > CLOCK_STEP_NS:
            self._wall_offset_ns = offset_ns
            self._apply(clock_event(now_ns, now_ns + offset_ns))

    def _close(self) -> None:
        # If an engine thread never ends, the process must: a gateway that hangs looks like one that works.
        last_resort = threading.Timer(LAST_RESORT_S, os._exit, [70])
        last_resort.daemon = True
        last_resort.start()
        # Venues first, while every EMS can still be told what they say; then the EMS, for what those still say.
        try:
            for role in ("initiator", "acceptor"):
                self._engine.log_out(role)
                self._drain()
        finally:
            if self._recorder is not None:
                self._recorder.close()
            self._lock.close()
        last_resort.cancel()
        log.info("gateway is down", events=int(self.state.record.events))

    def _drain(self) -> None:
        """Apply what the sessions said while they closed, so that nothing taken from a peer is lost."""
        while True:
            try:
                event = self._inbox.get(0)
            except Exception:
                log.critical("error of a session while it closed", exc_info=True)
                continue
            if event is None:
                return
            self._apply(event)


def _lock(path: Path) -> IO[str]:
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ConfigError(f"gateway.state_dir: {path.parent}: another gateway process uses it") from None
    return file


def _put_last_run_aside(folder: Path, capacity: str, forget: bool) -> None:
    """Keep the state of the last run as state-last.bin. What it left behind blocks this start, unless `forget`:
    a new run knows nothing of it, and would count it as zero.
    """
    path = folder / "state.bin"
    if not path.exists():
        return
    if not forget:
        left = left_behind(path, capacity)
        if left:
            raise ConfigError(
                f"gateway.state_dir: {path}: the last run left {left}; reconcile with the venues, put the true "
                "positions into the positions file, then start with --forget"
            )
    path.replace(folder / "state-last.bin")


def left_behind(path: Path, capacity: str) -> str:
    """In words what a state holds that a new run would not know of; empty when nothing."""
    try:
        s = map_state(path, capacity).record
    except ValueError:
        return "a state of another capacity or release"
    fills = int((s.executions["qty_e8"][: s.execution_count] != 0).sum())
    found = ((int(s.open_order_count), "open orders"), (fills, "fills"), (int(s.fault), "as its fault word"))
    return ", ".join(f"{number} {what}" for number, what in found if number)


def _next_run(path: Path) -> int:
    """Count this start, on disk before any id is made of it."""
    try:
        run = int(path.read_text()) + 1
    except FileNotFoundError:
        run = 1
    except ValueError:
        raise ConfigError(f"{path}: want the number of the last run, got {path.read_text()!r:.40}") from None
    new = path.with_suffix(".new")
    with new.open("w") as file:
        file.write(f"{run}\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return run
