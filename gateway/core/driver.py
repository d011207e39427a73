"""Drive the core from Python: one event in, the messages to send out. Engines, replay and tests use nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.core import layout as a
from gateway.core.handle import handle
from gateway.core.layout import EVENT, MAX_MESSAGE_BYTES, NONE, OUT, record_dtype


@dataclass(frozen=True, slots=True)
class Event:
    """One event: `kind` as in `layout`, `time_ns` monotonic, `data` the message's bytes, `value` for QUOTE and CLOCK."""

    kind: int
    time_ns: int
    session: int = 0
    msg_seq_num: int = 0
    poss_dup: bool = False
    data: bytes = b""
    value: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Output:
    """One message to send: row of the session (NONE: an alert for the log), MsgType(35), body as tag=value fields."""

    session: int
    message_type: str
    body: bytes


class Driver:
    """Owns the event and output buffers around one state block; one thread at a time may use it."""

    def __init__(self, block: np.ndarray) -> None:
        """Drive the state in `block` (one record of `layout.state_dtype`)."""
        self.block = block
        self._event = np.zeros(1, record_dtype(EVENT))
        self._out = np.zeros(1, record_dtype(OUT))
        self._buffer = np.zeros(MAX_MESSAGE_BYTES, np.uint8)
        self._event_record = self._event[0]
        self._out_record = self._out[0]
        self._out_bytes = memoryview(self._out_record.bytes)
        self._data = memoryview(self._buffer)

    def handle(self, event: Event) -> list[Output]:
        """Apply one event and return what to send, in order."""
        record = self._event_record
        kept = event.data[:MAX_MESSAGE_BYTES]
        self._data[: len(kept)] = kept
        record.kind = event.kind
        record.time_ns = event.time_ns
        record.session = event.session
        record.msg_seq_num = event.msg_seq_num
        record.poss_dup = event.poss_dup
        record.start = 0
        record.length = len(event.data)
        for k, value in enumerate(event.value):
            record.value[k] = value
        handle(self.block, self._event, self._buffer, self._out)
        return [self._output(k) for k in range(self._out_record.count)]

    def _output(self, k: int) -> Output:
        message = self._out_record.message[k]
        start = int(message.start)
        body = bytes(self._out_bytes[start : start + int(message.length)])
        session = int(message.session)
        name = "" if session == NONE else int(message.message_type).to_bytes(2, "little").rstrip(b"\0").decode()
        return Output(session, name, body)


def clock_event(time_ns: int, wall_ns: int) -> Event:
    """The event that tells the core what wall-clock time (ns since 1970) a monotonic time is."""
    return Event(a.CLOCK, time_ns, value=(wall_ns - time_ns, 0, 0, 0))
