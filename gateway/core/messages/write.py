"""Write output messages: bodies of tag=value fields. Kernels only.

A message is opened with `begin`, its fields appended, and closed with `finish`. Nothing is written past the end of the
buffer: the message is then dropped whole and the fault word set, which blocks the firm.
"""

from __future__ import annotations

from gateway.core.layout import FAULT_OUTPUT_FULL, OUT_BYTES, OUT_MESSAGES, TEXT_BYTES
from gateway.fix.write import open_message, put_slice, put_soh, put_tag, write_digits
from gateway.jit import kernel

TAIL = OUT_BYTES - TEXT_BYTES - 2 * 1024  # where a message that does not fit is written, over the one before it
MARGIN = 1024  # bytes kept for the fields of fixed size that follow a field of any size


@kernel
def begin(s, out, session, message_type):
    """Open a message to a session; every `begin` has its `finish`."""
    if out.count >= OUT_MESSAGES or out.used + TEXT_BYTES + MARGIN > TAIL:
        # The messages before it stay whole; of those that do not fit the last one is kept.
        s.fault |= FAULT_OUTPUT_FULL
        if out.count >= OUT_MESSAGES or (out.count > 0 and out.message[out.count - 1].start == TAIL):
            out.count -= 1
        out.used = TAIL
    open_message(out, session, message_type)


@kernel
def has_room(s, out, size):
    """Whether so many more bytes fit; if not the fault word is set."""
    end = OUT_BYTES if out.message[out.count].start == TAIL else TAIL
    if out.used + size + MARGIN <= end:
        return True
    s.fault |= FAULT_OUTPUT_FULL
    return False


@kernel
def put_bytes(s, out, tag, source, start, size):
    """Append a field with bytes copied from elsewhere; nothing when there are none."""
    if size > 0 and has_room(s, out, size):
        put_slice(out, tag, source, start, size)


@kernel
def put_id(out, tag, letter, run, number):
    """Append an id that the gateway gives: letter, run, '-', number. ClOrdID of a child C, OrderID O (of a
    mass cancel M), ExecID E.
    """
    put_tag(out, tag)
    out.bytes[out.used] = letter
    at = write_digits(out.bytes, out.used + 1, run)
    out.bytes[at] = 45
    out.used = write_digits(out.bytes, at + 1, number)
    put_soh(out)
