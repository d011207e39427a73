"""Segments in memory: the one in use and the spares are written where no disk holds up the core's thread.

Such a segment is a file in memory (a tmpfs), which outlives the process, under its name in the journal's folder by a
link. Its copy on disk stands beside it, as NAME.disk, and takes its place when the segment is closed; after a power cut
it is all there is. Whoever reads the journal by its names finds what was written last.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from gateway.journal.format import DISK_SUFFIX, MAGIC, SUFFIX
from gateway.journal.read import disk_path, memory_of
from gateway.machine import memory_name, sync_path

PART_BYTES = 1 << 20


def make_disk(path: Path, size: int, used: int) -> int:
    """Make the copy on disk of a segment, of which the first `used` bytes get room; returns its descriptor. Raises
    OSError.
    """
    disk = disk_path(path)
    file = os.open(disk, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(file, 0, used)
        # Room that has been written once is written again without a change of the file system's own records.
        zeros = bytes(PART_BYTES)
        for start in range(0, used, len(zeros)):
            os.pwrite(file, zeros[: used - start], start)
        os.ftruncate(file, size)
    except OSError:
        os.close(file)
        disk.unlink()
        raise
    return file


def make_memory(folder: Path, path: Path, size: int, used: int) -> int:
    """Make a segment in memory, of which the first `used` bytes get room, in a folder for that, and link it to its
    name; returns its descriptor. Raises OSError.
    """
    memory = folder / memory_name(path)
    memory.unlink(missing_ok=True)  # of a gateway whose state folder is gone
    file = os.open(memory, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            os.posix_fallocate(file, 0, used)
        except OSError as error:
            raise OSError(error.errno, os.strerror(error.errno or errno.ENOSPC), str(memory)) from None
        os.ftruncate(file, size)
        path.symlink_to(memory)
    except OSError:
        os.close(file)
        memory.unlink()
        raise
    return file


def take_place(path: Path) -> None:
    """The copy on disk is complete: it takes the name of the segment. Raises OSError."""
    memory = memory_of(path)
    disk_path(path).replace(path)
    sync_path(path.parent)
    if memory is not None:
        memory.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Remove a segment in memory that was never begun. Raises OSError."""
    memory = memory_of(path)
    for each in (path, disk_path(path), *([] if memory is None else [memory])):
        each.unlink(missing_ok=True)


def restore(folder: Path) -> list[int]:
    """Put what the last run left in memory on disk; raises OSError. Returns the numbers of segments whose memory is
    gone: their end may be missing, as after a power cut.
    """
    lost = []
    for disk in sorted(folder.glob(f"[0-9]*{SUFFIX}{DISK_SUFFIX}")):
        path = disk.with_suffix("")
        memory = memory_of(path)
        is_whole = memory is not None and _copy(memory, disk)
        if not _is_begun(disk):
            remove(path)
            continue
        lost += [] if is_whole else [int(path.stem)]
        take_place(path)
    return lost


def clear(folder: Path, journal: Path) -> None:
    """Remove from the folder of memory what is left of a journal that nobody has open; raises OSError."""
    for memory in folder.glob(memory_name(journal / "[0-9]*")):
        memory.unlink()


def _is_begun(disk: Path) -> bool:
    with disk.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _copy(memory: Path, disk: Path) -> bool:
    """Make the copy on disk what is in memory, and sync it; False when that is not there, or is not ours."""
    with contextlib.ExitStack() as opened:
        try:
            source = os.open(memory, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return False
        opened.callback(os.close, source)
        if os.fstat(source).st_uid != os.geteuid() or os.fstat(source).st_size != disk.stat().st_size:
            return False
        target = os.open(disk, os.O_RDWR | os.O_CLOEXEC)
        opened.callback(os.close, target)
        start = 0
        while part := os.pread(source, PART_BYTES, start):
            if part != os.pread(target, PART_BYTES, start):
                os.pwrite(target, part, start)
            start += len(part)
        os.fsync(target)
    return True
