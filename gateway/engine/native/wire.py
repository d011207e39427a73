"""Find the first message of a connection. Kernels only."""

from __future__ import annotations

from gateway.fix.session.frames import next_frame
from gateway.jit import entry


@entry
def find_frame(buf, start, end):
    """`frames.next_frame` of a uint8 array."""
    return next_frame(buf, start, end)
