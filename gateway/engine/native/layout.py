"""What the loop works on besides the state: the connection of each session, and the loop itself."""

from __future__ import annotations

import platform

import numpy as np

from gateway.core.layout import OUT_MESSAGES

READ_BYTES = 65_536  # of one read
IN_BYTES = 4 * READ_BYTES  # what has come and has not been handled: a whole message fits behind one read
OUT_BYTES = 4 << 20  # what a peer may leave unread before it is cut off
SPARE_BYTES = 512  # header and trailer of a message
MAX_EVENTS = 64  # of one wait
MAX_WATCHED = 64  # words in shared memory
MAX_FDS = 65_536
# struct epoll_event is packed on x86-64 alone: int32 words of one, and where in it the socket stands.
EVENT_WORDS, EVENT_FD = (3, 1) if platform.machine() == "x86_64" else (4, 2)

# Why the loop returns to Python. QUIET: its time is up, or Python has something to do. CHANGED: a watched word has.
# FULL: the segment has no room for another event. MESSAGE: one has been handled that Python must know of. LOST: a
# connection is gone, by the peer. SWEPT: a step of a sweep gave something that is Python's to send.
QUIET, CHANGED, FULL, MESSAGE, LOST, SWEPT = range(6)

LINK = np.dtype(
    [
        ("fd", "i8"),  # NONE: not the loop's
        ("ssl", "i8"),  # address of OpenSSL's SSL; 0: no TLS
        ("more", "i8"),  # 1: OpenSSL may have more than was read
        ("ready", "i8"),  # 1: `inbox` may hold a whole message
        ("followed", "i8"),  # 1: Python must know of every message: it holds some that come before a gap
        ("busy", "i8"),  # 1: Python writes: messages are sent again, others follow behind
        ("received_ns", "i8"),  # CLOCK_MONOTONIC of the last read
        ("stuck_ns", "i8"),  # since when what waits has not been taken; 0: it is being
        ("in_start", "i8"),  # of `inbox`: what has not been handled
        ("in_end", "i8"),
        ("out_start", "i8"),  # of `bytes`: what has not been sent
        ("used", "i8"),
        ("bytes", "u1", OUT_BYTES),
        ("inbox", "u1", IN_BYTES),
    ]
)

RESEND = np.dtype(  # of one session
    [
        ("at", "i8"),  # word of the segment in hand
        ("sequence", "i8"),  # number of the record there
        ("next", "i8"),  # MsgSeqNum(34) that comes next, and the last
        ("last", "i8"),
        ("gap", "i8"),  # the first of those that are filled, 0: none
        ("order", "i8"),  # word of an order that is not sent again
        ("used", "i8"),  # scratch, for the body of a SequenceReset
        ("bytes", "u1", 64),
    ]
)

LOOP = np.dtype(
    [
        ("epoll", "i8"),
        ("deadline_ns", "i8"),  # CLOCK_MONOTONIC
        ("look_ns", "i8"),  # how often to look at the watched words when no message comes
        ("base_ns", "i8"),  # the gateway's clock less CLOCK_MONOTONIC
        ("most", "i8"),  # events of one call
        ("sends", "i8"),  # 0: nothing may be sent before a sync, which is Python's
        ("swept_ns", "i8"),  # CLOCK_MONOTONIC of the last step of a sweep
        ("turn", "i8"),  # row of the session that is served next
        ("row", "i8"),  # of the session that made the loop return
        ("start", "i8"),  # of its message, in `inbox`
        ("length", "i8"),
        ("left_count", "i8"),  # outputs of that event that are Python's to send
        ("left", "i8", OUT_MESSAGES),
        ("watched", "i8"),
        ("watch", "i8", (MAX_WATCHED, 2)),  # address of a word, and its value as seen
        ("clock", "i8", 2),
        ("count", "i8"),  # of sockets of the last wait that have not been looked at
        ("next", "i8"),
        ("of_python", "i8"),  # 1: one of Python's is among them, or a signal came
        ("interest", "i4", EVENT_WORDS),  # scratch
        ("events", "i4", MAX_EVENTS * EVENT_WORDS),
        ("row_of_fd", "i4", MAX_FDS),  # NONE: Python's
    ]
)
