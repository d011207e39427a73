"""The machine under the gateway: which boot it is, files that survive a power cut, memory that others may see.
Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
MEMORY_PREFIX = "tidegate-"
ALLOWED = os.sched_getaffinity(0)  # processors, before any thread of ours keeps to one


def boot_hash() -> int:
    """The first 60 bits of the boot's id; raises OSError."""
    return int(BOOT_ID.read_text().replace("-", "")[:15], 16)


def pin(processor: int) -> None:
    """Keep the calling thread to a processor; raises OSError where it is not one of this process's."""
    os.sched_setaffinity(0, {processor})


def unpin() -> None:
    """Let the calling thread run anywhere: one that a pinned thread has started would stay on its processor."""
    os.sched_setaffinity(0, ALLOWED)


@contextlib.contextmanager
def unpinned() -> Iterator[None]:
    """Start processes that may run anywhere."""
    kept = os.sched_getaffinity(0)
    unpin()
    try:
        yield
    finally:
        os.sched_setaffinity(0, kept)


def sync_path(path: Path) -> None:
    """Put a file's content, or the names in a folder, on disk; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def memory_name(link: Path) -> str:
    """Name of the memory that a link in a state folder is to lead to; raises OSError."""
    folder = os.stat(link.parent)
    return f"{MEMORY_PREFIX}{link.stem}-{folder.st_dev:x}-{folder.st_ino:x}"


def owner(link: Path) -> int:
    """Process of the gateway whose memory a link in its state folder leads to; raises OSError or ValueError."""
    leads_to = os.readlink(link)
    match = re.fullmatch(r"/proc/(\d+)/fd/\d+", leads_to)
    if match is None or os.readlink(leads_to) != f"/memfd:{memory_name(link)} (deleted)":
        raise ValueError(f"{link}: does not lead to the gateway of its folder")
    return int(match[1])
