"""QuickFIX's file store of a session, read at start: which messages were given out to be sent, and the numbers.

A store is files of one prefix. `body` is the messages one after the other; `header` has an entry "number,offset,size "
for each; `seqnums` has the two next numbers. For a message QuickFIX writes body, header and seqnums in this order, each
in full before the next, and the socket after them. So however the process was killed:

- a message that is not in the store was not sent;
- a message whose number is not below the next one was not sent either, and its number is taken again.

QuickFIX never syncs the files: after a power cut neither holds, and any of them can be behind the others.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from gateway.machine import sync_path

FILES = ("body", "header", "seqnums", "session")
SPARE_DESCRIPTORS = 32  # more than QuickFIX needs for a session
MAX_ENTRY_BYTES = 63  # three numbers of 64 bits, each with what ends it
ENTRY = re.compile(rb"(\d{1,20}),(\d{1,20}),(\d{1,20})")
SEQNUMS = re.compile(rb"\s*(\d{1,20})\s*:\s*(\d{1,20})\s*")


class StoreError(Exception):
    """A store that cannot be understood; the message is one line with the file and what is wrong."""


@dataclass(frozen=True)
class Store:
    """What a store holds of a session."""

    next_sender: int
    """MsgSeqNum (34) of the next message to be sent."""
    next_target: int
    """MsgSeqNum (34) that is expected of the peer next."""
    sent: dict[int, bytes]
    """Messages by MsgSeqNum (34), whole, session messages included; those stored while logged off as well."""


def read_store(
    folder: Path, begin_string: str, sender_comp_id: str, target_comp_id: str, last: int | None = None
) -> Store | None:
    """The store of a session, None if there is none; `last` takes that many of its latest messages only.

    What a crash leaves at the end (half an entry, an entry for more than the body has) is left out. Raises StoreError.
    """
    prefix = f"{begin_string}-{sender_comp_id}-{target_comp_id}"
    body, header, seqnums = (folder / f"{prefix}.{part}" for part in ("body", "header", "seqnums"))
    if not (body.exists() or header.exists() or seqnums.exists()):
        return None
    next_sender, next_target = _read_seqnums(seqnums, header)
    entries = {number: at for number, at in _read_entries(header, last).items() if number < next_sender}
    return Store(next_sender, next_target, _read_messages(body, entries))


def require_openable(folder: Path, begin_string: str, sender_comp_id: str, target_comp_id: str) -> None:
    """Raise OSError unless QuickFIX can open every file of a store that it has made. Where it cannot open one it begins
    its numbers at 1, and where it gets no socket it uses, and closes, a descriptor that is not its own.
    """
    with contextlib.ExitStack() as opened:
        for part in FILES:
            opened.enter_context((folder / f"{begin_string}-{sender_comp_id}-{target_comp_id}.{part}").open("r+b"))
        for _ in range(SPARE_DESCRIPTORS):
            opened.enter_context(open(os.devnull))  # noqa: SIM115


def sync_store(folder: Path) -> None:
    """Make everything in the folder survive a power cut; what goes away meanwhile is left out."""
    for path in (*folder.iterdir(), folder):
        with contextlib.suppress(FileNotFoundError):
            sync_path(path)


def _read_seqnums(path: Path, header: Path) -> tuple[int, int]:
    content = path.read_bytes() if path.exists() else b""
    if not content and not (header.exists() and header.stat().st_size):
        return 1, 1  # killed while the store was made or reset
    match = SEQNUMS.fullmatch(content)
    if match is None:
        raise StoreError(f"{path}: wanted two numbers of 20 digits with ' : ' between them, not {content[:60]!r}")
    return int(match[1]), int(match[2])


def _read_entries(path: Path, last: int | None) -> dict[int, tuple[int, int]]:
    """Offset and size in the body by MsgSeqNum; of a number that was taken again, the latest."""
    if not path.exists():
        return {}
    with path.open("rb") as file:
        if last is not None:
            file.seek(max(0, path.stat().st_size - (last + 1) * MAX_ENTRY_BYTES))
        begun_within = file.tell() > 0
        *entries, _half_written = file.read().split(b" ")
    entries = entries[begun_within:]
    result = {}
    for entry in entries if last is None else entries[max(0, len(entries) - last) :]:
        match = ENTRY.fullmatch(entry)
        if match is None:
            raise StoreError(f"{path}: wanted number,offset,size, not {entry[:60]!r}")
        result[int(match[1])] = int(match[2]), int(match[3])
    return result


def _read_messages(path: Path, entries: dict[int, tuple[int, int]]) -> dict[int, bytes]:
    end = path.stat().st_size if path.exists() else 0
    entries = {number: (offset, size) for number, (offset, size) in entries.items() if offset + size <= end}
    if not entries:
        return {}
    start = min(offset for offset, _ in entries.values())
    with path.open("rb") as file:
        file.seek(start)
        body = file.read()
    result = {}
    for number, (offset, size) in entries.items():
        message = body[offset - start : offset - start + size]
        at = message.find(b"\x0134=") + 4
        whole = message.startswith(b"8=") and message.endswith(b"\x01")
        if not whole or message[at : message.find(b"\x01", at)] != b"%d" % number:
            raise StoreError(f"{path}: wanted message {number} at byte {offset}, not {message[:60]!r}")
        result[number] = message
    return result
