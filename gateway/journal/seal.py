"""Seal a closed segment: a digest of it and of the seal before goes to its end, so that a change or a gap shows."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import numpy as np

from gateway.journal import format as f
from gateway.journal.read import PACKED_SUFFIX, JournalError, Segment, read_segment, segment_path
from gateway.journal.scan import write_record_crc

NO_DIGEST = bytes(32)


def digest_of(content: bytes | memoryview, previous: bytes) -> bytes:
    """What a SEAL says of the bytes of its segment before it."""
    digest = hashlib.sha256(content)
    digest.update(previous)
    return digest.digest()


def previous_digest(folder: Path, number: int) -> bytes:
    """Digest in the seal of the segment before this one; zeros when there is none or it cannot be read."""
    path = segment_path(folder, number - 1)
    packed = path.with_suffix(PACKED_SUFFIX)
    if not path.exists() and not packed.exists():
        return NO_DIGEST
    try:
        sealed = read_segment(path if path.exists() else packed).seal
    except JournalError:
        return NO_DIGEST
    return NO_DIGEST if sealed is None else bytes(sealed["digest"])


def seal(path: Path, file: int, used: int, previous: bytes) -> bytes:
    """Append the SEAL to a segment of `used` bytes, cut the file there and sync it; raises OSError.

    `previous` is the digest of the segment before; returns that of this one.
    """
    # Into an array, and never copied: Python would hold the core's thread up for as long as that took.
    content = np.empty(used, np.uint8)
    os.preadv(file, [content.data], 0)
    segment = Segment.of(path, content)
    if segment.end * 8 != used:
        # Written over in memory, say: better now, while the state is known, than at the next start.
        raise OSError(errno.EIO, f"record {segment.last_sequence + 1} of the segment is damaged", str(path))
    digest = digest_of(content.data, previous)
    record = np.zeros((), f.SEAL_RECORD)
    record["previous"] = np.frombuffer(previous, np.uint8)
    record["digest"] = np.frombuffer(digest, np.uint8)
    head = record["head"]
    head["length"] = f.SEAL_RECORD.itemsize
    head["sequence"] = segment.last_sequence + 1
    head["kind"] = f.SEAL
    head["version"] = f.VERSION
    write_record_crc(record.reshape(1).view("i8"))
    data = record.tobytes()
    os.ftruncate(file, used + len(data))
    os.pwrite(file, data, used)
    os.fsync(file)
    return digest
