"""What is told of sessions that are down."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from gateway.config.settings import load_settings
from gateway.core.layout import record_dtype
from gateway.engine.quickfix.line import CLOSED, CONNECTING, OPEN, Line
from gateway.service import down
from gateway.service.down import DownWatch
from gateway.state import pulse as p
from gateway.state.pulse import PULSE, PulseWriter
from tests.support.core import BASE, INSTRUMENTS, LIMITS, write_config

SECOND_NS = 10**9


def test_a_session_that_was_up_between_two_looks_is_down_since_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told of after as long as at first."""
    sections = load_settings(write_config(tmp_path, BASE, LIMITS, INSTRUMENTS)).config.sessions
    venue = next(row for row, section in enumerate(sections) if section.role == "initiator")
    start_ns = time.time_ns()
    now_ns = start_ns
    monkeypatch.setattr(down.time, "time_ns", lambda: now_ns)
    watch = DownWatch(sections, PulseWriter(tmp_path / "pulse"))
    pulse = np.memmap(tmp_path / "pulse", record_dtype(PULSE), "r", shape=1)[0]

    def told_at(*seconds: float) -> list[float]:
        """When it was told that the venue is down, of some looks so many seconds after the start."""
        nonlocal now_ns
        found = []
        for second in seconds:
            now_ns = start_ns + round(second * SECOND_NS)
            with capture_logs() as lines:
                watch.look(set(range(len(sections))) - {venue}, {venue: Line(1.0)}, lambda row: "")
            found += [second for line in lines if line["event"] == "session is still down"]
        return found

    assert told_at(0, 4.9, 5.1, 9.9, 10.1, 12) == [5.1, 10.1]
    assert pulse.down_since_ns[venue] == start_ns
    watch.note_up(venue)
    assert pulse.down_since_ns[venue] == 0
    assert told_at(12.1, 17, 17.2, 22, 22.2) == [17.2, 22.2]
    assert pulse.down_since_ns[venue] == start_ns + round(12.1 * SECOND_NS)


def test_a_session_that_is_not_to_be_up_is_no_trouble(tmp_path: Path) -> None:
    sections = load_settings(write_config(tmp_path, BASE, LIMITS, INSTRUMENTS)).config.sessions
    watch = DownWatch(sections, PulseWriter(tmp_path / "pulse"))
    pulse = np.memmap(tmp_path / "pulse", record_dtype(PULSE), "r", shape=1)[0]
    with capture_logs() as lines:
        watch.look(set(), {}, lambda row: (p.CLOSED, p.DISABLED)[row])
    assert list(pulse.why[: len(sections)]) == [p.CLOSED.encode(), p.DISABLED.encode()] and lines == []


def test_why_a_venue_is_down_may_be_our_own_logout() -> None:
    """Its MsgSeqNum(34) is too low, say: that is no fault of the network."""
    line = Line(1.0)
    for text in (CONNECTING + "127.0.0.1", OPEN):
        line.note_event(text)
    line.note_own_logout("MsgSeqNum too low, expecting 21 but received 1")
    line.note_event(CLOSED)
    assert line.why == "our Logout: MsgSeqNum too low, expecting 21 but received 1"
