"""Messages of the session layer: their bodies, and the header and trailer of every message. Kernels only.

A body is what stands behind TargetCompID(56); fields of the header that a message has besides come first in it.
"""

from __future__ import annotations

import numpy as np

from gateway.core.layout import VERSION_50
from gateway.fix import tags as t
from gateway.fix.index import find
from gateway.fix.layout import SOH, phrase
from gateway.fix.reject_reasons import LAST_OF_42, TEXT, TEXT_SIZE
from gateway.fix.session.layout import CUT_TYPE
from gateway.fix.values import copy_bytes
from gateway.fix.write import (
    finish,
    open_message,
    put_char,
    put_int,
    put_slice,
    put_soh,
    put_tag,
    put_utc_timestamp,
    write_digits,
)
from gateway.jit import kernel

NO_ENCRYPTION = ord("0")
MOST_ECHOED = 1_024  # bytes of a value of the peer's that are said back
# Who a message was for is who its Reject is from, by tag: (of the message, of the Reject).
REVERSED = np.array([[128, 115], [129, 116], [115, 128], [116, 129], [145, 144], [144, 145]], np.int64)
TOO_LOW, RECEIVED = phrase("MsgSeqNum too low, expecting "), phrase(" but received ")
CAME_FROM = phrase("the answer is of another session: SenderCompID(49) ")
CAME_FOR = phrase(", TargetCompID(56) ")
FENCE = phrase("TIDEGATE-")
TEST = phrase("TEST")


@kernel
def put_value(out, tag, index, buf, f):
    """Append a field with the value of field number `f` of the message in hand, cut at MOST_ECHOED bytes."""
    if f >= 0 and index.length[f] > 0:
        put_slice(out, tag, buf, index.start[f], min(index.length[f], MOST_ECHOED))


@kernel
def put_reverse_route(out, index, buf):
    """Append who the answer is for, and from, where the message in hand was sent on behalf of others."""
    for k in range(REVERSED.shape[0]):
        put_value(out, REVERSED[k, 1], index, buf, find(index, REVERSED[k, 0]))


@kernel
def _is_integer(buf, start, size):
    """Whether some bytes are a short integer, such as `-1` where a tag should be."""
    if not 0 < size <= 16:
        return False
    for k in range(start, start + size):
        if not 48 <= buf[k] <= 57 and (buf[k] != 45 or k > start or size == 1):
            return False
    return True


@kernel
def put_reject(out, index, buf, number, reason, tag, text, text_size, in_42):
    """Append the body of a Reject(3) of the message in hand; `tag` 0: what stands in place of one, if anything."""
    put_reverse_route(out, index, buf)
    put_int(out, t.RefSeqNum, number)
    put_slice(out, t.Text, text, 0, text_size)
    if tag > 0:
        put_int(out, t.RefTagID, tag)
    elif _is_integer(buf, index.bad_start, index.bad_length):
        put_slice(out, t.RefTagID, buf, index.bad_start, index.bad_length)
    if index.count > 0:
        put_value(out, t.RefMsgType, index, buf, find(index, t.MsgType))
    if not in_42 or reason <= LAST_OF_42:
        put_int(out, t.SessionRejectReason, reason)


@kernel
def reject(out, row, index, buf, number, reason, tag, in_42):
    """Reject(3) of the message in hand, in the words of FIX."""
    open_message(out, row, t.REJECT)
    put_reject(out, index, buf, number, reason, tag, TEXT[reason], TEXT_SIZE[reason], in_42)
    finish(out)


@kernel
def heartbeat(out, row):
    """Heartbeat(0)."""
    open_message(out, row, t.HEARTBEAT)
    finish(out)


@kernel
def answer_test(out, row, index, buf):
    """Heartbeat(0) that answers the TestRequest in hand."""
    open_message(out, row, t.HEARTBEAT)
    put_value(out, t.TestReqID, index, buf, find(index, t.TestReqID))
    finish(out)


@kernel
def test_request(out, row, fence):
    """TestRequest(1), of a fence if that has a number."""
    open_message(out, row, t.TEST_REQUEST)
    if fence > 0:
        put_tag(out, t.TestReqID)
        copy_bytes(out.bytes, out.used, FENCE, 0, FENCE.size)
        out.used = write_digits(out.bytes, out.used + FENCE.size, fence)
        put_soh(out)
    else:
        put_slice(out, t.TestReqID, TEST, 0, TEST.size)
    finish(out)


@kernel
def resend_request(out, row, first):
    """ResendRequest(2) for everything from a number on."""
    open_message(out, row, t.RESEND_REQUEST)
    put_int(out, t.BeginSeqNo, first)
    put_int(out, t.EndSeqNo, 0)
    finish(out)


@kernel
def logon(out, line, row, heartbeat_s, resets, next_expected):
    """Logon(A); with ResetSeqNumFlag(141) if it `resets`, and NextExpectedMsgSeqNum(789) unless that is 0."""
    open_message(out, row, t.LOGON)
    put_char(out, t.EncryptMethod, NO_ENCRYPTION)
    put_int(out, t.HeartBtInt, heartbeat_s)
    if resets:
        put_char(out, t.ResetSeqNumFlag, t.YES)
    if next_expected > 0:
        put_int(out, t.NextExpectedMsgSeqNum, next_expected)
    if line.version == VERSION_50:
        put_char(out, t.DefaultApplVerID, t.FIX_50_SP2)
    finish(out)


@kernel
def logout(out, row, text):
    """Logout(5), with a reason unless that is empty."""
    open_message(out, row, t.LOGOUT)
    put_slice(out, t.Text, text, 0, text.size)
    finish(out)


@kernel
def logout_too_low(out, row, expected, received):
    """Logout(5): the peer's MsgSeqNum is one that was seen."""
    open_message(out, row, t.LOGOUT)
    put_tag(out, t.Text)
    copy_bytes(out.bytes, out.used, TOO_LOW, 0, TOO_LOW.size)
    at = write_digits(out.bytes, out.used + TOO_LOW.size, expected)
    copy_bytes(out.bytes, at, RECEIVED, 0, RECEIVED.size)
    out.used = write_digits(out.bytes, at + RECEIVED.size, received)
    put_soh(out)
    finish(out)


@kernel
def cut(out, row, why):
    """Have the connection closed behind what is sent before this."""
    open_message(out, row, CUT_TYPE)
    copy_bytes(out.bytes, out.used, why, 0, why.size)
    out.used += why.size
    finish(out)


@kernel
def cut_in_its_words(out, row, index, buf, what, why):
    """The same for the reason that the message in hand gives, behind what that is, else for one of ours."""
    f = find(index, t.Text)
    if f < 0 or index.length[f] == 0:
        cut(out, row, why)
        return
    open_message(out, row, CUT_TYPE)
    copy_bytes(out.bytes, out.used, what, 0, what.size)
    out.used += what.size
    size = min(index.length[f], MOST_ECHOED)
    copy_bytes(out.bytes, out.used, buf, index.start[f], size)
    out.used += size
    finish(out)


@kernel
def cut_for_comp_ids(out, row, index, buf):
    """The same for a first message that is from or for somebody else, with the CompIDs that it names."""
    open_message(out, row, CUT_TYPE)
    for what, tag in ((CAME_FROM, t.SenderCompID), (CAME_FOR, t.TargetCompID)):
        copy_bytes(out.bytes, out.used, what, 0, what.size)
        out.used += what.size
        f = find(index, tag)
        size = min(index.length[f], MOST_ECHOED) if f >= 0 else 0
        if size > 0:
            copy_bytes(out.bytes, out.used, buf, index.start[f], size)
            out.used += size
    finish(out)


@kernel
def _digits(value):
    size = 1
    while value >= 10:
        size += 1
        value //= 10
    return size


@kernel
def write_message(out, line, message_type, number, wall_ns, first_wall_ns, source, start, size):
    """Append a whole message: header, the `size` bytes of its body, trailer. Returns where it begins.

    `out` is a record with `bytes` and `used`. `wall_ns` is its SendingTime(52); `first_wall_ns`, unless 0, that of the
    message which it repeats: then PossDupFlag(43) is set. Takes up to 320 bytes besides the body.
    """
    begin = out.used
    put_slice(out, t.BeginString, line.begin_string, 0, line.begin_string_size)
    type_size = 1 if message_type < 256 else 2
    fields = 3 + type_size + 1 + 4 + _digits(number) + 3 + line.sender_size + 1 + 25 + 3 + line.target_size + 1
    fields += 31 if first_wall_ns > 0 else 0
    put_int(out, t.BodyLength, fields + size)
    put_tag(out, t.MsgType)
    out.bytes[out.used] = message_type & 255
    if type_size == 2:
        out.bytes[out.used + 1] = message_type >> 8
    out.used += type_size
    put_soh(out)
    put_int(out, t.MsgSeqNum, number)
    if first_wall_ns > 0:
        put_char(out, t.PossDupFlag, t.YES)
    put_slice(out, t.SenderCompID, line.sender, 0, line.sender_size)
    put_utc_timestamp(out, t.SendingTime, wall_ns)
    put_slice(out, t.TargetCompID, line.target, 0, line.target_size)
    if first_wall_ns > 0:
        put_utc_timestamp(out, t.OrigSendingTime, first_wall_ns)
    copy_bytes(out.bytes, out.used, source, start, size)
    out.used += size
    added = np.uint64(0)
    for k in range(np.uint64(begin), np.uint64(out.used)):
        added += np.uint64(out.bytes[k])
    total = int(added & np.uint64(255))
    put_tag(out, t.CheckSum)
    out.bytes[out.used] = 48 + total // 100
    out.bytes[out.used + 1] = 48 + total // 10 % 10
    out.bytes[out.used + 2] = 48 + total % 10
    out.used += 3
    out.bytes[out.used] = SOH
    out.used += 1
    return begin
