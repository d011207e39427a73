"""Parts that messages share: fields carried over, ids of our own. Kernels only."""

from __future__ import annotations

from gateway.core import catalogue as c
from gateway.core.layout import NONE, VERSION_50
from gateway.core.messages.write import has_room, put_bytes
from gateway.fix import tags as t
from gateway.fix.index import find
from gateway.fix.layout import ABSENT, GROUP, MAX_TAG, NO_TIME, VALID
from gateway.fix.validate import find_message, value_reason
from gateway.fix.values import copy_bytes, parse_utc_timestamp
from gateway.jit import kernel

CHILD_ID, ORDER_ID, EXEC_ID, MASS_CANCEL_ID = ord("C"), ord("O"), ord("E"), ord("M")
NONE_TEXT = c.phrase("NONE")
SECONDS, MILLISECONDS = 17, 21  # characters of a UTCTimestamp


@kernel
def copy_field(s, out, index, buf, tag):
    """Carry the first field with this tag over from the message in hand; nothing when it has none."""
    f = find(index, tag)
    if f >= 0:
        put_bytes(s, out, tag, buf, index.start[f], index.length[f])


@kernel
def has_field(dictionary, message, index, buf, f):
    """Whether a field may stand in a message of a dictionary, where it stands and with the value that it has."""
    tag = index.tag[f]
    if message.role[tag] == ABSENT or (message.role[tag] < GROUP and find(index, tag) != f):
        return False
    return value_reason(dictionary, tag, buf, index.start[f], index.length[f]) == VALID


@kernel
def _has_length(s, index, f, tag):
    """Whether a field is no data field, or its length stands before it: nobody could read it without."""
    length_tag = s.dictionary[VERSION_50].data_length_tag[tag]
    return length_tag == 0 or (f > 0 and index.tag[f - 1] == length_tag)


@kernel
def copy_carried(s, out, index, buf, carry, version, message_type):
    """Carry every field over whose tag is allowed, in the order of the message: those that `message_type` has in a FIX
    version, with that value. NONE: all, the message was valid in that version.
    """
    message = s.dictionary[0].messages[0]
    if version != NONE:
        message = s.dictionary[version].messages[find_message(s.dictionary[version], message_type)]
    for f in range(index.count):
        tag = index.tag[f]
        if tag < MAX_TAG and carry[tag] == 1 and index.length[f] > 0 and _has_length(s, index, f, tag):
            if version != NONE and not has_field(s.dictionary[version], message, index, buf, f):
                continue
            # With its tag and delimiter, as it stands in the message.
            digits = 1 if tag < 10 else 2 if tag < 100 else 3 if tag < 1_000 else 4
            size = digits + 1 + index.length[f] + 1
            if has_room(s, out, size):
                copy_bytes(out.bytes, out.used, buf, index.start[f] - digits - 1, size)
                out.used += size


@kernel
def put_cl_ord_id(s, out, tag, request):
    """Append the ClOrdID that the EMS gave a request."""
    r = s.requests[request]
    put_bytes(s, out, tag, r.cl_ord_id, 0, r.cl_ord_id_size)


@kernel
def put_none(s, out, tag):
    """Append a field whose value is NONE."""
    put_bytes(s, out, tag, NONE_TEXT, 0, NONE_TEXT.size)


@kernel
def next_exec_number(s):
    """Number of the next ExecID(17) that the gateway gives."""
    s.next_exec += 1
    return s.next_exec


@kernel
def other_version(s, to, of):
    """FIX version of session `to` if it is not that of session `of`, else NONE."""
    version = s.sessions[to].version
    return version if version != s.sessions[of].version else NONE


@kernel
def has_time(index, buf):
    """Whether the message in hand has a TransactTime(60) that both FIX versions know: in seconds or milliseconds."""
    f = find(index, t.TransactTime)
    if f < 0 or (index.length[f] != SECONDS and index.length[f] != MILLISECONDS):
        return False
    return parse_utc_timestamp(buf, index.start[f], index.length[f]) != NO_TIME
