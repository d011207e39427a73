"""The journal of a running gateway: segments made ahead, synced and sealed by a thread of its own."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateway.core.driver import Driver
from gateway.core.layout import record_dtype
from gateway.journal import format as f
from gateway.journal.append import append_settings, step
from gateway.journal.memory import clear, make, remove, take_place
from gateway.journal.read import is_spare, segment_head, segment_path
from gateway.journal.seal import NO_DIGEST, previous_digest, seal

SPARE_SEGMENTS = 2
IDLE_S = 0.05  # the thread looks this often whether there is something to do, with sync `none`
NICENESS = 10
STALL_S = 1.0  # after which a disk that has not made the next segment is in trouble
RETRY_S = 0.2  # after a segment could not be made
ROOM_WAIT_S = 10.0  # for the next segment, where the disk is slower than what is written
MADV_POPULATE_WRITE = 23  # Linux 5.14
PAGE = mmap.PAGESIZE
NO_SYNC, SYNC_BEFORE_SEND = 0, -1

_libc = ctypes.CDLL(None)
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


@dataclass(slots=True)
class _Segment:
    """A segment in memory, mapped, and its copy on disk, `file`. Its bytes up to `limit` are allocated; those behind it
    are never touched.
    """

    number: int
    path: Path
    file: int
    map: mmap.mmap
    block: np.ndarray
    again: int = 0  # bytes that were copied before the last time
    copied: int = 0
    synced: int = 0  # bytes known to be on disk
    used: int = 0  # bytes written, once it is closed

    def copy(self, used: int) -> None:
        """Write the bytes up to `used` to the copy on disk, for the system to put there; raises OSError."""
        # What was copied last time is copied again: a processor may have shown the cursor before what it stands behind.
        at = self.again
        with memoryview(self.map) as content:
            while at < used:
                at += os.pwrite(self.file, content[at:used], at)
        self.again, self.copied = self.copied, used

    def sync(self, used: int) -> None:
        """Put the bytes up to `used` on disk; raises OSError when that fails, after which nothing is known of them."""
        if used > self.synced:
            self.copy(used)
            try:
                os.fdatasync(self.file)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(self.path)) from None
            self.synced = used


class Journal:
    """Appends to the segment in use; `block` and `cursor` are what `append.step` takes.

    `trouble` says why no order may be taken: a spare segment could not be made, or a sync has failed. The
    spare that is always kept lets cancels and reports go on for a while; when that is full too, `make_room` raises.
    `error` is what ended the journal's thread, and must end the process.
    """

    def __init__(
        self,
        folder: Path,
        first_segment: int,
        first_sequence: int,
        run: int,
        handed: int = 0,
        sync_ns: int = NO_SYNC,
        limit_bytes: int = f.SEGMENT_BYTES,
        also_sync: Callable[[], None] | None = None,
        memory: Path = Path("/dev/shm"),
    ) -> None:
        """Begin segment `first_segment`; outputs of records after `handed` may not have been sent.

        `sync_ns`: how often to sync, NO_SYNC or SYNC_BEFORE_SEND; `also_sync` is called with each sync; `memory`: the
        folder of segments in memory. Raises OSError when there is no room for the first segments.
        """
        self._folder = folder
        self._memory = memory
        self._run = run
        self._limit = limit_bytes
        self._sync_ns = sync_ns
        self._also_sync = also_sync
        self._next_number = first_segment
        self._spares: deque[_Segment] = deque()
        self._closed: deque[_Segment] = deque()
        self._work = threading.Event()
        self._last_spare_s = time.monotonic()  # when one was taken
        self._made = threading.Event()  # a spare segment, or nothing since there is no room
        self._make_again_s = 0.0
        self._stopping = False
        self.error: Exception | None = None
        self._failed_sync = ""
        self._no_room = ""
        self._syncing = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        memory.mkdir(mode=0o700, exist_ok=True)
        clear(memory, folder)
        self._digest = previous_digest(folder, first_segment)  # of the last segment sealed
        self.cursor = np.zeros(1, record_dtype(f.CURSOR))
        self._words = self.cursor.view("i8").data
        try:
            for _ in range(1 + SPARE_SEGMENTS):
                self._spares.append(self._make())
        except OSError:
            self._remove_spares()
            raise
        self._segment = self._open_next(first_sequence)
        self._words[2] = self._words[3] = first_sequence - 1
        self._words[4] = handed
        self._thread = threading.Thread(target=self._keep_house, name="journal", daemon=True)
        self._thread.start()

    @property
    def block(self) -> np.ndarray:
        """The segment in use: one record of `format.SEGMENT`."""
        return self._segment.block

    @property
    def trouble(self) -> str:
        """Why no order may be taken; empty when all is well."""
        stalls = not self._spares and time.monotonic() - self._last_spare_s > STALL_S
        return self._failed_sync or self._no_room or ("the next segment is not ready" if stalls else "")

    @property
    def sync_failed(self) -> bool:
        """Whether a sync has failed: nothing is known of what is on disk."""
        return bool(self._failed_sync)

    @property
    def has_spares(self) -> bool:
        """Whether more than the last spare segment is ready."""
        return len(self._spares) > 1

    @property
    def number(self) -> int:
        """Number of the segment in use."""
        return self._segment.number

    @property
    def handed(self) -> int:
        """Sequence of the last COMMIT whose outputs have all been given to the engine."""
        return self._words[4]

    @property
    def committed(self) -> int:
        """Sequence of the last COMMIT."""
        return self._words[3]

    def hand(self) -> None:
        """All outputs up to now have been given to the engine."""
        self._words[4] = self._words[3]

    def make_room(self) -> None:
        """See that the next event fits, in a new segment if need be; raises OSError when there is none left."""
        if self._words[0] + f.MAX_EVENT_BYTES > self._words[1]:
            self.roll()

    def roll(self) -> None:
        """Close the segment in use and go on in the next."""
        # Who sends faster than the disk takes it waits here, and with him all others.
        deadline_s = time.monotonic() + ROOM_WAIT_S
        while not self._spares and not self._no_room and self.error is None and time.monotonic() < deadline_s:
            self._work.set()
            self._made.wait(IDLE_S)
            self._made.clear()
        if not self._spares:
            raise OSError(f"{self._folder}: the journal is full: {self.trouble or 'segments are not made fast enough'}")
        closed = self._segment
        closed.used = self._words[0]
        self._words[2] += 1  # the SEAL's
        self._segment = self._open_next(self._words[2] + 1)
        self._closed.append(closed)
        self._work.set()

    def append_settings(self, data: bytes, time_ns: int) -> None:
        """Journal settings as JSON, at the beginning of a segment; raises OSError when one cannot hold them."""
        if self._words[0] > f.SEGMENT_HEAD.itemsize:
            self.roll()
        packed = np.frombuffer(zlib.compress(data), np.uint8).copy()
        if self._words[0] + packed.size + f.MAX_EVENT_BYTES > self._words[1]:
            raise OSError(f"{self._folder}: the settings do not fit a segment of {self._limit} bytes")
        append_settings(self.cursor, self.block, packed, time_ns)

    def sync(self) -> None:
        """Put everything on disk before this returns; a failure is told by `trouble`."""
        # The kernel tells of a failed write once: the thread that does not hear of it must not take it for success.
        with self._syncing:
            try:
                for closed in tuple(self._closed):
                    closed.sync(closed.used)
                segment, ended = self._written()
                segment.sync(ended)
                if self._also_sync is not None:
                    self._also_sync()
            except OSError as error:
                self._failed_sync = f"sync failed: {error}"

    def _written(self) -> tuple[_Segment, int]:
        """The segment in use and the bytes of whole events in it; 0 where the core's thread has just gone on to the
        next.
        """
        segment = self._segment
        ended = self._words[5]
        return segment, ended if segment is self._segment else 0

    def _copy(self) -> None:
        with self._syncing:
            try:
                segment, ended = self._written()
                if ended > segment.copied:
                    segment.copy(ended)
            except OSError as error:
                self._failed_sync = f"sync failed: {error}"

    @property
    def syncs_before_send(self) -> bool:
        """Whether nothing may be sent before `sync`."""
        return self._sync_ns == SYNC_BEFORE_SEND

    def close(self) -> None:
        """Seal and close everything; spare segments are removed."""
        self._stopping = True
        self._work.set()
        self._thread.join()
        self._segment.used = self._words[0]
        self._closed.append(self._segment)
        self._seal_closed()
        self._remove_spares()

    def _remove_spares(self) -> None:
        for spare in self._spares:
            os.close(spare.file)
            remove(spare.path)
        self._spares.clear()

    def _make(self) -> _Segment:
        """Allocate a segment, in memory and on disk: a write to a mapped file without room would be SIGBUS, not an
        error.
        """
        path = segment_path(self._folder, self._next_number)
        if path.exists() and not is_spare(path):
            raise FileExistsError(errno.EEXIST, "a segment of this number is there already", str(path))
        free = os.statvfs(self._folder)
        if free.f_bavail * free.f_frsize < 2 * self._limit:
            # The rest of the disk is for what the engine writes: cancels and reports need that too.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        path.unlink(missing_ok=True)
        syncs = self._sync_ns != NO_SYNC
        memory, file = make(self._memory, path, f.SEGMENT_BYTES, self._limit, syncs)
        try:
            mapped = mmap.mmap(memory, f.SEGMENT_BYTES)
        except OSError:
            os.close(file)
            remove(path)
            raise
        finally:
            os.close(memory)
        block = np.frombuffer(mapped, record_dtype(f.SEGMENT))
        # All pages now, so that the core's thread takes no page fault; and not by `mmap`, which would hold it up.
        _libc.madvise(block.ctypes.data, -(-self._limit // PAGE) * PAGE, MADV_POPULATE_WRITE)
        self._next_number += 1
        return _Segment(self._next_number - 1, path, file, mapped, block)

    def _open_next(self, first_sequence: int) -> _Segment:
        segment = self._spares.popleft()
        self._last_spare_s = time.monotonic()
        head = segment_head(segment.number, first_sequence, self._run, time.time_ns())
        segment.map[: len(head)] = head
        self._words[0] = self._words[5] = f.SEGMENT_HEAD.itemsize
        self._words[1] = self._limit
        return segment

    def _keep_house(self) -> None:
        # Of this thread only: where processors are few, the core's thread comes first.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        try:
            self._loop()
        except Exception as error:
            self.error = error

    def _loop(self) -> None:
        pause_s = self._sync_ns / 1e9 if self._sync_ns > 0 else IDLE_S
        while not self._stopping:
            self._work.wait(pause_s)
            self._work.clear()
            if self._sync_ns > 0 and not self._failed_sync:
                self.sync()
            elif self._sync_ns == NO_SYNC and not self._failed_sync:
                self._copy()
            self._make_spares()
            self._seal_closed()

    def _make_spares(self) -> None:
        if time.monotonic() < self._make_again_s:
            return
        try:
            while len(self._spares) < SPARE_SEGMENTS:
                self._spares.append(self._make())
                self._made.set()
            self._no_room = ""
        except OSError as error:
            self._no_room = f"no room for the next segment: {error}"
            self._make_again_s = time.monotonic() + RETRY_S
            self._made.set()

    def _seal_closed(self) -> None:
        while self._closed:
            segment = self._closed[0]
            self.sync()
            try:
                if segment.synced == segment.used:
                    self._digest = seal(segment.path, segment.file, segment.used, self._digest)
                    take_place(segment.path)
                else:
                    self._digest = NO_DIGEST
            except OSError as error:
                self._failed_sync = f"sync failed: {error}"
                self._digest = NO_DIGEST
            with self._syncing:
                self._closed.popleft()
                os.close(segment.file)


class JournalingDriver(Driver):
    """Drives the core like any other, and journals every event and what it gave before `handle` returns."""

    def __init__(self, block: np.ndarray, journal: Journal) -> None:
        """Drive the state in `block`; raises OSError from `handle` when the journal has no room left."""
        super().__init__(block)
        self._journal = journal

    def _run(self) -> None:
        journal = self._journal
        journal.make_room()
        step(self.block, journal.cursor, journal.block, self._event, self._buffer, self._out)
