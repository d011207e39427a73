"""Every state transition of a FIX session (FIX 4.4 volume 2; "FIX session protocol" of FIXT). Kernels only.

A session is a `layout.LINE`. What happens to it is one call: `connected`, `receive`, `tick`, `log_out`, `lost`. What it
wants to be sent is appended to `out` (a `core.events.OUT`) as messages of its row; `number` then gives each message its
MsgSeqNum(34), those of the application among them. Times are the gateway's clock and the wall clock, in nanoseconds.
"""

from __future__ import annotations

from gateway.core.layout import VERSION_50
from gateway.fix import tags as t
from gateway.fix.fields import is_yes, message_type_of
from gateway.fix.index import find, index_message
from gateway.fix.layout import BAD_TAG, EMPTY_VALUE, HEADER, INDEXED, MAX_TAG, NO_TIME, VALID, phrase
from gateway.fix.session import layout as a
from gateway.fix.session.messages import (
    FENCE,
    answer_test,
    cut,
    cut_for_comp_ids,
    cut_in_its_words,
    heartbeat,
    logon,
    logout,
    logout_too_low,
    reject,
    resend_request,
    test_request,
)
from gateway.fix.validate import find_message, validate
from gateway.fix.values import parse_int, parse_utc_timestamp, same_bytes
from gateway.jit import kernel

MOST_NUMBER, LONGEST_NUMBER = 10**17, 17
NOTHING_SAID = phrase("")
DISABLED = phrase("the session is disabled")
NOT_A_LOGON = phrase("the first message is not a Logon")
NO_LOGON = phrase("no Logon came in time")
NO_ANSWER = phrase("no message came, nor an answer to a TestRequest")
NO_LOGOUT = phrase("no answer to our Logout")
BOTH_LOGGED_OUT = phrase("logged out")
ITS_LOGOUT, ITS_REJECT = phrase("Logout: "), phrase("Reject of the Logon: ")
WRONG_BEGIN_STRING = phrase("Incorrect BeginString")
WRONG_HEADER = phrase("the header is not as FIX wants it")
WRONG_TIME = phrase("SendingTime accuracy problem")
WRONG_HEARTBEAT = phrase("HeartBtInt(108) must be a whole number of seconds from 1 to 3600")
WRONG_VERSION = phrase("DefaultApplVerID(1137) must be 9, FIX 5.0 SP2")
FIX_50_SP2 = t.FIX_50_SP2 - ord("0")
EXPECTING = phrase("too low, expecting ")
MOST_LOST = 10_000_000  # messages of ours that a peer may have had more than we know of
NO_NUMBER = phrase("MsgSeqNum(34) is missing or no number")
UNKNOWN_NUMBER = phrase("NextExpectedMsgSeqNum(789) is higher than any number that was sent")


@kernel
def _go(line, state, now_ns):
    line.state = state
    line.since_ns = now_ns


@kernel
def _cut(line, row, out, why, now_ns):
    cut(out, row, why)
    _go(line, a.CUT, now_ns)


@kernel
def _log_out(line, row, out, why, now_ns):
    """Send a Logout that says why, and await the peer's; one is enough."""
    if line.state != a.LOGOUT_SENT:
        logout(out, row, why)
        _go(line, a.LOGOUT_SENT, now_ns)


@kernel
def _end(line, row, out, why, now_ns):
    """Send a Logout that says why, and wait for nothing."""
    logout(out, row, why)
    _cut(line, row, out, why, now_ns)


@kernel
def _value(index, buf, tag):
    """An unsigned number in the message in hand, -1 where there is none."""
    f = find(index, tag)
    return parse_int(buf, index.start[f], index.length[f]) if f >= 0 else -1


@kernel
def _time(index, buf, tag):
    f = find(index, tag)
    return parse_utc_timestamp(buf, index.start[f], index.length[f]) if f >= 0 else NO_TIME


@kernel
def _is(index, buf, tag, text, size):
    f = find(index, tag)
    return f >= 0 and index.length[f] == size and same_bytes(buf, index.start[f], text, 0, size)


@kernel
def _header_fault(line, dictionary, index, buf):
    """What is wrong with the header of the message in hand: (SessionRejectReason, tag), or (VALID, 0)."""
    for tag in (t.SenderCompID, t.TargetCompID, t.SendingTime):
        f = find(index, tag)
        if f < 0:
            return t.REJECT_REQUIRED_TAG_MISSING, tag
        if index.length[f] == 0:
            return t.REJECT_TAG_WITHOUT_VALUE, tag
    role = dictionary.messages[0].role
    last = 0
    while last < index.count and index.tag[last] < MAX_TAG and role[index.tag[last]] == HEADER:
        last += 1
    for f in range(last, index.count):
        tag = index.tag[f]
        if tag == t.MsgSeqNum or tag == t.SenderCompID or tag == t.TargetCompID or tag == t.SendingTime:
            return t.REJECT_TAG_OUT_OF_ORDER, tag
    if _time(index, buf, t.SendingTime) == NO_TIME:
        return t.REJECT_INCORRECT_DATA_FORMAT, t.SendingTime
    if not _is(index, buf, t.SenderCompID, line.target, line.target_size):
        return t.REJECT_COMP_ID, 0
    if not _is(index, buf, t.TargetCompID, line.sender, line.sender_size):
        return t.REJECT_COMP_ID, 0
    return VALID, 0


@kernel
def _is_late(line, index, buf, wall_ns):
    """Whether SendingTime(52) is too far from now, where that is looked at."""
    return line.max_latency_ns > 0 and abs(wall_ns - _time(index, buf, t.SendingTime)) > line.max_latency_ns


@kernel
def _has_become_late(line, index, buf, now_ns, wall_ns):
    """The same of a session that is logged on: by the wall clock, and as if that had not stepped since the logon."""
    return _is_late(line, index, buf, wall_ns) and _is_late(line, index, buf, now_ns + line.offset_ns)


@kernel
def _ask(line, row, out, received, now_ns):
    """Ask for what lies between the number that comes next and one that came, unless that is under way."""
    if line.asked_to >= line.next_in and now_ns - line.asked_ns < a.ASK_AGAIN_NS:
        return
    resend_request(out, row, line.next_in)
    line.asks = 0 if line.asked_to < line.next_in else line.asks
    line.asked_to = max(received, line.next_in)
    line.asked_ns = now_ns


@kernel
def _count(line, number, now_ns):
    """A message has been dealt with under the number that was expected."""
    if number == line.next_in:
        line.next_in += 1
        if line.held_to < line.next_in < line.filled_to:
            line.next_in = line.filled_to
        if line.asked_to > 0:
            line.asked_ns = now_ns
        if line.next_in >= line.asked_to:
            line.asked_to = 0


@kernel
def connected(line, row, out, now_ns):
    """A connection that we asked for stands: log on."""
    if line.disabled == 1:
        _cut(line, row, out, DISABLED, now_ns)
        return
    if line.reset_on_logon == 1:
        line.next_in = 1
        line.next_out = 1
    logon(out, line, row, line.heartbeat_s, line.reset_on_logon == 1, 0)
    line.heard_ns = now_ns
    _go(line, a.LOGON_SENT, now_ns)


@kernel
def lost(line, now_ns):
    """The connection is gone."""
    _go(line, a.OFF, now_ns)
    line.asked_to = 0
    line.fence = 0
    line.held_from = line.held_to = line.filled_to = 0


@kernel
def log_out(line, row, out, text, now_ns):
    """Log the session out; one that is not logged on is cut."""
    if line.state == a.UP:
        _log_out(line, row, out, text, now_ns)
    elif line.state == a.CONNECTED or line.state == a.LOGON_SENT:
        _cut(line, row, out, text, now_ns)


@kernel
def set_numbers(line, next_in, next_out):
    """A person says which numbers come next, 0: as it is. Of a session without a connection; what they were is of no
    use any more, so the next logon does not go on from before.
    """
    line.next_in = next_in if next_in > 0 else line.next_in
    line.next_out = next_out if next_out > 0 else line.next_out
    line.fresh = 0 if next_in > 0 else line.fresh
    line.lost = 1


@kernel
def number(line, message, now_ns):
    """Give a message that goes out its MsgSeqNum(34)."""
    message.msg_seq_num = line.next_out
    line.next_out += 1
    line.sent_ns = now_ns


@kernel
def _on_logon(line, row, dictionary, index, buf, out, received, now_ns, wall_ns):
    """The peer's Logon, in answer to ours or as the first message."""
    seconds = _value(index, buf, t.HeartBtInt)
    if not 1 <= seconds <= a.MAX_HEARTBEAT_S:
        _end(line, row, out, WRONG_HEARTBEAT, now_ns)
        return
    if line.version == VERSION_50 and _value(index, buf, t.DefaultApplVerID) != FIX_50_SP2:
        _end(line, row, out, WRONG_VERSION, now_ns)
        return
    first = line.state != a.LOGON_SENT
    asks_reset = is_yes(index, buf, t.ResetSeqNumFlag)
    resets = asks_reset or line.reset_on_logon == 1
    if resets and (first or received == 1):
        line.next_in = 1
    if resets and first:
        line.next_out = 1
    elif asks_reset and line.reset_on_logon == 0:
        line.next_out = 2  # behind our Logon, which the peer takes for the first
    if line.fresh == 1 and line.initiates == 1 and received > line.next_in:
        line.next_in = received  # what the venue has sent before concerns nobody here
        line.lost = 1
    line.fresh = 0
    if received < line.next_in:
        logout_too_low(out, row, line.next_in, received)
        _cut(line, row, out, BOTH_LOGGED_OUT, now_ns)
        line.lost = 1
        return
    expected = _value(index, buf, t.NextExpectedMsgSeqNum)
    if expected > line.next_out:
        _end(line, row, out, UNKNOWN_NUMBER, now_ns)
        return
    line.offset_ns = wall_ns - now_ns
    line.interval_ns = (line.heartbeat_s if line.initiates == 1 else seconds) * a.SECOND_NS
    if first:
        wanted = line.next_in + 1 if received == line.next_in else line.next_in
        logon(out, line, row, seconds, asks_reset, wanted if expected >= 0 else 0)
    if 0 <= expected < line.next_out and not resets:
        line.happened |= a.RESEND
        line.resend_from = expected
        line.resend_to = line.next_out - 1
    line.happened |= a.CAME_UP
    if resets or line.lost == 1:
        line.happened |= a.RESET
    line.lost = 0
    line.tests = 0
    line.heard_ns = now_ns
    line.asked_to = 0
    line.fence = line.initiates
    line.fence_ns = now_ns
    _go(line, a.UP, now_ns)
    if received > line.next_in and (expected < 0 or not first):
        _ask(line, row, out, received, now_ns)
    _count(line, received, now_ns)


@kernel
def _number_wanted(index, buf):
    """The number that a peer expects of us, by the words of a Logout that refuses ours as too low; -1: it does not."""
    f = find(index, t.Text)
    if f < 0:
        return -1
    end = index.start[f] + index.length[f]
    for at in range(index.start[f], end - EXPECTING.size + 1):
        if same_bytes(buf, at, EXPECTING, 0, EXPECTING.size):
            first = at + EXPECTING.size
            last = first
            while last < end and 48 <= buf[last] <= 57:
                last += 1
            return parse_int(buf, first, last - first)
    return -1


@kernel
def _first_message(line, row, dictionary, index, buf, out, message_type, received, now_ns, wall_ns):
    """A message of a peer that is not logged on."""
    if line.disabled == 1:
        _cut(line, row, out, DISABLED, now_ns)
        return
    if message_type == t.LOGOUT and line.state == a.LOGON_SENT:
        wanted = _number_wanted(index, buf)
        if line.next_out < wanted <= line.next_out + MOST_LOST:
            line.next_out = wanted  # the peer has had messages of which we know nothing
            line.lost = 1
        _count(line, received, now_ns)
        cut_in_its_words(out, row, index, buf, ITS_LOGOUT, BOTH_LOGGED_OUT)
        _go(line, a.CUT, now_ns)
        return
    if message_type == t.REJECT and line.state == a.LOGON_SENT:
        cut_in_its_words(out, row, index, buf, ITS_REJECT, NOT_A_LOGON)
        _go(line, a.CUT, now_ns)
        return
    reason, _ = _header_fault(line, dictionary, index, buf)
    if message_type != t.LOGON:
        _cut(line, row, out, NOT_A_LOGON, now_ns)
    elif reason == t.REJECT_COMP_ID:
        cut_for_comp_ids(out, row, index, buf)
        _go(line, a.CUT, now_ns)
    elif reason != VALID:
        _cut(line, row, out, WRONG_HEADER, now_ns)
    elif _is_late(line, index, buf, wall_ns):
        _cut(line, row, out, WRONG_TIME, now_ns)
    elif received < 0:
        _cut(line, row, out, NO_NUMBER, now_ns)
    else:
        _on_logon(line, row, dictionary, index, buf, out, received, now_ns, wall_ns)


@kernel
def _refuse(line, row, index, buf, out, received, reason, tag, now_ns):
    """Reject the message in hand and count it."""
    reject(out, row, index, buf, received, reason, tag, line.version == 0)
    _count(line, received, now_ns)


@kernel
def _seen_before(line, row, index, buf, out, message_type, received, now_ns):
    """A message whose number has been dealt with."""
    if not is_yes(index, buf, t.PossDupFlag):
        logout_too_low(out, row, line.next_in, received)
        _cut(line, row, out, BOTH_LOGGED_OUT, now_ns)
        return
    if line.strict == 0 or message_type == t.SEQUENCE_RESET:
        return
    if find(index, t.OrigSendingTime) < 0:
        reject(out, row, index, buf, received, t.REJECT_REQUIRED_TAG_MISSING, t.OrigSendingTime, line.version == 0)
    elif _time(index, buf, t.OrigSendingTime) > _time(index, buf, t.SendingTime):
        reject(out, row, index, buf, received, t.REJECT_SENDING_TIME, 0, line.version == 0)
        _log_out(line, row, out, NOTHING_SAID, now_ns)


@kernel
def _on_sequence_reset(line, row, index, buf, out, received, fills, now_ns):
    """SequenceReset(4): a gap fill in order, or a reset, whose own number does not count.

    A gap fill covers what the peer does not send again, not what has come: a fill of a venue or an order of an EMS that
    is HELD is done before the rest of it.
    """
    new = _value(index, buf, t.NewSeqNo)
    if new > MOST_NUMBER or new < (received + 1 if fills else line.next_in):
        reject(out, row, index, buf, received, t.REJECT_VALUE_INCORRECT, 0, line.version == 0)
        if fills:
            _count(line, received, now_ns)
        return
    if not fills and new > line.next_in:
        line.happened |= a.RESET
    if fills and line.next_in < line.held_from < new:
        line.next_in = line.held_from
        line.filled_to = new
    else:
        line.next_in = new
    if line.asked_to > 0:
        line.asked_ns = now_ns
    if line.next_in >= line.asked_to:
        line.asked_to = 0


@kernel
def _on_resend_request(line, row, index, buf, out, received, now_ns):
    """ResendRequest(2): `resend_from` to `resend_to` of what was sent; the engine sends it again."""
    first = _value(index, buf, t.BeginSeqNo)
    last = _value(index, buf, t.EndSeqNo)
    if first < 0 or last < 0 or (0 < last < first):
        tag = t.BeginSeqNo if first < 0 else t.EndSeqNo
        reject(out, row, index, buf, received, t.REJECT_VALUE_INCORRECT, tag, line.version == 0)
    elif first < line.next_out:
        line.happened |= a.RESEND
        line.resend_from = max(first, 1)
        line.resend_to = line.next_out - 1 if last == 0 else min(last, line.next_out - 1)
    _count(line, received, now_ns)


@kernel
def _on_logout(line, row, index, buf, out, received, now_ns):
    _count(line, received, now_ns)
    if line.state == a.UP:
        logout(out, row, NOTHING_SAID)
    cut_in_its_words(out, row, index, buf, ITS_LOGOUT, BOTH_LOGGED_OUT)
    _go(line, a.CUT, now_ns)


@kernel
def _answers_fence(line, index, buf):
    """Whether a Heartbeat answers a TestRequest of the fence that is open."""
    f = find(index, t.TestReqID)
    return f >= 0 and index.length[f] > FENCE.size and same_bytes(buf, index.start[f], FENCE, 0, FENCE.size)


@kernel
def _admin_fault(dictionary, index, buf, start, size, message_type):
    """What is wrong by its dictionary with a message of the session layer: (SessionRejectReason, tag) or (VALID, 0)."""
    fault = index_message(index, buf, start, size, dictionary.data_length_tag, False)
    if fault == EMPTY_VALUE:
        return t.REJECT_TAG_WITHOUT_VALUE, index.empty_tag
    if fault == BAD_TAG:
        return t.REJECT_INVALID_TAG, 0
    if fault != INDEXED:
        return t.REJECT_INCORRECT_DATA_FORMAT, 0
    return validate(dictionary, index, buf, find_message(dictionary, message_type))


@kernel
def _on_admin(line, row, dictionary, index, buf, start, size, out, message_type, received, now_ns):
    """A message of the session layer that is in order."""
    reason, tag = _admin_fault(dictionary, index, buf, start, size, message_type)
    if reason != VALID:
        _refuse(line, row, index, buf, out, received, reason, tag, now_ns)
        return
    if message_type == t.SEQUENCE_RESET:
        _on_sequence_reset(line, row, index, buf, out, received, True, now_ns)
        return
    if message_type == t.TEST_REQUEST:
        answer_test(out, row, index, buf)
    elif message_type == t.HEARTBEAT:
        if line.fence > 0 and _answers_fence(line, index, buf):
            line.fence = 0
            line.happened |= a.SYNCED
    elif message_type == t.REJECT:
        line.happened |= a.REFUSED
    elif message_type == t.LOGON and is_yes(index, buf, t.ResetSeqNumFlag) and received == 1:
        line.next_in = 1
        line.next_out = 1
        line.asked_to = 0
        line.held_from = line.held_to = line.filled_to = 0
        logon(out, line, row, line.interval_ns // a.SECOND_NS, True, 0)
        line.happened |= a.CAME_UP | a.RESET | a.ANEW
    _count(line, received, now_ns)


@kernel
def is_admin(message_type):
    """Whether a MsgType(35) is of the session layer."""
    return (
        message_type == t.HEARTBEAT
        or message_type == t.TEST_REQUEST
        or message_type == t.RESEND_REQUEST
        or message_type == t.REJECT
        or message_type == t.SEQUENCE_RESET
        or message_type == t.LOGOUT
        or message_type == t.LOGON
    )


@kernel
def _note_heard(line, now_ns):
    if line.tests > 0 or now_ns - line.heard_ns >= a.HEARD_NS:
        line.heard_ns = now_ns
        line.tests = 0


@kernel
def _lets_application_pass(line, message_type):
    """Whether a fault of the header keeps no message from the application: a fill of a venue, a cancel of an EMS."""
    return (line.strict == 0 and not is_admin(message_type)) or message_type == t.ORDER_CANCEL_REQUEST


@kernel
def msg_seq_num(index, buf):
    """MsgSeqNum(34) of the message in hand, -1 where it has none; of one that is too long to be counted MOST_NUMBER."""
    f = find(index, t.MsgSeqNum)
    if f < 0 or index.length[f] == 0:
        return -1
    for k in range(index.start[f], index.start[f] + index.length[f]):
        if not 48 <= buf[k] <= 57:
            return -1
    if index.length[f] > LONGEST_NUMBER:
        return MOST_NUMBER
    return parse_int(buf, index.start[f], index.length[f])


@kernel
def receive(line, row, dictionary, index, buf, start, size, out, now_ns, wall_ns):
    """A whole message of the peer, `size` bytes of `buf` from `start`: DONE, APPLICATION, HELD or SEEN.

    Behind APPLICATION it is indexed, leniently, and counted. `line.happened` says what became of the session.
    """
    index_message(index, buf, start, size, dictionary.data_length_tag, True)
    message_type = message_type_of(index, buf)
    received = msg_seq_num(index, buf)
    if line.state == a.CUT:
        return a.SEEN
    if line.state == a.OFF or line.state == a.CONNECTED or line.state == a.LOGON_SENT:
        _first_message(line, row, dictionary, index, buf, out, message_type, received, now_ns, wall_ns)
        return a.DONE
    _note_heard(line, now_ns)
    if not _is(index, buf, t.BeginString, line.begin_string, line.begin_string_size):
        _log_out(line, row, out, WRONG_BEGIN_STRING, now_ns)
        if received != line.next_in or not _lets_application_pass(line, message_type):
            return a.DONE
    if received < 0:
        _log_out(line, row, out, NO_NUMBER, now_ns)
        return a.DONE
    in_order = received == line.next_in
    reason, tag = _header_fault(line, dictionary, index, buf)
    if reason == t.REJECT_COMP_ID or (reason != VALID and not _lets_application_pass(line, message_type)):
        reject(out, row, index, buf, received, reason, tag, line.version == 0)
        _count(line, received, now_ns)
        if reason == t.REJECT_COMP_ID:
            _log_out(line, row, out, NOTHING_SAID, now_ns)
        return a.DONE
    if message_type == t.LOGOUT:
        _on_logout(line, row, index, buf, out, received, now_ns)
        return a.DONE
    if _has_become_late(line, index, buf, now_ns, wall_ns) and not _lets_application_pass(line, message_type):
        _refuse(line, row, index, buf, out, received, t.REJECT_SENDING_TIME, 0, now_ns)
        _log_out(line, row, out, NOTHING_SAID, now_ns)
        return a.DONE
    if message_type == t.RESEND_REQUEST:
        _on_resend_request(line, row, index, buf, out, received, now_ns)
        return a.DONE
    if message_type == t.SEQUENCE_RESET and not is_yes(index, buf, t.GapFillFlag):
        _on_sequence_reset(line, row, index, buf, out, received, False, now_ns)
        return a.DONE
    if message_type == t.LOGON and is_yes(index, buf, t.ResetSeqNumFlag) and received == 1:
        in_order = True
    elif received > line.next_in:
        _ask(line, row, out, received, now_ns)
        line.happened |= a.AHEAD
        line.held = received
        if line.held_from <= line.next_in:
            line.held_from = line.held_to = received
        elif received == line.held_to + 1:
            line.held_to = received
        return a.HELD
    if not in_order:
        before = out.count
        _seen_before(line, row, index, buf, out, message_type, received, now_ns)
        return a.DONE if out.count > before else a.SEEN
    if is_admin(message_type):
        _on_admin(line, row, dictionary, index, buf, start, size, out, message_type, received, now_ns)
        return a.DONE
    if line.strict == 1 and is_yes(index, buf, t.PossDupFlag) and message_type != t.ORDER_CANCEL_REQUEST:
        if find(index, t.OrigSendingTime) < 0:
            _refuse(line, row, index, buf, out, received, t.REJECT_REQUIRED_TAG_MISSING, t.OrigSendingTime, now_ns)
            return a.DONE
    _count(line, received, now_ns)
    return a.APPLICATION


@kernel
def tick(line, row, out, now_ns):
    """What time brings to a session: time-outs, heartbeats, TestRequests. Returns whether anything."""
    before = out.count
    asks = line.asks
    if line.state == a.CONNECTED or line.state == a.LOGON_SENT:
        if now_ns - line.since_ns >= line.logon_timeout_ns:
            _cut(line, row, out, NO_LOGON, now_ns)
    elif line.state == a.LOGOUT_SENT:
        if now_ns - line.since_ns >= a.LOGOUT_WAIT_NS:
            _cut(line, row, out, NO_LOGOUT, now_ns)
    elif line.state == a.UP:
        silent_ns = now_ns - line.heard_ns
        if 5 * silent_ns >= 12 * line.interval_ns:
            _cut(line, row, out, NO_ANSWER, now_ns)
            return True
        if line.tests == 0 and now_ns - line.sent_ns >= line.interval_ns:
            heartbeat(out, row)
        if 5 * silent_ns >= 6 * (line.tests + 1) * line.interval_ns:
            line.tests += 1
            test_request(out, row, 0)
        if line.fence > 0 and now_ns >= line.fence_ns:
            test_request(out, row, line.fence)
            line.fence += 1
            line.fence_ns = now_ns + a.FENCE_NS
        if line.asked_to > 0 and now_ns - line.asked_ns >= a.ASK_AGAIN_NS:
            line.asks += 1
            if line.asks < a.MOST_ASKS:
                _ask(line, row, out, line.asked_to, now_ns)
            else:
                line.asked_to = 0  # until another message comes ahead of the gap
    return out.count > before or line.asks != asks
