"""Find the records of a segment, and apply its events to a state. Kernels only."""

from __future__ import annotations

from gateway.core import events as ev
from gateway.core.handle import handle_event
from gateway.core.layout import MAX_MESSAGE_BYTES, NONE
from gateway.fix.values import copy_bytes, same_bytes
from gateway.jit import entry, kernel
from gateway.journal import format as f
from gateway.journal.append import IN_WORDS, OUT_WORDS
from gateway.journal.crc import crc32c

# How a scan ended: at a zero word or the end of the file, at what is no record, at a record of a newer release.
END, BROKEN, NEWER = 0, 1, 2
KIND_MASK = 0xFFFFFFFF
# Words of `result` of `apply_records`.
NEXT, EVENTS, DIFFERENCES, FIRST_DIFFERENCE, TOOK, UNSOUND = 0, 1, 2, 3, 4, 5
RESULT_WORDS = 6


@entry
def words_crc(words, start, count):
    """CRC-32C of words of an int64 array."""
    return crc32c(words, start, count, 0)


@kernel
def record_crc(words, at):
    """CRC of the record at this word: of all its words but the CRC's own."""
    return crc32c(words, at + 2, words[at] // 8 - 2, crc32c(words, at, 1, 0))


@entry
def write_record_crc(words):
    """Set the CRC of a record, given as its words."""
    words[1] = record_crc(words, 0)


@kernel
def _is_record(words, at):
    """Whether a whole record with a right CRC starts at this word."""
    length = words[at]
    if length < f.HEAD_WORDS * 8 or length % 8 != 0 or length > (words.size - at) * 8:
        return False
    kind = words[at + 3] & KIND_MASK
    if kind < f.SHORTEST.size and length < f.SHORTEST[kind]:
        return False
    return record_crc(words, at) == words[at + 1]


@entry
def scan_records(words, sequence, starts):
    """Find the records of a segment (`words`: int64 array of the whole file) whose first record has number `sequence`.

    Fills `starts` (int64) with the word where each begins; returns (how many, the word after the last, how it ended).
    """
    at = f.SEGMENT_HEAD_WORDS
    count = 0
    while at + f.HEAD_WORDS <= words.size and words[at] != 0:
        if not _is_record(words, at) or words[at + 2] != sequence + count:
            return count, at, BROKEN
        if words[at + 3] >> 32 > f.VERSION:
            return count, at, NEWER
        starts[count] = at
        count += 1
        at += words[at] // 8
    return count, at, END


@entry
def find_later_record(words, at, sequence):
    """Word of the first whole record behind `at` with a number above `sequence`, or -1: what lies between is lost."""
    for k in range(at, words.size - f.HEAD_WORDS + 1):
        if sequence < words[k + 2] < sequence + words.size and words[k] != 0 and _is_record(words, k):
            return k
    return -1


@kernel
def _same_output(message, out, words, octets, at):
    """Whether an output is what the OUT record at this word says. Alerts of releases before their table are in words,
    under the number 0: of those, that it is one.
    """
    start = (at + OUT_WORDS) * 8
    length = words[at]
    at += f.HEAD_WORDS
    if message.session == NONE and words[at] == NONE and words[at + 2] == 0:
        return True
    if OUT_WORDS * 8 + message.length > length:
        return False
    if words[at] != message.session or words[at + 2] != message.message_type or words[at + 3] != message.length:
        return False
    return same_bytes(octets, start, out.bytes, message.start, message.length)


@kernel
def _is_sound(s, words, at):
    """Whether an IN record is one that a gateway of this state writes: what it names is there, what it holds is whole.

    A CRC proves what was written, not who wrote it; and compiled code asks no index whether it lies in its table.
    """
    head = at + f.HEAD_WORDS
    kind = words[head]
    session = words[head + 1]
    size = words[head + 4]
    if kind < ev.MESSAGE or kind > ev.LAST_KIND or session < 0 or session >= s.session_count or size < 0:
        return False
    if (IN_WORDS * 8 + min(size, MAX_MESSAGE_BYTES) + 7) // 8 * 8 != words[at]:
        return False
    return kind != ev.QUOTE or 0 <= words[head + 5] < s.instrument_count


@kernel
def _load_event(event, buf, words, octets, at):
    head = at + f.HEAD_WORDS
    event.kind = words[head]
    event.time_ns = words[at + 4]
    event.session = words[head + 1]
    event.msg_seq_num = words[head + 2]
    event.poss_dup = words[head + 3]
    event.start = 0
    event.length = words[head + 4]
    for k in range(ev.VALUES):
        event.value[k] = words[head + 5 + k]
    copy_bytes(buf, 0, octets, (at + IN_WORDS) * 8, min(event.length, MAX_MESSAGE_BYTES))


@entry
def apply_records(block, words, octets, starts, first, last, event_block, buf_block, out_block, result):
    """Apply the events among records `first` to before `last` of a segment, and compare what they give with OUT.

    `octets` are the same bytes as `words`. Stops early in front of a SETTINGS record. `result` (int64[RESULT_WORDS]):
    the next record, events applied, how many differed, sequence of the first that did, the time they took at first, and
    the sequence of a record that no gateway of this state writes, which stops it too.
    """
    s = block[0]
    event = event_block[0]
    buf = buf_block[0].bytes
    out = out_block[0]
    outputs = 0
    differs = False
    result[:] = 0
    for k in range(first, last):
        at = starts[k]
        kind = words[at + 3] & KIND_MASK
        result[NEXT] = k + 1
        if kind == f.SETTINGS:
            result[NEXT] = k
            return
        if kind == f.IN and not _is_sound(s, words, at):
            result[UNSOUND] = words[at + 2]
            return
        if kind == f.IN:
            _load_event(event, buf, words, octets, at)
            handle_event(s, event, buf, out)
            outputs = 0
            differs = False
        elif kind == f.OUT:
            if outputs >= out.count or not _same_output(out.message[outputs], out, words, octets, at):
                differs = True
            outputs += 1
        elif kind == f.COMMIT:
            result[EVENTS] += 1
            result[TOOK] += words[at + f.HEAD_WORDS + 1]
            if differs or outputs != out.count:
                result[DIFFERENCES] += 1
                if result[FIRST_DIFFERENCE] == 0:
                    result[FIRST_DIFFERENCE] = words[at + 2]
