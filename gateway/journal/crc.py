"""CRC-32C (RFC 3720) of 64-bit words: by the processor's instruction where it has one, else by tables. Kernels only."""

from __future__ import annotations

import os

import numba
import numpy as np
from llvmlite import binding, ir
from numba.extending import intrinsic

from gateway.jit import kernel

POLYNOMIAL = 0x82F63B78


def _tables() -> np.ndarray:
    """Slicing-by-8: row k is the CRC of a byte that is followed by k zero bytes."""
    tables = np.zeros((8, 256), np.int64)
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (POLYNOMIAL if crc & 1 else 0)
        tables[0, byte] = crc
    for k in range(1, 8):
        tables[k] = tables[k - 1] >> 8 ^ tables[0, tables[k - 1] & 255]
    return tables


TABLES = _tables()


def _has_instruction() -> bool:
    features = os.environ.get("NUMBA_CPU_FEATURES")
    if features is not None:
        return "+sse4.2" in features.split(",")
    return not os.environ.get("NUMBA_CPU_NAME") and bool(binding.get_host_cpu_features().get("sse4.2"))


BY_INSTRUCTION = _has_instruction() and not numba.config.DISABLE_JIT


@intrinsic
def _crc32_instruction(typingctx, crc, word):
    """The SSE 4.2 instruction on one word."""

    def codegen(context, builder, signature, args):
        word_type = ir.IntType(64)
        function = builder.module.declare_intrinsic(
            "llvm.x86.sse42.crc32.64.64", fnty=ir.FunctionType(word_type, [word_type, word_type])
        )
        return builder.call(function, args)

    return numba.int64(numba.int64, numba.int64), codegen


@kernel
def _crc32_tables(crc, word):
    low = (word ^ crc) & 0xFFFFFFFF
    high = (word >> 32) & 0xFFFFFFFF
    return (
        TABLES[7, low & 255]
        ^ TABLES[6, low >> 8 & 255]
        ^ TABLES[5, low >> 16 & 255]
        ^ TABLES[4, low >> 24]
        ^ TABLES[3, high & 255]
        ^ TABLES[2, high >> 8 & 255]
        ^ TABLES[1, high >> 16 & 255]
        ^ TABLES[0, high >> 24]
    )


if BY_INSTRUCTION:

    @kernel
    def crc32c(words, start, count, crc):
        """CRC of `count` words from `start`, going on from the CRC of what came before (0 at first)."""
        crc ^= 0xFFFFFFFF
        for k in range(start, start + count):
            crc = _crc32_instruction(crc, words[k])
        return crc ^ 0xFFFFFFFF

else:

    @kernel
    def crc32c(words, start, count, crc):
        """CRC of `count` words from `start`, going on from the CRC of what came before (0 at first)."""
        crc ^= 0xFFFFFFFF
        for k in range(start, start + count):
            crc = _crc32_tables(crc, int(words[k]))
        return crc ^ 0xFFFFFFFF
