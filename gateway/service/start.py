"""What a start makes of the last run: its state, its journal, how it ended, and a clock that goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from gateway.config.files import ConfigError
from gateway.config.settings import Settings
from gateway.core import events as ev
from gateway.core.driver import Event, Output
from gateway.journal.recovery import Recovered, late_outputs
from gateway.journal.writer import Journal
from gateway.machine import boot_hash
from gateway.service.state_folder import of_todays_sessions
from gateway.state.build import build_state
from gateway.state.carry_over import carry
from gateway.state.memory import State, shared_block

STORE_SYNC_S = 1.0  # each time costs the engine's own writes a wait
ENDED = {ev.STOPPED: "stopped", ev.CRASHED: "its process ended", ev.REBOOTED: "the machine went down with it"}

log = structlog.get_logger()


def take_state(settings: Settings, recovered: Recovered) -> State:
    """The recovered state under today's settings, in the mapped file; raises ConfigError when it is another gateway's,
    or when the settings leave out what it still holds.
    """
    last = recovered.replayer
    gateway = settings.config.gateway
    if last.settings is not None and last.settings.config.gateway.name != gateway.name:
        name = last.settings.config.gateway.name
        raise ConfigError(f"gateway.name: {gateway.name}: {gateway.state_dir} holds the state of {name}")
    if last.state is None:
        state = build_state(settings, 0)
    elif last.settings is not None and last.settings.sources == settings.sources:
        state = last.state
    else:
        state = carry(last.state, settings)
    block = shared_block(gateway.capacity, gateway.state_dir / "state.bin")
    block[:] = state.block
    return State(block)


def open_journal(settings: Settings, recovered: Recovered, run: int, sync_engine: Callable[[], None]) -> Journal:
    """The journal, which goes on behind what was recovered; `sync_engine` puts the engine's files on disk."""
    config = settings.config.journal
    return Journal(
        settings.config.gateway.state_dir / "journal",
        recovered.next_segment,
        recovered.next_sequence,
        run,
        recovered.handed,
        config.sync_ns,
        config.segment << 20,
        _every(STORE_SYNC_S, sync_engine),
        config.memory,
    )


def _every(seconds: float, action: Callable[[], None]) -> Callable[[], None]:
    """The action, done at most so often, whenever it is called."""
    due_s = 0.0

    def act() -> None:
        nonlocal due_s
        if time.monotonic() >= due_s:
            action()
            due_s = time.monotonic() + seconds

    return act


@dataclass(frozen=True)
class Start:
    """How a run begins."""

    ended: int
    """How the last run ended: STOPPED, CRASHED or REBOOTED."""
    unsent: list[Output]
    """What the last run gave and perhaps had not sent."""
    boot: int
    """Of the machine, now."""
    base_ns: int
    """The gateway's clock minus CLOCK_MONOTONIC: it goes on across restarts."""
    wall_offset_ns: int
    """Wall clock minus the gateway's clock."""
    last_wall_ns: int
    """Wall clock of the last event."""

    def event(self, run: int, clears_fault: bool) -> Event:
        """The START event."""
        values = (run, self.ended, self.base_ns, self.wall_offset_ns, self.boot, int(clears_fault))
        return Event(ev.START, 0, value=values)


def start_of(s: Any, recovered: Recovered, settings: Settings, forgotten: bool) -> Start:
    """How this run begins, by the record of its state and what was recovered."""
    boot = boot_hash()
    ended = ev.STOPPED
    if recovered.replayer.state is not None and s.ended == 0:
        ended = ev.CRASHED if s.boot == boot else ev.REBOOTED
    if forgotten or recovered.lost or recovered.rebooted or not recovered.unsent_known:
        ended = ev.REBOOTED  # venues may have more of ours than is known here
    # After a power cut the engine's files may lack what had been handed to it.
    outputs = late_outputs(recovered) if ended == ev.REBOOTED else recovered.unsent
    unsent = of_todays_sessions(outputs, settings)
    wall_ns = time.time_ns()
    base_ns = int(s.time_base_ns)
    if s.boot != boot:
        passed_ns = max(wall_ns - int(s.now_ns) - int(s.wall_offset_ns), 0) if s.now_ns else 0
        base_ns = int(s.now_ns) + passed_ns - time.monotonic_ns() if s.now_ns else 0
    return Start(
        ended,
        unsent,
        boot,
        base_ns,
        wall_ns - time.monotonic_ns() - base_ns,
        int(s.now_ns) + int(s.wall_offset_ns),
    )


def log_start(s: Any, start: Start, recovered: Recovered) -> None:
    """Say what was found."""
    for note in recovered.notes:
        log.warning("journal", note=note)
    if recovered.replayer.state is not None:
        log.info(
            "recovered",
            last_run=ENDED[start.ended],
            as_of=datetime.fromtimestamp(start.last_wall_ns // 10**9, UTC).isoformat(),  # a restored copy shows here
            events=recovered.replayer.events,
            open_orders=int(s.open_order_count),
            in_doubt=int(s.sessions["doubts"].sum()),
            unsent=len(start.unsent),
        )
    if recovered.replayer.differences:
        log.critical(
            "the journal's events give other outputs than were sent: every order at a venue is in doubt",
            events=recovered.replayer.differences,
            first=recovered.replayer.first_difference,
        )
    if s.fault:
        log.critical("fault: every order is blocked", fault=int(s.fault), reconciled=f"--clear-fault {int(s.fault)}")
