"""Rebuild the state from the journal: apply its events, and compare what they give with what was sent."""

from __future__ import annotations

import zlib

import numpy as np

from gateway.config.settings import Settings, restore_settings
from gateway.core.events import BUFFER, EVENT, OUT
from gateway.core.layout import record_dtype
from gateway.journal import format as f
from gateway.journal import scan
from gateway.journal.read import JournalError, Segment
from gateway.state.build import build_state
from gateway.state.carry_over import carry
from gateway.state.memory import State


class Replayer:
    """A state that grows with the journal. `state` and `settings` are None until the first SETTINGS record."""

    def __init__(self, state: State | None = None, settings: Settings | None = None, sequence: int = 0) -> None:
        """Go on from a state (of a snapshot) that holds everything up to `sequence`, or from nothing."""
        self.state = state
        self.settings = settings
        self.sequence = sequence  # of the last record applied
        self.events = 0
        self.differences = 0  # events that gave something else than was sent
        self.first_difference = 0  # sequence of the first
        self._event = np.zeros(1, record_dtype(EVENT))
        self._buffer = np.zeros(1, record_dtype(BUFFER))
        self._out = np.zeros(1, record_dtype(OUT))
        self._result = np.zeros(scan.RESULT_WORDS, np.int64)

    def apply(self, segment: Segment, last: int | None = None) -> None:
        """Apply a segment's whole events, or only its first `last` records (an end of an event)."""
        at = 0
        last = segment.committed() if last is None else last
        while at < last:
            if segment.kind(at) == f.SETTINGS:
                self._take_settings(segment.data(at, f.SETTINGS_RECORD))
                at += 1
                continue
            at = self._apply_records(segment, at, last)
        if last:
            self.sequence = segment.first_sequence + last - 1

    def _take_settings(self, packed: bytes) -> None:
        settings = restore_settings(zlib.decompress(packed))
        if self.state is None:
            self.state = build_state(settings, 0)
        elif self.settings is None or settings.sources != self.settings.sources:
            self.state = carry(self.state, settings)
        self.settings = settings

    def _apply_records(self, segment: Segment, first: int, last: int) -> int:
        if self.state is None:
            raise JournalError(f"{segment.path}: does not begin with settings")
        scan.apply_records(
            *(self.state.block, segment.words, segment.octets, segment.starts, first, last),
            *(self._event, self._buffer, self._out, self._result),
        )
        unsound = int(self._result[scan.UNSOUND])
        if unsound:
            raise JournalError(
                f"{segment.path}: record {unsound} is none that this gateway writes under these settings"
            )
        self.events += int(self._result[scan.EVENTS])
        self.differences += int(self._result[scan.DIFFERENCES])
        self.first_difference = self.first_difference or int(self._result[scan.FIRST_DIFFERENCE])
        return int(self._result[scan.NEXT])
