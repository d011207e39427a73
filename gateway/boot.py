"""Which boot of the machine this is: CLOCK_MONOTONIC means nothing in another. Standard library only."""

from __future__ import annotations

from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_hash() -> int:
    """The first 60 bits of the boot's id; raises OSError."""
    return int(BOOT_ID.read_text().replace("-", "")[:15], 16)
