"""Records read in compiled code while another process writes them are whole, and reading them ends."""

from __future__ import annotations

import mmap
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
from numba import njit

from gateway.params import seqlock
from gateway.params.publisher import ParameterPublisher
from tests.params.raw import RawFile

READS = 1_000_000
RECORD_WORDS = 18

# Writes records whose words are all alike, as fast as it can.
WRITER = """
import mmap, struct, sys, zlib
with open(sys.argv[1], "r+b") as file:
    memory = mmap.mmap(file.fileno(), 0)
words = memoryview(memory).cast("q")
records = []
for k in range(64):
    body = struct.pack("<16q", *[k * 0x0101010101010101] * 16)
    records.append(body + struct.pack("<q", zlib.crc32(body)))
print("writes", flush=True)
while True:
    for record in records:
        words[16] |= 1
        memory[136:272] = record
        words[16] += 1
"""


@njit(nogil=True)
def read_often(words, reads, copy, counts):
    """Counts by status of so many reads, each with one try; then how many were mixed, and how many had news."""
    sequence = 0
    for _ in range(reads):
        status, _ = seqlock.read_record(words, 16, copy, 1)
        counts[status] += 1
        if status == 0:
            for k in range(2, 17):
                if copy[k] != copy[1]:
                    counts[3] += 1
                    break
            if copy[0] != sequence:
                counts[4] += 1
            sequence = copy[0]


def shared(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ), np.int64)


def test_a_million_reads_against_a_flat_out_writer(path: Path) -> None:
    with ParameterPublisher(path) as publisher:
        publisher.push("max_order_qty", 400, "firm")
    counts, copy = np.zeros(5, np.int64), np.zeros(RECORD_WORDS, np.int64)
    words = shared(path)
    read_often(words, 0, copy, counts)
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == b"writes\n"
        before = words[16]
        while words[16] == before:
            pass
        while counts[:3].sum() < READS or counts[4] < 1000:
            read_often(words, READS // 10, copy, counts)
            assert writer.poll() is None
        writer.kill()
    whole, torn, damaged, mixed, _ = counts
    assert whole > 0 and torn > 0  # they did meet
    assert damaged == mixed == 0  # the sequence alone gave every mixed copy away


def test_checksums_are_those_of_zlib() -> None:
    words = np.random.default_rng(1).integers(-(2**63), 2**63 - 1, 40)

    @njit
    def crc(words, start, count):
        return seqlock.crc32(words, start, count)

    for start in range(20):
        assert crc(words, start, 20) == zlib.crc32(words[start : start + 20].tobytes())


def read(path: Path, seen: np.ndarray) -> list[tuple[int, int, int]]:
    """(row, status, value) of the records that changed."""
    found, copies = np.zeros((seen.size, 2), np.int64), np.zeros((seen.size, RECORD_WORDS), np.int64)
    count, _ = seqlock.changed_records(shared(path), seen, found, copies)
    return [(*found[k].tolist(), int(copies[k, 6])) for k in range(count)]


def test_what_changed_is_given_once(path: Path) -> None:
    raw = RawFile(path)
    seen = np.zeros(8, np.int64)
    assert read(path, seen) == []
    for row in range(3):
        raw.parameter(row, value=row)
    assert read(path, seen) == [(0, seqlock.WHOLE, 0), (1, seqlock.WHOLE, 1), (2, seqlock.WHOLE, 2)]
    assert read(path, seen) == []
    raw.parameter(1, value=5)
    assert read(path, seen) == [(1, seqlock.WHOLE, 5)]


def test_a_damaged_record_is_given_once_and_a_torn_one_each_time(path: Path) -> None:
    raw = RawFile(path)
    seen = np.zeros(8, np.int64)
    raw.parameter(0)
    raw.parameter(1)
    raw.map[raw.at(0) + 50] ^= 1
    raw.put(raw.at(1), 3)
    assert [row[:2] for row in read(path, seen)] == [(0, seqlock.DAMAGED), (1, seqlock.TORN)]
    assert [row[:2] for row in read(path, seen)] == [(1, seqlock.TORN)]


def test_counts_beyond_the_file_are_not_followed(path: Path) -> None:
    raw = RawFile(path)
    raw.parameter(0)
    for used in (2**62, -1):
        raw.put(32, used)
        assert len(read(path, np.zeros(8, np.int64))) == (1 if used > 0 else 0)
