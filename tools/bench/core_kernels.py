"""The loops of the core benchmark: prepared events through the core, inside compiled code. Kernels only.

`cursor_block` and `segment_block` are what `journal.append.step` takes; with `journaled` the events go through it, else
through `handle`, and the two are not looked at.
"""

from __future__ import annotations

from typing import Any

from gateway.core import events as ev
from gateway.core.handle import handle
from gateway.fix import tags as t
from gateway.fix.index import index_message
from gateway.fix.layout import INDEXED, VALID
from gateway.fix.validate import find_message, validate
from gateway.fix.values import copy_bytes
from gateway.fix.write import write_digits
from gateway.jit import entry, kernel
from gateway.journal.append import step
from gateway.journal.clock import monotonic_ns

ID_DIGITS = 10


@kernel
def _write_fixed(buf: Any, at: int, digits: int, value: int) -> None:
    for k in range(at + digits - 1, at - 1, -1):
        buf[k] = 48 + value % 10
        value //= 10


@kernel
def _apply(block: Any, cursor_block: Any, segment_block: Any, journaled: bool, event: Any, buf: Any, out: Any) -> None:
    if journaled:
        step(block, cursor_block, segment_block, event, buf, out)
    else:
        handle(block, event, buf, out)


@entry
def replay(
    block: Any,
    cursor_block: Any,
    segment_block: Any,
    journaled: bool,
    event_block: Any,
    buf_block: Any,
    out_block: Any,
    text: Any,
    start: Any,
    length: Any,
    id_start: Any,
    first: int,
    count: int,
    number: int,
    time_ns: int,
    step_ns: int,
    expected: int,
    took_ns: Any,
) -> int:
    """Send `count` messages of session 0 into the core; returns how many gave one message, of type `expected`.

    The messages lie in `text` (uint8) at `start`, `length` bytes each (int64), and are taken from number `first` on,
    round and round; each is copied into the event's buffer, as a recv would put it there. The ID_DIGITS bytes at
    `id_start` become `number`, `number` + 1 ...; events are `step_ns` apart. `took_ns` (int64): the time that each of
    the first `took_ns.size` messages took, without that copy and with one reading of the clock.
    """
    event = event_block[0]
    buf = buf_block[0].bytes
    out = out_block[0]
    clock = cursor_block[0].clock
    event.kind = ev.MESSAGE
    event.session = 0
    event.poss_dup = 0
    event.start = 0
    as_expected = 0
    for k in range(count):
        m = (first + k) % start.size
        copy_bytes(buf, 0, text, start[m], length[m])
        _write_fixed(buf, id_start[m] - start[m], ID_DIGITS, number + k)
        event.time_ns = time_ns + k * step_ns
        event.msg_seq_num = number + k
        event.length = length[m]
        begun_ns = monotonic_ns(clock) if k < took_ns.size else 0
        _apply(block, cursor_block, segment_block, journaled, event_block, buf_block, out_block)
        if k < took_ns.size:
            took_ns[k] = monotonic_ns(clock) - begun_ns
        if out.count == 1 and out.message[0].message_type == expected:
            as_expected += 1
    return as_expected


@entry
def report_children(
    block: Any,
    cursor_block: Any,
    segment_block: Any,
    journaled: bool,
    event_block: Any,
    buf_block: Any,
    out_block: Any,
    head: Any,
    middle: Any,
    tail: Any,
    end: Any,
    first_child: int,
    count: int,
    session: int,
    first_seq: int,
    time_ns: int,
) -> int:
    """The venue's reports on children `first_child` and on; returns how many gave one report to an EMS.

    A report is `head` (uint8) up to the child's number in ClOrdID(11), the number, `middle` up to the number in
    ExecID(17), the number again, `tail` up to the number in OrderID(37), the number, `end`; its MsgSeqNum is counted
    from `first_seq`.
    """
    event = event_block[0]
    buf = buf_block[0].bytes
    out = out_block[0]
    event.kind = ev.MESSAGE
    event.session = session
    event.time_ns = time_ns
    event.poss_dup = 0
    event.start = 0
    copy_bytes(buf, 0, head, 0, head.size)
    reported = 0
    for k in range(count):
        at = write_digits(buf, head.size, first_child + k)
        copy_bytes(buf, at, middle, 0, middle.size)
        at = write_digits(buf, at + middle.size, first_child + k)
        copy_bytes(buf, at, tail, 0, tail.size)
        at = write_digits(buf, at + tail.size, first_child + k)
        copy_bytes(buf, at, end, 0, end.size)
        event.length = at + end.size
        event.msg_seq_num = first_seq + k
        _apply(block, cursor_block, segment_block, journaled, event_block, buf_block, out_block)
        if out.count == 1 and out.message[0].message_type == t.EXECUTION_REPORT:
            reported += 1
    return reported


@entry
def index_orders(
    block: Any, buf_block: Any, text: Any, start: Any, length: Any, first: int, count: int, with_validation: bool
) -> int:
    """Copy and index prepared NewOrderSingles, and validate them or not; returns how many were found good."""
    s = block[0]
    buf = buf_block[0].bytes
    dictionary = s.dictionary[s.sessions[0].version]
    row = find_message(dictionary, t.NEW_ORDER_SINGLE)
    good = 0
    for k in range(count):
        m = (first + k) % start.size
        copy_bytes(buf, 0, text, start[m], length[m])
        fault = index_message(s.work.index, buf, 0, length[m], dictionary.data_length_tag, False)
        if with_validation:
            reason, _ = validate(dictionary, s.work.index, buf, row)
            if fault == INDEXED and reason == VALID:
                good += 1
        elif fault == INDEXED:
            good += 1
    return good
