"""What the core's thread waits on."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from gateway.core import events as ev
from gateway.core.driver import Event
from gateway.engine import inbox as module
from gateway.engine.inbox import Inbox, Overload

WAIT_S = 0.02
TOO_LATE_S = 10.0


def test_a_wait_that_a_signal_interrupts_late_ends(request: pytest.FixtureRequest) -> None:
    """The handler returns after the wait is over: the case in which SimpleQueue would wait for ever."""
    inbox = Inbox()
    late = Event(ev.TICK, 0)
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
    event = Event(ev.LOGON, 0)
    inbox.wake()
    inbox.put(event)
    assert inbox.get(0) is None and inbox.waiting == 1
    assert inbox.get(0) is event and inbox.get(0) is None


@pytest.fixture
def not_asked_for_long() -> Inbox:
    """An inbox with a message that waits, whose core seems to have hung for longer than it may."""
    inbox = Inbox()
    inbox.put_message(Event(ev.MESSAGE, 1))
    inbox._asked_s -= 2 * module.STALL_S
    return inbox


def test_a_core_that_was_stopped_with_the_process_has_its_turn_first(not_asked_for_long: Inbox) -> None:
    """The engine's thread may go on before the core's does, after any time that the process was stopped."""
    inbox = not_asked_for_long
    core = threading.Timer(WAIT_S, inbox.get, [0])
    core.start()
    second = Event(ev.MESSAGE, 2)
    inbox.put_message(second)
    core.join()
    assert inbox.get(0) is second and not inbox.waiting


def test_a_core_that_hangs_is_loud(not_asked_for_long: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TURNS", 3)
    with pytest.raises(Overload, match="has not asked for a message"):
        not_asked_for_long.put_message(Event(ev.MESSAGE, 2))
    assert not_asked_for_long.waiting == 1
