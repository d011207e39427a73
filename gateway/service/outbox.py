"""What the core gave, on its way out: synced where the config asks for it, sent once, timed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import structlog

from gateway.core.alerts import ALERTS
from gateway.core.driver import Event, Output
from gateway.core.layout import NONE
from gateway.engine.engine import Engine
from gateway.journal.writer import Journal
from gateway.state.pulse import PulseWriter

log = structlog.get_logger()


def tell_alert(output: Output) -> None:
    """Log an alert at its severity."""
    kind = ALERTS.get(output.alert)
    text = output.body.replace(b"\x01", b"|").decode("utf-8", "replace")
    getattr(log, kind.severity if kind else "error")("alert", alert=kind.name if kind else "", text=text)


class Outbox:
    """Outputs that are journaled and not yet sent. For the core's thread only."""

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        pulse: PulseWriter,
        apply: Callable[[Event], None],
        watch_journal: Callable[[], None],
    ) -> None:
        """`apply` takes the event of a message that could not go out; `watch_journal` looks at a sync that failed."""
        self._engine = engine
        self._journal = journal
        self._pulse = pulse
        self._apply = apply
        self._watch_journal = watch_journal
        self._waiting: deque[Output] = deque()
        self._came_ns: list[int] = []  # when messages of an EMS came whose outputs have not all been sent
        self.settled = False
        """Whether what the last run had not sent is settled; until then the journal keeps it as not handed over."""

    def __bool__(self) -> bool:
        """Whether something waits."""
        return bool(self._waiting)

    def add(self, outputs: list[Output]) -> None:
        """Outputs that are to be sent."""
        self._waiting += outputs

    def note_request(self, came_ns: int) -> None:
        """A message of an EMS that came at this CLOCK_MONOTONIC is to be timed when all that it gave has been sent."""
        self._came_ns.append(came_ns)

    def send(self) -> None:
        """Send what waits. Each output is taken off before it is sent: none goes out twice, whatever fails."""
        sent = bool(self._waiting)
        while self._waiting:
            if self._journal.syncs_before_send:
                self._journal.sync()
                self._watch_journal()
            for _ in range(len(self._waiting)):
                self.send_now(self._waiting.popleft())
        self._count_latencies()
        if sent and self.settled:
            self._journal.hand()

    def send_now(self, output: Output) -> None:
        """Send one output; that it cannot go out is journaled before anything else is."""
        if output.session == NONE:
            tell_alert(output)
            return
        undelivered = None
        if self._journal.syncs_before_send and self._journal.sync_failed:
            undelivered = self._engine.refuse(output)
        if undelivered is None:
            undelivered = self._engine.send(output)
        if undelivered is not None:
            self._apply(undelivered)

    def _count_latencies(self) -> None:
        now_ns = time.monotonic_ns()
        for came_ns in self._came_ns:
            self._pulse.count(now_ns - came_ns)
        self._came_ns.clear()
