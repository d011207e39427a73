"""What the core's thread waits on."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from gateway.core import layout as a
from gateway.core.driver import Event
from gateway.engine.inbox import Inbox

WAIT_S = 0.02
TOO_LATE_S = 10.0


def test_a_wait_that_a_signal_interrupts_late_ends(request: pytest.FixtureRequest) -> None:
    """The handler returns after the wait is over: the case in which SimpleQueue would wait for ever."""
    inbox = Inbox()
    late = Event(a.TICK, 0)
    guard = threading.Timer(TOO_LATE_S, inbox.put, [late])
    guard.start()
    request.addfinalizer(guard.cancel)

    def handler(*_: object) -> None:
        over_s = time.monotonic() + 2 * WAIT_S
        while time.monotonic() < over_s:
            pass
        inbox.wake()

    before = signal.signal(signal.SIGALRM, handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGALRM, before))
    signal.setitimer(signal.ITIMER_REAL, WAIT_S / 2)
    assert inbox.get(WAIT_S) is None, "it waited until something else came"
    assert not inbox.waiting


def test_what_lies_behind_a_wake_is_not_lost() -> None:
    inbox = Inbox()
    event = Event(a.LOGON, 0)
    inbox.wake()
    inbox.put(event)
    assert inbox.get(0) is None and inbox.waiting == 1
    assert inbox.get(0) is event and inbox.get(0) is None
