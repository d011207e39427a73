"""The row of a session's state, and the numbers of its states and verdicts."""

from __future__ import annotations

import numpy as np

COMP_ID_BYTES = 64
BEGIN_STRING_BYTES = 8

# States. OFF: no connection. CONNECTED: one without a Logon yet. LOGON_SENT: ours is out, theirs is not in. UP: logged
# on. LOGOUT_SENT: ours is out, theirs is awaited. CUT: the connection is to be closed.
OFF, CONNECTED, LOGON_SENT, UP, LOGOUT_SENT, CUT = 0, 1, 2, 3, 4, 5

# What `protocol.receive` makes of a message. APPLICATION: it is in order and the application's. HELD: it came ahead of
# a gap and is to be given again when the gap is closed. SEEN: it changes nothing.
DONE, APPLICATION, HELD, SEEN = 0, 1, 2, 3

# Bits of what has happened to a session in an event. RESET: MsgSeqNums do not go on from those of before. RESEND: the
# peer has asked for `resend_from` to `resend_to`. REFUSED: the peer's Reject(3) is the application's too. AHEAD: the
# message is HELD. ANEW: both numbers have begun anew while the connection stands.
CAME_UP, RESET, SYNCED, RESEND, REFUSED, AHEAD, ANEW = 1, 2, 4, 8, 16, 32, 64

CUT_TYPE = 0  # in place of a MsgType: close the connection, the body says why

SECOND_NS = 1_000_000_000
LOGOUT_WAIT_NS = 2 * SECOND_NS  # for the answer to our Logout
ASK_AGAIN_NS = 5 * SECOND_NS  # a gap that does not close is asked for again
MOST_ASKS = 6  # in vain
HEARD_NS = SECOND_NS  # how exactly it is known when the peer was last heard
MAX_HEARTBEAT_S = 3_600
FENCE_NS = SECOND_NS  # between two TestRequests of a fence
# A fence: TestRequests to a venue that has logged on. When it has answered one it has resent what we missed, and has
# asked for what it missed: both are done in the order of the numbers.

LINE = np.dtype(
    [
        # what the config says
        ("native", "i8"),  # 1: this row speaks for the session; 0: its engine does
        ("initiates", "i8"),  # 1: we connect and log on first
        ("version", "i8"),  # row of its dictionary
        ("strict", "i8"),  # 1: a message whose header is faulty is refused; 0: an application message is taken
        ("reset_on_logon", "i8"),
        ("heartbeat_s", "i8"),  # of our Logon, where we initiate
        ("logon_timeout_ns", "i8"),
        ("max_latency_ns", "i8"),  # between SendingTime(52) and now; 0: not looked at
        ("begin_string_size", "i8"),
        ("begin_string", "u1", BEGIN_STRING_BYTES),
        ("sender_size", "i8"),
        ("sender", "u1", COMP_ID_BYTES),
        ("target_size", "i8"),
        ("target", "u1", COMP_ID_BYTES),
        # how it stands
        ("state", "i8"),
        ("since_ns", "i8"),  # when it came into that state
        ("next_in", "i8"),  # MsgSeqNum(34) that comes next, and that goes next
        ("next_out", "i8"),
        ("interval_ns", "i8"),  # of heartbeats, as agreed
        ("offset_ns", "i8"),  # wall clock minus the gateway's when it logged on: it may step meanwhile
        ("heard_ns", "i8"),
        ("sent_ns", "i8"),
        ("tests", "i8"),  # TestRequests since the peer was last heard
        ("asked_to", "i8"),  # a ResendRequest is open for what lies before this number; 0: none
        ("asked_ns", "i8"),
        ("asks", "i8"),  # in vain
        ("held_from", "i8"),  # the first run of numbers that are HELD, and its end; below `next_in`: none is
        ("held_to", "i8"),
        ("filled_to", "i8"),  # number behind a gap fill that also covers what is HELD; below `next_in`: none is open
        ("fence", "i8"),  # number of the last TestRequest of a fence, 0: none is open
        ("fence_ns", "i8"),
        ("fresh", "i8"),  # 1: nothing has been exchanged since the journal began
        ("disabled", "i8"),  # 1: by a person: it has no connection
        ("moved_run", "i8"),  # up to this run of the gateway the journal has another session in this row; 0: never
        ("begun_s", "i8"),  # when its schedule began last, seconds since 1970; 0: never
        ("lost", "i8"),  # 1: the peer had numbers of ours that we do not know: the next logon begins anew
        # what the last event was to it
        ("happened", "i8"),  # bits
        ("held", "i8"),  # MsgSeqNum(34) of the message that is HELD
        ("resend_from", "i8"),
        ("resend_to", "i8"),
    ]
)
