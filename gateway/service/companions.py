"""The processes beside the gateway: the follower of its journal, and the one that serves metrics."""

from __future__ import annotations

import os
import time

from gateway.config.settings import Settings
from gateway.ops.companion import Companion

METRICS_AGAIN_S = 5.0


class Companions:
    """Starts them when there is work for them, again when they have ended, and ends them with the gateway."""

    def __init__(self, settings: Settings, closed_segment: int) -> None:
        """`closed_segment`: number of the last closed segment that needs no follower yet. Nothing is started."""
        section = settings.config.gateway
        journal = settings.config.journal
        options = {"--journal": section.state_dir / "journal", "--every": journal.snapshot_every}
        options |= {"--keep-ns": journal.keep, "--parent": os.getpid()}
        self._follower = Companion("follower", "gateway.journal.follower", options)
        self._followed = closed_segment
        self._metrics = None
        if settings.config.metrics is not None:
            of_metrics = {"--config": settings.path.absolute(), "--parent": os.getpid()}
            self._metrics = Companion("metrics", "gateway.ops.metrics", of_metrics)
        self._next_metrics_s = 0.0

    def watch(self, segment: int) -> None:
        """Start the follower when segments before `segment` have been closed, once for each; the metrics' process
        whenever it does not run.
        """
        if not self._follower.runs and segment > self._followed:
            self._followed = segment
            self._follower.start()
        metrics = self._metrics
        if metrics is not None and not metrics.runs and time.monotonic() >= self._next_metrics_s:
            self._next_metrics_s = time.monotonic() + METRICS_AGAIN_S
            metrics.start()

    def ask_to_end(self) -> None:
        """Ask them to end, and do not wait."""
        for companion in self._all():
            companion.ask_to_end()

    def end(self) -> None:
        """End them, by force if need be."""
        for companion in self._all():
            companion.end()

    def _all(self) -> list[Companion]:
        return [each for each in (self._follower, self._metrics) if each is not None]
