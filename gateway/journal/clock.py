"""The monotonic clock inside compiled code. Kernels only; never called from `handle`."""

from __future__ import annotations

import time

import numba
from numba import types

from gateway.jit import kernel

CLOCK_MONOTONIC = 1

if numba.config.DISABLE_JIT:

    def monotonic_ns(scratch):
        """Nanoseconds of CLOCK_MONOTONIC; `scratch` is an i8[2]."""
        return time.monotonic_ns()

else:
    _clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.voidptr))

    @kernel
    def monotonic_ns(scratch):
        """Nanoseconds of CLOCK_MONOTONIC; `scratch` is an i8[2]."""
        _clock_gettime(CLOCK_MONOTONIC, scratch.ctypes)
        return scratch[0] * 1_000_000_000 + scratch[1]
