"""A journal event by event, each with its wall time and the state after it; goes on over what is wrong with seals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from gateway.config.settings import Settings
from gateway.journal import format as f
from gateway.journal.chain import Link
from gateway.journal.read import Entry, Segment
from gateway.replay.history import History, Part, Watch, unwatched
from gateway.state.memory import State
from gateway.state.names import Names

WATCH_EVERY = 5_000  # events
ENDLESS_NS = 2**63


@dataclass(frozen=True, slots=True)
class Step:
    """One event, after it was applied. `fault_before`: the fault word before it."""

    sequence: int  # of its COMMIT
    wall_ns: int
    entry: Entry
    fault_before: int


@dataclass(frozen=True, slots=True)
class Change:
    """Settings came into force; `before` is None for the first."""

    sequence: int
    wall_ns: int
    before: Settings | None
    settings: Settings


class Walk:
    """Goes through a history. `state`, `names` and `last_sequence` are as after the last step; `faults` so far."""

    names: Names
    state: State

    def __init__(
        self, history: History, watch: Watch = unwatched, end_ns: Callable[[Settings], int] | None = None
    ) -> None:
        """Stand in front of the first event; `end_ns` says at which wall time to end, by the settings in force."""
        self.history = history
        self.faults: list[str] = []
        self.last_sequence = 0
        self._watch = watch
        self._done = 0.0
        self._end_of = end_ns
        self._end_ns = ENDLESS_NS
        self._ended = False
        self._replayer = history.replayer()
        self._settings, self._offset_ns = history.settings, history.offset_ns
        self._fault = 0
        self._first: Change | None = None
        if self._replayer.state is not None and self._replayer.settings is not None:
            s = self._replayer.state.record
            self._fault = int(s.fault)
            wall_ns = int(s.now_ns + s.wall_offset_ns)
            self._first = Change(self._replayer.sequence, wall_ns, None, self._replayer.settings)
            self._take_settings()

    @property
    def settings(self) -> Settings | None:
        """The settings in force after the last step, None in front of the first."""
        return self._replayer.settings

    @property
    def differences(self) -> int:
        """Events so far that gave something else now than was sent then."""
        return self._replayer.differences

    def _take_settings(self) -> None:
        state, settings = self._replayer.state, self._replayer.settings
        assert state is not None and settings is not None
        self.state, self.names = state, Names(state)
        if self._end_of is not None:
            self._end_ns = self._end_of(settings)

    def links(self) -> Iterator[Link]:
        """The segments in order, to take the steps of before the next is asked for; up to the one with the end."""
        for link in self.history.links(self.faults, self._at):
            yield link
            if self._ended:
                break
        self._watch(1)

    def _at(self, share: float) -> None:
        self._done = share
        self._watch(share)

    def steps(self, segment: Segment, last_sequence: int | None = None) -> Iterator[Step | Change]:
        """Everything that happened in a segment, up to a record if one is given; raises JournalError, ConfigError."""
        if self._first is not None:
            yield self._first
            self._first = None
        part = Part.of(segment, self._settings, self._offset_ns)
        self._settings, self._offset_ns = part.settings_behind, part.offset_ns
        ends = np.flatnonzero((part.kinds == f.COMMIT) | (part.kinds == f.SETTINGS)) + 1
        events = iter(part.events.tolist())
        for number, last in enumerate(ends.tolist()):
            if number % WATCH_EVERY == 0:
                self._watch(self._done + number / ends.size / self.history.segments)
            if last_sequence is not None and segment.first_sequence + last - 1 > last_sequence:
                return
            changes = part.kinds[last - 1] == f.SETTINGS
            first = last - 1 if changes else next(events)[0]
            if not changes and part.wall_ns[first] >= self._end_ns:
                self._ended = True
                return
            self.last_sequence = segment.first_sequence + last - 1
            yield self._change(part, first) if changes else self._step(part, first, last)

    def _change(self, part: Part, record: int) -> Change:
        before = self._replayer.settings
        self._replayer.apply(part.cut(record, record + 1))
        self._take_settings()
        return Change(self.last_sequence, int(part.wall_ns[record]), before, part.settings_at(record))

    def _step(self, part: Part, first: int, last: int) -> Step:
        self._replayer.apply(part.cut(first, last))
        entry = part.entry(first, last)
        fault, self._fault = self._fault, entry.fault
        return Step(entry.sequence, int(part.wall_ns[first]), entry, fault)
