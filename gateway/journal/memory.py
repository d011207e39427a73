"""Segments in memory: the one in use and the spares are written where no disk holds up the core's thread.

Such a segment is a file in memory (a tmpfs), which outlives the process, under its name in the journal's folder by a
link. Its copy on disk stands beside it, as NAME.disk, and takes its place when the segment is closed; after a power cut
it is all there is. Whoever reads the journal by its names finds what was written last.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from gateway.journal.format import DISK_SUFFIX, MAGIC, SEAL_RECORD, SUFFIX
from gateway.journal.read import disk_path, is_closed, memory_name_of, memory_of
from gateway.machine import memory_name, sync_path

PART_BYTES = 1 << 20
NEW_SUFFIX = ".new"  # of a copy on disk that is being made
END_LOST = "end-lost"  # a file that stands until a start has made good what memory that is gone took with it


def make(folder: Path, path: Path, size: int, used: int, syncs: bool) -> tuple[int, int]:
    """Make a segment in memory, in a folder for that, and its copy on disk; the first `used` bytes of both get room.

    Returns their descriptors. Raises OSError, and leaves nothing.
    """
    memory = folder.absolute() / memory_name_of(path)
    with contextlib.ExitStack() as undo:
        source = _new_file(memory, used, undo)
        os.ftruncate(source, size)
        new = disk_path(path).with_name(disk_path(path).name + NEW_SUFFIX)
        target = _new_file(new, used, undo)
        # Room that has been written once is written again without a change of the file system's own records.
        zeros = bytes(PART_BYTES)
        for start in range(0, used, len(zeros)):
            os.pwrite(target, zeros[: used - start], start)
        os.ftruncate(target, size)
        new.rename(disk_path(path))
        undo.callback(disk_path(path).unlink, missing_ok=True)
        path.symlink_to(memory)
        undo.callback(path.unlink, missing_ok=True)
        if syncs:
            os.fsync(target)
            sync_path(path.parent)
        undo.pop_all()
    return source, target


def _new_file(path: Path, used: int, undo: contextlib.ExitStack) -> int:
    path.unlink(missing_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    undo.callback(path.unlink, missing_ok=True)
    undo.callback(os.close, file)
    try:
        os.posix_fallocate(file, 0, used)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
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


def clear(folder: Path, journal: Path) -> None:
    """Remove from the folder of memory what is left of a journal that nobody has open; raises OSError."""
    for memory in folder.glob(memory_name(journal / "[0-9]*") + "*"):
        memory.unlink()


def restore(folder: Path) -> list[int]:
    """Put what the last run left in memory on disk; raises OSError. Returns the numbers of segments whose memory is
    gone: their end may be missing, as after a power cut, which END_LOST says to a later start too.
    """
    for left in folder.glob(f"*{DISK_SUFFIX}{NEW_SUFFIX}"):
        left.unlink()
    disks = sorted(folder.glob(f"[0-9]*{SUFFIX}{DISK_SUFFIX}"))
    lost = [int(disk.name.partition(".")[0]) for disk in disks if not _is_whole(disk)]
    if lost:
        (folder / END_LOST).touch()
        sync_path(folder)
    for disk in disks:
        path = disk.with_suffix("")
        if _is_begun(disk):
            take_place(path)
        else:
            remove(path)
    return lost


def _is_whole(disk: Path) -> bool:
    """Make a copy on disk what is in memory, unless that is a spare; False where memory is gone and the segment was in
    use, perhaps.
    """
    path = disk.with_suffix("")
    memory = memory_of(path)
    if memory is not None:
        if _is_begun(memory):
            _copy(memory, disk)
        return True
    return is_closed(disk) or not (path.is_symlink() or _is_begun(disk))


def _is_begun(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _copy(memory: Path, disk: Path) -> None:
    """Write all that is in memory to the copy on disk, also what is the same there: that may never have reached the
    disk, where a sync failed. A SEAL, which is on disk alone, stays.
    """
    with contextlib.ExitStack() as opened:
        source = os.open(memory, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        opened.callback(os.close, source)
        target = os.open(disk, os.O_RDWR | os.O_CLOEXEC)
        opened.callback(os.close, target)
        end = os.fstat(source).st_size
        if is_closed(disk):
            end = os.fstat(target).st_size - SEAL_RECORD.itemsize
        else:
            os.ftruncate(target, end)
        for start in range(0, end, PART_BYTES):
            part = os.pread(source, min(PART_BYTES, end - start), start)
            if part.count(0) < len(part) or part != os.pread(target, len(part), start):
                os.pwrite(target, part, start)
        os.fsync(target)
