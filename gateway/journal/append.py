"""One step of the gateway: journal the event, apply it, journal what it gave. Kernels only.

All of it happens in one compiled call on mapped memory, so a process that dies at any point leaves whole events and at
most one that never happened.
"""

from __future__ import annotations

from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.handle import handle_event
from gateway.core.layout import MAX_MESSAGE_BYTES
from gateway.fix.values import copy_bytes
from gateway.jit import entry, kernel
from gateway.journal import format as f
from gateway.journal.clock import monotonic_ns
from gateway.journal.crc import crc32c

KIND_WORD = f.VERSION << 32
IN_WORDS = f.IN_RECORD.itemsize // 8
OUT_WORDS = f.OUT_RECORD.itemsize // 8
COMMIT_WORDS = f.COMMIT_RECORD.itemsize // 8


@kernel
def _close(cursor, segment, words, kind, time_ns):
    """Write the head of the record whose `words` words lie behind the cursor, and move the cursor over it."""
    at = cursor.used // 8
    cursor.sequence += 1
    segment.words[at] = words * 8
    segment.words[at + 2] = cursor.sequence
    segment.words[at + 3] = KIND_WORD | kind
    segment.words[at + 4] = time_ns
    segment.words[at + 1] = crc32c(segment.words, at + 2, words - 2, crc32c(segment.words, at, 1, 0))
    cursor.used += words * 8


@kernel
def _put_data(segment, at, buf, start, size):
    """Copy bytes behind a record's fields, the last word padded with zeros; returns the words they take."""
    words = (size + 7) // 8
    if words > 0:
        segment.words[at + words - 1] = 0
        copy_bytes(segment.bytes, at * 8, buf, start, size)
    return words


@kernel
def _append_in(cursor, segment, event, buf):
    at = cursor.used // 8 + f.HEAD_WORDS
    words = segment.words
    words[at] = event.kind
    words[at + 1] = event.session
    words[at + 2] = event.msg_seq_num
    words[at + 3] = event.poss_dup
    words[at + 4] = event.length
    for k in range(ev.VALUES):
        words[at + 5 + k] = event.value[k]
    data = _put_data(segment, at + 5 + ev.VALUES, buf, event.start, min(event.length, MAX_MESSAGE_BYTES))
    _close(cursor, segment, IN_WORDS + data, f.IN, event.time_ns)


@kernel
def _put_finding(words, at, what, entity, value, bound):
    words[at] = what
    words[at + 1] = entity
    words[at + 2] = value
    words[at + 3] = bound
    return at + f.FINDING_WORDS


@kernel
def _put_findings(words, at, x):
    """Write what the checks found, from word `at` on; returns the word behind."""
    for k in range(x.breach_count):
        b = x.breach[k]
        what = b.check | (b.detail + 1) << f.DETAIL_BIT | b.paired << f.PAIRED_BIT | 1 << f.FIRED_BIT
        at = _put_finding(words, at, what, b.entity, b.value, b.limit)
    others = x.compared & ~x.mask
    check = 0
    while others != 0:
        if others & 1 == 1:
            m = x.measured[check]
            at = _put_finding(words, at, check | m.paired << f.PAIRED_BIT, m.entity, m.value, m.bound)
        others >>= 1
        check += 1
    for k in range(x.graded_count):
        g = x.graded[k]
        what = g.check | g.paired << f.PAIRED_BIT | g.severity << f.SEVERITY_BIT
        at = _put_finding(words, at, what, g.entity, g.value, g.bound)
    return at


@kernel
def _append_decision(s, cursor, segment):
    x = s.work.candidate
    at = cursor.used // 8 + f.HEAD_WORDS
    words = segment.words
    accepted = s.work.decision == a.ACCEPTED
    words[at] = s.work.decision
    words[at + 1] = x.kind
    words[at + 2] = s.requests[s.work.request].order if accepted else x.order
    words[at + 3] = s.requests[s.work.request].run if accepted else 0
    words[at + 4] = s.requests[s.work.request].child if accepted else 0
    words[at + 5] = x.instrument
    words[at + 6] = x.venue
    words[at + 7] = x.side
    words[at + 8] = x.ord_type
    words[at + 9] = x.qty_e8
    words[at + 10] = x.price_e8
    words[at + 11] = x.stop_e8
    words[at + 12] = x.added_e8
    words[at + 13] = x.notional_e4
    words[at + 14] = x.reference_e8
    words[at + 15] = x.reference_age_ns
    words[at + 16] = x.limit[a.COLLAR_BPS]
    words[at + 17] = x.collar_factor
    words[at + 18] = x.mask
    words[at + 19] = s.parameter_epoch
    words[at + 20] = s.parameter_model
    for k in range(21, 25):
        words[at + k] = 0
    words[at + 25] = a.SCOPES
    count_at = at + 26
    at += 27
    for k in range(a.SCOPES):
        words[at + k] = x.entities[k]
    at += a.SCOPES
    end = _put_findings(words, at, x)
    words[count_at] = (end - at) // f.FINDING_WORDS
    at = end
    _close(cursor, segment, at - cursor.used // 8, f.DECISION, s.now_ns)


@kernel
def _append_out(cursor, segment, out, message, time_ns):
    at = cursor.used // 8 + f.HEAD_WORDS
    words = segment.words
    words[at] = message.session
    words[at + 1] = message.msg_seq_num
    words[at + 2] = message.message_type
    words[at + 3] = message.length
    data = _put_data(segment, at + 4, out.bytes, message.start, message.length)
    _close(cursor, segment, OUT_WORDS + data, f.OUT, time_ns)


@kernel
def step_event(s, cursor, segment, event, buf, out):
    """`step`, on records."""
    used = cursor.used
    sequence = cursor.sequence
    before_ns = s.now_ns
    started_ns = monotonic_ns(cursor.clock)
    _append_in(cursor, segment, event, buf)
    handle_event(s, event, buf, out)
    if s.work.idle == 1:
        s.events -= 1
        s.now_ns = before_ns
        # All of it: what a peer has sent must not stand behind the end of the journal.
        for at in range(used // 8, cursor.used // 8):
            segment.words[at] = 0
        cursor.used = used
        cursor.sequence = sequence
        return
    if s.work.decision != a.NOT_DECIDED:
        _append_decision(s, cursor, segment)
    for k in range(out.count):
        _append_out(cursor, segment, out, out.message[k], s.now_ns)
    at = cursor.used // 8 + f.HEAD_WORDS
    segment.words[at] = out.count | out.verdict << 32
    segment.words[at + 1] = monotonic_ns(cursor.clock) - started_ns
    segment.words[at + 2] = cursor.handed
    segment.words[at + 3] = s.fault
    _close(cursor, segment, COMMIT_WORDS, f.COMMIT, s.now_ns)
    cursor.committed = cursor.sequence
    cursor.ended = cursor.used


@entry
def step(block, cursor_block, segment_block, event_block, buf_block, out_block):
    """Journal one event, apply it by `handle_event` and journal what it gave; nothing may be sent before this returns.

    `cursor_block` and `segment_block` are one record of `format.CURSOR` and of `format.SEGMENT`; the caller has seen
    that MAX_EVENT_BYTES are left. An event that changed nothing but the time leaves no record.
    """
    step_event(block[0], cursor_block[0], segment_block[0], event_block[0], buf_block[0].bytes, out_block[0])


@entry
def append_settings(cursor_block, segment_block, data, time_ns):
    """Journal settings as they are in force from here; `data` is a uint8 array."""
    cursor = cursor_block[0]
    segment = segment_block[0]
    at = cursor.used // 8 + f.HEAD_WORDS
    segment.words[at] = data.size
    words = _put_data(segment, at + 1, data, 0, data.size)
    _close(cursor, segment, f.HEAD_WORDS + 1 + words, f.SETTINGS, time_ns)
    cursor.ended = cursor.used
