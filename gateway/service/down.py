"""Sessions that are down: told in the log, ever more rarely, and to `tidegate status` by way of the pulse."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import structlog

from gateway.config.sections import SessionSection
from gateway.engine.engine import Connection
from gateway.state.pulse import PulseWriter

TELL_AFTER_S = (5.0, 10.0, 20.0, 40.0)
TELL_EVERY_S = 60.0

log = structlog.get_logger()


class DownWatch:
    """Watches every session; the connection to a venue counts its attempts, an EMS connects by itself."""

    def __init__(self, sections: list[SessionSection], pulse: PulseWriter) -> None:
        """Nothing is up yet."""
        self._sections = sections
        self._pulse = pulse
        self._down_ns = {row: time.time_ns() for row in range(len(sections))}
        self._told = dict.fromkeys(self._down_ns, 0)
        self._resting: frozenset[int] = frozenset()
        self._tell_ems_s = time.monotonic() + TELL_EVERY_S

    def note_up(self, row: int) -> None:
        """A session has logged on. If it is down again at the next look, then since its new loss."""
        self._down_ns.pop(row, None)
        self._told.pop(row, None)
        self._resting -= {row}
        self._pulse.tell_session(row, 0, 0)

    def look(self, up: set[int], connections: Mapping[int, Connection], rests: Callable[[int], str]) -> None:
        """Tell of what is down now; call it every so often with the rows that are up. `rests`: why one is not to be."""
        for row in range(len(self._sections)):
            if row in up:
                continue
            why = rests(row)
            if not why and row in self._resting:
                self._down_ns.pop(row, None)  # from here on it should be up
            self._resting = self._resting | {row} if why else self._resting - {row}
            since_ns = self._down_ns.setdefault(row, time.time_ns())
            self._told[row] = 0 if why else self._told.get(row, 0)
            if why:
                self._pulse.tell_session(row, since_ns, 0, why)
            elif row in connections:
                self._pulse.tell_session(row, since_ns, connections[row].attempts, connections[row].why)
                if connections[row].is_wanted:
                    self._tell_venue(row, since_ns, connections[row])
            else:
                self._pulse.tell_session(row, since_ns, 0)
        self._tell_ems({*up, *(row for row in range(len(self._sections)) if rests(row))})

    def _tell_venue(self, row: int, since_ns: int, connection: Connection) -> None:
        told = self._told[row]
        minutes = told - len(TELL_AFTER_S) + 1
        due_s = TELL_AFTER_S[told] if minutes < 1 else TELL_EVERY_S * minutes
        if (time.time_ns() - since_ns) / 1e9 < due_s:
            return
        self._told[row] = told + 1
        log.error(
            "session is still down",
            session=self._sections[row].id,
            since=datetime.fromtimestamp(since_ns // 10**9, UTC).isoformat(),
            attempts=connection.attempts,
            why=connection.why,
        )

    def _tell_ems(self, up: set[int]) -> None:
        if time.monotonic() < self._tell_ems_s:
            return
        self._tell_ems_s = time.monotonic() + TELL_EVERY_S
        down = [
            section.id for row, section in enumerate(self._sections) if row not in up and section.role == "acceptor"
        ]
        if down:
            log.warning("sessions are not up", sessions=down)
