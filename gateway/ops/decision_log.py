"""The gateway's side of the decision log: what came and what it gave goes to a process that makes the lines.

The core's thread only appends to a bounded queue; another thread feeds the process. To make a line takes ten times as
long as to hand over what it is made of, and the core's thread would have to wait: threads share the interpreter.
"""

from __future__ import annotations

import marshal
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import structlog

from gateway.config.sections import Config
from gateway.core.catalogue import CHECKS
from gateway.core.driver import Event, Output
from gateway.core.layout import NONE, PARTY_ROLE
from gateway.ops.companion import Companion
from gateway.ops.decisions import SIZE_BYTES
from gateway.state.names import SIDES

MAX_WAITING = 10_000
MAX_TOGETHER = 100  # handed over at a time, which other threads wait for
POLL_S = 0.05
CLOSE_S = 2.0
AGAIN_S = 5.0
Note = tuple[int, int, int, bytes, list[tuple[int, str, bytes]]]

log = structlog.get_logger()


def about(config: Config) -> dict[str, Any]:
    """What `Lines` is made with."""
    tag = config.identity.account
    return {
        "sessions": [section.id for section in config.sessions],
        "accounts": [section.defaults.account for section in config.sessions],
        "account_tag": tag if tag < PARTY_ROLE else 0,
        "account_role": max(tag - PARTY_ROLE, 0),
        "sides": SIDES,
        "checks": [check.name for check in CHECKS],
    }


class DecisionLog:
    """Logs decisions of one gateway. `note` is for the core's thread."""

    def __init__(self, config: Config) -> None:
        """Of a gateway with this config."""
        self._about = about(config)
        self._waiting: deque[tuple[int, Event, Sequence[Output], int]] = deque()
        self._lost = 0  # written by the core's thread only
        self._not_taken = 0
        self._told = 0
        self._process = Companion("decisions", "gateway.ops.decisions", {}, fed=True)
        self._again_s = 0.0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._feed_all, name="decisions", daemon=True)
        self._thread.start()

    def note(self, wall_ns: int, event: Event, outputs: Sequence[Output], latency_ns: int) -> None:
        """Have a line written about a message of an EMS (an Event of kind MESSAGE) that came in at `wall_ns`, ns since
        1970, and what it gave. With MAX_WAITING lines waiting this one is lost, and counted.
        """
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append((wall_ns, event, outputs, latency_ns))
        else:
            self._lost += 1

    def close(self) -> None:
        """Have what waits written, for CLOSE_S at most."""
        self._closed.set()
        self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            self._process.kill()  # it reads no more
        else:
            self._process.end()

    def _feed_all(self) -> None:
        self._feed([])  # it takes a moment to start
        while not self._closed.wait(POLL_S):
            self._feed_waiting()
        self._feed_waiting()

    def _feed_waiting(self) -> None:
        while self._waiting:
            notes: list[Note] = []
            for _ in range(min(len(self._waiting), MAX_TOGETHER)):
                wall_ns, event, outputs, latency_ns = self._waiting.popleft()
                sent = [(o.session, o.message_type, o.body) for o in outputs if o.session != NONE]  # NONE: an alert
                notes.append((wall_ns, latency_ns, event.session, event.data, sent))
            if not self._feed(notes):
                self._not_taken += len(notes)
        lost = self._lost + self._not_taken
        if lost > self._told:
            log.warning("decisions were not logged", count=lost - self._told)
            self._told = lost

    def _feed(self, notes: list[Note]) -> bool:
        """Whether the process has them; where there is none it is started first, every AGAIN_S at most."""
        try:
            if not self._process.runs:
                if time.monotonic() < self._again_s:
                    return False
                self._again_s = time.monotonic() + AGAIN_S
                if not self._process.start():
                    return False
                self._hand(self._about)
            self._hand(notes)
        except OSError:
            return False  # it has ended, which `runs` tells
        return True

    def _hand(self, what: Any) -> None:
        data = marshal.dumps(what)
        self._process.feed(len(data).to_bytes(SIZE_BYTES, "little") + data)
