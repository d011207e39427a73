"""The processes beside the gateway: the follower of its journal, those that serve metrics and log decisions."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import Any

from gateway.config.sections import Config
from gateway.config.settings import Settings
from gateway.core.catalogue import CHECKS
from gateway.core.layout import PARTY_ROLE
from gateway.journal.writer import Journal
from gateway.ops.companion import Companion
from gateway.state.names import SIDES

AGAIN_S = 5.0  # before one that has ended is started again


def about_decisions(config: Config, wall_offset_ns: int) -> dict[str, Any]:
    """What `gateway.ops.decisions.Lines` is made with."""
    tag = config.identity.account
    return {
        "sessions": [section.id for section in config.sessions],
        "is_ems": [section.role == "acceptor" for section in config.sessions],
        "accounts": [section.defaults.account for section in config.sessions],
        "account_tag": tag if tag < PARTY_ROLE else 0,
        "account_role": max(tag - PARTY_ROLE, 0),
        "sides": {chr(side): name for side, name in SIDES.items()},
        "checks": [check.name for check in CHECKS],
        "wall_offset_ns": wall_offset_ns,
    }


class Companions:
    """Starts them when there is work for them, again when they have ended, and ends them with the gateway."""

    def __init__(self, settings: Settings, journal: Journal, closed_segment: int) -> None:
        """Beside the gateway that writes `journal`. `closed_segment`: number of the last closed segment that needs no
        follower yet. Nothing is started.
        """
        section = settings.config.journal
        self._journal = journal
        self._config = settings.config
        self._folder = settings.config.gateway.state_dir / "journal"
        options = {"--journal": self._folder, "--every": section.snapshot_every}
        options |= {"--keep-ns": section.keep, "--parent": os.getpid()}
        self._follower = Companion("follower", "gateway.journal.follower", options)
        self._followed = closed_segment
        self._metrics = None
        if settings.config.metrics is not None:
            of_metrics = {"--config": settings.path.absolute(), "--parent": os.getpid()}
            self._metrics = Companion("metrics", "gateway.ops.metrics", of_metrics)
        self._next_metrics_s = 0.0
        self._decisions = self._decision_log() if settings.config.log.decisions else None
        self._next_decisions_s = 0.0

    def watch(self, wall_offset_ns: int) -> None:
        """Start the follower when segments before the one in use have been closed, once for each; the others whenever
        they do not run. `wall_offset_ns`: wall clock less the gateway's.
        """
        segment = self._journal.number
        if not self._follower.runs and segment > self._followed:
            self._followed = segment
            self._follower.start()
        metrics = self._metrics
        if metrics is not None and not metrics.runs and time.monotonic() >= self._next_metrics_s:
            self._next_metrics_s = time.monotonic() + AGAIN_S
            metrics.start()
        decisions = self._decisions
        if decisions is not None and not decisions.runs and time.monotonic() >= self._next_decisions_s:
            self._begin_decisions(decisions if self._next_decisions_s == 0.0 else self._decision_log(), wall_offset_ns)

    def _decision_log(self) -> Companion:
        """The process that logs decisions of what is journaled from here on."""
        options = {"--journal": self._folder, "--segment": self._journal.number, "--after": self._journal.committed}
        return Companion("decisions", "gateway.ops.decisions", options, fed=True)

    def _begin_decisions(self, decisions: Companion, wall_offset_ns: int) -> None:
        self._decisions = decisions
        self._next_decisions_s = time.monotonic() + AGAIN_S
        if decisions.start():
            with contextlib.suppress(OSError):  # it has ended, which `runs` tells
                decisions.feed(json.dumps(about_decisions(self._config, wall_offset_ns)).encode() + b"\n")

    def ask_to_end(self) -> None:
        """Ask those to end that need not see the journal's end, and do not wait."""
        for companion in (self._follower, self._metrics):
            if companion is not None:
                companion.ask_to_end()

    def end(self) -> None:
        """End all of them, by force if need be."""
        for companion in (self._follower, self._metrics, self._decisions):
            if companion is not None:
                companion.end()
