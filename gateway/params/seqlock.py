"""Read records that another process may be writing: a seqlock in compiled code. Kernels only.

The writer makes a record's sequence odd, writes, and makes it even again (`gateway.params.store`). A copy is whole when
the sequence was even and the same before and after; its CRC-32 covers what a writer without ordered stores may show.
"""

from __future__ import annotations

import zlib

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from gateway.jit import entry, kernel
from gateway.params.store import EPOCH_WORD, HEADER_BYTES, USED_WORD, WORD

# What became of a copy. TORN: it was being written at each try; DAMAGED: its checksum is wrong.
WHOLE, TORN, DAMAGED = 0, 1, 2
TRIES = 64  # of one record: a microsecond or two, in which a live writer is done
SPARE_TRIES = 1024  # of all records of a call beyond the first one of each
HEADER_WORDS = HEADER_BYTES // WORD

# Slicing-by-8 for CRC-32 (ISO 3309): row k is the CRC of a byte that is followed by k zero bytes.
TABLES = np.array(
    [[zlib.crc32(bytes([byte]) + bytes(k), 0xFFFFFFFF) ^ 0xFFFFFFFF for byte in range(256)] for k in range(8)], np.int64
)


if numba.config.DISABLE_JIT:

    def load(words, k):
        """Word `k` of shared memory."""
        return int(words[k])

    load_acquire = load

    def fence_acquire():
        """Loads before it are done before those after it."""

else:

    def _atomic_load(ordering):
        @intrinsic
        def load(typingctx, words, k):
            def codegen(context, builder, signature, args):
                array = context.make_array(signature.args[0])(context, builder, args[0])
                return builder.load_atomic(builder.gep(array.data, [args[1]]), ordering, WORD)

            return types.int64(words, types.intp), codegen

        return load

    load = _atomic_load("monotonic")
    load_acquire = _atomic_load("acquire")

    @intrinsic
    def fence_acquire(typingctx):
        """Loads before it are done before those after it."""

        def codegen(context, builder, signature, args):
            builder.fence("acquire")
            return context.get_dummy_value()

        return types.void(), codegen


@kernel
def crc32(words, start, count):
    """CRC-32 (as zlib.crc32) of `count` int64 words from `start`."""
    crc = 0xFFFFFFFF
    for k in range(start, start + count):
        word = int(words[k])
        low = (word ^ crc) & 0xFFFFFFFF
        high = (word >> 32) & 0xFFFFFFFF
        crc = (
            TABLES[7, low & 255]
            ^ TABLES[6, low >> 8 & 255]
            ^ TABLES[5, low >> 16 & 255]
            ^ TABLES[4, low >> 24]
            ^ TABLES[3, high & 255]
            ^ TABLES[2, high >> 8 & 255]
            ^ TABLES[1, high >> 16 & 255]
            ^ TABLES[0, high >> 24]
        )
    return int(crc) ^ 0xFFFFFFFF


@kernel
def read_record(words, at, copy, tries):
    """Copy the record at word `at` of shared memory into `copy` (int64, of the record's length), in so many tries.

    Returns what became of it, and the tries taken. The sequence is the copy's first word.
    """
    status = TORN
    for taken in range(1, tries + 1):
        sequence = load_acquire(words, at)
        copy[0] = sequence
        for k in range(1, copy.size):
            copy[k] = load(words, at + k)
        fence_acquire()
        if sequence & 1 or load(words, at) != sequence:
            status = TORN
        elif crc32(copy, 1, copy.size - 2) == copy[copy.size - 1]:
            return WHOLE, taken
        else:
            status = DAMAGED
    return status, tries


@entry
def changed_records(words, seen, found, copies):
    """Copy every record whose sequence is not the one in `seen`.

    `words` is the mapped file (int64), `seen` has a sequence for each record, `found` (int64[records, 2]) takes row and
    status of each record copied, `copies` (int64[records, words of a record]) the copies. `seen` takes the sequence of
    a record that is WHOLE or DAMAGED, so that each is given once; one that is TORN is given again. Returns how many
    were copied, and the epoch of the file before.
    """
    epoch = load_acquire(words, EPOCH_WORD)
    used = min(max(load_acquire(words, USED_WORD), 0), seen.size)
    spare = SPARE_TRIES
    count = 0
    for row in range(used):
        at = HEADER_WORDS + row * copies.shape[1]
        if load(words, at) == seen[row]:
            continue
        status, taken = read_record(words, at, copies[count], 1 + min(spare, TRIES - 1))
        spare -= taken - 1
        found[count, 0] = row
        found[count, 1] = status
        if status != TORN:
            seen[row] = copies[count, 0]
        count += 1
    return count, epoch
