"""Drive the core from Python: one event in, the messages to send out. Engines, replay and tests use nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.core import events as ev
from gateway.core.alerts import alert_text
from gateway.core.events import BUFFER, EVENT, OUT
from gateway.core.handle import handle
from gateway.core.layout import MAX_MESSAGE_BYTES, NONE, OUT_BYTES, record_dtype

NO_VALUES = (0,) * ev.VALUES


@dataclass(frozen=True, slots=True)
class Event:
    """One event: `kind` as in `events`, `time_ns` monotonic, `data` the message, `value` for QUOTE and CLOCK."""

    kind: int
    time_ns: int
    session: int = 0
    msg_seq_num: int = 0
    poss_dup: bool = False
    data: bytes = b""
    value: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Output:
    """One message to send: row of the session, MsgType(35), body as tag=value fields; or an alert for the log, which
    has no session (NONE) and no type, its words as the body and its number in `core.alerts`. `msg_seq_num` is 0 where
    the engine gives it. One to a session without a type closes its connection; its body says why.
    """

    session: int
    message_type: str
    body: bytes
    alert: int = 0
    msg_seq_num: int = 0


class Driver:
    """Owns the event and output buffers around one state block; one thread at a time may use it."""

    def __init__(self, block: np.ndarray) -> None:
        """Drive the state in `block` (one record of `layout.state_dtype`)."""
        self.block = block
        self._event = np.zeros(1, record_dtype(EVENT))
        self._buffer = np.zeros(1, record_dtype(BUFFER))
        self._out = np.zeros(1, record_dtype(OUT))
        # Fields of a record cost a microsecond each from Python; plain views of the same bytes do not.
        self._event_words = self._event.view("i8").data
        self._data = self._buffer.view("u1").data
        heads = self._out.dtype.itemsize - OUT_BYTES
        self._out_words = self._out.view("u1")[:heads].view("i8")
        self._out_bytes = self._out.view("u1").data[heads:]

    @property
    def buffers(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The event, its message and what it gives: one record each of EVENT, BUFFER and OUT."""
        return self._event, self._buffer, self._out

    def outputs(self, places: list[int] | None = None) -> list[Output]:
        """What the last event has given, in order, or some of it."""
        count = int(self._out_words[0])
        heads = self._out_words[3 : 3 + 5 * count].tolist()
        return [self._output(*heads[5 * k : 5 * k + 5]) for k in (range(count) if places is None else places)]

    def handle(self, event: Event) -> list[Output]:
        """Apply one event and return what to send, in order."""
        size = len(event.data)
        self._data[: min(size, MAX_MESSAGE_BYTES)] = event.data[:MAX_MESSAGE_BYTES]
        words = (event.kind, event.time_ns, event.session, event.msg_seq_num, int(event.poss_dup), 0, size)
        for k, word in enumerate(words + event.value + NO_VALUES[len(event.value) :]):
            self._event_words[k] = word
        self._run()
        return self.outputs()

    @property
    def verdict(self) -> int:
        """What the last message of an EMS came to: `layout.IGNORED`, PASSED or REJECTED."""
        return int(self._out_words[2])

    def _run(self) -> None:
        handle(self.block, self._event, self._buffer, self._out)

    def _output(self, session: int, message_type: int, start: int, length: int, number: int) -> Output:
        return output_of(session, message_type, bytes(self._out_bytes[start : start + length]), number)


def output_of(session: int, message_type: int, body: bytes, number: int) -> Output:
    """An output by its numbers, as the core writes them and a journal has them: an alert has its number for a type."""
    if session == NONE:
        return Output(NONE, "", alert_text(message_type, body), message_type)
    return Output(session, message_type.to_bytes(2, "little").rstrip(b"\0").decode(), body, 0, number)


def clock_event(time_ns: int, wall_ns: int) -> Event:
    """The event that tells the core what wall-clock time (ns since 1970) a monotonic time is."""
    return Event(ev.CLOCK, time_ns, value=(wall_ns - time_ns, 0, 0, 0))
