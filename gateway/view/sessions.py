"""The sessions of the native engine, as a person who operates them sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.core import layout as a
from gateway.fix.session import layout as line
from gateway.state.memory import State
from gateway.state.names import Names

STATES = {
    line.OFF: "down",
    line.CONNECTED: "connected",
    line.LOGON_SENT: "logon sent",
    line.UP: "up",
    line.LOGOUT_SENT: "logout sent",
    line.CUT: "closing",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A session: MsgSeqNum(34) that comes next and goes next; what it waits for; seconds since a message came; what the
    peer has not taken yet, and what came of it ahead of a gap.
    """

    name: str
    role: str
    state: str
    next_in: int
    next_out: int
    waits_for: str
    heard_s: float | None
    unsent_bytes: int
    held_messages: int


def lines_of(state: State, pulse: Any, now_ns: int) -> list[Line]:
    """The sessions of the native engine, at a time of the gateway's clock; none of those of QuickFIX. `pulse`: a record
    of `state.pulse.PULSE`, or None.
    """
    found = []
    for row, name in enumerate(Names(state).sessions):
        own = state.record.lines[row]
        if own.native == 0:
            continue
        number = int(own.state)
        word = "disabled" if own.disabled and number == line.OFF else STATES.get(number, "?")
        gap = f"{int(own.next_in)} to {int(own.asked_to) - 1}" if own.asked_to > own.next_in else ""
        heard_s = (now_ns - int(own.heard_ns)) / 1e9 if number == line.UP else None
        role = "venue" if state.record.sessions[row].role == a.VENUE_ROLE else "EMS"
        queues = (0, 0) if pulse is None else (int(pulse["unsent_bytes"][row]), int(pulse["held_messages"][row]))
        found.append(Line(name, role, word, int(own.next_in), int(own.next_out), gap, heard_s, *queues))
    return found
