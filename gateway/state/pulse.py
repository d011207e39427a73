"""What a running gateway tells of itself beside its state, in shared memory: that it lives, and how fast it is.

Others look at it by way of `<state_dir>/pulse` while the process lives, with no more than the standard library: the
first words stand at fixed places (HEARTBEAT, SWITCHES, PID), each an int64 in the machine's byte order.
"""

from __future__ import annotations

import bisect
import os
from pathlib import Path

import numpy as np

from gateway.core.layout import CAPACITIES, record_dtype
from gateway.state.memory import shared_record

# Upper bounds of the latency histogram's buckets; the last bucket has none.
LATENCY_BOUNDS_NS = (
    *(10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000),
    *(20_000_000, 50_000_000, 100_000_000, 200_000_000, 500_000_000, 1_000_000_000),
)
BUCKETS = len(LATENCY_BOUNDS_NS) + 1
HEARTBEAT, SWITCHES, PID, WAITING, LATENCY = range(5)  # words; from LATENCY on the buckets, then the sum
QUEUES = LATENCY + BUCKETS + 1  # words: of each session the bytes unsent, then of each the messages held
WHY_BYTES = 128  # a multiple of 8
MOST_SESSIONS = max(capacity.sessions for capacity in CAPACITIES.values())

PULSE = np.dtype(
    [
        ("heartbeat_ns", "i8"),  # CLOCK_MONOTONIC when the core's thread was last about
        ("switches_epoch", "i8"),  # of the switch file as the core has last seen and applied it
        ("pid", "i8"),
        ("waiting", "i8"),  # events in the inbox
        ("latency_count", "i8", BUCKETS),  # order messages by time from bytes in to bytes out
        ("latency_sum_ns", "i8"),
        ("unsent_bytes", "i8", MOST_SESSIONS),  # written for the peer of a session, which has not taken them yet
        ("held_messages", "i8", MOST_SESSIONS),  # that came ahead of a gap
        ("down_since_ns", "i8", MOST_SESSIONS),  # of the wall clock, by session; 0: it is up
        ("attempts", "i8", MOST_SESSIONS),  # to connect to a venue since then
        ("why", f"S{WHY_BYTES}", MOST_SESSIONS),  # the last of them came to nothing, in ASCII
    ]
)


DISABLED, CLOSED = "disabled by a person", "closed by its schedule"  # why a session is down that is not to be up


class PulseWriter:
    """The pulse of this process; the core's thread alone writes it."""

    def __init__(self, path: Path) -> None:
        """Make it, at `path`; raises OSError."""
        block = shared_record(record_dtype(PULSE), path)
        block[0].pid = os.getpid()
        self.words = block.view("i8")
        """The record as int64 words."""
        self._words = self.words.data
        assert PULSE.fields is not None
        self._first_down = PULSE.fields["down_since_ns"][1] // 8
        self._why = block["why"][0]
        self._told_why: dict[int, str] = {}

    def beat(self, now_ns: int) -> None:
        """The core's thread is about, at this CLOCK_MONOTONIC."""
        self._words[HEARTBEAT] = now_ns

    def tell_switches(self, epoch: int) -> None:
        """The switches of this epoch have been applied."""
        self._words[SWITCHES] = epoch

    def tell_waiting(self, count: int) -> None:
        """So many events wait in the inbox."""
        self._words[WAITING] = count

    def tell_session(self, row: int, down_since_ns: int, attempts: int, why: str = "") -> None:
        """A session is down since then, after so many attempts to connect, the last of which failed for this reason, in
        the peer's words maybe; or (0, 0) up.
        """
        self._words[self._first_down + row] = down_since_ns
        self._words[self._first_down + MOST_SESSIONS + row] = attempts
        if why != self._told_why.get(row, ""):
            self._told_why[row] = why
            self._why[row] = "".join(c if c.isascii() and c.isprintable() else "?" for c in why[:WHY_BYTES]).encode()

    def count(self, took_ns: int) -> None:
        """Count an order message that took so long."""
        self._words[LATENCY + bisect.bisect_left(LATENCY_BOUNDS_NS, took_ns)] += 1
        self._words[LATENCY + BUCKETS] += took_ns
