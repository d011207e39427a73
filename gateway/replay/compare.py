"""Rebuild every output of a journal, and compare it with what was sent."""

from __future__ import annotations

import time
from dataclasses import dataclass

from gateway.config.settings import Settings
from gateway.core.driver import Driver, Output
from gateway.core.layout import NONE
from gateway.journal import format as f
from gateway.journal.read import Entry
from gateway.journal.replayer import Replayer
from gateway.replay.history import History, Watch, unwatched


@dataclass(frozen=True)
class Comparison:
    """What a replay of the whole journal gave."""

    replayer: Replayer
    segments: int
    outputs: int
    rate: float  # events a second of the replay alone: reading, and the first event that loads the kernels, left out


@dataclass(frozen=True)
class Difference:
    """An event that replays to something else than was sent."""

    entry: Entry
    wall_ns: int
    settings: Settings
    replayed: list[Output]


def compare(history: History, watch: Watch = unwatched) -> Comparison:
    """Replay a journal; its replayer tells how many events differed. Raises JournalError."""
    replayer = history.replayer()
    segments = outputs = timed = 0
    seconds = 0.0
    for part in history.parts(watch):
        at = 0
        if replayer.events == 0 and part.events.size:
            at = int(part.events[0, 1])
            replayer.apply(part.cut(0, at))
        before = replayer.events
        started = time.perf_counter()
        replayer.apply(part.cut(at))
        seconds += time.perf_counter() - started
        timed += replayer.events - before
        segments += 1
        outputs += int((part.kinds == f.OUT).sum())
    return Comparison(replayer, segments, outputs, timed / seconds if seconds else 0.0)


def _same(replayed: list[Output], recorded: list[Output]) -> bool:
    """Whether outputs are those of the journal; an alert of a release before their table is in words of its own."""
    if len(replayed) != len(recorded):
        return False
    for now, then in zip(replayed, recorded, strict=True):
        in_words = then.session == NONE and then.alert == 0
        if now != then and not (in_words and now.session == NONE):
            return False
    return True


def differing_events(history: History, comparison: Comparison, most: int) -> list[Difference]:
    """The first events that differ, at most so many; replays again up to them."""
    wanted = min(most, comparison.replayer.differences)
    first_sequence = comparison.replayer.first_difference
    replayer = history.replayer()
    found: list[Difference] = []
    for part in history.parts():
        at = 0
        for first, last in part.events.tolist() if part.segment.last_sequence >= first_sequence else ():
            if part.segment.first_sequence + last - 1 < first_sequence:
                continue
            replayer.apply(part.cut(at, first))
            at = last
            assert replayer.state is not None, "settings come before every event"
            entry = part.entry(first, last)
            replayed = Driver(replayer.state.block).handle(entry.event)
            if not _same(replayed, entry.outputs):
                found.append(Difference(entry, int(part.wall_ns[first]), part.settings_at(first), replayed))
            if len(found) == wanted:
                return found
        replayer.apply(part.cut(at))
    return found
