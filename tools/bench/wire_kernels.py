"""Bytes through sockets in compiled code: the raw relay, and the load generator that plays EMS and venue. Kernels only.

Sockets are file descriptors; the system calls are those of the C library of the process. Times are CLOCK_MONOTONIC.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numba import types

from gateway.engine.native.syscalls import receive_bytes, send_bytes
from gateway.fix.values import copy_bytes
from gateway.fix.write import write_digits
from gateway.jit import entry, kernel

POLLFD = np.dtype([("fd", "i4"), ("events", "i2"), ("revents", "i2")])
IDLE_MS = 60_000  # a relay without traffic for so long ends
MONOTONIC = int(time.CLOCK_MONOTONIC)
SOH, EQUALS = 1, 61
LONGEST_WAIT_NS = 100_000_000
ID_DIGITS = 8
BEGIN_BYTES = 10  # of "8=FIX.4.4" and SOH
TRAILER_BYTES = 7
FRONT = np.frombuffer(b"8=FIX.4.4\x019=000\x0135=D\x0134=", np.uint8).copy()
LENGTH_AT, BODY_AT = 12, 16  # in FRONT

# How `run_load` ended; below zero nothing it measured counts.
COMPLETE, TIMED_OUT, CLOSED, UNKNOWN_ORDER, NOT_FIX = 0, -1, -2, -3, -4

MARK = 128  # in a template of a report
COPIED = np.array((11, 55, 54, 38, 44), np.int64)

_recv = types.ExternalFunction("recv", types.intp(types.int32, types.voidptr, types.uintp, types.int32))
_send = types.ExternalFunction("send", types.intp(types.int32, types.voidptr, types.uintp, types.int32))
_poll = types.ExternalFunction("poll", types.int32(types.voidptr, types.uintp, types.int32))
_ppoll = types.ExternalFunction("ppoll", types.int32(types.voidptr, types.uintp, types.voidptr, types.voidptr))
_clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.voidptr))


@entry
def relay(polls: Any, buf: Any) -> int:
    """Carry bytes both ways between the two sockets of `polls` (POLLFD) until one closes; returns how many."""
    carried = 0
    while _poll(polls.ctypes, 2, IDLE_MS) > 0:
        for k in range(2):
            if polls[k].revents != 0:
                size = _recv(polls[k].fd, buf.ctypes, buf.size, 0)
                if size <= 0:
                    return carried
                sent = 0
                while sent < size:
                    written = _send(polls[1 - k].fd, buf[sent:].ctypes, size - sent, 0)
                    if written <= 0:
                        return carried
                    sent += written
                carried += size
    return carried


@kernel
def _write_fixed(buf: Any, at: int, digits: int, value: int) -> None:
    for k in range(at + digits - 1, at - 1, -1):
        buf[k] = 48 + value % 10
        value //= 10


@kernel
def _close_message(buf: Any, message: int, at: int) -> int:
    """Write BodyLength(9) and CheckSum(10) of the message whose body ends at a place; returns the end."""
    _write_fixed(buf, message + LENGTH_AT, 3, at - message - BODY_AT)
    total = 0
    for i in range(message, at):
        total += int(buf[i])
    buf[at] = 49
    buf[at + 1] = 48
    buf[at + 2] = EQUALS
    _write_fixed(buf, at + 3, 3, total % 256)
    buf[at + 6] = SOH
    return at + TRAILER_BYTES


@entry
def build_orders(
    buf: Any, start: Any, tail: Any, places: Any, names: Any, first_number: int, first_seq: Any, count: int
) -> None:
    """Write `count` NewOrderSingles, ready to send, into `buf`; message k lies from `start[k]` to `start[k + 1]`.

    `tail` is what follows MsgSeqNum, up to the CheckSum; `places` says where in it stand the ID_DIGITS digits of the
    ClOrdID, the four of the quantity, the two decimals of the price, the side, the last digit of the symbol and
    SenderCompID. No two orders within 899,900 have the same terms. Sessions take turns: `names` are their
    SenderCompIDs, `first_seq` their next MsgSeqNums.
    """
    at = 0
    sessions = names.shape[0]
    for k in range(count):
        number = first_number + k
        message = at
        start[k] = message
        copy_bytes(buf, at, FRONT, 0, FRONT.size)
        at = write_digits(buf, at + FRONT.size, first_seq[k % sessions] + k // sessions)
        copy_bytes(buf, at, tail, 0, tail.size)
        _write_fixed(buf, at + places[0], ID_DIGITS, number)
        _write_fixed(buf, at + places[1], 4, 1_000 + number % 8_999)
        _write_fixed(buf, at + places[2], 2, number % 100)
        buf[at + places[3]] = 49 + number % 2
        buf[at + places[4]] = 48 + number % 10
        copy_bytes(buf, at + places[5], names[k % sessions], 0, names.shape[1])
        at = _close_message(buf, message, at + tail.size)
    start[count] = at


@kernel
def _now(clock: Any) -> int:
    _clock_gettime(MONOTONIC, clock.ctypes)
    return clock[0] * 1_000_000_000 + clock[1]


@kernel
def _wait(polls: Any, clock: Any, wait_ns: int) -> None:
    """Sleep until the socket of `polls` has bytes, at most `wait_ns`. `clock`: scratch for the time."""
    clock[0] = wait_ns // 1_000_000_000
    clock[1] = wait_ns % 1_000_000_000
    _ppoll(polls.ctypes, 1, clock.ctypes, 0)


@kernel
def _message_size(inbox: Any, at: int, end: int) -> tuple[int, int]:
    """(size, start of the body) of the message at a position, from BodyLength(9); (0, 0) while too little is there."""
    k = at + BEGIN_BYTES + 2
    length = 0
    while k < end and inbox[k] != SOH:
        length = length * 10 + int(inbox[k]) - 48
        k += 1
    if k >= end:
        return 0, 0
    return k + 1 - at + length + TRAILER_BYTES, k + 1


@kernel
def _order_number(inbox: Any, body: int, end: int) -> int:
    """Number in the EMS's ClOrdID, which is in tag 11 or 526; -1: not an order, -2: an order without it."""
    if inbox[body + 3] != 68 or inbox[body + 4] != SOH:
        return -1
    for k in range(body, end - ID_DIGITS - 6):
        if inbox[k] == SOH:
            at = 0
            if inbox[k + 1] == 49 and inbox[k + 2] == 49 and inbox[k + 3] == EQUALS:
                at = k + 4
            elif inbox[k + 1] == 53 and inbox[k + 2] == 50 and inbox[k + 3] == 54 and inbox[k + 4] == EQUALS:
                at = k + 5
            if at > 0 and inbox[at] == 66:
                number = 0
                for i in range(at + 1, at + 1 + ID_DIGITS):
                    number = number * 10 + int(inbox[i]) - 48
                return number
    return -2


@kernel
def _send_granted(ems: Any, orders: Any, start: Any, offset: int, at: int, granted: int) -> tuple[int, int]:
    """Send the orders from `offset` on, which is in message `at`, up to number `granted`, as far as the sockets of
    their sessions take them; returns both anew.
    """
    sessions = ems.shape[0]
    while offset < start[granted]:
        end = start[granted] if sessions == 1 else start[at + 1]
        written = send_bytes(ems[at % sessions, 0], ems[at % sessions, 1], orders, offset, end)
        if written <= 0:
            break
        offset += written
        while at < granted and offset >= start[at + 1]:
            at += 1
    return offset, at


@entry
def run_load(
    ems: Any,
    venue: Any,
    orders: Any,
    start: Any,
    first_number: int,
    gap_ns: int,
    window: int,
    duration_ns: int,
    timeout_ns: int,
    inbox: Any,
    polls: Any,
    clock: Any,
    sent_ns: Any,
    received_ns: Any,
) -> tuple[int, int, int, int]:
    """Send orders on the sockets of `ems` in turn and take their children from that of `venue`; returns (end, sent,
    received, bytes left over). Of a socket: its descriptor and the address of its SSL, 0 without TLS.

    Order k is due `gap_ns` after the one before (0: at once) while fewer than `window` are under way, until all are
    sent or `duration_ns` is over; then those under way are waited for. `sent_ns[k]` is taken before its first byte is
    given to send, `received_ns[k]` after recv has returned its child's last byte. Bytes of an unfinished message stay
    at the front of `inbox`. Nothing spins: between messages the thread sleeps in ppoll on `polls` (POLLFD of `venue`).
    """
    count = start.size - 1
    granted = 0
    received = 0
    offset = 0
    sending = 0
    filled = 0
    begun = _now(clock)
    open_for_more = True
    while open_for_more or received < granted:
        now = _now(clock)
        if now - begun > timeout_ns:
            return TIMED_OUT, granted, received, filled
        open_for_more = granted < count and now - begun < duration_ns
        while open_for_more and granted < count and granted - received < window and now >= begun + granted * gap_ns:
            sent_ns[granted] = now
            granted += 1
        offset, sending = _send_granted(ems, orders, start, offset, sending, granted)
        size = receive_bytes(venue[0], venue[1], inbox, filled, inbox.size)
        if size == 0:
            return CLOSED, granted, received, filled
        if size < 0:
            if offset == start[granted]:
                due = (
                    begun + granted * gap_ns if open_for_more and granted - received < window else now + LONGEST_WAIT_NS
                )
                if due > now:
                    _wait(polls, clock, min(due - now, LONGEST_WAIT_NS))
            continue
        now = _now(clock)
        filled += size
        at = 0
        while filled - at > BEGIN_BYTES + 2:
            if inbox[at] != 56 or inbox[at + BEGIN_BYTES] != 57:
                return NOT_FIX, granted, received, filled
            size, body = _message_size(inbox, at, filled)
            if size == 0 or at + size > filled:
                break
            number = _order_number(inbox, body, at + size)
            at += size
            if number == -1:
                continue
            k = number - first_number
            if not 0 <= k < granted or received_ns[k] != 0:
                return UNKNOWN_ORDER, granted, received, filled
            received_ns[k] = now
            received += 1
        copy_bytes(inbox, 0, inbox, at, filled - at)
        filled -= at
    return COMPLETE, granted, received, filled


# The venue answers.


@kernel
def _find_field(inbox: Any, body: int, end: int, tag: int) -> tuple[int, int]:
    """Where the value of a field stands in a message; (0, 0): nowhere."""
    at = body
    while at < end - TRAILER_BYTES:
        found = 0
        while inbox[at] != EQUALS:
            found = found * 10 + int(inbox[at]) - 48
            at += 1
        at += 1
        start = at
        while inbox[at] != SOH:
            at += 1
        if found == tag:
            return start, at
        at += 1
    return 0, 0


@kernel
def _put_report(out: Any, at: int, template: Any, seq: int, order: Any, body: int, end: int) -> int:
    """Write a report on an order, the message in `order`; returns its end. In `template` a byte from MARK on stands for
    a value: MsgSeqNum, then the fields of COPIED.
    """
    message = at
    for k in range(template.size):
        mark = int(template[k]) - MARK
        if mark < 0:
            out[at] = template[k]
            at += 1
        elif mark == 0:
            at = write_digits(out, at, seq)
        else:
            first, after = _find_field(order, body, end, COPIED[mark - 1])
            copy_bytes(out, at, order, first, after - first)
            at += after - first
    return _close_message(out, message, at)


@entry
def run_answered(
    ems: Any,
    venue: Any,
    orders: Any,
    start: Any,
    window: int,
    timeout_ns: int,
    templates: Any,
    seq: int,
    inboxes: Any,
    out: Any,
    polls: Any,
    clock: Any,
) -> tuple[int, int, int, int, int]:
    """Send orders, at most `window` of them unanswered; the venue answers each with the reports of `templates`, and the
    EMS must have the last of them. Returns (end, answered, MsgSeqNum of the venue's next message, bytes left over in
    `inboxes[0]` of the EMS, in `inboxes[1]` of the venue). `out` is room for reports; sockets are those of `run_load`.
    """
    count = start.size - 1
    granted = 0
    answered = 0
    offset = 0
    sending = 0
    sent_to = 0
    written_to = 0
    filled = np.zeros(2, np.int64)
    begun = _now(clock)
    while answered < count:
        now = _now(clock)
        if now - begun > timeout_ns:
            return TIMED_OUT, answered, seq, filled[0], filled[1]
        granted = min(count, answered + window)
        offset, sending = _send_granted(ems, orders, start, offset, sending, granted)
        quiet = offset == start[granted]
        for side in range(2):
            link = ems[0] if side == 0 else venue
            inbox = inboxes[side]
            size = receive_bytes(link[0], link[1], inbox, filled[side], inbox.size)
            if size == 0:
                return CLOSED, answered, seq, filled[0], filled[1]
            quiet = quiet and size < 0
            filled[side] += max(size, 0)
            at = 0
            while filled[side] - at > BEGIN_BYTES + 2:
                size, body = _message_size(inbox, at, filled[side])
                if size == 0 or at + size > filled[side]:
                    break
                kind = inbox[body + 3]
                if side == 1 and kind == 68 and written_to + 4_096 <= out.size:
                    for k in range(len(templates)):
                        written_to = _put_report(out, written_to, templates[k], seq, inbox, body, at + size)
                        seq += 1
                elif side == 1 and kind == 68:
                    break
                elif side == 0 and kind == 56:
                    first, _ = _find_field(inbox, body, at + size, 151)
                    if inbox[first] == 48 and inbox[first + 1] == SOH:
                        answered += 1
                at += size
            copy_bytes(inbox, 0, inbox, at, filled[side] - at)
            filled[side] -= at
        if sent_to < written_to:
            written = send_bytes(venue[0], venue[1], out, sent_to, written_to)
            sent_to += max(written, 0)
            if sent_to == written_to:
                sent_to = 0
                written_to = 0
        elif quiet:
            clock[0] = 0
            clock[1] = LONGEST_WAIT_NS
            _ppoll(polls.ctypes, 2, clock.ctypes, 0)
    return COMPLETE, answered, seq, filled[0], filled[1]
