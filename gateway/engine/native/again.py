"""Messages sent again out of the journal, which has every one under its MsgSeqNum(34). Kernels only.

`words` and `octets` are a segment as int64 and as uint8; `row` is the session's.
"""

from __future__ import annotations

from gateway.core.layout import NONE
from gateway.engine.native import layout as n
from gateway.engine.native.loop import flush, has_room
from gateway.fix import tags as t
from gateway.fix.session.messages import write_message
from gateway.fix.session.protocol import is_admin
from gateway.fix.write import put_char, put_int
from gateway.jit import entry, kernel
from gateway.journal import format as f

MOST_MESSAGES, MOST_WORDS = 64, 65_536  # of one turn
MOST_WAITING_BYTES = 262_144  # that the peer has not taken yet
SESSION, NUMBER, TYPE, SIZE, BODY = range(f.HEAD_WORDS, f.HEAD_WORDS + 5)  # words of an OUT record

# What `send_again` comes to. DONE: all has been sent; TURN: there is more, at the next turn; END: of the segment;
# ORDER: the message at word `order` was an order, and is not sent again.
DONE, TURN, END, ORDER = range(4)


@kernel
def _is_of(words, at, row):
    """Whether the record at a word is a numbered message to a session."""
    return words[at + 3] & 0xFFFFFFFF == f.OUT and words[at + SESSION] == row and words[at + NUMBER] > 0


@kernel
def _is_next(words, at, sequence):
    """Whether a record with this number begins at a word. Nothing is read behind the SEAL of a segment: its file may
    be cut there meanwhile.
    """
    if at + f.HEAD_WORDS > words.size or words[at] < 8 * f.HEAD_WORDS or words[at] % 8 != 0:
        return False
    is_whole = at + words[at] // 8 <= words.size and words[at + 2] == sequence
    return is_whole and words[at + 3] & 0xFFFFFFFF != f.SEAL


@entry
def find_first(words, row, number):
    """Where in a segment the messages of a session begin that have a number or a later one: (word of the first, NONE if
    there is none; number of its record; lowest and highest number of all its messages, 0 where there are none; whether
    they begin anew there, so that none before them counts).
    """
    at = f.SEGMENT_HEAD_WORDS
    sequence = words[3]
    found = NONE
    found_sequence = 0
    lowest = 0
    highest = 0
    anew = False
    while _is_next(words, at, sequence):
        if _is_of(words, at, row):
            if highest > 0 and words[at + NUMBER] <= highest:
                anew = True
                found = NONE
                lowest = 0
            highest = words[at + NUMBER]
            lowest = highest if lowest == 0 else lowest
            if found == NONE and highest >= number:
                found = at
                found_sequence = sequence
        at += words[at] // 8
        sequence += 1
    return found, found_sequence, lowest, highest, anew


@kernel
def _stays_unsent(message_type, to_venue):
    """Whether a message is not sent again: it is the session layer's, but for a Reject(3), which nothing else can tell
    (FIX 4.4 volume 2), or it must reach a venue at once or not at all.
    """
    if is_admin(message_type):
        return message_type != t.REJECT
    return to_venue and (
        is_order(message_type)
        or message_type == t.ORDER_STATUS_REQUEST
        or message_type == t.MARKET_DATA_REQUEST
        or message_type == t.ORDER_MASS_CANCEL_REQUEST
    )


@kernel
def is_order(message_type):
    """Whether a message to a venue is one of which the core must know that it never arrived."""
    return (
        message_type == t.NEW_ORDER_SINGLE
        or message_type == t.ORDER_CANCEL_REQUEST
        or message_type == t.ORDER_CANCEL_REPLACE_REQUEST
    )


@kernel
def _fill_gap(link, line, resend, wall_ns):
    """SequenceReset(4) in place of the messages from `gap` on, up to the one that comes next."""
    if resend.gap > 0:
        resend.used = 0
        put_int(resend, t.NewSeqNo, resend.next)
        put_char(resend, t.GapFillFlag, t.YES)
        write_message(link, line, t.SEQUENCE_RESET, resend.gap, wall_ns, wall_ns, resend.bytes, 0, resend.used)
        resend.gap = 0


@entry
def send_again(lines, links, loop_block, row, words, octets, resend_block, to_venue, wall_ns, offset_ns):
    """Go on with a resend (one record of `layout.RESEND`): DONE, TURN, END or ORDER.

    `wall_ns` is now; the wall clock is the gateway's and `offset_ns`.
    """
    link = links[row]
    line = lines[row]
    resend = resend_block[0]
    written = 0
    stop = resend.at + MOST_WORDS
    why = DONE
    while resend.next <= resend.last and why == DONE:
        at = resend.at
        if not _is_next(words, at, resend.sequence):
            why = END
        elif at >= stop or written >= MOST_MESSAGES or link.used - link.out_start > MOST_WAITING_BYTES:
            why = TURN
        else:
            resend.at += words[at] // 8
            resend.sequence += 1
            if _is_of(words, at, row) and words[at + NUMBER] > resend.last:
                why = DONE
            elif _is_of(words, at, row) and words[at + NUMBER] >= resend.next:
                number = words[at + NUMBER]
                message_type = words[at + TYPE]
                size = words[at + SIZE]
                if number > resend.next and resend.gap == 0:
                    resend.gap = resend.next
                resend.next = number
                if _stays_unsent(message_type, to_venue) or not has_room(link, size + n.SPARE_BYTES):
                    resend.gap = number if resend.gap == 0 else resend.gap
                else:
                    _fill_gap(link, line, resend, wall_ns)
                    first_ns = words[at + 4] + offset_ns
                    write_message(link, line, message_type, number, wall_ns, first_ns, octets, 8 * (at + BODY), size)
                    written += 1
                resend.next = number + 1
                if to_venue and is_order(message_type):
                    resend.order = at
                    why = ORDER
    if why == DONE:
        resend.gap = resend.next if resend.gap == 0 and resend.next <= resend.last else resend.gap
        resend.next = resend.last + 1
        _fill_gap(link, line, resend, wall_ns)
    if link.stuck_ns == 0:
        flush(link, loop_block[0])
    return why
