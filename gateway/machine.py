"""The machine under the gateway: which boot it is, files that survive a power cut, memory that others may see.
Standard library only.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_hash() -> int:
    """The first 60 bits of the boot's id; raises OSError."""
    return int(BOOT_ID.read_text().replace("-", "")[:15], 16)


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
    return f"tidegate-{link.stem}-{folder.st_dev:x}-{folder.st_ino:x}"


def owner(link: Path) -> int:
    """Process of the gateway whose memory a link in its state folder leads to; raises OSError or ValueError."""
    leads_to = os.readlink(link)
    match = re.fullmatch(r"/proc/(\d+)/fd/\d+", leads_to)
    if match is None or os.readlink(leads_to) != f"/memfd:{memory_name(link)} (deleted)":
        raise ValueError(f"{link}: does not lead to the gateway of its folder")
    return int(match[1])
