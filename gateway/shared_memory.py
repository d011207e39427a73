"""Memory that a running gateway shows to others, by links in its state folder. Standard library only.

A link stays behind when its process is killed, and the process's number may then be given to another one, even to
another gateway. So the memory is named after its state folder, and no link is believed that leads elsewhere.
"""

from __future__ import annotations

import os
import re
from pathlib import Path


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
