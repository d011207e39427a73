"""The follower: a process beside the gateway that replays closed segments, compresses them and makes snapshots.

It proves all the time that the journal gives what was sent. It never touches the segment in use, and it removes only
what no start needs. It may be killed at any moment.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import IO

import structlog
import zstandard

from gateway.journal.read import (
    PACKED_SUFFIX,
    SUFFIX,
    JournalError,
    Segment,
    is_closed,
    read_segment,
    segment_files,
    segment_number,
)
from gateway.journal.replayer import Replayer
from gateway.journal.seal import NO_DIGEST, digest_of
from gateway.journal.snapshot import (
    TEMPORARY_SUFFIX,
    check,
    create_private,
    newest_snapshot,
    save,
    snapshot_files,
    snapshot_segment,
)
from gateway.machine import sync_path

POLL_S = 0.2
LOCK_FILE = "follower.lock"
KEPT_SNAPSHOTS = 2
NICENESS = 19

log = structlog.get_logger(process="follower")


def pack(path: Path) -> Path:
    """Compress a closed segment, with the time of its file; the file goes once the packed one was read back the same.

    Raises OSError or JournalError, and leaves everything as it was then.
    """
    content = path.read_bytes()
    times = path.stat()
    packed = path.with_suffix(PACKED_SUFFIX)
    new = packed.with_name(packed.name + TEMPORARY_SUFFIX)
    try:
        with create_private(new) as file:
            file.write(zstandard.ZstdCompressor().compress(content))
            file.flush()
            os.fsync(file.fileno())
        if zstandard.ZstdDecompressor().decompress(new.read_bytes()) != content:
            raise JournalError(f"{new}: reads back as something else than was written")
        os.utime(new, ns=(times.st_atime_ns, times.st_mtime_ns))
        new.rename(packed)
    except zstandard.ZstdError as error:
        raise JournalError(f"{new}: {error}") from None
    finally:
        new.unlink(missing_ok=True)
    sync_path(path.parent)
    path.unlink()
    return packed


class Follower:
    """Goes through the closed segments of a journal folder, one at each `step`; only one may do so at a time."""

    def __init__(self, folder: Path, every: int, keep_ns: int) -> None:
        """Go on from the newest snapshot. A snapshot is made after `every` segments; a segment is kept for `keep_ns`
        after it was closed, and for as long as a start might need it.
        """
        self._folder = folder
        self._every = every
        self._keep_ns = keep_ns
        self._since_snapshot = 0
        self._trusted = True  # the state is known to be that of the gateway
        self._whole: dict[Path, bool] = {}  # snapshots looked at, and whether they can be used
        for path in folder.glob(f"*{TEMPORARY_SUFFIX}"):
            path.unlink()
        found = newest_snapshot(folder)
        for note in found.notes:
            log.error("a snapshot is not used", reason=note)
        self._replayer, self._number, self._seal = Replayer(), 0, NO_DIGEST
        if found.snapshot is not None:
            start = found.snapshot
            self._replayer = Replayer(start.state, start.settings, start.sequence)
            self._number, self._seal = start.segment, start.seal
        log.info("following the journal", folder=str(folder), behind_segment=self._number)

    def step(self) -> bool:
        """Replay the next closed segment and do the housekeeping it brings; False when there is none yet.

        Raises JournalError when there is no way on.
        """
        path = self._next_closed()
        if path is None:
            return False
        segment = read_segment(path)
        self._check(segment)
        self._replay(segment)
        self._number = segment.number
        self._since_snapshot += 1
        self._pack_segments()
        if self._trusted:
            self._make_snapshot()
            self._prune()
        return True

    def _next_closed(self) -> Path | None:
        """The next segment, once it or a later one is sealed; one that could not be sealed is never written again."""
        later = [path for path in segment_files(self._folder) if segment_number(path) > self._number]
        if not later:
            return None
        if segment_number(later[0]) != self._number + 1:
            raise JournalError(f"{later[0]}: segment {self._number + 1} before it is missing")
        return later[0] if any(is_closed(path) for path in later) else None

    def _distrust(self, what: str, segment: Segment, **more: object) -> None:
        """Say what does not fit. From then on no snapshot is made and nothing removed: a person must look first."""
        self._trusted = False
        log.critical(what, file=str(segment.path), consequence="no more snapshots, nothing is removed", **more)

    def _check(self, segment: Segment) -> None:
        """See that a segment is whole and goes on where the last one ended."""
        expected = self._replayer.sequence + 1
        after_seal = self._seal != NO_DIGEST or self._number == 0
        if segment.first_sequence < expected or (after_seal and segment.first_sequence > expected):
            first = segment.first_sequence
            self._distrust("records are missing before a segment", segment, first_sequence=first, wanted=expected)
        if segment.lost_records():
            self._distrust("records of a segment are lost", segment, after_sequence=segment.last_sequence)
        sealed = segment.seal
        if sealed is None:
            log.warning("a segment has no seal", file=str(segment.path))
            self._seal = NO_DIGEST
            return
        previous, digest = sealed["previous"].tobytes(), sealed["digest"].tobytes()
        content = segment.octets[: int(segment.starts[-1]) * 8].data
        if self._seal not in (NO_DIGEST, previous):
            self._distrust("the chain of seals is broken before a segment", segment)
        if digest_of(content, previous) != digest:
            self._distrust("a segment is not what its seal says", segment)
        self._seal = digest

    def _replay(self, segment: Segment) -> None:
        replayer = self._replayer
        events, differences = replayer.events, replayer.differences
        replayer.first_difference = 0
        replayer.apply(segment)
        if replayer.differences > differences:
            self._distrust(
                *("replay gives something else than was sent", segment),
                events=replayer.differences - differences,
                first_sequence=replayer.first_difference,
            )
        log.info("segment replayed", segment=segment.number, events=replayer.events - events)

    def _pack_segments(self) -> None:
        """Compress every closed segment that has been replayed."""
        for path in segment_files(self._folder):
            if segment_number(path) <= self._number and path.name.endswith(SUFFIX) and is_closed(path):
                try:
                    pack(path)
                except (OSError, JournalError) as error:
                    log.error("a segment could not be compressed, it stays as it is for now", reason=str(error))
                    return

    def _make_snapshot(self) -> None:
        if self._since_snapshot < self._every:
            return
        try:
            path = save(self._folder, self._replayer, self._number)
        except (OSError, JournalError) as error:
            log.error("a snapshot could not be made, the next segment is another try", reason=str(error))
            return
        self._whole[path] = True
        self._since_snapshot = 0
        log.info("snapshot made", file=str(path), bytes=path.stat().st_size, sequence=self._replayer.sequence)

    def _kept_snapshots(self) -> list[Path]:
        """The newest snapshots that can be used, each checked once."""
        kept: list[Path] = []
        for path in snapshot_files(self._folder):
            if path not in self._whole:
                try:
                    check(path)
                    self._whole[path] = True
                except JournalError as error:
                    log.error("a snapshot is not used", reason=str(error))
                    self._whole[path] = False
            if self._whole[path]:
                kept.append(path)
            if len(kept) == KEPT_SNAPSHOTS:
                break
        return kept

    def _prune(self) -> None:
        """Remove snapshots behind those kept, and segments old enough that lie before the older of these."""
        kept = self._kept_snapshots()
        if len(kept) < KEPT_SNAPSHOTS:
            return
        oldest = snapshot_segment(kept[-1])
        try:
            for path in snapshot_files(self._folder):
                if snapshot_segment(path) < oldest:
                    path.unlink()
                    self._whole.pop(path, None)
                    log.info("snapshot removed", file=str(path))
            for path in segment_files(self._folder):
                old = time.time_ns() - path.stat().st_mtime_ns > self._keep_ns
                if segment_number(path) >= oldest or not old:
                    break
                path.unlink()
                log.info("segment removed", file=str(path))
        except OSError as error:
            log.error("what is not needed could not be removed", reason=str(error))


def _take_lock(folder: Path) -> IO[str]:
    """Wait until no other follower has the folder: that of a gateway before ours ends by itself."""
    file = (folder / LOCK_FILE).open("w")
    told = False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if not told:
                log.warning("another follower has the journal, waiting for its end", folder=str(folder))
            told = True
            time.sleep(POLL_S)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_S)
    os._exit(0)  # at once: whoever comes next must find the journal at rest


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m gateway.journal.follower", description=__doc__)
    parser.add_argument("--journal", type=Path, required=True, help="folder of the journal")
    parser.add_argument("--every", type=int, required=True, help="segments from one snapshot to the next, 1 or more")
    parser.add_argument("--keep-ns", type=int, required=True, help="how long segments are kept at least, nanoseconds")
    parser.add_argument("--parent", type=int, required=True, help="process to end with")
    arguments = parser.parse_args(argv)
    if arguments.every < 1:
        parser.error(f"--every: want 1 or more, got {arguments.every}")
    if arguments.keep_ns < 0:
        parser.error(f"--keep-ns: want 0 or more, got {arguments.keep_ns}")
    return arguments


def main(argv: list[str] | None = None) -> int:
    """Follow a journal until SIGTERM or the end of the parent; 1 when the journal leads no further."""
    arguments = _arguments(argv)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        # Writes a line and its end at once: the gateway's own lines go to the same place.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the gateway gets it too, and stops us
    os.nice(NICENESS)
    threading.Thread(target=_end_with, args=(arguments.parent,), daemon=True).start()
    try:
        with _take_lock(arguments.journal):
            follower = Follower(arguments.journal, arguments.every, arguments.keep_ns)
            while True:
                if not follower.step():
                    time.sleep(POLL_S)
    except JournalError as error:
        log.critical("the follower ends", reason=str(error))
    except Exception:
        log.critical("the follower ends: unexpected error", exc_info=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
