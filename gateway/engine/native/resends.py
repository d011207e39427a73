"""What peers ask for again, out of the journal and in portions, so that nobody else waits."""

from __future__ import annotations

import itertools
import mmap
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import structlog

from gateway.core.driver import Output, output_of
from gateway.core.layout import NONE, record_dtype
from gateway.engine.native import again
from gateway.engine.native.layout import RESEND
from gateway.journal import format as f
from gateway.journal.read import PACKED_SUFFIX, JournalError, segment_files, unpack
from gateway.machine import unpin

LOOKED_THROUGH = 2  # segments that are searched for a message that a peer has refused
MOST_LOOKUPS = 1_000  # messages that are looked for at a time
FIRST_SEQUENCE_WORD, RUN_WORD = 3, 4  # of a segment's head

log = structlog.get_logger()


@dataclass
class _Resend:
    """One that is being answered. `words`: the segment in hand, `segments` those behind it."""

    segments: list[Path]
    state: np.ndarray
    words: np.ndarray
    behind: deque[Output] = field(default_factory=deque)


class Resends:
    """Of all sessions. A thread reads segments, which may be compressed; all else is for the core's thread."""

    def __init__(self, journal: Path, wake: Callable[[], None]) -> None:
        """`journal` is the folder of the segments; `wake` is called when there is something to go on with."""
        self._journal = journal
        self._wake = wake
        self._reader = ThreadPoolExecutor(1, "resends", unpin)
        self._reading: dict[int, Future[_Resend]] = {}
        self._going: dict[int, _Resend] = {}
        self._lookups: deque[tuple[int, bytes, Future[Output | None]]] = deque()
        self._asked: dict[int, tuple[int, int, int]] = {}  # while another segment is being read for the session
        self._behind: dict[int, deque[Output]] = {}

    def begin(self, row: int, first: int, last: int, moved_run: int) -> None:
        """Send the messages `first` to `last` of a session again; one that is under way begins anew. Of runs of the
        gateway up to `moved_run` the journal has another session in that row.
        """
        self._going.pop(row, None)
        self._behind.setdefault(row, deque())
        if row in self._reading:
            self._asked[row] = first, last, moved_run
        else:
            self._read(row, self._find, row, first, last, moved_run)

    def look_up(self, row: int, number: int, moved_run: int, refusal: bytes) -> bool:
        """Find a message as it was sent not long ago, by its MsgSeqNum(34): `looked_up` gives it with `refusal`. False
        when too many are being looked for.
        """
        if len(self._lookups) >= MOST_LOOKUPS:
            return False
        future = self._reader.submit(self._message, row, number, moved_run)
        self._lookups.append((row, refusal, future))
        future.add_done_callback(lambda _: self._wake())
        return True

    def looked_up(self) -> tuple[int, bytes, Output | None] | None:
        """The next (row, refusal, the message or None if it is not there) of what was looked for."""
        if not self._lookups or not self._lookups[0][2].done():
            return None
        row, refusal, future = self._lookups.popleft()
        return row, refusal, future.result()

    def _read(self, row: int, what: Callable[..., _Resend], *of: object) -> None:
        future = self._reader.submit(what, *of)
        self._reading[row] = future
        future.add_done_callback(lambda _: self._wake())

    def behind(self, row: int) -> deque[Output] | None:
        """Where a message to the session's peer must wait, since others are being sent again; None when none are."""
        return self._behind.get(row)

    def drop(self, row: int) -> None:
        """The connection is gone."""
        for each in (self._reading, self._going, self._asked, self._behind):
            each.pop(row, None)

    def is_busy(self, reads: Callable[[int], bool]) -> bool:
        """Whether there is something to go on with at once: of a session whose peer `reads` what comes."""
        if any(future.done() for future in self._reading.values()) or any(map(reads, self._going)):
            return True
        return bool(self._lookups) and self._lookups[0][2].done()

    def turn(self, step: Callable[[int, np.ndarray, np.ndarray], int]) -> list[tuple[int, Output | None]]:
        """A portion of each: `step` takes a row, the words of a segment and a `layout.RESEND`, and returns what
        `again.send_again` does. Gives (row, order that is not sent again), and (row, None) for one that is done.
        """
        for row, future in list(self._reading.items()):
            if future.done():
                del self._reading[row]
                if row in self._asked:
                    self._read(row, self._find, row, *self._asked.pop(row))
                else:
                    self._going[row] = future.result()
        told: list[tuple[int, Output | None]] = []
        for row, resend in list(self._going.items()):
            why = again.ORDER
            while why == again.ORDER:
                why = step(row, resend.words, resend.state)
                if why == again.ORDER:
                    told.append((row, message_at(resend.words, int(resend.state[0].order))))
            if why == again.END and resend.segments:
                del self._going[row]
                self._read(row, _next_segment, resend)
            elif why == again.END:
                self._tell_lost(row, resend)  # the next turn fills the gap
            elif why == again.DONE:
                del self._going[row]
                told.append((row, None))
        return told

    def done(self, row: int) -> deque[Output]:
        """What waited behind the messages of a session that have been sent again."""
        return self._behind.pop(row, deque())

    def _tell_lost(self, row: int, resend: _Resend) -> None:
        state = resend.state[0]
        if not state.gap:
            state.gap = state.next
        lost = {"first": int(state.gap), "last": int(state.last)}
        log.error("messages to be sent again are not in the journal", row=row, **lost)
        state.next = state.last + 1

    def _segments(self, moved_run: int) -> Iterator[tuple[Path, np.ndarray]]:
        """Segments that have the same sessions in the same rows, the last first, but for those that were not begun."""
        for path in reversed(segment_files(self._journal)):
            words = readable_words(path)
            if words[RUN_WORD] <= moved_run and words[0] != 0:
                return
            if words[0] != 0:
                yield path, words

    def _find(self, row: int, first: int, last: int, moved_run: int) -> _Resend:
        state = np.zeros(1, record_dtype(RESEND))
        state[0].next, state[0].last = first, last
        state[0].at = f.SEGMENT_HEAD_WORDS
        found = _Resend([], state, np.zeros(f.SEGMENT_HEAD_WORDS, np.int64))
        newer: list[Path] = []
        lowest_of_newer = 0
        for path, words in self._segments(moved_run):
            at, sequence, lowest, highest, anew = again.find_first(words, row, first)
            if highest >= lowest_of_newer > 0:
                break  # of an older numbering
            if at != NONE:
                found.words, found.segments = words, newer[::-1]
                state[0].at, state[0].sequence = at, sequence
            newer.append(path)
            lowest_of_newer = lowest or lowest_of_newer
            if anew or 0 < lowest <= first:
                break
        return found

    def _message(self, row: int, number: int, moved_run: int) -> Output | None:
        """A message as it was sent not long ago."""
        for _, words in itertools.islice(self._segments(moved_run), LOOKED_THROUGH):
            at, _, lowest, _, anew = again.find_first(words, row, number)
            if at != NONE:
                found = message_at(words, at)
                return found if found.msg_seq_num == number else None
            if anew or 0 < lowest <= number:
                break
        return None


def _next_segment(resend: _Resend) -> _Resend:
    resend.words = readable_words(resend.segments.pop(0))
    resend.state[0].at = f.SEGMENT_HEAD_WORDS
    resend.state[0].sequence = resend.words[FIRST_SEQUENCE_WORD]
    return resend


def segment_words(path: Path) -> np.ndarray:
    """A segment as int64 words, mapped where it is not compressed; raises JournalError."""
    try:
        if path.name.endswith(PACKED_SUFFIX):
            content = unpack(path, path.read_bytes())
            return np.frombuffer(content, np.int64, len(content) // 8)
        with path.open("rb") as file:
            return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.int64)
    except FileNotFoundError:
        packed = path.with_name(path.name.removesuffix(f.DISK_SUFFIX)).with_suffix(PACKED_SUFFIX)
        if packed == path or not packed.exists():
            raise JournalError(f"{path}: is gone") from None
        return segment_words(packed)


def readable_words(path: Path) -> np.ndarray:
    """`segment_words`; of a segment that cannot be read, which is told, one that has nothing."""
    try:
        return segment_words(path)
    except (OSError, ValueError, JournalError) as error:
        log.error("messages of a segment cannot be sent again", why=str(error))
        return np.zeros(f.SEGMENT_HEAD_WORDS + 1, np.int64)


def message_at(words: np.ndarray, at: int) -> Output:
    """The message whose OUT record begins at a word."""
    session, number, message_type, size = (int(words[at + f.HEAD_WORDS + k]) for k in range(4))
    start = at + f.HEAD_WORDS + 4
    body = words[start : start + (size + 7) // 8].tobytes()[:size]
    return output_of(session, message_type, body, number)
