"""What peers ask for again, out of the journal and in portions, so that nobody else waits."""

from __future__ import annotations

import mmap
from collections import deque
from collections.abc import Callable
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

LOOKED_THROUGH = 2  # segments that are searched for a message that a peer has refused

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
        self._reader = ThreadPoolExecutor(1, "resends")
        self._reading: dict[int, Future[_Resend]] = {}
        self._going: dict[int, _Resend] = {}
        self._asked: dict[int, tuple[int, int]] = {}  # while another segment is being read for the session
        self._behind: dict[int, deque[Output]] = {}

    def begin(self, row: int, first: int, last: int) -> None:
        """Send the messages `first` to `last` of a session again; one that is under way begins anew."""
        self._going.pop(row, None)
        self._behind.setdefault(row, deque())
        if row in self._reading:
            self._asked[row] = first, last
        else:
            self._read(row, self._find, row, first, last)

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

    @property
    def is_busy(self) -> bool:
        """Whether there is something to go on with at once."""
        return bool(self._going) or any(future.done() for future in self._reading.values())

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

    def _find(self, row: int, first: int, last: int) -> _Resend:
        state = np.zeros(1, record_dtype(RESEND))
        state[0].next, state[0].last = first, last
        state[0].at = f.SEGMENT_HEAD_WORDS
        found = _Resend([], state, np.zeros(f.SEGMENT_HEAD_WORDS, np.int64))
        paths = segment_files(self._journal)
        for k in range(len(paths) - 1, -1, -1):
            words = readable_words(paths[k])
            at, is_start = again.find_first(words, row, first)
            if at != NONE:
                found.words, found.segments = words, paths[k + 1 :]
                state[0].at = at
            if is_start:
                break
        return found

    def message(self, row: int, number: int) -> Output | None:
        """A message as it was sent not long ago, by its MsgSeqNum(34)."""
        begun = 0
        for path in reversed(segment_files(self._journal)):
            words = readable_words(path)
            begun += 1 if words[f.SEGMENT_HEAD_WORDS] != 0 else 0  # the last ones are made ahead
            if begun > LOOKED_THROUGH:
                break
            at, _ = again.find_first(words, row, number)
            if at != NONE:
                found = message_at(words, at)
                return found if found.msg_seq_num == number else None
        return None


def _next_segment(resend: _Resend) -> _Resend:
    resend.words = readable_words(resend.segments.pop(0))
    resend.state[0].at = f.SEGMENT_HEAD_WORDS
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
        packed = path.with_suffix(PACKED_SUFFIX)
        if packed == path or not packed.exists():
            raise JournalError(f"{path}: is gone") from None
        return segment_words(packed)


def readable_words(path: Path) -> np.ndarray:
    """`segment_words`; of a segment that cannot be read, which is told, one that has nothing."""
    try:
        return segment_words(path)
    except (OSError, JournalError) as error:
        log.error("messages of a segment cannot be sent again", why=str(error))
        return np.zeros(f.SEGMENT_HEAD_WORDS + 1, np.int64)


def message_at(words: np.ndarray, at: int) -> Output:
    """The message whose OUT record begins at a word."""
    session, number, message_type, size = (int(words[at + f.HEAD_WORDS + k]) for k in range(4))
    start = at + f.HEAD_WORDS + 4
    body = words[start : start + (size + 7) // 8].tobytes()[:size]
    return output_of(session, message_type, body, number)
