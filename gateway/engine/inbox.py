"""The queue between an engine's threads and the core's thread: bounded, and loud when the core does not keep up."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from gateway.core.driver import Event
from gateway.ops.control import Command

MAX_MESSAGES = 10_000
PUT_TIMEOUT_S = 5.0
STALL_S = 30.0
TURNS, TURN_S = 500, 0.01  # that a core gets before it counts as stalled


def _nothing() -> None:
    return


class Overload(Exception):
    """The core does not keep up, or hangs."""


class Inbox:
    """Events for the core, first in first out.

    Application messages wait for room, which holds back the session they came from; the few other events (logon,
    logout, undelivered) never wait: QuickFIX gives them under a lock that the core's thread may need to send.
    """

    def __init__(self) -> None:
        """An empty queue."""
        self._queue: queue.SimpleQueue[tuple[Event | Command | BaseException | None, bool]] = queue.SimpleQueue()
        self._asked_s = time.monotonic()
        self._room = threading.BoundedSemaphore(MAX_MESSAGES)
        self.on_put: Callable[[], None] = _nothing
        """Called behind each `put` and `wake`; any thread and any signal handler may be the caller."""

    def put_message(self, event: Event) -> None:
        """Append an application message; raises Overload when there is no room for PUT_TIMEOUT_S, or the core has not
        asked for any for STALL_S.
        """
        if not self._queue.empty() and self._asks_no_more():
            self._wait_for_core()
        if not self._room.acquire(timeout=PUT_TIMEOUT_S):
            raise Overload(f"the core took no message for {PUT_TIMEOUT_S:.0f} s, {MAX_MESSAGES} are waiting")
        self._queue.put((event, True))

    def _asks_no_more(self) -> bool:
        return time.monotonic() - self._asked_s > STALL_S

    def _wait_for_core(self) -> None:
        """Let a core that was stopped with the whole process have its turn; raises Overload when it takes none."""
        for _ in range(TURNS):  # a deadline could pass while the process is stopped
            if not self._asks_no_more():
                return
            time.sleep(TURN_S)
        raise Overload(f"the core has not asked for a message for {STALL_S:.0f} s")

    def put(self, event: Event | Command | BaseException) -> None:
        """Append a session event, a person's command, or an error that `get` is to raise."""
        self._queue.put((event, False))
        self.on_put()

    def wake(self) -> None:
        """Let a `get` that waits return None, and the next one that would have waited; any signal handler may call it.

        One that interrupts a `get` must: SimpleQueue of Python 3.11 works out anew how long is left when the handler
        returns, and takes a wait that is over by then for one without end.
        """
        self._queue.put((None, False))
        self.on_put()

    @property
    def waiting(self) -> int:
        """How many wait, about."""
        return self._queue.qsize()

    def get(self, timeout_s: float) -> Event | Command | None:
        """The next event or command, None after `timeout_s` without one or when woken; raises an error that was put."""
        self._asked_s = time.monotonic()
        try:
            event, counted = self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if counted:
            self._room.release()
        if isinstance(event, BaseException):
            raise event
        return event
