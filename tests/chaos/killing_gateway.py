"""`tidegate` that kills itself: it counts how often it comes to a point of its code, and dies there.

CHAOS_KILL is `POINT:N`: it dies when it comes there for the Nth time; at RUNNING points only order messages and reports
count, and only from SIGUSR1 on.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from typing import Any

from gateway.cli import main as cli
from gateway.core.driver import Event, Output
from gateway.engine.inbox import Inbox
from gateway.engine.quickfix import callbacks, engine
from gateway.journal.writer import JournalingDriver
from gateway.service import core_thread as service

ORDER_FLOW = re.compile(rb"(^|\x01)35=[89DFG]\x01")
RUNNING = ("called", "queued", "unjournaled", "journaled", "sending", "storing", "sent")
STARTING = ("recovered", "repaired", "begun", "comparing", "correcting", "corrected", "connecting")


class Killer:
    """Counts down at one point."""

    def __init__(self, point: str, count: int) -> None:
        self.point = point
        self.left = count
        self.armed = point in STARTING

    def arm(self, *_: object) -> None:
        self.armed = True

    def at(self, point: str) -> None:
        """The process is at a point; it may not leave it."""
        if self.armed and point == self.point:
            self.left -= 1
            if self.left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


def _around(owner: type, name: str, before: Callable[..., None] | None, after: Callable[..., None] | None) -> None:
    original = getattr(owner, name)

    def wrapper(self: Any, *args: Any) -> Any:
        if before is not None:
            before(self, *args)
        result = original(self, *args)
        if after is not None:
            after(self, *args)
        return result

    setattr(owner, name, wrapper)


def install(killer: Killer) -> None:
    """Put the points where they belong."""

    def on_event(point: str) -> Callable[..., None]:
        def look(_: object, event: Event) -> None:
            if ORDER_FLOW.search(event.data):
                killer.at(point)

        return look

    def on_output(point: str) -> Callable[..., None]:
        def look(_: object, output: Output) -> None:
            if output.message_type in ("8", "9", "D", "F", "G"):
                killer.at(point)

        return look

    def when_given(self: JournalingDriver, event: Event) -> None:
        if self._out_words[0] and ORDER_FLOW.search(event.data):
            killer.at("journaled")

    def on_message(_: object, message: Any, session_id: object) -> None:
        if message.getHeader().getField(35) in ("8", "9", "D", "F", "G"):
            killer.at("storing")

    _around(Inbox, "put_message", on_event("called"), on_event("queued"))
    _around(JournalingDriver, "handle", on_event("unjournaled"), when_given)
    _around(engine.QuickFixEngine, "send", on_output("sending"), on_output("sent"))
    _around(callbacks.Application, "toApp", on_message, None)
    _around(service, "open_journal", lambda *_: killer.at("recovered"), lambda *_: killer.at("repaired"))
    _around(service.Service, "_begin_run", None, lambda *_: killer.at("begun"))
    _around(engine.QuickFixEngine, "_was_stored", lambda *_: killer.at("comparing"), None)
    _around(service.Service, "_settle", lambda *_: killer.at("correcting"), lambda *_: killer.at("corrected"))
    _around(service.Service, "_begin_sessions", None, lambda *_: killer.at("connecting"))


def main() -> None:
    point, _, count = os.environ["CHAOS_KILL"].partition(":")
    killer = Killer(point, int(count))
    install(killer)
    signal.signal(signal.SIGUSR1, killer.arm)
    cli.main()
